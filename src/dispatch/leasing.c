#include "leasing.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "metrics.h"
#include "outcomes.h"
#include "text.h"

#define OWNER_MAX 160
#define RECOVER_EVERY USEC_PER_SEC

struct leasing {
	struct leasing_options o; /* owner is our own copy */
	char boot[9];
	_Atomic unsigned threads; /* that have asked */
	_Atomic usec_t recover_at; /* monotonic */
	struct metrics *own_metrics;
	struct outcomes outcomes;
	metric_counter *leased;
};

struct leasing *leasing_new(const struct leasing_options *options)
{
	struct leasing *l = xcalloc(1, sizeof(*l));

	l->o = *options;
	l->o.owner = xstrdup(options->owner ? options->owner : STORE_OWNER_OUTSIDE);
	if (!l->o.metrics)
		l->o.metrics = l->own_metrics = metrics_new();
	outcomes_init(&l->outcomes, l->o.metrics);
	l->leased = metrics_counter(l->o.metrics, "herald_leased_total", "Messages leased over the API.", "");
	snprintf(l->boot, sizeof(l->boot), "%08x", (unsigned)random_u64());
	return l;
}

void leasing_free(struct leasing *l)
{
	if (!l)
		return;
	metrics_free(l->own_metrics);
	free((char *)(uintptr_t)l->o.owner);
	free(l);
}

usec_t leasing_duration(const struct leasing *l)
{
	return l->o.lease;
}

/* Where no dispatcher runs, nobody else takes back what ran out. What fails here fails the claim as well. */
static int recover(struct leasing *l, struct store_session *c, struct error *err)
{
	usec_t now = clock_mono(), at = atomic_load(&l->recover_at), there;
	struct recover_result got;
	int rc;

	/* One of those who ask at a time. */
	if (now < at || !atomic_compare_exchange_strong(&l->recover_at, &at, now + RECOVER_EVERY))
		return OK;
	rc = outcomes_recover(&l->outcomes, c, l->o.owner, &l->o.policy, l->o.max_lost_claims, &got, err);
	if (!rc && got.next_expiry != USEC_NEVER && !(rc = store_now(c, &there, err)) &&
	    got.next_expiry - there < RECOVER_EVERY)
		atomic_store(&l->recover_at, now + MAX_OF(got.next_expiry - there, 0));
	if (rc || got.more)
		atomic_store(&l->recover_at, now);
	return rc;
}

/* Those given out now may be the first to run out. */
static void expect_end(struct leasing *l, usec_t lease)
{
	usec_t mine = clock_mono() + lease, at = atomic_load(&l->recover_at);

	while (mine < at && !atomic_compare_exchange_weak(&l->recover_at, &at, mine))
		;
}

static void run_ended(const struct run_end *end)
{
	if (end->run)
		log_at(end->claimed ? LOG_INFO : LOG_DEBUG, "run finished", kv_int("run", end->run),
		       kv_uint("claimed", end->claimed), kv_uint("sent", end->sent),
		       kv_uint("failed", end->failed), kv_uint("retried", end->retried));
}

/*
 * Who holds the lease, as the store knows it. A store that lost the answer to a commit may look whether a row has
 * the fence and the owner that it gave; so no two claims that run at a time may have the same owner.
 */
static void name_owner(struct leasing *l, const char *holder, char *out, size_t size)
{
	static _Thread_local unsigned thread;

	if (!thread)
		thread = atomic_fetch_add(&l->threads, 1) + 1;
	snprintf(out, size, "%.64s/%s.%u" STORE_OWNER_OUTSIDE, holder, l->boot, thread);
}

