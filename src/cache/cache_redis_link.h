/*
 * One connection to Redis: dialled, authenticated, on its database. Commands are collected, sent in one go
 * and answered in order (a pipeline). Every wait has a deadline. hiredis reads the protocol; the socket is
 * ours, since a wait must also end when the cache is closed, and must run over TLS, which Debian 12's
 * hiredis does not do.
 *
 * One thread at a time. After any error the link is of no more use: close it.
 */
#ifndef HERALD_CACHE_REDIS_LINK_H
#define HERALD_CACHE_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "cache_redis_address.h"
#include "cache_redis_tls.h"
#include "clock.h"
#include "error.h"

struct redis_link;

struct redis_peer {
	struct sockaddr_storage addr;
	socklen_t len; /* 0: none yet */
};

struct redis_dial {
	const struct redis_address *address;
	struct redis_tls *tls; /* NULL unless address->tls */
	int stop_fd;           /* once readable, waits end within `grace`, at once while dialling; or -1 */
	usec_t grace;
};

/* dial must outlive the link. ERR_TRANSIENT: no connection, or a server that is not ready. ERR_CONFIG: it is
 * there and says no (password, database, certificate). deadline: clock_mono(). */
must_check int redis_link_open(struct redis_link **ret, const struct redis_dial *dial,
                               const struct redis_peer *peer, usec_t deadline, struct error *err);
void redis_link_close(struct redis_link *l); /* NULL is fine */
int redis_link_fd(const struct redis_link *l); /* readable while nothing is asked: the server has left */

/* Adds a command; each gives one reply. */
void redis_link_add(struct redis_link *l, size_t argc, const char *const argv[], const size_t len[]);
must_check int redis_link_flush(struct redis_link *l, usec_t deadline, struct error *err);

/* The next reply, errors of commands included; the caller frees it with freeReplyObject(). Between two
 * flushes, replies may take REDIS_REPLY_BYTES together; beyond, the link is given up (ERR_TRANSIENT). */
#define REDIS_REPLY_BYTES (32u << 20)
must_check int redis_link_reply(struct redis_link *l, redisReply **ret, usec_t deadline, struct error *err);

/* True when the error reply speaks of the server's state (loading, read-only, asks for a password), not of
 * the command: the command did nothing and may work on another connection. */
bool redis_reply_is_not_now(const redisReply *r);

#endif
