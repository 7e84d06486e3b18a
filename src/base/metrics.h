/*
 * Counters, gauges and histograms, and their Prometheus text form (exposition format 0.0.4). A registry
 * is filled while the program is composed; values change lock-free from any thread and are read by
 * whoever renders. Names, helps and labels are copied. Metric objects live as long as the registry.
 */
#ifndef HERALD_METRICS_H
#define HERALD_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "clock.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* labels: "" or the inside of the braces, e.g. "outcome=\"sent\"". Registering the same name with other
 * labels adds a series to the family (help of the first one counts); with the same labels, the same
 * object is returned. Another type or other bounds under a known name is a bug and aborts. All may be
 * called at any time from any thread, but take a lock and search: keep the pointer. */
typedef _Atomic uint64_t metric_counter;
typedef _Atomic int64_t metric_gauge;
metric_counter *metrics_counter(struct metrics *m, const char *name, const char *help, const char *labels);
metric_gauge *metrics_gauge(struct metrics *m, const char *name, const char *help, const char *labels);

/* Durations, rendered in seconds; observations in microseconds, a negative one counts as 0. bounds: n >= 1
 * ascending upper bounds >= 0 in microseconds; the bucket without a bound is added. */
struct metric_histogram;
struct metric_histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                           const char *labels, const usec_t *bounds, size_t n);
void metric_observe(struct metric_histogram *h, usec_t value);
/* The same for plain counts (batch sizes): not divided by a million when rendered. */
struct metric_histogram *metrics_size_histogram(struct metrics *m, const char *name, const char *help,
                                                const char *labels, const int64_t *bounds, size_t n);

/* A value computed when rendered. fn appends whole sample lines ("name{labels} value\n") to out; type
 * is "gauge" or "counter". fn runs on the rendering thread and must not use this registry's functions
 * (the registry is locked). */
void metrics_callback(struct metrics *m, const char *name, const char *help, const char *type,
                      void (*fn)(struct buf *out, void *arg), void *arg);

static inline void metric_add(metric_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}
static inline void metric_inc(metric_counter *c)
{
	metric_add(c, 1);
}
static inline void metric_set(metric_gauge *g, int64_t v)
{
	atomic_store_explicit(g, v, memory_order_relaxed);
}

/* Appends every family, in the order of registration. */
void metrics_render(struct metrics *m, struct buf *out);

/* process_* and herald_build_info: CPU seconds, resident memory, open and allowed descriptors, start time. */
void metrics_add_process(struct metrics *m);

#endif
