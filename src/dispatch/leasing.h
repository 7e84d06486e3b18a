/*
 * Messages handed to senders outside this process: what the dispatcher is for itself, this is for whoever leases
 * messages over the API. Leases are claims like any other: of the beat, fenced, recovered when they end, with the
 * same rules for what an outcome means.
 *
 * Any thread, with a store session of its own.
 */
#ifndef HERALD_LEASING_H
#define HERALD_LEASING_H

#include "cache.h"
#include "delivery.h"
#include "message_rules.h"
#include "store.h"

struct leasing;
struct metrics;

/* Texts are copied. metrics may be NULL. */
struct leasing_options {
	struct cache *cache;
	struct metrics *metrics;
	const char *owner; /* of this process's own claims, "node/boot"; NULL: it has none */
	struct delivery_policy policy;
	const struct message_rules *rules; /* what is handed out; outlives this */
	enum message_order order;
	usec_t lease; /* unless the asker says how long */
	int max_lost_claims;
};

struct leasing *leasing_new(const struct leasing_options *options);
void leasing_free(struct leasing *l); /* may be NULL */
usec_t leasing_duration(const struct leasing *l); /* of a lease, as configured */

/* Where messages come from when retries run beside the beat (delivery_policy.retry_free); otherwise the beat has all. */
enum lease_source {
	LEASE_ANY,  /* retries that are due; without any, what the beat gives */
	LEASE_BEAT, /* first attempts alone */
	LEASE_RETRIES,
};

struct lease_ask {
	const char *holder; /* name of who asks; at most 64 bytes */
	uint32_t limit;     /* >= 1 */
	usec_t lease;       /* 0: as configured */
	bool when_stopped;  /* as an operator's "run now" */
	enum lease_source source;
	bool unpaced;  /* claim_request.unpaced */
	uint64_t skip; /* claim_request.skip */
};

/* Takes back leases that have run out, then claims. As store_claim(); what breaks the rules becomes invalid and is
 * not among the items. LEASE_ANY gives what is due beside the beat alone, if there is any: then there may be more. */
must_check int leasing_claim(struct leasing *l, struct store_session *c, const struct lease_ask *ask,
                             struct claim_batch *ret, struct error *err);

/* What an attempt that failed leads to. */
struct delivery_judgement leasing_judge(const struct leasing *l, int attempt, bool retry);

/* As store_settle(), and what was sent goes to the cache. Sets retry_free. */
must_check int leasing_settle(struct leasing *l, struct store_session *c, struct settlement *s, size_t n,
                              struct settle_result *ret, struct error *err);

#endif
