/*
 * When to ask the store for work, and for how much. Pure: the monotonic time is passed in. It decides for
 * one claim at a time; the pace itself is the store's (pacing.h), so asking too early or too often costs
 * a question and never a message too many.
 */
#ifndef HERALD_TICK_H
#define HERALD_TICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "store.h"

/* Other nodes insert, start and stop without telling us, and clocks drift: look at least this often. */
#define TICK_LOOK USEC_PER_SEC

/*
 * The store's clock minus the monotonic one lies between lo and hi: each answer that tells the store's
 * time narrows this down, as it was read between asking and answering.
 */
struct store_clock {
	bool known;
	usec_t lo, hi;
};
void store_clock_learn(struct store_clock *c, usec_t store, usec_t asked, usec_t answered);
/* The earliest monotonic time at which the store's clock may show `store`. */
usec_t store_clock_to_mono(const struct store_clock *c, usec_t store);
usec_t store_clock_to_store(const struct store_clock *c, usec_t mono);

/* One of the two things asked for: the beat, or retries that run beside it. */
struct tick_source {
	usec_t at; /* monotonic: ask from then on */
	bool more; /* the last answer left some behind */
};

struct tick {
	struct store_clock clock;
	struct tick_source beat, retries;
	bool free_retries; /* the second source is in use */
	bool prefetch;     /* continuous mode may hold what has not started */
	bool retries_next; /* whose turn it is when both are due */
	bool continuous;   /* as far as answers told */
	bool forced_more;  /* a forced beat is not used up */
	usec_t asked_at;
	usec_t answer_time; /* how long answers took lately */
	unsigned failures; /* in a row */
	/* rate of starting, to know how much to have in hand */
	uint64_t started;
	usec_t measured_at;
	double per_sec;
};

struct tick_room {
	size_t slots;     /* requests that could start now, if there were messages */
	size_t ready;     /* claimed messages that wait for a slot */
	size_t unsettled; /* how many more may be out: bounds memory while the store is slow */
};

struct tick_ask {
	uint32_t want;
	bool forced, free_retries;
};

/* prefetch: continuous mode may hold messages that have not started. A crash leaves their outcome as
 * unknown as that of those on the wire, so strict mode, which parks such messages, does without. */
void tick_init(struct tick *t, bool free_retries, bool prefetch, usec_t now);
/* Whether to ask now. Call it only while no other question is out. */
must_check bool tick_ask(struct tick *t, usec_t now, const struct tick_room *room, struct tick_ask *ret);
/* A forced question, always possible: at least 1 is wanted. */
struct tick_ask tick_force(struct tick *t, usec_t now, const struct tick_room *room);
/* b: the answer, or NULL when the store failed. */
void tick_answered(struct tick *t, const struct tick_ask *ask, const struct claim_batch *b, usec_t now);
/* When tick_ask() may say yes if nothing else happens; USEC_NEVER: only after something else. */
usec_t tick_next(const struct tick *t, const struct tick_room *room);

/* Something changed; but a question that was just answered is not repeated at once. */
void tick_poked(struct tick *t, usec_t now);
/* A message will be due then. */
void tick_expect(struct tick *t, usec_t at);
static inline void tick_started(struct tick *t)
{
	t->started++;
}

#endif
