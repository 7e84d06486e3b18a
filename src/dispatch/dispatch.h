/*
 * The dispatcher: at every beat it claims due messages, sends them and settles their outcomes. It owns two
 * threads: one with all timers and outgoing HTTP, one that talks to the store in batches (so that a slow
 * commit never holds up the wire). Functions here may be called from any thread unless they say otherwise.
 */
#ifndef HERALD_DISPATCH_H
#define HERALD_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "clock.h"
#include "delivery.h"
#include "error.h"
#include "message_rules.h"
#include "store.h"

struct dispatch;
struct feed;
struct metrics;

/* Texts are copied. metrics may be NULL. */
struct dispatch_options {
	struct store *store;
	struct cache *cache;
	struct metrics *metrics;
	struct feed *feed; /* told what happens; may be NULL */
	const char *node_id;

	const char *webhook_url;     /* NULL or "": nothing is claimed, and the log says why */
	const char *webhook_auth_key;
	const char *webhook_secrets; /* "whsec_…", several separated by space: each signs */
	usec_t webhook_timeout;
	const char *webhook_ca_file;
	const char *message_id_from; /* "json:/pointer" or "header:NAME" */

	struct delivery_policy policy;
	enum message_order order;
	const struct message_rules *rules; /* what is sent; outlives the dispatcher */
	size_t concurrency;    /* requests in flight */
	usec_t lease;          /* > webhook_timeout + 10 s */
	int max_lost_claims;

	const char *alert_url; /* NULL or "": none */
	uint32_t alert_after;  /* runs in a row; 0: only for 410 */
};

/* ERR_CONFIG: the lease is too short, or a URL, a secret or message_id_from is malformed. Connects to
 * nothing yet. */
must_check int dispatch_open(struct dispatch **ret, const struct dispatch_options *options, struct error *err);
must_check int dispatch_start(struct dispatch *d, struct error *err);

/* Something may be due or the scheduler was changed: look now. Cheap when it is awake anyway. */
void dispatch_poke(struct dispatch *d);

/* "Run now": one beat if the pacing allows it. Blocks until the claim is made (not until it is sent).
 * ERR_CONFLICT: too early, ret->next_at says when. ERR_CONFIG: no webhook URL. ERR_TRANSIENT: the store is
 * away, or the dispatcher stops. */
struct dispatch_run {
	int64_t run;
	uint32_t claimed;
	usec_t next_at;
};
must_check int dispatch_run_now(struct dispatch *d, struct dispatch_run *ret, struct error *err);

size_t dispatch_in_flight(const struct dispatch *d);
/* What tells this life of the node from others, as in the owner of its leases. Lives as long as d. */
const char *dispatch_boot(const struct dispatch *d);
/* "node/boot", whole. */
const char *dispatch_owner(const struct dispatch *d);

/* Stops claiming and gives back what has not started. Returns at once. */
void dispatch_stop_claiming(struct dispatch *d);
/* Waits until what is in flight has ended and is settled, at most `timeout`; then closes the threads. What
 * is still in flight after that keeps its lease and is recovered as "outcome unknown". Returns how many. */
size_t dispatch_finish(struct dispatch *d, usec_t timeout);
/* A second signal: dispatch_finish() returns as soon as what has ended is settled. */
void dispatch_hurry(struct dispatch *d);
void dispatch_close(struct dispatch *d);

#endif
