/* The webhook client against servers that misbehave: each ends within its bounds, and as the right thing. */
#include "loopback.h"

static struct transport_options impatient(usec_t timeout)
{
	struct transport_options o = default_options();

	o.timeout = timeout;
	return o;
}

/* One request to a server that behaves so; *ret holds the result, its body cut to what fits `text`. */
static void against(void (*behave)(struct conn *c), struct transport_options o, struct client *ret)
{
	static char text[200];
	struct server *s = server_start(behave);

	client_open(ret, s->port, o);
	client_post(ret, "k");
	snprintf(text, sizeof(text), "%s", ret->body.data);
	client_close(ret);
	ret->body.data = text;
	server_stop(s);
}

static void assert_answered_in_part(const struct client *c, int status)
{
	assert_int_equal(c->end, ATTEMPT_ANSWERED);
	assert_int_equal(c->status, status);
	assert_true(c->body_cut);
	assert_string_not_equal(c->error, "-");
}

static void assert_broken(const struct client *c)
{
	assert_int_equal(c->end, ATTEMPT_BROKEN);
	assert_int_equal(c->status, 0);
	assert_string_equal(c->body.data, "");
	assert_string_not_equal(c->error, "-");
}

/* --- the quiet resend ------------------------------------------------------------------------- */

/* Answers the first request, reads the second, and is gone. */
static void answer_once_then_fin(struct conn *c)
{
	if (hear(c) && say(c, OK_ANSWER))
		hear(c);
}

static void answer_once_then_reset(struct conn *c)
{
	answer_once_then_fin(c);
	reset(c);
}

static void no_resend(void (*behave)(struct conn *c))
{
	struct server *s = server_start(behave);
	struct client c;
	char first[16], second[16];

	client_open(&c, s->port, default_options());
	for (int i = 0; i < 5; i++) {
		snprintf(first, sizeof(first), "first-%d", i);
		snprintf(second, sizeof(second), "second-%d", i);
		client_post(&c, first);
		assert_int_equal(c.end, ATTEMPT_ANSWERED);
		client_post(&c, second);
		assert_broken(&c);
		assert_string_equal(c.error, "the connection broke before an answer came");
		assert_int_equal(server_seen(s, first), 1);
		assert_int_equal(server_seen(s, second), 1);
		assert_int_equal(server_conns(s), i + 1); /* it did not even connect */
	}
	client_close(&c);
	server_stop(s);
}

static void test_no_resend_after_reset(void **state)
{
	(void)state;
	no_resend(answer_once_then_reset);
}

static void test_no_resend_after_fin(void **state)
{
	(void)state;
	no_resend(answer_once_then_fin);
}

/* As before, but other idle connections stand ready, onto which libcurl would resend without connecting. */
static void answer_unless_asked_to_break(struct conn *c)
{
	char key[64];

	while (hear(c)) {
		header_of(c, "Idempotency-Key", key, sizeof(key));
		if (text_starts_with(key, "break")) {
			reset(c);
			return;
		}
		/* Only together, so that each needs a connection of its own. */
		while (server_conns(c->server) < 4 && !server_stopping(c->server))
			usleep(1000);
		if (!say(c, OK_ANSWER))
			return;
	}
}

static void test_no_resend_onto_another_connection(void **state)
{
	struct server *s = server_start(answer_unless_asked_to_break);
	struct client c;

	(void)state;
	client_open(&c, s->port, default_options());
	for (int i = 0; i < 4; i++)
		assert_true(client_start(&c, "warm"));
	client_finish(&c);
	assert_int_equal(c.by_end[ATTEMPT_ANSWERED], 4);
	assert_int_equal(server_conns(s), 4);
	client_post(&c, "break");
	assert_broken(&c);
	assert_int_equal(server_seen(s, "break"), 1);
	client_post(&c, "fine");
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(server_conns(s), 4);
	client_close(&c);
	server_stop(s);
}

static void answer_once_and_close(struct conn *c)
{
	if (hear(c))
		say(c, OK_ANSWER);
}

