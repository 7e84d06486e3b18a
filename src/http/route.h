/* From a method and a path to what answers it. The table is routes.def. Pure; thread-safe. */
#ifndef HERALD_ROUTE_H
#define HERALD_ROUTE_H

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
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHOD_OTHER, /* allowed nowhere */
};
#define METHOD_COUNT 6
enum method method_parse(const char *text);
const char *method_name(enum method m); /* "GET", …, "other" */

enum access { ACCESS_OPEN, ACCESS_MESSAGES, ACCESS_SCHEDULER };
#define ACCESS_COUNT 3
enum body_kind { BODY_NONE, BODY_JSON, BODY_OPTIONAL_JSON, BODY_BATCH, BODY_LARGE_JSON };
enum place { PLACE_INLINE, PLACE_WORKER, PLACE_ANYWAY };

/* What a handler leaves behind. */
enum handled {
	HANDLED_DONE,  /* the request has its answer */
	HANDLED_LATER, /* someone else has the request now and will call request_answered() */
};

/* c: NULL for PLACE_INLINE, and for PLACE_ANYWAY when the store is away. */
typedef enum handled handler_fn(struct request *r, struct store_session *c);

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
};

extern const struct route routes[];
extern const size_t route_count;

struct route_match {
	const struct route *route; /* NULL: none for this method */
	int64_t id;                /* what {id} stood for; 0: no {id} */
	unsigned allowed;          /* bits 1 << METHOD_…; 0: no such path */
};

/* path: raw bytes of the request's target up to '?', not decoded: no route needs an escape, so none has
 * two spellings. */
struct route_match route_find(enum method method, const char *path, size_t len);

/* "GET, HEAD, OPTIONS" */
void route_allow(unsigned allowed, struct buf *out);

#define ROUTE(method, pattern, handler, ...) handler_fn handler;
#include "routes.def"
#undef ROUTE

#endif
