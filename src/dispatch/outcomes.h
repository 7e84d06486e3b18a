/*
 * What the dispatcher and those who lease have in common: attempts are counted in the same series, whoever makes
 * them, and claims without an outcome are taken back by the same rules.
 */
#ifndef HERALD_OUTCOMES_H
#define HERALD_OUTCOMES_H

#include "delivery.h"
#include "metrics.h"
#include "store.h"

struct outcomes {
	metric_counter *attempts[VERDICT_COUNT]; /* NULL: not an attempt's outcome */
	metric_counter *recovered[3]; /* pending, unknown, failed */
};

void outcomes_init(struct outcomes *o, struct metrics *m);

/* As store_recover(), with the policy's rules; counts and logs what was taken back. */
must_check int outcomes_recover(const struct outcomes *o, struct store_session *c, const char *owner,
                                const struct delivery_policy *policy, int max_lost_claims,
                                struct recover_result *ret, struct error *err);

#endif
