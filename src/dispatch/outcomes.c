#include "outcomes.h"

#include "attr.h"
#include "log.h"

#define RECOVER_LIMIT 1000

void outcomes_init(struct outcomes *o, struct metrics *m)
{
	static const struct {
		enum verdict verdict;
		const char *labels;
	} attempts[] = {
		{VERDICT_SENT, "outcome=\"sent\""},
		{VERDICT_RETRY, "outcome=\"retry\""},
		{VERDICT_FAILED, "outcome=\"failed\""},
		{VERDICT_UNKNOWN, "outcome=\"unknown\""},
		{VERDICT_INVALID, "outcome=\"invalid\""},
	};
	static const char *const recovered[] = {"to=\"pending\"", "to=\"unknown\"", "to=\"failed\""};

	*o = (struct outcomes){.attempts = {NULL}};
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		o->attempts[attempts[i].verdict] = metrics_counter(
			m, "herald_attempts_total", "Delivery attempts by outcome.", attempts[i].labels);
	for (size_t i = 0; i < ARRAY_SIZE(recovered); i++)
		o->recovered[i] = metrics_counter(m, "herald_recovered_total",
		                                  "Claims taken back without an outcome, by new status.",
		                                  recovered[i]);
}

int outcomes_recover(const struct outcomes *o, struct store_session *c, const char *owner,
                     const struct delivery_policy *policy, int max_lost_claims, struct recover_result *ret,
                     struct error *err)
{
	const struct recover_request r = {
		.owner = owner,
		.last_error = "the lease ran out without an outcome",
		.strict = policy->strict,
		.retry_free = policy->retry_free,
		.max_lost = max_lost_claims,
		.max_attempts = policy->max_attempts,
		.limit = RECOVER_LIMIT,
	};
	int rc = store_recover(c, &r, ret, err);

	if (rc || !(ret->pending || ret->unknown || ret->failed))
		return rc;
	log_warn("claims without an outcome were taken back", kv_uint("pending", ret->pending),
	         kv_uint("unknown", ret->unknown), kv_uint("failed", ret->failed), kv_str("owner", owner));
	metric_add(o->recovered[0], ret->pending);
	metric_add(o->recovered[1], ret->unknown);
	metric_add(o->recovered[2], ret->failed);
	return OK;
}
