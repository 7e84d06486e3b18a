/* The receiver behind `herald sink`, asked over the wire by the real webhook client. */
#include "loopback.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "sink.h"

struct fixture {
	struct sink_options options;
	char ledger[64];
	int stop_fd;
	int port;
	int result;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	pthread_t thread;
};

static void on_ready(void *arg, int port)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	f->port = port;
	pthread_cond_signal(&f->ready);
	pthread_mutex_unlock(&f->lock);
}

static void *sink_main(void *arg)
{
	struct fixture *f = arg;

	f->result = sink_run(&f->options, f->stop_fd, on_ready, f, NULL);
	return NULL;
}

static void set_up(struct fixture *f)
{
	int fd;

	*f = (struct fixture){.options = {.host = "127.0.0.1", .status = 202}, .ledger = "/tmp/herald-sink-XXXXXX"};
	fd = mkstemp(f->ledger);
	assert_true(fd >= 0);
	close(fd);
	f->options.ledger = f->ledger;
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->ready, NULL);
}

static void start(struct fixture *f)
{
	assert_int_equal(thread_start(&f->thread, "sink", sink_main, f, NULL), OK);
	pthread_mutex_lock(&f->lock);
	while (!f->port)
		pthread_cond_wait(&f->ready, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void stop(struct fixture *f)
{
	assert_int_equal(eventfd_write(f->stop_fd, 1), 0);
	thread_join(f->thread);
	assert_int_equal(f->result, OK);
}

static void tear_down(struct fixture *f)
{
	close(f->stop_fd);
	unlink(f->ledger);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->ready);
}

static void read_ledger(const struct fixture *f, struct buf *out)
{
	char chunk[4096];
	int fd = open(f->ledger, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	buf_clear(out);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(out, chunk, (size_t)n);
	close(fd);
}

/* The i-th line of the ledger, NULL when there are fewer; the caller releases it. */
static json_t *ledger_line(const struct fixture *f, size_t i)
{
	struct buf text = BUF_INIT;
	json_t *line = NULL;
	char *p, *end;

	read_ledger(f, &text);
	for (p = text.data; (end = strchr(p, '\n')); p = end + 1)
		if (!i--) {
			line = json_loadb(p, (size_t)(end - p), 0, NULL);
			assert_non_null(line);
			break;
		}
	buf_release(&text);
	return line;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static void post(struct client *c, const char *key, const char *body)
{
	struct transport_request r = {.body = body, .body_len = strlen(body), .key = key};

	assert_true(transport_start(c->transport, &r));
	client_finish(c);
	assert_int_equal(c->end, ATTEMPT_ANSWERED);
}

static void test_accept(void **state)
{
	usec_t before = clock_wall();
	struct fixture f;
	struct client c;
	json_t *answer, *line;
	char first_id[64];

	(void)state;
	set_up(&f);
	start(&f);
	client_open(&c, f.port, default_options());
	post(&c, "key-1", "{\"to\":\"+905551234567\",\"content\":\"two\\nlines \\\"\\u00e7\\\"\"}");
	assert_int_equal(c.status, 202);
	answer = json_loads(c.body.data, 0, NULL);
	assert_string_equal(text_of(answer, "message"), "Accepted");
	assert_int_equal(strlen(text_of(answer, "messageId")), 36);
	snprintf(first_id, sizeof(first_id), "%s", text_of(answer, "messageId"));
	json_decref(answer);

	line = ledger_line(&f, 0);
	assert_string_equal(text_of(line, "key"), "key-1");
	assert_string_equal(text_of(line, "to"), "+905551234567");
	assert_string_equal(text_of(line, "content"), "two\nlines \"\u00e7\"");
	assert_string_equal(text_of(line, "messageId"), first_id);
	assert_int_equal(json_integer_value(json_object_get(line, "status")), 202);
	/* The clock may be set meanwhile. */
	assert_true(llabs(json_integer_value(json_object_get(line, "at")) - before) < USEC_PER_MINUTE);
	assert_null(json_object_get(line, "body"));
	json_decref(line);

	/* What is no message is written down all the same. */
	post(&c, "key-2", "{\"alert\":true}");
	assert_int_equal(c.status, 202);
	assert_null(strstr(c.body.data, first_id));
	line = ledger_line(&f, 1);
	assert_string_equal(text_of(line, "key"), "key-2");
	assert_true(json_is_null(json_object_get(line, "to")));
	assert_string_equal(text_of(line, "body"), "{\"alert\":true}");
	json_decref(line);
	assert_null(ledger_line(&f, 2));
	client_close(&c);
	stop(&f);
	tear_down(&f);
}

static void test_status_and_failures(void **state)
{
	struct fixture f;
	struct client c;
	json_t *line;

	(void)state;
	set_up(&f);
	f.options.status = 429;
	start(&f);
	client_open(&c, f.port, default_options());
	client_post(&c, "k");
	assert_int_equal(c.status, 429);
	assert_null(strstr(c.body.data, "messageId"));
	client_close(&c);
	stop(&f);
	line = ledger_line(&f, 0);
	assert_int_equal(json_integer_value(json_object_get(line, "status")), 429);
	assert_true(json_is_null(json_object_get(line, "messageId")));
	json_decref(line);
	tear_down(&f);

	set_up(&f);
	f.options.fail_rate = 0.5;
	start(&f);
	client_open(&c, f.port, default_options());
	size_t failed = 0;
	for (int i = 0; i < 200; i++) {
		client_post(&c, "k");
		assert_true(c.status == 202 || c.status == 500);
		failed += c.status == 500;
	}
	/* Outside with a probability below 1e-11. */
	assert_in_range(failed, 50, 150);
	client_close(&c);
	stop(&f);
	tear_down(&f);
}

/* 256 at once: where libmicrohttpd's own polling thread would stall. */
static void many(struct fixture *f, struct client *c)
{
	struct transport_options o = default_options();

	o.max_concurrent = 256;
	client_open(c, f->port, o);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 256; i++)
			assert_true(client_start(c, "k"));
		client_finish(c);
	}
	assert_int_equal(c->done, 768);
	assert_int_equal(c->by_end[ATTEMPT_ANSWERED], 768);
	client_close(c);
}

static void test_many_connections(void **state)
{
	struct fixture f;
	struct client c;
	json_t *line;

	(void)state;
	set_up(&f);
	start(&f);
	many(&f, &c);
	stop(&f);
	line = ledger_line(&f, 767);
	assert_non_null(line);
	json_decref(line);
	assert_null(ledger_line(&f, 768));
	tear_down(&f);
}

static void test_latency(void **state)
{
	struct fixture f;
	struct client c;

	(void)state;
	set_up(&f);
	f.options.latency = 50 * USEC_PER_MSEC;
	start(&f);
	client_open(&c, f.port, default_options());
	client_post(&c, "k");
	assert_int_equal(c.status, 202);
	assert_true(c.duration >= 50 * USEC_PER_MSEC);
	client_close(&c);
	many(&f, &c);
	stop(&f);
	tear_down(&f);
}

static void test_stop_while_waiting(void **state)
{
	struct fixture f;
	struct client c;
	json_t *line;

	(void)state;
	set_up(&f);
	f.options.latency = USEC_PER_HOUR;
	start(&f);
	client_open(&c, f.port, default_options());
	assert_true(client_start(&c, "k"));
	/* It is in the ledger before it is answered. */
	while (!(line = ledger_line(&f, 0)))
		client_step(&c, 10 * USEC_PER_MSEC);
	json_decref(line);
	assert_int_equal(c.done, 0);
	stop(&f);
	client_close(&c);
	tear_down(&f);
}

/* A raw exchange; the connection is closed by the server. */
static void ask(int port, const char *request, char *out, size_t size)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;
	ssize_t n;

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	while (len + 1 < size && (n = recv(fd, out + len, size - 1 - len, 0)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(fd);
}

static void test_other_methods(void **state)
{
	struct fixture f;
	struct client c;
	char text[2000];

	(void)state;
	set_up(&f);
	start(&f);
	client_open(&c, f.port, default_options());
	client_post(&c, "k");
	client_post(&c, "k");
	client_close(&c);
	ask(f.port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", text, sizeof(text));
	assert_true(text_starts_with(text, "HTTP/1.1 200 "));
	assert_non_null(strstr(text, "{\"received\":2,\"accepted\":2,\"rejected\":0}"));
	ask(f.port, "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", text, sizeof(text));
	assert_true(text_starts_with(text, "HTTP/1.1 405 "));
	assert_non_null(strstr(text, "Allow: GET, POST\r\n"));
	stop(&f);
	tear_down(&f);
}

static void test_body_too_large(void **state)
{
	struct transport_request r = {.body_len = 9 * 1024 * 1024, .key = "k"};
	char *body = xcalloc(1, r.body_len);
	struct fixture f;
	struct client c;

	(void)state;
	r.body = body;
	set_up(&f);
	start(&f);
	client_open(&c, f.port, default_options());
	assert_true(transport_start(c.transport, &r));
	client_finish(&c);
	assert_int_equal(c.status, 413);
	client_close(&c);
	stop(&f);
	assert_null(ledger_line(&f, 0));
	tear_down(&f);
	free(body);
}

/* What cannot be written down is not accepted. */
static void test_ledger_is_full(void **state)
{
	struct fixture f;
	struct client c;

	(void)state;
	set_up(&f);
	f.options.ledger = "/dev/full";
	start(&f);
	client_open(&c, f.port, default_options());
	client_post(&c, "k");
	assert_int_equal(c.status, 500);
	client_close(&c);
	stop(&f);
	tear_down(&f);
}

static void test_bad_options(void **state)
{
	struct sink_options good = {.host = "127.0.0.1", .status = 202}, o;
	struct error err = ERROR_INIT;
	char expected[64];
	int port, fd = listen_loopback(1, &port);

	(void)state;
	o = good, o.port = port;
	assert_int_equal(sink_run(&o, -1, NULL, NULL, &err), ERR_CONFIG);
	snprintf(expected, sizeof(expected), "cannot listen on 127.0.0.1 port %d: ", port);
	assert_true(text_starts_with(err.text, expected));
	o = good, o.status = 100;
	assert_int_equal(sink_run(&o, -1, NULL, NULL, &err), ERR_CONFIG);
	o = good, o.fail_rate = 1.5;
	assert_int_equal(sink_run(&o, -1, NULL, NULL, &err), ERR_CONFIG);
	o = good, o.ledger = "/nonexistent/ledger";
	assert_int_equal(sink_run(&o, -1, NULL, NULL, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent/ledger"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_status_and_failures),
		cmocka_unit_test(test_many_connections),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_stop_while_waiting),
		cmocka_unit_test(test_other_methods),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_ledger_is_full),
		cmocka_unit_test(test_bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
