/*
 * Threads that work on requests for the API: those for the store, each with a session of its own, and those
 * aside, which have none and may wait for other servers. A session whose store has gone away is closed and
 * opened anew, at most once a second, while requests are told 503.
 */
#ifndef HERALD_WORKERS_H
#define HERALD_WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "queue.h"

struct http;
struct request;

struct workers {
	struct http *http;
	bool aside;
	struct queue jobs;
	pthread_t *threads;
	size_t n, started;
};

/* n: of threads; 0: no request comes. */
void workers_init(struct workers *w, struct http *h, size_t n, bool aside);
must_check int workers_start(struct workers *w, struct error *err);
/* False: too much waits. */
must_check bool workers_submit(struct workers *w, struct request *r);
/* Ends the threads after the jobs they are at; what waits is given back unanswered. */
void workers_stop(struct workers *w);
void workers_release(struct workers *w);

#endif
