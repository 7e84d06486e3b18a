/*
 * What happened lately, for charts: figures by the second for an hour and by the minute for a day, in a fixed
 * amount of memory (about 250 kB). Pure: the time (wall clock) is passed in; a clock that is set back adds to
 * the newest bucket until it has caught up. One thread at a time.
 */
#ifndef HERALD_HISTORY_H
#define HERALD_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "delivery.h"

enum history_resolution { HISTORY_SECOND, HISTORY_MINUTE };
#define HISTORY_SECONDS 3600
#define HISTORY_MINUTES 1440

struct history_bucket {
	uint32_t accepted, sent, retried, failed, unknown;
	int64_t backlog;           /* -1: not known */
	int32_t p50, p95, p99; /* microseconds of attempts on the wire, within 7 %; -1: none; only once it is over */
};

/* Durations, eight steps to the octave. */
#define HISTORY_BINS 176
struct history_series {
	struct history_bucket *buckets; /* a ring; bucket i is at i % n */
	size_t n;
	usec_t step;
	int64_t first, newest; /* numbers since the epoch; the newest is still being filled */
	uint32_t bins[HISTORY_BINS];
	uint32_t binned;
};

struct history {
	struct history_series series[2]; /* by resolution */
};

void history_init(struct history *h, usec_t now);
void history_release(struct history *h);

/* Call before adding: opens the bucket of `now`, and those between. */
void history_advance(struct history *h, usec_t now);
/* duration 0: it was never on the wire. */
void history_attempt(struct history *h, enum verdict verdict, usec_t duration);
void history_accepted(struct history *h, uint32_t n);
void history_backlog(struct history *h, int64_t backlog);

/* The buckets that are over, from the one that begins at or after `since` (0: all): how many, and *ret_start is
 * when the first begins. history_get(): the i-th of them. */
size_t history_span(const struct history *h, enum history_resolution r, usec_t since, usec_t *ret_start);
const struct history_bucket *history_get(const struct history *h, enum history_resolution r, usec_t start, size_t i);

#endif
