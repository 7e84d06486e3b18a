/*
 * The beat: at most `batch` attempts may start per `interval`, over the whole cluster. The state is one
 * row in the store; this is the pure rule that every driver applies inside the transaction that claims.
 *
 * A beat opens when `interval` has passed since the last one *opened* on the store's clock — not on a
 * grid of round times: a beat that opens late moves the next one, so no window of one interval ever
 * holds two openings. There is no catch-up after an outage. A beat grants up to `batch` claims; a
 * claimer may take them in parts (it has only so many free slots) until they are used up, work runs out, or
 * the next beat opens. Stopping, starting and restarting do not touch beat_at.
 *
 * not_before holds beats back after a start (FIRST_RUN=after-interval); it can only make them later.
 *
 * interval 0 is continuous mode: every claim is granted in full, and a "beat" is merely a run record
 * of one second.
 */
#ifndef HERALD_PACING_H
#define HERALD_PACING_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

#define PACING_CONTINUOUS_RUN USEC_PER_SEC
#define PACING_BATCH_MAX 1000000

struct pacing {
	bool running;
	usec_t interval;
	uint32_t batch;
	usec_t beat_at; /* when the current beat opened; 0: never */
	int64_t epoch;  /* counts beats; the compare-and-set key */
	uint32_t left;  /* claims still open in the current beat */
	usec_t not_before; /* no beat before this, nor more of the current one; 0: no bound */
};

enum pacing_answer {
	PACING_STOPPED, /* the scheduler is stopped */
	PACING_WAIT,    /* nothing left before pacing_next_at() */
	PACING_JOIN,    /* take up to `grant` from the current beat */
	PACING_OPEN,    /* a new beat opens, take up to `grant` from it */
};

/* What a claimer that wants `want` (>= 1) messages at `now` may do. forced: also when stopped (an operator's
 * "run now"), but never before the beat is due. Does not change *p. */
enum pacing_answer pacing_ask(const struct pacing *p, usec_t now, uint32_t want, bool forced,
                              uint32_t *ret_grant);

/* The state after an OPEN or JOIN that found `taken` (<= grant) messages; `ran_out` when it found fewer
 * than it was granted, which closes the beat. */
struct pacing pacing_after(const struct pacing *p, enum pacing_answer answer, usec_t now, uint32_t taken,
                           bool ran_out);

/* When the next beat may open; 0: at once (none has opened yet and nothing holds it back, or continuous mode). */
usec_t pacing_next_at(const struct pacing *p);

#endif