/* Closed while idle is not broken: the next request finds a new connection. */
static void test_idle_connection_closed(void **state)
{
	struct server *s = server_start(answer_once_and_close);
	struct client c;

	(void)state;
	client_open(&c, s->port, default_options());
	for (int i = 0; i < 5; i++) {
		client_post(&c, "k");
		assert_int_equal(c.end, ATTEMPT_ANSWERED);
		assert_int_equal(server_conns(s), i + 1);
		/* Let the FIN arrive; run() as the dispatcher would. */
		struct pollfd p = {.fd = transport_fd(c.transport), .events = POLLIN};
		assert_int_equal(poll(&p, 1, 30000), 1);
		transport_run(c.transport);
		/* It must not spin on the dead one. */
		assert_int_equal(poll(&p, 1, 0), 0);
	}
	client_close(&c);
	server_stop(s);
}

/* --- no connection ---------------------------------------------------------------------------- */

static void test_refused(void **state)
{
	struct client c;
	int port, fd = refusing_loopback(&port);

	(void)state;
	client_open(&c, port, default_options());
	client_post(&c, "k");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	assert_string_not_equal(c.error, "-");
	client_close(&c);
	close(fd);
}

static void test_no_such_host(void **state)
{
	struct client c;

	(void)state;
	client_open_url(&c, "http://herald.invalid/", impatient(300 * USEC_PER_MSEC));
	client_post(&c, "k");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	client_close(&c);
}

/* A full backlog drops SYNs, so that connecting never ends. */
static void test_connect_timeout(void **state)
{
	int port, fd = listen_loopback(0, &port), filler[4];
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port),
	};
	struct transport_options o = default_options();
	struct client c;

	(void)state;
	/* The first takes the only place, and waits until it has it. */
	for (size_t i = 0; i < ARRAY_SIZE(filler); i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | (i ? SOCK_NONBLOCK : 0), 0);
		(void)!connect(filler[i], (struct sockaddr *)&a, sizeof(a));
	}
	usleep(20000);
	o.connect_timeout = 100 * USEC_PER_MSEC;
	client_open(&c, port, o);
	client_post(&c, "k");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	assert_true(c.duration < 15 * USEC_PER_SEC);
	client_close(&c);
	for (size_t i = 0; i < ARRAY_SIZE(filler); i++)
		close(filler[i]);
	close(fd);
}

/* --- no final status -------------------------------------------------------------------------- */

static void read_then_reset(struct conn *c)
{
	if (hear(c))
		reset(c);
}

static void answer(struct conn *c)
{
	while (hear(c) && say(c, OK_ANSWER))
		;
}

/* Posts until it is answered: a busy machine may take longer than so short a time. */
static void post_until_answered(struct client *c, const char *key)
{
	usec_t give_up = clock_mono() + 30 * USEC_PER_SEC;

	for (client_post(c, key); c->end != ATTEMPT_ANSWERED; client_post(c, key))
		assert_true(clock_mono() < give_up);
}

/* What a process does that is stopped between the start and the first write: as if it had never begun. */
static void test_too_late_to_be_sent(void **state)
{
	struct server *s = server_start(answer);
	struct client c;

	(void)state;
	client_open(&c, s->port, impatient(500 * USEC_PER_MSEC));
	post_until_answered(&c, "first");
	assert_true(client_start(&c, "late"));
	usleep(600 * USEC_PER_MSEC);
	client_finish(&c);
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	assert_string_equal(c.error, "its time was over before it could be sent");
	assert_int_equal(server_seen(s, "late"), 0);
	post_until_answered(&c, "next");
	client_close(&c);
	server_stop(s);
}

static void test_reset_on_first_request(void **state)
{
	struct client c;

	(void)state;
	against(read_then_reset, default_options(), &c);
	assert_broken(&c);
}

/* Slower than its time allows, however fast the machine is. */
static void drip(struct conn *c, const char *text)
{
	char one[2] = "";

	for (; *text && !server_stopping(c->server); text++) {
		one[0] = *text;
		if (!say(c, one))
			return;
		usleep(200000);
	}
	stall(c);
}

static void drip_status(struct conn *c)
{
	hear(c);
	drip(c, OK_ANSWER);
}

#define DRIPPED_BODY "{\"messageId\":\"much too slow to be read in time\"}"

static void drip_body(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n");
	drip(c, DRIPPED_BODY);
}

/* All at the same time, as each takes its time: enough for a busy machine to send the request, and to read the
 * first of what is answered at once. */
