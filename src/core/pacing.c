#include "pacing.h"

#include "attr.h"

enum pacing_answer pacing_ask(const struct pacing *p, usec_t now, uint32_t want, bool forced,
                              uint32_t *ret_grant)
{
	*ret_grant = 0;
	if (!p->running && !forced)
		return PACING_STOPPED;

	if (!p->interval) {
		*ret_grant = want;
		return p->beat_at && now - p->beat_at < PACING_CONTINUOUS_RUN ? PACING_JOIN
		                                                              : PACING_OPEN;
	}
	if (now < p->not_before)
		return PACING_WAIT;
	/* A store whose clock was set back waits until it has caught up: sending too late is better
	 * than sending too much. */
	if (!p->beat_at || now >= p->beat_at + p->interval) {
		*ret_grant = MIN_OF(want, p->batch);
		return PACING_OPEN;
	}
	if (!p->left)
		return PACING_WAIT;
	*ret_grant = MIN_OF(want, p->left);
	return PACING_JOIN;
}

struct pacing pacing_after(const struct pacing *p, enum pacing_answer answer, usec_t now, uint32_t taken,
                           bool ran_out)
{
	struct pacing next = *p;

	if (answer == PACING_OPEN) {
		next.beat_at = now;
		next.epoch++;
		next.left = next.interval ? next.batch : 0;
	}
	if (answer == PACING_OPEN || answer == PACING_JOIN)
		next.left = ran_out || taken >= next.left ? 0 : next.left - taken;
	return next;
}

usec_t pacing_next_at(const struct pacing *p)
{
	if (!p->interval)
		return 0;
	return MAX_OF(p->beat_at ? p->beat_at + p->interval : 0, p->not_before);
}
