/* What the two files of the feed share. */
#ifndef HERALD_FEED_INTERNAL_H
#define HERALD_FEED_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "feed.h"

struct feed {
	char boot[FEED_BOOT + 1];
	_Atomic uint32_t accepted; /* since the history was last advanced */

	pthread_mutex_t lock; /* for everything below */
	struct feed_reader *readers;
	size_t readers_n;
	usec_t read_until; /* monotonic: events are kept until then though nobody reads */

	struct feed_event *ring; /* event s is at s % FEED_EVENTS; made with the first reader */
	uint64_t oldest, next;   /* seqs: kept are oldest .. next - 1 */
	usec_t sample_from;      /* monotonic */
	uint32_t sampled;
	uint64_t skipped;

	struct history history;

	bool counts_known, scheduler_known;
	struct feed_counts counts;
	uint64_t counts_version;
	struct scheduler scheduler;

	pthread_cond_t poked;
	bool poke, stop;
};

void feed_lock(struct feed *f);
void feed_unlock(struct feed *f);
/* With the lock: moves the history to now. */
void feed_advance(struct feed *f);

#endif