static void test_the_time_is_bounded(void **state)
{
	void (*const behaviours[])(struct conn *) = {stall, drip_status, drip_body};
	const usec_t timeout = 3 * USEC_PER_SEC, give_up = clock_mono() + 30 * USEC_PER_SEC;
	struct server *s[ARRAY_SIZE(behaviours)];
	struct client c[ARRAY_SIZE(behaviours)];
	size_t done = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		s[i] = server_start(behaviours[i]);
		client_open(&c[i], s[i]->port, impatient(timeout));
		assert_true(client_start(&c[i], "k"));
	}
	while (done < ARRAY_SIZE(c)) {
		assert_true(clock_mono() < give_up);
		for (size_t i = done = 0; i < ARRAY_SIZE(c); i++) {
			client_step(&c[i], 5 * USEC_PER_MSEC);
			done += c[i].done;
		}
	}
	assert_broken(&c[0]);
	assert_broken(&c[1]);
	assert_answered_in_part(&c[2], 202);
	assert_in_range(c[2].body.len, 1, sizeof(DRIPPED_BODY) - 1);
	assert_memory_equal(c[2].body.data, DRIPPED_BODY, c[2].body.len);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		assert_true(c[i].duration >= timeout);
		client_close(&c[i]);
		server_stop(s[i]);
	}
}

static void pour_interim(struct conn *c)
{
	while (say(c, "HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n"))
		;
}

static void flood_interim(struct conn *c)
{
	hear(c);
	pour_interim(c);
}

static void flood_headers(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 200 OK\r\n");
	while (say(c, "X-Filler: abcdefghijklmnopqrstuvwxyz\r\n"))
		;
}

