/*
 * The server around its handlers, when what it leans on is slow or away: a store that hangs, a store without a
 * session, a writer that is full, a shutdown that cannot wait. The store's calls are wrapped by gates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "handler.h"
#include "http.h"
#include "log.h"
#include "metrics.h"
#include "store.h"
#include "text.h"
#include "thread.h"
#include "writer.h"

/* --- gates */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;
	int waiting;
};
#define GATE_INIT {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static struct gate get_gate = GATE_INIT, insert_gate = GATE_INIT;
static atomic_bool store_away;

static void gate_set(struct gate *g, bool closed)
{
	pthread_mutex_lock(&g->lock);
	g->closed = closed;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void gate_pass(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->waiting++;
	pthread_cond_broadcast(&g->changed);
	while (g->closed)
		pthread_cond_wait(&g->changed, &g->lock);
	g->waiting--;
	pthread_mutex_unlock(&g->lock);
}

/* Until n calls stand before it. */
static void gate_await(struct gate *g, int n)
{
	pthread_mutex_lock(&g->lock);
	while (g->waiting < n)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

int __real_store_get(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                     struct error *err);
int __wrap_store_get(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                     struct error *err);
int __wrap_store_get(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                     struct error *err)
{
	gate_pass(&get_gate);
	if (atomic_load(&store_away))
		return error_set(err, ERR_TRANSIENT, "away");
	return __real_store_get(c, id, arena, ret, err);
}

int __real_store_insert(struct store_session *c, struct insert_group *groups, size_t n, struct error *err);
int __wrap_store_insert(struct store_session *c, struct insert_group *groups, size_t n, struct error *err);
int __wrap_store_insert(struct store_session *c, struct insert_group *groups, size_t n, struct error *err)
{
	gate_pass(&insert_gate);
	if (atomic_load(&store_away))
		return error_set(err, ERR_UNCERTAIN, "the commit's answer was lost");
	return __real_store_insert(c, groups, n, err);
}

int __real_store_session_open(struct store *s, struct store_session **ret, struct error *err);
int __wrap_store_session_open(struct store *s, struct store_session **ret, struct error *err);
int __wrap_store_session_open(struct store *s, struct store_session **ret, struct error *err)
{
	if (atomic_load(&store_away))
		return error_set(err, ERR_TRANSIENT, "away");
	return __real_store_session_open(s, ret, err);
}

int __real_store_ping(struct store_session *c, struct error *err);
int __wrap_store_ping(struct store_session *c, struct error *err);
int __wrap_store_ping(struct store_session *c, struct error *err)
{
	if (atomic_load(&store_away))
		return error_set(err, ERR_TRANSIENT, "away");
	return __real_store_ping(c, err);
}

/* --- server and client */

#define KEY "the-messages-key"
#define WORKERS 2

struct server {
	struct store *store;
	struct writer *writer;
	struct metrics *metrics;
	struct http *http;
};

static const struct message_rules rules = {.max_content = 100};

static struct http_options options_of(const struct server *s)
{
	return (struct http_options){
		.host = "127.0.0.1",
		.api_threads = 2,
		.workers = WORKERS,
		.max_connections = 1000,
		.max_body = 65536,
		.max_batch_body = 65536,
		.request_timeout = 10 * USEC_PER_SEC,
		.messages_keys = KEY,
		.rules = &rules,
		.version = "test",
		.node_id = "test",
		.store = s->store,
		.writer = s->writer,
		.metrics = s->metrics,
	};
}

static int set_up(void **state)
{
	struct store_options so = {.url = "memory:"};
	struct server *s = xcalloc(1, sizeof(*s));
	struct error err = ERROR_INIT;
	struct http_options o;

	log_init(LOG_OFF, LOG_LOGFMT, STDERR_FILENO);
	s->metrics = metrics_new();
	assert_int_equal(store_open(&s->store, &so, &err), OK);
	assert_int_equal(writer_start(&s->writer, s->store, 3, &err), OK);
	o = options_of(s);
	assert_int_equal(http_open(&s->http, &o, &err), OK);
	assert_int_equal(http_start(s->http, &err), OK);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct server *s = *state;

	gate_set(&get_gate, false);
	gate_set(&insert_gate, false);
	atomic_store(&store_away, false);
	http_finish(s->http, 5 * USEC_PER_SEC);
	writer_stop(s->writer);
	http_close(s->http);
	store_close(s->store);
	metrics_free(s->metrics);
	free(s);
	return 0;
}

static int port_of(const struct http *h, size_t listener)
{
	const char *port = strrchr(http_url(h, listener), ':') + 1;
	int64_t number = 0;

	assert_true(text_to_i64(port, strlen(port), 1, 65535, &number));
	return (int)number;
}

static int dial_listener(const struct http *h, size_t listener)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((uint16_t)port_of(h, listener)),
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int dial(const struct server *s)
{
	return dial_listener(s->http, 0);
}

static void ask(int fd, const char *method, const char *path, const char *body)
{
	struct buf out = BUF_INIT;

	buf_addf(&out, "%s %s HTTP/1.1\r\nHost: x\r\nx-ins-auth-key: " KEY "\r\n", method, path);
	if (body)
		buf_addf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	buf_addf(&out, "\r\n%s", body ? body : "");
	assert_int_equal(send(fd, out.data, out.len, MSG_NOSIGNAL), out.len);
	buf_release(&out);
}

/* Reads one answer; its status, 0 when the connection ended without one. ret: the whole text. */
static int answer(int fd, struct buf *ret)
{
	char chunk[4096];
	const char *head, *length;
	int64_t status = 0, len = 0;

	buf_clear(ret);
	while (!(head = strstr(ret->data, "\r\n\r\n")) || ret->len < (size_t)(head + 4 - ret->data) + (size_t)len) {
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

		if (n <= 0)
			return 0;
		buf_add(ret, chunk, (size_t)n);
		length = strstr(ret->data, "Content-Length: ");
		if (length)
			assert_true(text_to_i64(length + 16, strcspn(length + 16, "\r"), 0, 1 << 20, &len));
	}
	assert_true(text_to_i64(ret->data + 9, 3, 100, 599, &status));
	return (int)status;
}

static int round_trip(const struct server *s, const char *method, const char *path, const char *body, struct buf *ret)
{
	int fd = dial(s), status;

	ask(fd, method, path, body);
	status = answer(fd, ret);
	close(fd);
	return status;
}

#define MESSAGE "{\"phoneNumber\":\"+15551234567\",\"content\":\"x\"}"

/* --- tests */

static void two_servers_do_not_share_a_port(void **state)
{
	struct server *s = *state;
	struct http_options o = options_of(s);
	struct error err = ERROR_INIT;
	struct metrics *m = metrics_new();
	struct http *other;

	o.metrics = m;
	o.port = port_of(s->http, 0);
	assert_int_equal(http_open(&other, &o, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "the port is in use"));
	o.host = "256.0.0.1.invalid";
	o.port = 0;
	assert_int_equal(http_open(&other, &o, &err), ERR_CONFIG);
	o.host = "::1";
	if (http_open(&other, &o, &err) == OK) { /* where the machine has IPv6 */
		assert_true(strncmp(http_url(other, 0), "http://[::1]:", 13) == 0);
		http_close(other);
	}
	metrics_free(m);
}

/* --- routes of another system */

static enum handled say_param(struct request *r, struct store_session *c)
{
	struct buf text = BUF_INIT;

	(void)c;
	if (handler_param(r, "what", &text))
		answer_text(&r->answer, 200, text.data);
	else
		answer_text(&r->answer, 400, handler_profile(r));
	buf_release(&text);
	return HANDLED_DONE;
}

static enum handled say_path(struct request *r, struct store_session *c)
{
	(void)c;
	answer_text(&r->answer, 200, arena_strndup(&r->arena, r->path_text, r->path_text_len));
	return HANDLED_DONE;
}

static struct gate aside_gate = GATE_INIT;
static atomic_int aside_ended;

static enum handled wait_aside(struct request *r, struct store_session *c)
{
	assert_null(c);
	gate_pass(&aside_gate);
	answer_text(&r->answer, 200, "waited");
	atomic_fetch_add(&aside_ended, 1);
	return HANDLED_DONE;
}

static void shout(struct answer *a, int status, const char *text)
{
	a->status = status == 503 ? 500 : status;
	buf_addf(&a->body, "<%d %s>", status, text);
}

static const struct route first_rows[] = {
	{.method = METHOD_GET, .pattern = "/say", .handle = say_param, .place = PLACE_INLINE},
	{.method = METHOD_PUT, .pattern = "/put/{what}", .handle = say_path, .place = PLACE_WORKER},
	{.method = METHOD_GET, .pattern = "/wait", .handle = wait_aside, .place = PLACE_ASIDE},
};
static const struct route second_rows[] = {
	{.method = METHOD_GET, .pattern = "/closed", .handle = say_param, .access = ACCESS_SCHEDULER},
};

static struct http *open_two_listeners(const struct server *s, struct metrics *m)
{
	const struct route_source first = {.rows = first_rows, .n = ARRAY_SIZE(first_rows), .cors = true, .shape_error = shout};
	const struct route_source second = {.rows = second_rows, .n = 1, .open = true};
	const struct http_listener listeners[] = {{.routes = &first, .routes_n = 1}, {.routes = &second, .routes_n = 1}};
	struct http_options o = options_of(s);
	struct error err = ERROR_INIT;
	struct http *h;

	o.metrics = m;
	o.listeners = listeners;
	o.listeners_n = 2;
	o.profile = "nothing said";
	assert_int_equal(http_open(&h, &o, &err), OK);
	assert_int_equal(http_start(h, &err), OK);
	return h;
}

static int ask_listener(const struct http *h, size_t listener, const char *method, const char *path, struct buf *ret)
{
	int fd = dial_listener(h, listener), status;

	ask(fd, method, path, NULL);
	status = answer(fd, ret);
	close(fd);
	return status;
}

static void listeners_have_their_own_routes(void **state)
{
	struct server *s = *state;
	struct metrics *m = metrics_new();
	struct http *h = open_two_listeners(s, m);
	struct buf text = BUF_INIT;

	assert_string_not_equal(http_url(h, 0), http_url(h, 1));
	assert_int_equal(ask_listener(h, 0, "GET", "/say?a=1&what=two+%2B%20three&what=x", &text), 200);
	assert_non_null(strstr(text.data, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_non_null(strstr(text.data, "Access-Control-Allow-Origin: *\r\n"));
	assert_non_null(strstr(text.data, "\r\n\r\ntwo + three"));
	assert_int_equal(ask_listener(h, 0, "GET", "/say?whatever=1", &text), 400);
	assert_non_null(strstr(text.data, "\r\n\r\nnothing said"));
	assert_int_equal(ask_listener(h, 0, "OPTIONS", "/put/x", &text), 204);
	assert_non_null(strstr(text.data, "Access-Control-Allow-Methods: PUT, OPTIONS\r\n"));
	assert_non_null(strstr(text.data, "Authorization, *\r\n"));
	assert_int_equal(ask_listener(h, 0, "PUT", "/put/a-b", &text), 200);
	assert_non_null(strstr(text.data, "\r\n\r\na-b"));
	assert_int_equal(ask_listener(h, 1, "GET", "/say", &text), 404);
	assert_int_equal(ask_listener(h, 0, "GET", "/closed", &text), 404);
	/* Nobody is asked for a key there, and herald's own routes ask as ever. */
	assert_int_equal(ask_listener(h, 1, "GET", "/closed", &text), 400);
	assert_null(strstr(text.data, "Access-Control"));
	assert_int_equal(ask_listener(h, 1, "GET", "/api/v1/nodes", &text), 500);
	assert_int_equal(ask_listener(h, 0, "GET", "/livez", &text), 200);
	http_close(h);
	metrics_free(m);
	buf_release(&text);
}

static void heralds_own_errors_take_the_systems_shape(void **state)
{
	struct server *s = *state;
	struct metrics *m = metrics_new();
	struct http *h;
	struct buf text = BUF_INIT;

	atomic_store(&store_away, true);
	h = open_two_listeners(s, m);
	assert_int_equal(ask_listener(h, 0, "PUT", "/put/x", &text), 500);
	assert_non_null(strstr(text.data, "<503 "));
	atomic_store(&store_away, false);
	http_close(h);
	metrics_free(m);
	buf_release(&text);
}

/* They need no worker, and keep none from working; too many are told. */
static void some_wait_aside(void **state)
{
	enum { N = 30, AT_ONCE = 8, TAKEN = 2 * AT_ONCE }; /* as many wait as are at one */
	struct server *s = *state;
	struct metrics *m = metrics_new();
	struct http *h = open_two_listeners(s, m);
	struct buf text = BUF_INIT;
	struct pollfd fds[N];
	int waited = 0, refused = 0;

	gate_set(&aside_gate, true);
	for (int i = 0; i < N; i++) {
		fds[i] = (struct pollfd){.fd = dial_listener(h, 0), .events = POLLIN};
		ask(fds[i].fd, "GET", "/wait", NULL);
		gate_await(&aside_gate, MIN_OF(i + 1, AT_ONCE));
	}
	while (refused < N - TAKEN) {
		assert_true(poll(fds, N, 60000) > 0);
		for (int i = 0; i < N; i++) {
			if (!fds[i].revents)
				continue;
			assert_int_equal(answer(fds[i].fd, &text), 500);
			assert_non_null(strstr(text.data, "<503 "));
			close(fds[i].fd);
			fds[i].fd = -1;
			refused++;
		}
	}
	assert_int_equal(ask_listener(h, 0, "PUT", "/put/meanwhile", &text), 200);
	gate_set(&aside_gate, false);
	for (int i = 0; i < N; i++) {
		if (fds[i].fd < 0)
			continue;
		waited += answer(fds[i].fd, &text) == 200;
		close(fds[i].fd);
	}
	assert_int_equal(waited, TAKEN);
	http_close(h);
	metrics_free(m);
	buf_release(&text);
}

static void *open_gate_later(void *gate)
{
	usleep(300 * 1000);
	gate_set(gate, false);
	return NULL;
}

/* A gate to be opened when the server has ended a connection. */
struct cut {
	struct gate *gate;
	int fd;
};

static void *open_gate_when_cut_off(void *arg)
{
	const struct cut *cut = arg;
	struct pollfd p = {.fd = cut->fd, .events = POLLIN};

	poll(&p, 1, 60 * 1000);
	gate_set(cut->gate, false);
	return NULL;
}

/* Whoever is cut off aside is still waited for: nothing of it outlives the server. */
static void shutdown_waits_for_those_aside(void **state)
{
	struct server *s = *state;
	struct metrics *m = metrics_new();
	struct http *h = open_two_listeners(s, m);
	struct buf text = BUF_INIT;
	struct error err = ERROR_INIT;
	pthread_t opener;
	int fd = dial_listener(h, 0);
	struct cut cut = {.gate = &aside_gate, .fd = fd};

	atomic_store(&aside_ended, 0);
	gate_set(&aside_gate, true);
	ask(fd, "GET", "/wait", NULL);
	gate_await(&aside_gate, 1);
	assert_int_equal(thread_start(&opener, "opener", open_gate_when_cut_off, &cut, &err), OK);
	assert_int_equal(http_finish(h, 0), 1);
	assert_int_equal(atomic_load(&aside_ended), 1);
	http_close(h);
	thread_join(opener);
	assert_int_equal(answer(fd, &text), 0);
	close(fd);
	metrics_free(m);
	buf_release(&text);
}

static void full_writer_is_told(void **state)
{
	struct server *s = *state;
	struct buf text = BUF_INIT;
	int fds[5], ok = 0, busy = 0, status;

	gate_set(&insert_gate, true);
	fds[0] = dial(s);
	ask(fds[0], "POST", "/api/v1/messages", MESSAGE);
	gate_await(&insert_gate, 1); /* one is being stored, at most three wait behind it */
	for (int i = 1; i < 5; i++) {
		fds[i] = dial(s);
		ask(fds[i], "POST", "/api/v1/messages", MESSAGE);
	}
	status = 0;
	while (!status) /* whichever was one too many is answered while the others wait */
		for (int i = 1; i < 5 && !status; i++) {
			char c;

			if (recv(fds[i], &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
				status = answer(fds[i], &text);
				close(fds[i]);
				fds[i] = -1;
			}
		}
	assert_int_equal(status, 503);
	assert_non_null(strstr(text.data, "Retry-After: 1\r\n"));
	assert_non_null(strstr(text.data, "\"code\":503001"));
	gate_set(&insert_gate, false);
	for (int i = 0; i < 5; i++) {
		if (fds[i] < 0)
			continue;
		status = answer(fds[i], &text);
		ok += status == 201;
		busy += status == 503;
		close(fds[i]);
	}
	assert_in_range(ok, 3, 4); /* a writer may count what it is storing among what waits */
	assert_int_equal(ok + busy, 4);
	buf_release(&text);
}

static void busy_workers_are_told(void **state)
{
	enum { N = WORKERS + WORKERS * 64 + 10 };
	struct server *s = *state;
	struct buf text = BUF_INIT;
	int fds[N], refused = 0, served = 0;

	gate_set(&get_gate, true);
	for (int i = 0; i < WORKERS; i++) {
		fds[i] = dial(s);
		ask(fds[i], "GET", "/api/v1/messages/1", NULL);
		gate_await(&get_gate, i + 1);
	}
	for (int i = WORKERS; i < N; i++) {
		fds[i] = dial(s);
		ask(fds[i], "GET", "/api/v1/messages/1", NULL);
	}
	/* What needs no worker is served meanwhile. */
	assert_int_equal(round_trip(s, "GET", "/livez", NULL, &text), 200);
	assert_int_equal(round_trip(s, "POST", "/api/v1/messages", MESSAGE, &text), 201);
	while (refused < 10) {
		char c;

		for (int i = WORKERS; i < N; i++) {
			if (fds[i] < 0 || recv(fds[i], &c, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
				continue;
			assert_int_equal(answer(fds[i], &text), 503);
			close(fds[i]);
			fds[i] = -1;
			refused++;
		}
	}
	gate_set(&get_gate, false);
	for (int i = 0; i < N; i++) {
		if (fds[i] < 0)
			continue;
		served += answer(fds[i], &text) == 200;
		close(fds[i]);
	}
	assert_int_equal(served, N - 10);
	buf_release(&text);
}

static void store_goes_and_comes_back(void **state)
{
	struct server *s = *state;
	struct buf text = BUF_INIT;
	int status;

	assert_int_equal(round_trip(s, "POST", "/api/v1/messages", MESSAGE, &text), 201);
	assert_int_equal(round_trip(s, "GET", "/health", NULL, &text), 200);
	atomic_store(&store_away, true);
	for (int i = 0; i < 2 * WORKERS + 2; i++) {
		assert_int_equal(round_trip(s, "GET", "/api/v1/messages/1", NULL, &text), 503);
		assert_non_null(strstr(text.data, "\"code\":503002"));
		assert_non_null(strstr(text.data, "Retry-After: "));
	}
	assert_int_equal(round_trip(s, "POST", "/api/v1/messages", MESSAGE, &text), 503);
	assert_non_null(strstr(text.data, "\"code\":503003"));
	assert_int_equal(round_trip(s, "GET", "/health", NULL, &text), 503);
	assert_non_null(strstr(text.data, "{\"status\":\"down\""));
	assert_int_equal(round_trip(s, "GET", "/readyz", NULL, &text), 503);
	assert_int_equal(round_trip(s, "GET", "/livez", NULL, &text), 200);
	assert_int_equal(round_trip(s, "GET", "/metrics", NULL, &text), 200);
	atomic_store(&store_away, false);
	do {
		status = round_trip(s, "GET", "/api/v1/messages/1", NULL, &text);
	} while (status == 503);
	assert_int_equal(status, 200);
	buf_release(&text);
}

/* It has closed its sending side, and that is known, before the answer is made. Others are connected, too:
 * libmicrohttpd looks at the one that was quiet longest in another way than at the rest. */
static void client_that_has_said_all_is_answered(void **state)
{
	struct server *s = *state;
	struct buf text = BUF_INIT;
	int get, create, others[16];

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		others[i] = dial(s);
	gate_set(&get_gate, true);
	gate_set(&insert_gate, true);
	create = dial(s);
	ask(create, "POST", "/api/v1/messages", MESSAGE);
	gate_await(&insert_gate, 1);
	get = dial(s);
	ask(get, "GET", "/api/v1/messages/1", NULL);
	gate_await(&get_gate, 1);
	shutdown(get, SHUT_WR);
	shutdown(create, SHUT_WR);
	assert_int_equal(round_trip(s, "GET", "/livez", NULL, &text), 200);
	gate_set(&insert_gate, false);
	assert_int_equal(answer(create, &text), 201);
	gate_set(&get_gate, false);
	assert_int_equal(answer(get, &text), 200);
	close(get);
	close(create);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		close(others[i]);
	buf_release(&text);
}

/* The answer of a request whose client has reset the connection meets nobody. */
static void client_that_resets_is_forgotten(void **state)
{
	const struct linger reset = {.l_onoff = 1};
	struct server *s = *state;
	struct buf text = BUF_INIT;

	for (int i = 0; i < 20; i++) {
		int fd = dial(s);

		gate_set(&get_gate, true);
		ask(fd, "GET", "/api/v1/messages/1", NULL);
		gate_await(&get_gate, 1);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		gate_set(&get_gate, false);
		assert_int_equal(round_trip(s, "GET", "/api/v1/messages/1", NULL, &text), 404);
	}
	buf_release(&text);
}

/* Requests that the store holds are cut off at the limit, and come back to nobody without harm. */
static void shutdown_cuts_off_what_hangs(void **state)
{
	struct server *s = *state;
	struct buf text = BUF_INIT;
	struct error err = ERROR_INIT;
	struct cut cut = {.gate = &get_gate};
	pthread_t opener;
	int get, create, idle;

	gate_set(&get_gate, true);
	gate_set(&insert_gate, true);
	get = dial(s);
	ask(get, "GET", "/api/v1/messages/1", NULL);
	create = dial(s);
	ask(create, "POST", "/api/v1/messages", MESSAGE);
	idle = dial(s);
	gate_await(&get_gate, 1);
	gate_await(&insert_gate, 1);
	/* A worker cannot be torn out of a call: its end is waited for. */
	cut.fd = get;
	assert_int_equal(thread_start(&opener, "opener", open_gate_when_cut_off, &cut, &err), OK);
	assert_int_equal(http_finish(s->http, 50 * USEC_PER_MSEC), 2);
	thread_join(opener);
	assert_int_equal(answer(get, &text), 0);
	assert_int_equal(answer(create, &text), 0);
	assert_int_equal(answer(idle, &text), 0);
	close(get);
	close(create);
	close(idle);
	buf_release(&text);
	/* tear_down() opens the other gate: the writer answers a request whose thread is gone. */
}

static void shutdown_waits_for_what_is_in_progress(void **state)
{
	struct server *s = *state;
	struct buf text = BUF_INIT;
	struct error err = ERROR_INIT;
	pthread_t opener;
	int get;

	assert_int_equal(round_trip(s, "POST", "/api/v1/messages", MESSAGE, &text), 201);
	gate_set(&get_gate, true);
	get = dial(s);
	ask(get, "GET", "/api/v1/messages/1", NULL);
	gate_await(&get_gate, 1);
	http_stop_accepting(s->http);
	assert_int_equal(thread_start(&opener, "opener", open_gate_later, &get_gate, &err), OK);
	assert_int_equal(http_finish(s->http, 10 * USEC_PER_SEC), 0);
	thread_join(opener);
	assert_int_equal(answer(get, &text), 200);
	assert_non_null(strstr(text.data, "Connection: close\r\n"));
	close(get);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_servers_do_not_share_a_port, set_up, tear_down),
		cmocka_unit_test_setup_teardown(listeners_have_their_own_routes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(heralds_own_errors_take_the_systems_shape, set_up, tear_down),
		cmocka_unit_test_setup_teardown(some_wait_aside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_waits_for_those_aside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(full_writer_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(busy_workers_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(store_goes_and_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(client_that_has_said_all_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(client_that_resets_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_cuts_off_what_hangs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(shutdown_waits_for_what_is_in_progress, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
