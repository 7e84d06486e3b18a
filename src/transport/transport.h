/*
 * Sends requests to the webhook, many at once, and tells how each ended. It knows HTTP and nothing of
 * messages. One thread (the dispatcher's) makes all calls; the callback runs inside transport_start()
 * or transport_run(). SIGPIPE must be ignored by the process or blocked in that thread.
 *
 * It never sends a request twice: what was begun once either gets an answer, or ends as BROKEN.
 */
#ifndef HERALD_TRANSPORT_H
#define HERALD_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "delivery.h"
#include "error.h"

struct transport;
struct transport_result;

struct transport_options {
	const char *url;          /* http:// or https:// */
	usec_t timeout;           /* of a whole request */
	usec_t connect_timeout;   /* 0: as timeout, at most 10 s */
	size_t max_concurrent;    /* requests in flight; also the most connections kept */
	size_t max_body;          /* bytes of an answer that are kept; the rest is not read, which costs the
	                           * connection */
	size_t max_header_bytes;  /* of an answer, over all its header blocks (1xx included) */
	const char *auth_key;     /* sent as x-ins-auth-key; NULL or "": not sent */
	const char *user_agent;
	const char *ca_file;      /* PEM bundle instead of the system's; may be NULL. Either is read again after a
	                           * minute at the latest */
	const char *capture_header; /* the answer's header to hand back; NULL: none */
	/* Called once per request. */
	void (*done)(void *arg, const struct transport_result *result);
	void *arg;
};

/* One POST of application/json. Everything pointed at must stay until `done`. What becomes a header must
 * be printable ASCII: it is not checked again. */
struct transport_request {
	void *tag; /* handed back */
	const char *body;
	size_t body_len;
	const char *key;       /* Idempotency-Key and webhook-id */
	const char *timestamp; /* webhook-timestamp, or NULL: unsigned */
	const char *signature; /* webhook-signature, or NULL */
};

/* Good until the callback returns. */
struct transport_result {
	void *tag;
	enum attempt_end end;
	int status;               /* ANSWERED */
	usec_t duration;
	const char *body;         /* what was kept of the answer's; never NULL */
	size_t body_len;
	bool body_cut;            /* more was there, or it broke off */
	const char *captured;     /* value of capture_header, or NULL */
	const char *retry_after;  /* raw Retry-After, or NULL */
	const char *error;        /* for people; NULL when ANSWERED whole */
};

/* The driver follows from the URL's scheme: http and https, or fake for tests (transport_fake.h). Options are
 * copied. Proxies named by the environment are not used. ERR_CONFIG. */
must_check int transport_open(struct transport **ret, const struct transport_options *options,
                              struct error *err);
/* Requests in flight end without a callback. */
void transport_close(struct transport *t);

/* false: max_concurrent reached, nothing started. The request leaves with the next transport_run(), together
 * with all others: transport_timeout() is 0 until then. May be called from within `done`. */
must_check bool transport_start(struct transport *t, const struct transport_request *r);

/* Does all I/O that is ready, calls `done` for what has ended. Call when the fd is readable or the timeout
 * has passed. */
void transport_run(struct transport *t);
int transport_fd(const struct transport *t);      /* epoll-able */
usec_t transport_timeout(const struct transport *t); /* from now; USEC_NEVER: none */
size_t transport_in_flight(const struct transport *t);

#endif
