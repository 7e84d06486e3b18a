#include "observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "log.h"
#include "request.h"
#include "store.h"

struct observe_label {
	struct observe_label *next;
	char text[160];
};

static const int statuses[] = {200, 201, 204, 400, 401, 404, 405, 408, 409,
                               413, 414, 415, 422, 431, 500, 502, 503, 0};
_Static_assert(ARRAY_SIZE(statuses) <= OBSERVE_STATUSES, "a place for every status");

/* The counts that observe_render() was given, for the callback that it causes on the same thread. */
static _Thread_local const struct store_counts *rendered_counts;

static size_t status_index(int status)
{
	size_t i = 0;

	while (statuses[i] && statuses[i] != status)
		i++;
	return i;
}

static const char *keep_label(struct observe *o, const char *method, const char *route, int status)
{
	struct observe_label *l = xcalloc(1, sizeof(*l));

	if (status) {
		snprintf(l->text, sizeof(l->text), "method=\"%s\",route=\"%s\",status=\"%d\"", method, route,
		         status);
	} else {
		snprintf(l->text, sizeof(l->text), "method=\"%s\",route=\"%s\"", method, route);
	}
	l->next = o->labels;
	o->labels = l;
	return l->text;
}

static void render_messages(struct buf *out, void *arg)
{
	(void)arg;
	if (!rendered_counts)
		return;
	for (int s = 0; s < MESSAGE_STATUS_COUNT; s++) {
		buf_addf(out, "herald_messages{status=\"%s\"} ", message_status_name((enum message_status)s));
		buf_addi64(out, rendered_counts->by_status[s]);
		buf_addch(out, '\n');
	}
}

/* The first row of the same method and pattern: a metric has one series for both. */
static size_t first_of_name(const struct route_table *t, size_t row)
{
	size_t i = 0;

	while (i < row && (t->rows[i].method != t->rows[row].method ||
	                   strcmp(t->rows[i].pattern, t->rows[row].pattern)))
		i++;
	return i;
}

void observe_init(struct observe *o, struct metrics *m, const struct route_table *table)
{
	static const usec_t bounds[] = {100,    250,    500,     1000,    2500,    5000,    10000,
	                                25000,  50000,  100000,  250000,  500000,  1000000, 2500000,
	                                5000000, 10000000, 30000000};

	o->metrics = m;
	o->table = table;
	o->routes = xcalloc(table->n + 1, sizeof(*o->routes));
	pthread_mutex_init(&o->lock, NULL);
	for (size_t i = 0; i < table->n; i++) {
		const size_t first = first_of_name(table, i);

		o->routes[i].series = first;
		if (first < i)
			o->routes[i].duration = o->routes[first].duration;
		else
			o->routes[i].duration = metrics_histogram(
				m, "herald_http_request_duration_seconds",
				"Time from a request's first line to the end of its answer",
				keep_label(o, method_name(table->rows[i].method), table->rows[i].pattern, 0), bounds,
				ARRAY_SIZE(bounds));
	}
	o->connections = metrics_gauge(m, "herald_http_connections", "Open connections of the API", "");
	metrics_callback(m, "herald_messages", "Messages in the store by status", "gauge", render_messages, NULL);
}

void observe_release(struct observe *o)
{
	while (o->labels) {
		struct observe_label *l = o->labels;

		o->labels = l->next;
		free(l);
	}
	free(o->routes);
	pthread_mutex_destroy(&o->lock);
}

/* A series appears when it first counts: most pairs of route and status never occur. */
static metric_counter *requests_counter(struct observe *o, size_t route, enum method method, int status)
{
	metric_counter *_Atomic *place = &o->routes[route].requests[method][status_index(status)];
	metric_counter *c = atomic_load_explicit(place, memory_order_acquire);

	if (c)
		return c;
	pthread_mutex_lock(&o->lock);
	c = atomic_load_explicit(place, memory_order_relaxed);
	if (!c) {
		const char *pattern = route < o->table->n ? o->table->rows[route].pattern : "none";

		c = metrics_counter(o->metrics, "herald_http_requests_total", "Requests answered by the API",
		                    keep_label(o, method_name(method), pattern, status));
		atomic_store_explicit(place, c, memory_order_release);
	}
	pthread_mutex_unlock(&o->lock);
	return c;
}

void observe_request(struct observe *o, const struct request *r, int status, bool sent)
{
	const size_t route = r->route ? o->routes[r->route - o->table->rows].series : o->table->n;
	const usec_t duration = clock_mono() - r->started;

	if (status)
		metric_inc(requests_counter(o, route, r->method, status));
	if (r->route)
		metric_observe(o->routes[route].duration, duration);
	log_at(status >= 500 ? LOG_WARN : LOG_DEBUG, "request", kv_str("correlation_id", r->headers.correlation_id),
	       kv_str("method", method_name(r->method)), kv_str("route", r->route ? r->route->pattern : "none"),
	       kv_int("status", status), kv_double("ms", (double)duration / (double)USEC_PER_MSEC),
	       kv_str("end", sent ? NULL : "cut off"));
}

void observe_render(struct observe *o, const struct store_counts *counts, struct buf *out)
{
	rendered_counts = counts;
	metrics_render(o->metrics, out);
	rendered_counts = NULL;
}
