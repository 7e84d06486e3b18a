/*
 * For transport tests: a server on the loopback whose behaviour is a C function run once per connection,
 * and a client loop around a transport. Static, since each test program is one file.
 */
#ifndef HERALD_TEST_LOOPBACK_H
#define HERALD_TEST_LOOPBACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "text.h"
#include "thread.h"
#include "transport.h"

#define OK_ANSWER                                                                                  \
	"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"    \
	"{\"message\":\"x\"}"

struct server;

struct conn {
	struct server *server;
	int fd;
	int number;          /* of the connection, from 0 */
	struct buf in;       /* read ahead */
	struct buf head;     /* of the last request: request line and headers */
	struct buf body;
	pthread_t thread;
	struct conn *next;
};

struct server {
	void (*behave)(struct conn *c);
	int fd;
	int port;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	struct conn *conns;
	int conns_n;
	char keys[1000][64]; /* Idempotency-Key of each request that was read */
	size_t keys_n;
	struct buf head, body; /* of the last request */
	size_t sent;           /* bytes, for behaviours that stream */
	bool stopping;
};

static inline bool say(struct conn *c, const char *text)
{
	size_t len = strlen(text);

	return send(c->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Value of a request header, or "" when it is not there. */
static inline void header_of(const struct conn *c, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);

	out[0] = '\0';
	for (const char *p = c->head.data; (p = strstr(p, "\r\n")) && p[2];) {
		p += 2;
		if (!strncasecmp(p, name, name_len) && p[name_len] == ':') {
			const char *v = p + name_len + 1, *end = strstr(v, "\r\n");

			while (*v == ' ')
				v++;
			snprintf(out, size, "%.*s", (int)(end - v), v);
			return;
		}
	}
}

/* Reads one whole request; false at the end of the connection. */
static inline bool hear(struct conn *c)
{
	size_t body_len = 0, head_len = 0;
	char chunk[65536], value[64];
	struct server *s = c->server;

	for (;;) {
		const char *end = strstr(c->in.data, "\r\n\r\n");

		if (end && !head_len) {
			head_len = (size_t)(end - c->in.data) + 4;
			buf_clear(&c->head);
			buf_add(&c->head, c->in.data, head_len);
			header_of(c, "Content-Length", value, sizeof(value));
			body_len = strtoul(value, NULL, 10);
		}
		if (head_len && c->in.len >= head_len + body_len)
			break;
		ssize_t n = recv(c->fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return false;
		buf_add(&c->in, chunk, (size_t)n);
	}
	buf_clear(&c->body);
	buf_add(&c->body, c->in.data + head_len, body_len);
	size_t rest = c->in.len - head_len - body_len;
	memmove(c->in.data, c->in.data + head_len + body_len, rest);
	buf_truncate(&c->in, rest);
	header_of(c, "Idempotency-Key", value, sizeof(value));
	pthread_mutex_lock(&s->lock);
	if (s->keys_n < 1000)
		snprintf(s->keys[s->keys_n++], sizeof(s->keys[0]), "%s", value);
	buf_clear(&s->head);
	buf_add(&s->head, c->head.data, c->head.len);
	buf_clear(&s->body);
	buf_add(&s->body, c->body.data, c->body.len);
	pthread_mutex_unlock(&s->lock);
	return true;
}

/* The connection ends with a reset instead of a FIN. */
static inline void reset(struct conn *c)
{
	struct linger l = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static inline bool server_stopping(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	bool stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return stopping;
}

/* Waits until the peer or the test ends the connection. */
static inline void stall(struct conn *c)
{
	char chunk[4096];

	while (recv(c->fd, chunk, sizeof(chunk), 0) > 0)
		;
}

static inline size_t server_seen(struct server *s, const char *key)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->keys_n; i++)
		n += !strcmp(s->keys[i], key);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static inline size_t server_requests(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->keys_n;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static inline bool server_heard(struct server *s, const char *part_of_head)
{
	pthread_mutex_lock(&s->lock);
	bool heard = strstr(s->head.data, part_of_head) != NULL;
	pthread_mutex_unlock(&s->lock);
	return heard;
}

static inline bool server_heard_body(struct server *s, const char *body)
{
	pthread_mutex_lock(&s->lock);
	bool heard = !strcmp(s->body.data, body);
	pthread_mutex_unlock(&s->lock);
	return heard;
}

static inline int server_conns(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	int n = s->conns_n;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static inline void *conn_main(void *arg)
{
	struct conn *c = arg;

	c->server->behave(c);
	/* Under the lock, so that server_stop() never shuts down a number that was given out again. */
	pthread_mutex_lock(&c->server->lock);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->server->lock);
	return NULL;
}

static inline void *server_main(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		struct conn *c = xcalloc(1, sizeof(*c));

		c->server = s;
		c->fd = fd;
		buf_init(&c->in);
		buf_init(&c->head);
		buf_init(&c->body);
		pthread_mutex_lock(&s->lock);
		if (s->stopping)
			shutdown(fd, SHUT_RDWR);
		c->number = s->conns_n++;
		c->next = s->conns;
		s->conns = c;
		if (thread_start(&c->thread, "conn", conn_main, c, NULL) != OK)
			abort();
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

/* A port that refuses connections, and that nobody else gets until the descriptor is closed. */
static inline int refusing_loopback(int *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static inline int listen_loopback(int backlog, int *ret_port)
{
	int fd = refusing_loopback(ret_port);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static inline struct server *server_start(void (*behave)(struct conn *c))
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->behave = behave;
	buf_init(&s->head);
	buf_init(&s->body);
	s->fd = listen_loopback(128, &s->port);
	pthread_mutex_init(&s->lock, NULL);
	assert_int_equal(thread_start(&s->thread, "server", server_main, s, NULL), OK);
	return s;
}

static inline void server_stop(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	for (struct conn *c = s->conns; c; c = c->next)
		if (c->fd >= 0)
			shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	thread_join(s->thread);
	close(s->fd);
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		thread_join(c->thread);
		buf_release(&c->in);
		buf_release(&c->head);
		buf_release(&c->body);
		free(c);
	}
	buf_release(&s->head);
	buf_release(&s->body);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* A copy of the last result, since the transport's is gone after the callback. */
struct client {
	struct transport *transport;
	size_t done;
	size_t by_end[4];
	enum attempt_end end;
	int status;
	usec_t duration;
	struct buf body;
	bool body_cut;
	char captured[128], retry_after[128], error[400]; /* "-" for NULL */
	void (*also)(struct client *c);
};

static inline void client_done(void *arg, const struct transport_result *r)
{
	struct client *c = arg;

	c->done++;
	c->by_end[r->end]++;
	c->end = r->end;
	c->status = r->status;
	c->duration = r->duration;
	buf_clear(&c->body);
	buf_add(&c->body, r->body, r->body_len);
	c->body_cut = r->body_cut;
	snprintf(c->captured, sizeof(c->captured), "%s", r->captured ? r->captured : "-");
	snprintf(c->retry_after, sizeof(c->retry_after), "%s", r->retry_after ? r->retry_after : "-");
	snprintf(c->error, sizeof(c->error), "%s", r->error ? r->error : "-");
	if (c->also)
		c->also(c);
}

static inline struct transport_options default_options(void)
{
	return (struct transport_options){
		.timeout = 20 * USEC_PER_SEC,
		.max_concurrent = 8,
		.max_body = 65536,
		.max_header_bytes = 16384,
		.user_agent = "herald/test",
	};
}

static inline void client_open_url(struct client *c, const char *url, struct transport_options o)
{
	struct error err = ERROR_INIT;

	*c = (struct client){.end = ATTEMPT_REHEARSED, .body = BUF_INIT};
	o.url = url;
	o.done = client_done;
	o.arg = c;
	if (transport_open(&c->transport, &o, &err))
		fail_msg("transport_open: %s", err.text);
}

static inline void client_open(struct client *c, int port, struct transport_options o)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/hook?a=b", port);
	client_open_url(c, url, o);
}

static inline void client_close(struct client *c)
{
	transport_close(c->transport);
	buf_release(&c->body);
}

static inline bool client_start(struct client *c, const char *key)
{
	static const char body[] = "{\"to\":\"+905551234567\",\"content\":\"x\"}";
	struct transport_request r = {.body = body, .body_len = sizeof(body) - 1, .key = key};

	return transport_start(c->transport, &r);
}

static inline void client_step(struct client *c, usec_t most)
{
	struct pollfd p = {.fd = transport_fd(c->transport), .events = POLLIN};
	usec_t wait = MIN_OF(transport_timeout(c->transport), most);

	poll(&p, 1, (int)((wait + 999) / USEC_PER_MSEC));
	transport_run(c->transport);
}

/* Until nothing is in flight; half a minute means it hangs. */
static inline void client_finish(struct client *c)
{
	usec_t give_up = clock_mono() + 30 * USEC_PER_SEC;

	while (transport_in_flight(c->transport)) {
		if (clock_mono() > give_up)
			fail_msg("%zu requests never ended", transport_in_flight(c->transport));
		client_step(c, USEC_PER_SEC);
	}
}

static inline void client_post(struct client *c, const char *key)
{
	size_t before = c->done;

	assert_true(client_start(c, key));
	client_finish(c);
	assert_int_equal(c->done, before + 1);
}

#endif
