#include "cache_redis_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "text.h"

struct redis_link {
	int fd;
	int stop_fd;   /* -1 once it was seen */
	usec_t grace;
	usec_t latest; /* no wait goes beyond */
	SSL *ssl;      /* NULL: plain */
	redisReader *reader;
	struct buf out;
	size_t received; /* since the last flush */
};

/* OK when the socket is ready for `events`. */
static int wait_for(struct redis_link *l, short events, usec_t deadline, struct error *err)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = l->fd, .events = events}, {.fd = l->stop_fd, .events = POLLIN}};
		usec_t now = clock_mono(), left = MIN_OF(deadline, l->latest) - now;

		if (left <= 0)
			return error_set(err, ERR_TRANSIENT, "no answer in time");
		/* Capped, since poll() counts in int milliseconds. */
		left = MIN_OF(left, USEC_PER_MINUTE);
		if (poll(p, 2, (int)((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC)) < 0 && errno != EINTR)
			return error_errno(err, ERR_TRANSIENT, errno, "poll");
		if (p[1].revents) {
			l->stop_fd = -1;
			l->latest = clock_mono() + l->grace;
		}
		if (p[0].revents)
			return OK;
	}
}

/* After an SSL_ call that returned r: waits for what it wants. */
static int tls_wait(struct redis_link *l, int r, usec_t deadline, struct error *err)
{
	switch (SSL_get_error(l->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(l, POLLIN, deadline, err);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(l, POLLOUT, deadline, err);
	case SSL_ERROR_ZERO_RETURN:
		return error_set(err, ERR_TRANSIENT, "the server closed the connection");
	case SSL_ERROR_SYSCALL:
		return error_errno(err, ERR_TRANSIENT, errno ? errno : ECONNRESET, "TLS");
	default:
		return redis_tls_error(err, l->ssl);
	}
}

static int send_some(struct redis_link *l, const char *data, size_t len, size_t *ret_n, usec_t deadline,
                     struct error *err)
{
	for (;;) {
		ssize_t n;
		int rc;

		if (l->ssl) {
			ERR_clear_error();
			errno = 0;
			if (SSL_write_ex(l->ssl, data, len, ret_n))
				return OK;
			rc = tls_wait(l, 0, deadline, err);
		} else {
			n = send(l->fd, data, len, MSG_NOSIGNAL);
			if (n >= 0) {
				*ret_n = (size_t)n;
				return OK;
			}
			if (errno != EAGAIN && errno != EINTR)
				return error_errno(err, ERR_TRANSIENT, errno, "sending");
			rc = wait_for(l, POLLOUT, deadline, err);
		}
		if (rc)
			return rc;
	}
}

static int receive_some(struct redis_link *l, char *data, size_t size, size_t *ret_n, usec_t deadline,
                        struct error *err)
{
	for (;;) {
		ssize_t n;
		int rc;

		if (l->ssl) {
			ERR_clear_error();
			errno = 0;
			if (SSL_read_ex(l->ssl, data, size, ret_n))
				return OK;
			rc = tls_wait(l, 0, deadline, err);
		} else {
			n = recv(l->fd, data, size, 0);
			if (n > 0) {
				*ret_n = (size_t)n;
				return OK;
			}
			if (n == 0)
				return error_set(err, ERR_TRANSIENT, "the server closed the connection");
			if (errno != EAGAIN && errno != EINTR)
				return error_errno(err, ERR_TRANSIENT, errno, "receiving");
			rc = wait_for(l, POLLIN, deadline, err);
		}
		if (rc)
			return rc;
	}
}

void redis_link_add(struct redis_link *l, size_t argc, const char *const argv[], const size_t len[])
{
	buf_addch(&l->out, '*');
	buf_addu64(&l->out, argc);
	for (size_t i = 0; i < argc; i++) {
		buf_addlit(&l->out, "\r\n$");
		buf_addu64(&l->out, len[i]);
		buf_addlit(&l->out, "\r\n");
		buf_add(&l->out, argv[i], len[i]);
	}
	buf_addlit(&l->out, "\r\n");
}

int redis_link_flush(struct redis_link *l, usec_t deadline, struct error *err)
{
	size_t done = 0;

	l->received = 0;
	while (done < l->out.len) {
		size_t n = 0;
		int rc = send_some(l, l->out.data + done, l->out.len - done, &n, deadline, err);

		if (rc)
			return rc;
		done += n;
	}
	buf_clear(&l->out);
	return OK;
}

int redis_link_reply(struct redis_link *l, redisReply **ret, usec_t deadline, struct error *err)
{
	char chunk[16384];

	for (;;) {
		void *reply = NULL;
		size_t n = 0;
		int rc;

		if (redisReaderGetReply(l->reader, &reply) != REDIS_OK)
			return error_set(err, ERR_TRANSIENT, "not the Redis protocol: %s", l->reader->errstr);
		if (reply) {
			*ret = reply;
			return OK;
		}
		rc = receive_some(l, chunk, sizeof(chunk), &n, deadline, err);
		if (rc)
			return rc;
		l->received += n;
		if (l->received > REDIS_REPLY_BYTES)
			return error_set(err, ERR_TRANSIENT, "the server's answer is longer than %u bytes",
			                 REDIS_REPLY_BYTES);
		if (redisReaderFeed(l->reader, chunk, n) != REDIS_OK)
			return error_set(err, ERR_TRANSIENT, "not the Redis protocol: %s", l->reader->errstr);
	}
}

bool redis_reply_is_not_now(const redisReply *r)
{
	static const char *const states[] = {"LOADING ",    "READONLY ", "MASTERDOWN ", "BUSY ",
	                                     "CLUSTERDOWN", "NOAUTH ",   "ERR max number of clients"};

	if (r->type != REDIS_REPLY_ERROR)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (text_starts_with(r->str, states[i]))
			return true;
	return false;
}

static int connect_socket(struct redis_link *l, const struct redis_peer *peer, usec_t deadline,
                          struct error *err)
{
	const int one = 1;
	int failure = 0, rc;
	socklen_t len = sizeof(failure);

	l->fd = socket(peer->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return error_errno(err, ERR_TRANSIENT, errno, "socket");
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(l->fd, (const struct sockaddr *)&peer->addr, peer->len))
		return OK;
	if (errno != EINPROGRESS)
		return error_errno(err, ERR_TRANSIENT, errno, "connecting");
	rc = wait_for(l, POLLOUT, deadline, err);
	if (rc)
		return rc;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &failure, &len) || failure)
		return error_errno(err, ERR_TRANSIENT, failure ? failure : errno, "connecting");
	return OK;
}

