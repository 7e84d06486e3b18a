/* What the parts of the API server share. Only files of this folder include it. */
#ifndef HERALD_HTTP_INTERNAL_H
#define HERALD_HTTP_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "auth.h"
#include "buf.h"
#include "http.h"
#include "observe.h"
#include "queue.h"
#include "route.h"
#include "site.h"
#include "store.h"
#include "workers.h"

struct api_thread;

#define IDLE_TIMEOUT (75 * USEC_PER_SEC)  /* between two requests of one connection */
#define WRITE_TIMEOUT (30 * USEC_PER_SEC) /* for an answer, plus a second for each … */
#define WRITE_BYTES_PER_SEC 16384         /* … of its bytes */
#define SMALL_BODY ((size_t)64 * 1024)    /* bodies up to here are not counted and may be read over */

struct http {
	struct http_options o; /* strings are ours */
	struct site site;
	struct keyring keys[ACCESS_COUNT];
	struct buf openapi;
	struct route_table routes;
	struct observe observe;

	size_t listener_count;
	struct listening {
		char url[256];
		bool loopback;
	} listening[HTTP_LISTENERS_MAX];

	size_t thread_count; /* of all listeners */
	struct api_thread *threads; /* array */
	struct workers workers, aside;

	size_t body_budget;             /* bytes that all large bodies together may hold */
	_Atomic size_t body_bytes;      /* what they hold */
	_Atomic unsigned connections;
	atomic_bool stopping;
	bool finished;
};

/* Takes `bytes` from the budget of all bodies; false when it is spent. */
bool http_body_reserve(struct http *h, size_t bytes);
void http_body_unreserve(struct http *h, size_t bytes);

#endif
