/*
 * Strategy: one thread, one loop around libmicrohttpd's epoll descriptor. Its own polling thread is not
 * used: in 0.9.75 that one stalls when exactly a multiple of 128 connections are ready at once.
 *
 * Latency is the same for all requests, so those that wait for it form a queue in order of arrival; their
 * connections are suspended meanwhile.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "json_out.h"
#include "log.h"
#include "sink_record.h"
#include "text.h"

#define BODY_MAX (8 * 1024 * 1024)
#define CONNECTIONS_MAX 8192
#define IDLE_SECONDS 300
#define BACKLOG 1024
#define UUID_TEXT 37

struct sink {
	const struct sink_options *options;
	struct MHD_Daemon *daemon;
	int ledger_fd; /* -1: none */
	struct buf line;
	uint64_t received, accepted, rejected;
	struct request *waiting, **waiting_tail; /* for the latency to pass; the first is due first */
};

struct request {
	struct sink *sink;
	struct MHD_Connection *connection;
	struct request *next; /* in sink->waiting */
	struct buf body;
	bool post;
	bool too_large;
	int status; /* 0: not decided yet */
	char message_id[UUID_TEXT];
	usec_t due;
};

static void uuid4(char out[UUID_TEXT])
{
	uint8_t b[16];
	char hex[33];

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_encode(b, sizeof(b), hex);
	snprintf(out, UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static enum MHD_Result answer(struct MHD_Connection *c, int status, const struct buf *body)
{
	/* A 204 or 304 has no body. */
	size_t len = status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED ? 0 : body->len;
	struct MHD_Response *r = MHD_create_response_from_buffer(len, body->data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "application/json");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, POST");
	ok = MHD_queue_response(c, (unsigned)status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result answer_error(struct sink *s, struct MHD_Connection *c, int status, const char *why)
{
	struct json_out j;

	buf_clear(&s->line);
	j = json_begin(&s->line);
	json_open_object(&j);
	json_kv_str(&j, "error", why);
	json_end(&j);
	return answer(c, status, &s->line);
}

static enum MHD_Result answer_counts(struct sink *s, struct MHD_Connection *c)
{
	struct json_out j;

	buf_clear(&s->line);
	j = json_begin(&s->line);
	json_open_object(&j);
	json_kv_int(&j, "received", (int64_t)s->received);
	json_kv_int(&j, "accepted", (int64_t)s->accepted);
	json_kv_int(&j, "rejected", (int64_t)s->rejected);
	json_end(&j);
	return answer(c, MHD_HTTP_OK, &s->line);
}

static enum MHD_Result answer_message(struct sink *s, const struct request *r)
{
	struct json_out j;

	if (!r->message_id[0])
		return answer_error(s, r->connection, r->status, "the sink does not accept this message");
	buf_clear(&s->line);
	j = json_begin(&s->line);
	json_open_object(&j);
	json_kv_str(&j, "message", "Accepted");
	json_kv_str(&j, "messageId", r->message_id);
	json_end(&j);
	return answer(r->connection, r->status, &s->line);
}

/* A line that is not in the ledger must not be accepted either. */
static bool append_to_ledger(struct sink *s, const struct sink_record *record)
{
	ssize_t n;

	buf_clear(&s->line);
	sink_record_json(&s->line, record);
	do
		n = write(s->ledger_fd, s->line.data, s->line.len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)s->line.len)
		return true;
	log_error("cannot write to the ledger", kv_str("file", s->options->ledger),
	          kv_int("errno", n < 0 ? errno : ENOSPC));
	return false;
}

static void print(struct sink *s, const struct sink_record *record)
{
	buf_clear(&s->line);
	sink_record_text(&s->line, record);
	fwrite(s->line.data, 1, s->line.len, stdout);
	fflush(stdout);
}

/* Decides on the answer and writes the request down. */
static void take(struct sink *s, struct request *r)
{
	struct sink_record record = {
		.at = clock_wall(),
		.key = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Idempotency-Key"),
		.body = r->body.data,
		.body_len = r->body.len,
	};
	bool fail = s->options->fail_rate > 0 && random_unit() < s->options->fail_rate;

	s->received++;
	r->status = fail ? MHD_HTTP_INTERNAL_SERVER_ERROR : s->options->status;
	if (r->status < 300) {
		uuid4(r->message_id);
		record.message_id = r->message_id;
	}
	record.status = r->status;
	if (s->ledger_fd >= 0 && !append_to_ledger(s, &record)) {
		record.status = r->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		r->message_id[0] = '\0';
	}
	if (s->options->print)
		print(s, &record);
	if (r->message_id[0])
		s->accepted++;
	else
		s->rejected++;
}

static void wait_for_latency(struct sink *s, struct request *r)
{
	r->due = clock_mono() + s->options->latency;
	r->next = NULL;
	*s->waiting_tail = r;
	s->waiting_tail = &r->next;
	MHD_suspend_connection(r->connection);
}

/* Called first when the headers are there, then for each piece of the body, then when it is whole; and
 * once more when a suspended connection is resumed. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **context)
{
	struct sink *s = arg;
	struct request *r = *context;

	(void)url, (void)version;
	if (!r) {
		r = xcalloc(1, sizeof(*r));
		r->sink = s;
		r->connection = c;
		buf_init(&r->body);
		r->post = !strcmp(method, MHD_HTTP_METHOD_POST);
		*context = r;
		return MHD_YES;
	}
	if (*data_len) {
		if (r->body.len + *data_len > BODY_MAX)
			r->too_large = true;
		else if (r->post)
			buf_add(&r->body, data, *data_len);
		*data_len = 0;
		return MHD_YES;
	}
	if (!r->post) {
		if (!strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD))
			return answer_counts(s, c);
		return answer_error(s, c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and POST are served");
	}
	if (r->too_large)
		return answer_error(s, c, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
	if (!r->status) {
		take(s, r);
		if (s->options->latency) {
			wait_for_latency(s, r);
			return MHD_YES;
		}
	}
	return answer_message(s, r);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **context,
                         enum MHD_RequestTerminationCode code)
{
	struct request *r = *context;

	(void)arg, (void)c, (void)code;
	if (!r)
		return;
	buf_release(&r->body);
	free(r);
	*context = NULL;
}

/* Resumes those whose time has come (USEC_NEVER: all). libmicrohttpd notes it in the next MHD_run() only, and
 * does not wake itself up for it. */
static void resume_due(struct sink *s, usec_t now)
{
	while (s->waiting && s->waiting->due <= now) {
		struct request *r = s->waiting;

		s->waiting = r->next;
		if (!s->waiting)
			s->waiting_tail = &s->waiting;
		MHD_resume_connection(r->connection);
	}
}

static int listen_on(const char *host, int port, int *ret_port, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char service[8], name[NI_MAXSERV];
	int fd, rc, one = 1, saved;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc) {
		error_set(err, ERR_CONFIG, "cannot listen on %s: %s", host, gai_strerror(rc));
		return -1;
	}
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&addr, len, NULL, 0, name, sizeof(name), NI_NUMERICSERV)) {
		saved = errno;
		freeaddrinfo(list);
		if (fd >= 0)
			close(fd);
		error_errno(err, ERR_CONFIG, saved, "cannot listen on %s port %d", host, port);
		return -1;
	}
	freeaddrinfo(list);
	*ret_port = (int)strtol(name, NULL, 10);
	return fd;
}