static int tls_handshake(struct redis_link *l, const struct redis_dial *dial, usec_t deadline,
                         struct error *err)
{
	int rc = redis_tls_session(&l->ssl, dial->tls, l->fd, dial->address->host, err);

	while (rc == OK) {
		int r;

		ERR_clear_error();
		errno = 0;
		r = SSL_connect(l->ssl);
		if (r == 1)
			return OK;
		rc = tls_wait(l, r, deadline, err);
	}
	return rc;
}

static void add_texts(struct redis_link *l, size_t n, const char *const texts[])
{
	size_t len[3];

	for (size_t i = 0; i < n; i++)
		len[i] = strlen(texts[i]);
	redis_link_add(l, n, texts, len);
}

/* The next reply must not be an error. For AUTH no more than the error's first word is repeated: a server
 * without that command answers with the arguments it was given. */
static int expect_ok(struct redis_link *l, const char *command, bool secret, usec_t deadline,
                     struct error *err)
{
	redisReply *r;
	int rc = redis_link_reply(l, &r, deadline, err);

	if (rc)
		return rc;
	if (r->type == REDIS_REPLY_ERROR)
		rc = error_set(err, redis_reply_is_not_now(r) && !text_starts_with(r->str, "NOAUTH") ?
		                            ERR_TRANSIENT : ERR_CONFIG,
		               "%s was refused: %.*s", command,
		               (int)(secret ? strcspn(r->str, " ") : strlen(r->str)), r->str);
	freeReplyObject(r);
	return rc;
}

/* PING comes last: it tells whether the server would take commands now. */
static int introduce(struct redis_link *l, const struct redis_address *a, usec_t deadline, struct error *err)
{
	char db[16];
	int rc;

	snprintf(db, sizeof(db), "%d", a->db);
	if (a->password && a->user)
		add_texts(l, 3, (const char *const[]){"AUTH", a->user, a->password});
	else if (a->password)
		add_texts(l, 2, (const char *const[]){"AUTH", a->password});
	if (a->db)
		add_texts(l, 2, (const char *const[]){"SELECT", db});
	add_texts(l, 1, (const char *const[]){"PING"});

	rc = redis_link_flush(l, deadline, err);
	if (rc == OK && a->password)
		rc = expect_ok(l, "AUTH", true, deadline, err);
	if (rc == OK && a->db)
		rc = expect_ok(l, "SELECT", false, deadline, err);
	if (rc == OK)
		rc = expect_ok(l, "PING", false, deadline, err);
	return rc;
}

int redis_link_open(struct redis_link **ret, const struct redis_dial *dial, const struct redis_peer *peer,
                    usec_t deadline, struct error *err)
{
	struct redis_link *l = xcalloc(1, sizeof(*l));
	int rc;

	l->fd = -1;
	l->stop_fd = dial->stop_fd;
	l->latest = USEC_NEVER;
	buf_init(&l->out);
	l->reader = redisReaderCreate();
	if (!l->reader)
		panic("no memory for a reply reader");

	rc = connect_socket(l, peer, deadline, err);
	if (rc == OK && dial->tls)
		rc = tls_handshake(l, dial, deadline, err);
	if (rc == OK)
		rc = introduce(l, dial->address, deadline, err);
	if (rc) {
		redis_link_close(l);
		return rc;
	}
	l->grace = dial->grace;
	*ret = l;
	return OK;
}

void redis_link_close(struct redis_link *l)
{
	if (!l)
		return;
	/* No TLS farewell: it could block, and nothing is lost without it. */
	SSL_free(l->ssl);
	if (l->fd >= 0)
		close(l->fd);
	redisReaderFree(l->reader);
	buf_release(&l->out);
	free(l);
}

int redis_link_fd(const struct redis_link *l)
{
	return l->fd;
}
