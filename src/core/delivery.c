#include "delivery.h"

#include <stdio.h>
#include <string.h>

#include "attr.h"
#include "text.h"

static const char *const verdict_names[VERDICT_COUNT] = {
	[VERDICT_SENT] = "sent",       [VERDICT_RETRY] = "retry",     [VERDICT_FAILED] = "failed",
	[VERDICT_UNKNOWN] = "unknown", [VERDICT_RELEASE] = "release", [VERDICT_LOST] = "lost",
	[VERDICT_INVALID] = "invalid",
};

const char *verdict_name(enum verdict v)
{
	return (unsigned)v < VERDICT_COUNT ? verdict_names[v] : "?";
}

bool delivery_success(const struct delivery_policy *p, int status)
{
	if (status < 0 || (size_t)status >= ARRAY_SIZE(p->success) * 64)
		return false;
	return p->success[status / 64] >> (status % 64) & 1;
}

/* Ids start over with a new database, and a receiver may serve several heralds; it would take what is new for a
 * repetition: hence the hash, over the microsecond of the creation as well, for texts do repeat. */
char *delivery_key(int64_t id, usec_t created_at, const char *phone, const char *content, size_t content_len,
                   char out[DELIVERY_KEY_TEXT])
{
	const uint64_t seed = hash_bytes(phone, strlen(phone), (uint64_t)created_at);

	snprintf(out, DELIVERY_KEY_TEXT, "%lld-%016llx", (long long)id,
	         (unsigned long long)hash_bytes(content, content_len, seed));
	return out;
}

/* 0 to 20 % on top, so that what failed together does not come back together. */
static usec_t with_jitter(usec_t wait, double jitter)
{
	return wait + (usec_t)((double)wait * 0.2 * jitter);
}

usec_t retry_backoff(const struct delivery_policy *p, int attempt, double jitter)
{
	size_t step = attempt > 1 ? (size_t)attempt - 1 : 0;

	return with_jitter(p->backoff[MIN_OF(step, p->backoff_n - 1)], jitter);
}

/* Is another attempt worth while? The answer says so, or nobody knows what happened. */
static bool retryable(const struct delivery_policy *p, const struct delivery_outcome *o)
{
	switch (o->end) {
	case ATTEMPT_ANSWERED:
		return o->status == 408 || o->status == 429 || (o->status >= 500 && o->status <= 599);
	case ATTEMPT_BROKEN:
		return !p->strict;
	case ATTEMPT_NOT_SENT:
	case ATTEMPT_REHEARSED:
		return true;
	}
	return false;
}

struct delivery_judgement delivery_judge(const struct delivery_policy *p, const struct delivery_outcome *o,
                                         int attempt, double jitter)
{
	struct delivery_judgement j = {.verdict = VERDICT_FAILED};
	usec_t asked = MIN_OF(with_jitter(MIN_OF(o->retry_after, RETRY_AFTER_MAX), jitter), RETRY_AFTER_MAX);
	usec_t backoff = retry_backoff(p, attempt, jitter);

	if (o->end == ATTEMPT_ANSWERED && delivery_success(p, o->status)) {
		j.verdict = VERDICT_SENT;
	} else if (o->end == ATTEMPT_BROKEN && p->strict) {
		/* Also on the last attempt: "failed" would claim to know that it was not delivered. */
		j.verdict = VERDICT_UNKNOWN;
	} else if (retryable(p, o) && attempt < p->max_attempts) {
		j.verdict = VERDICT_RETRY;
		j.retry_in = MAX_OF(backoff, asked);
	}
	j.gone = o->end == ATTEMPT_ANSWERED && o->status == 410 && j.verdict != VERDICT_SENT;
	return j;
}
