/*
 * The HTTP API: herald's own contract (docs/api.md, /openapi.json) and, when asked for, routes of another system
 * before it, on one or several listeners.
 *
 * Threads: `api_threads` event loops own the connections and never touch the store. A create goes from
 * there to the writer (group commit); everything else that needs the store goes to one of `workers` threads,
 * each with a store session of its own. When the writer or the workers are behind, clients are told 503.
 *
 * Order of calls: http_open, http_start, …, http_stop_accepting, http_finish, writer_stop, http_close. All
 * from one thread (main's). The store, cache, dispatch and metrics must outlive http_close(). The writer
 * must have ended before it: a create that http_finish() cut off is still the writer's.
 */
#ifndef HERALD_HTTP_H
#define HERALD_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "clock.h"
#include "error.h"
#include "message_rules.h"
#include "message_uuid.h"
#include "store.h"

struct http;
struct store;
struct writer;
struct cache;
struct dispatch;
struct feed;
struct leasing;
struct metrics;

struct route;
struct route_source;

#define HTTP_LISTENERS_MAX 4

/* One port and the routes that stand there before herald's own. */
struct http_listener {
	int port;                          /* 0: any free one */
	const struct route_source *routes; /* route.h, the strongest first; their rows' texts are constant */
	size_t routes_n;
};

/* How messages leave, as far as it concerns when. */
struct explain_rules {
	enum message_order order;
	bool retry_free;  /* retries run beside the beat */
	int max_attempts;
};

struct http_options {
	const char *host;          /* address or name to listen on; every address it stands for is tried,
	                            * the first that can be bound is taken */
	int port;                  /* 0: any free one, see http_url(); when there are no listeners */
	const struct http_listener *listeners; /* used by http_open() alone */
	size_t listeners_n;        /* 0: one, with herald's routes alone */
	const void *profile;       /* for the handlers of those routes: handler_profile() */
	unsigned api_threads;      /* 0: one per core */
	unsigned workers;          /* store sessions for reads and steering; 0: 2 */
	unsigned max_connections;  /* over all threads; further ones are closed at once; >= api_threads */
	size_t max_body;           /* bytes, an ordinary request */
	size_t max_batch_body;     /* bytes, a batch create */
	usec_t request_timeout;    /* for a request's line, headers and body to come in */
	const char *allowed_hosts; /* names that the server goes by, comma-separated; NULL or "": site.h */
	const char *messages_keys; /* comma-separated; NULL or "": the group answers 500 */
	const char *scheduler_keys;
	const struct message_rules *rules; /* what a create must keep to; outlives the server */
	struct explain_rules explain; /* as the dispatcher has them */
	bool first_after_interval; /* a start of the scheduler waits for an interval */
	const char *job_name;      /* of what a start begins; outlives the server */
	enum id_format ids;        /* how messages' ids are shown; either is taken */
	const char *version;
	const char *node_id;       /* shown in /health and in the log */
	const char *role;          /* "all", "api"; for the log */

	struct store *store;
	struct writer *writer;
	struct cache *cache;       /* may be NULL: /cached answers an empty page */
	bool redis;                /* the cache is Redis: /health reports it, else it says "disabled" */
	struct dispatch *dispatch; /* may be NULL (role api): "run now" answers 503 */
	struct feed *feed;         /* may be NULL: events and history answer 503 */
	struct leasing *leasing;   /* may be NULL: the lease routes are not there */
	struct metrics *metrics;
};

/* Copies the options' strings, binds the sockets, registers the metrics. ERR_CONFIG: the address cannot be
 * used (the text says why, e.g. that the port is in use) or an option contradicts another. */
must_check int http_open(struct http **ret, const struct http_options *options, struct error *err);

/* Starts all threads: from here on requests are answered. ERR_TRANSIENT: no thread or descriptor left. */
must_check int http_start(struct http *h, struct error *err);

/* "http://127.0.0.1:8080", an IPv6 address in brackets; from http_open() on, until http_close(). Without listeners
 * in the options it is number 0. */
const char *http_url(const struct http *h, size_t listener);

/* Closes the listening sockets and makes /readyz answer 503. Requests in progress go on; each answer from
 * here on closes its connection. Returns at once. */
void http_stop_accepting(struct http *h);

/* Waits until every request in progress is answered, at most `timeout`, then ends all threads. What is
 * unanswered after that is cut off. Returns how many that were. Also fine when never started. The writer
 * and dispatch must still run, since answers wait for them. */
size_t http_finish(struct http *h, usec_t timeout);

/* Frees everything; calls http_finish(h, 0) when that was not done. NULL is fine. */
void http_close(struct http *h);

/* The OpenAPI 3.1 document that /openapi.json serves, as JSON text. Needs no server; thread-safe. */
void http_openapi(struct buf *out, const char *version);

/* The same of other routes. */
struct http_document {
	const char *title, *version, *summary;
	const struct route *routes;
	size_t routes_n;
	bool open;           /* no route asks for a key */
	const char *schemas; /* JSON: {"components":{…},"tags":[…]}, whose names the routes use */
	size_t schemas_len;
};
void http_openapi_of(struct buf *out, const struct http_document *d);

#endif
