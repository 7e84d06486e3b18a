/* What the API tells about itself: metrics and a log line per request. */
#ifndef HERALD_OBSERVE_H
#define HERALD_OBSERVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "metrics.h"
#include "route.h"

struct request;
struct store_counts;

#define OBSERVE_ROUTES_MAX 32
#define OBSERVE_STATUSES 24 /* those of errors.def and of routes.def */

struct observe {
	struct metrics *metrics;
	pthread_mutex_t lock; /* for making counters */
	struct observe_label *labels; /* their texts, which must live as long as the metrics */
	metric_counter *_Atomic requests[OBSERVE_ROUTES_MAX + 1][METHOD_COUNT][OBSERVE_STATUSES];
	struct metric_histogram *durations[OBSERVE_ROUTES_MAX];
	metric_gauge *connections;
};

void observe_init(struct observe *o, struct metrics *m);
void observe_release(struct observe *o);

/* Counts the request and logs it: at debug, at warn when the server was at fault. status: 0 when it had no answer.
 * sent: whether the client got the whole of it. */
void observe_request(struct observe *o, const struct request *r, int status, bool sent);

/* Renders all metrics; counts: of the store, NULL when it is away. */
void observe_render(struct observe *o, const struct store_counts *counts, struct buf *out);

#endif
