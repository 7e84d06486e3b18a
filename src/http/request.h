/*
 * One request, from its first header to its last answered byte. It belongs to the API thread that reads and
 * answers it; between suspension and answer it belongs to whoever works on it (a worker, or the writer),
 * who gives it back with request_answered(). Objects are pooled per API thread.
 */
#ifndef HERALD_REQUEST_H
#define HERALD_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"
#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "queue.h"
#include "route.h"
#include "writer.h"

struct api_thread;
struct connection;
struct http;
struct stream;

#define CORRELATION_MAX 128
#define LAST_EVENT_ID_MAX 63
#define IF_NONE_MATCH_MAX 199
#define TARGET_MAX 8192       /* bytes of path and query */
#define HEADERS_MAX 64
#define HEADER_BYTES_MAX 16384

/* What the headers said, as far as herald cares. The strings are copies. */
struct request_headers {
	char correlation_id[CORRELATION_MAX + 1]; /* the caller's, or a new one */
	char idempotency_key[MESSAGE_KEY_MAX + 1];
	bool has_idempotency_key, bad_idempotency_key;
	bool ndjson;         /* Content-Type, where the route takes it */
	bool return_minimal; /* Prefer: return=minimal */
	char if_none_match[IF_NONE_MATCH_MAX + 1]; /* "": none; cut */
	bool takes_gzip;     /* Accept-Encoding is missing or names it */
	char last_event_id[LAST_EVENT_ID_MAX + 1]; /* "": none; cut where it is too long to be one of ours */
};

struct request {
	struct queue_item item;    /* to a worker, and back */
	struct insert_job job;     /* to the writer */
	struct message_draft draft; /* of a single create */
	struct http *http;
	struct api_thread *thread;
	struct connection *conn; /* NULL: cut off, nobody waits for the answer */
	bool begun;    /* its headers were seen */
	bool answered; /* its answer is there, or being made */
	bool outside;  /* with someone else, or on its way back */
	bool suspended; /* so is its connection */
	/* Called on the API thread when it is back, before it is answered; may be NULL. */
	void (*finish)(struct request *r);

	enum method method;
	const struct route *route; /* NULL: there is none */
	int64_t id;                /* {id} */
	const char *path_text;     /* another {name}, in target, not decoded; NULL: there is none */
	size_t path_text_len;
	struct buf target;
	const char *query; /* behind '?', in target; "" when there is none */
	size_t query_len;
	struct request_headers headers;

	struct buf body;
	size_t body_limit, body_seen;
	size_t body_reserved; /* bytes taken from the budget of all bodies */
	bool discard_body;    /* refused, but small enough to be read over */

	struct answer answer;
	struct arena arena; /* whatever lives as long as the request */
	json_t *doc;        /* the parsed body */
	int insert_code;    /* the writer's verdict */
	bool created;       /* it stored messages: the dispatcher should look */
	unsigned sees;      /* bits 1 << ACCESS_…: the groups whose keys it carries, on a route for EITHER */
	struct stream *stream; /* of events, in place of the answer's body */

	usec_t started; /* monotonic, when its line was complete */
};

void request_init(struct request *r);
void request_clear(struct request *r);   /* ready for the next one; keeps small buffers */
void request_release(struct request *r);

/* Gives an answered request back to its API thread; any thread. */
void request_answered(struct request *r);

#endif