/* What may not be sent is not handed out. When this fails the messages come back with the end of their lease. */
static int sort_out(struct leasing *l, struct store_session *c, struct claim_batch *b, struct error *err)
{
	struct settlement *broken = xcalloc(b->n + 1, sizeof(*broken));
	struct settle_result result;
	size_t kept = 0, n = 0;
	int rc;

	for (size_t i = 0; i < b->n; i++) {
		const struct claimed *m = &b->items[i];
		const char *why = message_rules_broken(l->o.rules, m->phone, m->content, m->content_len);

		if (!why) {
			b->items[kept++] = *m;
			continue;
		}
		broken[n++] = (struct settlement){
			.id = m->id,
			.fence = m->fence,
			.run = b->run,
			.attempt = m->attempt,
			.verdict = VERDICT_INVALID,
			.started_at = b->now,
			.error = why,
		};
	}
	rc = n ? leasing_settle(l, c, broken, n, &result, err) : OK;
	free(broken);
	b->n = kept;
	return rc;
}

/* Whoever asks for anything must not wait for retries that the beat will never give. */
static int claim(struct store_session *c, enum lease_source source, struct claim_request *r, struct claim_batch *ret,
                 struct error *err)
{
	usec_t retry_at = USEC_NEVER;
	int rc;

	r->free_retries = source == LEASE_RETRIES;
	if (source == LEASE_ANY && r->retry_free && !r->unpaced) {
		r->free_retries = true;
		rc = store_claim(c, r, ret, err);
		if (rc)
			return rc;
		if (ret->n) {
			ret->more = true;
			return OK;
		}
		retry_at = ret->next_at;
		claim_batch_release(ret);
		r->free_retries = false;
	}
	rc = store_claim(c, r, ret, err);
	if (!rc)
		ret->next_at = MIN_OF(ret->next_at, retry_at);
	return rc;
}

int leasing_claim(struct leasing *l, struct store_session *c, const struct lease_ask *ask,
                  struct claim_batch *ret, struct error *err)
{
	char owner[OWNER_MAX];
	struct claim_request r = {
		.node = ask->holder,
		.owner = owner,
		.want = ask->limit,
		.lease = ask->lease ? ask->lease : l->o.lease,
		.order = l->o.order,
		.forced = ask->when_stopped,
		.retry_free = l->o.policy.retry_free,
		.unpaced = ask->unpaced,
		.skip = ask->skip,
	};
	int rc;

	name_owner(l, ask->holder, owner, sizeof(owner));
	if ((rc = recover(l, c, err)) || (rc = claim(c, ask->source, &r, ret, err)))
		return rc;
	run_ended(&ret->ended);
	rc = sort_out(l, c, ret, err);
	if (rc) {
		claim_batch_release(ret);
		return rc;
	}
	if (!ret->n)
		return OK;
	expect_end(l, r.lease);
	metric_add(l->leased, ret->n);
	log_debug("leased", kv_str("holder", ask->holder), kv_uint("messages", ret->n), kv_int("run", ret->run));
	return OK;
}

struct delivery_judgement leasing_judge(const struct leasing *l, int attempt, bool retry)
{
	struct delivery_judgement j = {.verdict = VERDICT_FAILED};

	if (retry && attempt < l->o.policy.max_attempts) {
		j.verdict = VERDICT_RETRY;
		j.retry_in = retry_backoff(&l->o.policy, attempt, random_unit());
	}
	return j;
}

int leasing_settle(struct leasing *l, struct store_session *c, struct settlement *s, size_t n,
                   struct settle_result *ret, struct error *err)
{
	struct cache_entry *sent;
	size_t cached = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		s[i].retry_free = l->o.policy.retry_free;
	rc = store_settle(c, s, n, ret, err);
	if (rc)
		return rc;
	sent = xcalloc(n + 1, sizeof(*sent));
	for (size_t i = 0; i < n; i++) {
		if (s[i].applied && s[i].verdict == VERDICT_SENT)
			sent[cached++] = (struct cache_entry){
				.id = s[i].id, .message_id = s[i].message_id, .sent_at = s[i].sent_at};
		if (s[i].applied && l->outcomes.attempts[s[i].verdict])
			metric_inc(l->outcomes.attempts[s[i].verdict]);
	}
	if (cached && l->o.cache)
		cache_put(l->o.cache, sent, cached);
	free(sent);
	for (size_t i = 0; i < MIN_OF(ret->ended_n, ARRAY_SIZE(ret->ended)); i++)
		run_ended(&ret->ended[i]);
	return OK;
}
