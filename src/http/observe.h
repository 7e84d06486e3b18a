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

#define OBSERVE_STATUSES 24 /* those of errors.def, of routes.def and of other systems' routes */

/* The counters of one route. */
struct observe_route {
	metric_counter *_Atomic requests[METHOD_COUNT][OBSERVE_STATUSES];
	struct metric_histogram *duration;
	size_t series; /* the first row of the same method and pattern: both count there */
};

struct observe {
	struct metrics *metrics;
	pthread_mutex_t lock; /* for making counters */
	struct observe_label *labels; /* their texts, which must live as long as the metrics */
	const struct route_table *table;
	struct observe_route *routes; /* one per row, and one more for what met none */
	metric_gauge *connections;
};

/* table: must outlive it. */
void observe_init(struct observe *o, struct metrics *m, const struct route_table *table);
void observe_release(struct observe *o);

/* Counts the request and logs it: at debug, at warn when the server was at fault. status: 0 when it had no answer.
 * sent: whether the client got the whole of it. */
void observe_request(struct observe *o, const struct request *r, int status, bool sent);

/* Renders all metrics; counts: of the store, NULL when it is away. */
void observe_render(struct observe *o, const struct store_counts *counts, struct buf *out);

#endif
