/*
 * From a method and a path to what answers it. herald's own table is routes.def; the tables of a system whose
 * place it takes stand before it, so that their routes win where both have one. Pure; thread-safe.
 */
#ifndef HERALD_ROUTE_H
#define HERALD_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "buf.h"

struct request;
struct store_session;

enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHOD_OTHER, /* allowed nowhere */
};
#define METHOD_COUNT 7
enum method method_parse(const char *text);
const char *method_name(enum method m); /* "GET", …, "other" */

enum access { ACCESS_OPEN, ACCESS_MESSAGES, ACCESS_SCHEDULER, ACCESS_EITHER };
#define ACCESS_COUNT 4 /* keyrings: EITHER has none of its own */
enum body_kind { BODY_NONE, BODY_JSON, BODY_OPTIONAL_JSON, BODY_BATCH, BODY_LARGE_JSON };
enum place {
	PLACE_INLINE, /* on the API thread: must not wait for anything */
	PLACE_WORKER, /* with a session of the store */
	PLACE_ANYWAY, /* the same, also when the store is away */
	PLACE_ASIDE,  /* on a thread that may wait for another server, some seconds at most: shutdown waits for it */
};

/* What a handler leaves behind. */
enum handled {
	HANDLED_DONE,  /* the request has its answer */
	HANDLED_LATER, /* someone else has the request now and will call request_answered() */
};

/* c: NULL for PLACE_INLINE and PLACE_ASIDE, and for PLACE_ANYWAY when the store is away. */
typedef enum handled handler_fn(struct request *r, struct store_session *c);

/* Puts an error that herald itself has answered with (a wrong key, a body too large, the store away, …) into the
 * shape of the route's system: fills r->answer.body, and may change the status and the content type. */
struct answer;
typedef void error_shape_fn(struct answer *a, int status, const char *text);

struct route {
	enum method method;
	const char *pattern;
	handler_fn *handle;
	enum access access;
	enum body_kind body;
	enum place place;
	/* For the OpenAPI document; names separated by spaces, NULL: none. */
	const char *operation_id, *tag, *summary, *parameters, *request;
	int success;
	const char *response, *answers;
	/* Of a row that hides one of herald's own: a request with this query parameter is herald's. NULL: none is. */
	const char *leaves;

	/* Filled in from its source: what holds for all of them. */
	error_shape_fn *shape_error;
	bool cors;
	bool turns; /* starts or stops, by whatever method, for anybody who asks: see route_source.open */
	unsigned listeners;
};

extern const struct route routes[];
extern const size_t route_count;

/* All that a server answers, the strongest first. */
struct route_table {
	struct route *rows;
	size_t n;
};

/* Rows and what holds for all of them. */
struct route_source {
	const struct route *rows;
	size_t n;
	bool open;                   /* nobody is asked for a key, whatever their access group */
	bool cors;                   /* any origin may use them: Access-Control-Allow-… */
	error_shape_fn *shape_error; /* NULL: herald's envelope */
	unsigned listeners;          /* bits of the listeners that have them */
};
void route_table_add(struct route_table *t, const struct route_source *s);
void route_table_release(struct route_table *t);

struct route_match {
	const struct route *route; /* NULL: none for this method */
	const struct route *hidden; /* behind it, of the same method; NULL: none */
	int64_t id;                /* what {id} stood for; 0: no {id} */
	const char *text;          /* what another {name} stood for, in path; NULL: there is none */
	size_t text_len;
	unsigned allowed;          /* bits 1 << METHOD_…; 0: no such path */
	bool cors;                 /* some route of this path is open to any origin */
};

/* path: raw bytes of the request's target up to '?', not decoded: no route needs an escape, so none has
 * two spellings. */
struct route_match route_find(const struct route_table *t, unsigned listener, enum method method, const char *path,
                              size_t len);

/* "GET, HEAD, OPTIONS" */
void route_allow(unsigned allowed, struct buf *out);

#define ROUTE(method, pattern, handler, ...) handler_fn handler;
#include "routes.def"
#undef ROUTE

#endif