static int sink_open(struct sink *s, int *ret_port, struct error *err)
{
	const struct sink_options *o = s->options;
	int fd;

	if (o->port < 0 || o->port > 65535)
		return error_set(err, ERR_CONFIG, "the port must be 0 to 65535");
	if (o->status < 200 || o->status > 599)
		return error_set(err, ERR_CONFIG, "the status must be 200 to 599");
	if (o->latency < 0)
		return error_set(err, ERR_CONFIG, "the latency must not be negative");
	if (!(o->fail_rate >= 0 && o->fail_rate <= 1))
		return error_set(err, ERR_CONFIG, "the fail rate must be 0 to 1");
	if (o->ledger) {
		s->ledger_fd = open(o->ledger, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (s->ledger_fd < 0)
			return error_errno(err, ERR_CONFIG, errno, "cannot open the ledger %s", o->ledger);
	}
	fd = listen_on(o->host, o->port, ret_port, err);
	if (fd < 0)
		return ERR_CONFIG;
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
	                             on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
	                             MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
	                             MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!s->daemon) /* which has closed fd */
		return error_set(err, ERR_TRANSIENT, "the HTTP server does not start");
	return OK;
}

/* In milliseconds, as poll() takes it. */
static int next_wait(struct sink *s)
{
	usec_t msec = INT_MAX;
	MHD_UNSIGNED_LONG_LONG most;

	if (s->waiting)
		msec = (MAX_OF(0, s->waiting->due - clock_mono()) + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
	if (MHD_get_timeout(s->daemon, &most) == MHD_YES && most < (MHD_UNSIGNED_LONG_LONG)msec)
		msec = (usec_t)most;
	return (int)MIN_OF(msec, INT_MAX);
}

static void serve(struct sink *s, int stop_fd)
{
	int epoll_fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	struct pollfd fds[] = {{.fd = epoll_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), next_wait(s)) < 0 && errno != EINTR)
			panic("poll: errno %d", errno);
		if (fds[1].revents)
			return;
		if (s->waiting)
			resume_due(s, clock_mono());
		MHD_run(s->daemon);
	}
}

int sink_run(const struct sink_options *options, int stop_fd, void (*ready)(void *arg, int port), void *arg,
             struct error *err)
{
	struct sink s = {.options = options, .ledger_fd = -1, .line = BUF_INIT};
	int port = 0, rc;

	s.waiting_tail = &s.waiting;
	rc = sink_open(&s, &port, err);
	if (!rc) {
		if (ready)
			ready(arg, port);
		serve(&s, stop_fd);
		/* A daemon must not be stopped while connections are suspended. */
		resume_due(&s, USEC_NEVER);
		MHD_run(s.daemon);
		MHD_stop_daemon(s.daemon);
	}
	if (s.ledger_fd >= 0)
		close(s.ledger_fd);
	buf_release(&s.line);
	return rc;
}