static void flood_one_header(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 200 OK\r\nX-Filler: ");
	while (say(c, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"))
		;
}

static void flood_status_line(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 ");
	while (say(c, "2222222222222222222222222222222222222222222222222222222222222222222222222222"))
		;
}

static void test_floods(void **state)
{
	struct client c;

	(void)state;
	against(flood_interim, default_options(), &c);
	assert_broken(&c);
	assert_non_null(strstr(c.error, "headers are too large"));
	against(flood_status_line, default_options(), &c);
	assert_broken(&c);
	/* The status is known, and counts. */
	against(flood_headers, default_options(), &c);
	assert_answered_in_part(&c, 200);
	against(flood_one_header, default_options(), &c);
	assert_answered_in_part(&c, 200);
}

static void talk_nonsense(struct conn *c)
{
	hear(c);
	say(c, "SSH-2.0-OpenSSH_9.2\r\n");
	stall(c);
}

static void answer_999(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n");
	stall(c);
}

static void switch_protocols(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nnow what");
	stall(c);
}

static void only_interim(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void test_not_an_answer(void **state)
{
	void (*const behaviours[])(struct conn *) = {
		talk_nonsense, answer_999, switch_protocols, only_interim,
	};
	struct client c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(behaviours); i++) {
		against(behaviours[i], default_options(), &c);
		assert_broken(&c);
	}
}

/* --- a status, then trouble ------------------------------------------------------------------- */

static void endless_body(struct conn *c)
{
	char *chunk = xcalloc(1, 65536);
	ssize_t n;

	hear(c);
	say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n");
	while ((n = send(c->fd, chunk, 65536, MSG_NOSIGNAL)) > 0) {
		pthread_mutex_lock(&c->server->lock);
		c->server->sent += (size_t)n;
		pthread_mutex_unlock(&c->server->lock);
	}
	free(chunk);
}

static void test_endless_body(void **state)
{
	struct server *s = server_start(endless_body);
	struct transport_options o = default_options();
	struct client c;

	(void)state;
	o.max_body = 5000;
	client_open(&c, s->port, o);
	for (int i = 0; i < 20; i++) {
		client_post(&c, "k");
		assert_answered_in_part(&c, 200);
		assert_int_equal(c.body.len, 5000);
	}
	client_close(&c);
	pthread_mutex_lock(&s->lock);
	assert_true(s->sent < (size_t)1 << 30);
	pthread_mutex_unlock(&s->lock);
	server_stop(s);
}

static void exact_body(struct conn *c)
{
	while (hear(c) && say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"))
		;
}

static void test_body_of_exactly_the_limit(void **state)
{
	struct transport_options o = default_options();
	struct client c;

	(void)state;
	o.max_body = 10;
	against(exact_body, o, &c);
	assert_int_equal(c.status, 200);
	assert_false(c.body_cut);
	assert_string_equal(c.body.data, "0123456789");
	o.max_body = 9;
	against(exact_body, o, &c);
	assert_answered_in_part(&c, 200);
	assert_string_equal(c.body.data, "012345678");
}

static void bad_chunks(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\nzz\r\nnow?\r\n");
	stall(c);
}

static void short_body(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nonly this");
}

static void broken_headers(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 202 Accepted\r\nX-Half: ");
}

static void compressed_bomb(struct conn *c)
{
	hear(c);
	say(c, "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n");
	stall(c);
}

static void test_body_breaks(void **state)
{
	struct client c;

	(void)state;
	against(bad_chunks, default_options(), &c);
	assert_answered_in_part(&c, 200);
	against(short_body, default_options(), &c);
	assert_answered_in_part(&c, 500);
	assert_string_equal(c.body.data, "only this");
	against(broken_headers, default_options(), &c);
	assert_answered_in_part(&c, 202);
	against(compressed_bomb, default_options(), &c);
	assert_answered_in_part(&c, 202);
}

/* Answers before it has read the request, then closes. */
static void hasty(struct conn *c)
{
	char some[1000];

	(void)!recv(c->fd, some, sizeof(some), 0);
	say(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	shutdown(c->fd, SHUT_WR);
	stall(c);
}

static void test_early_answer(void **state)
{
	struct server *s = server_start(hasty);
	struct transport_request r = {.body_len = 5000000, .key = "k"};
	char *body = xcalloc(1, r.body_len);
	struct client c;

	(void)state;
	r.body = body;
	client_open(&c, s->port, default_options());
	assert_true(transport_start(c.transport, &r));
	client_finish(&c);
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(c.status, 413);
	client_close(&c);
	server_stop(s);
	free(body);
}

/* A stuck receiver must not keep the others waiting, nor grow our memory. */
static void mixed(struct conn *c)
{
	char key[64];

	while (hear(c)) {
		header_of(c, "Idempotency-Key", key, sizeof(key));
		if (!strcmp(key, "stuck")) {
			stall(c);
			return;
		}
		if (!strcmp(key, "flood")) {
			pour_interim(c);
			return;
		}
		if (!say(c, OK_ANSWER))
			return;
	}
}

static void test_mixed(void **state)
{
	const usec_t give_up = clock_mono() + 60 * USEC_PER_SEC;
	struct server *s = server_start(mixed);
	struct transport_options o = impatient(USEC_PER_HOUR);
	static const char *const keys[] = {"stuck", "fine", "flood", "fine"};
	struct client c;

	(void)state;
	o.max_concurrent = 64;
	client_open(&c, s->port, o);
	for (size_t i = 0; i < 64; i++)
		assert_true(client_start(&c, keys[i % 4]));
	while (c.done < 48 || server_seen(s, "stuck") < 16) {
		assert_true(clock_mono() < give_up);
		client_step(&c, 10 * USEC_PER_MSEC);
	}
	assert_int_equal(c.by_end[ATTEMPT_ANSWERED], 32);
	assert_int_equal(c.by_end[ATTEMPT_BROKEN], 16);
	assert_int_equal(transport_in_flight(c.transport), 16);
	assert_int_equal(server_seen(s, "stuck"), 16);
	assert_int_equal(server_seen(s, "flood"), 16);
	server_stop(s);
	client_finish(&c);
	assert_int_equal(c.by_end[ATTEMPT_BROKEN], 32);
	client_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_resend_after_reset),
		cmocka_unit_test(test_no_resend_after_fin),
		cmocka_unit_test(test_no_resend_onto_another_connection),
		cmocka_unit_test(test_idle_connection_closed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_such_host),
		cmocka_unit_test(test_connect_timeout),
		cmocka_unit_test(test_too_late_to_be_sent),
		cmocka_unit_test(test_reset_on_first_request),
		cmocka_unit_test(test_the_time_is_bounded),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_not_an_answer),
		cmocka_unit_test(test_endless_body),
		cmocka_unit_test(test_body_of_exactly_the_limit),
		cmocka_unit_test(test_body_breaks),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
