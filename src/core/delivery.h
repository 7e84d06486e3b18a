/*
 * From what happened on the wire to what happens to the message. Pure.
 */
#ifndef HERALD_DELIVERY_H
#define HERALD_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"

/* How an attempt ended. */
enum attempt_end {
	ATTEMPT_ANSWERED,  /* a final status line arrived (the body may be cut or broken) */
	ATTEMPT_NOT_SENT,  /* it failed before the first byte of the request left */
	ATTEMPT_BROKEN,    /* it failed after that, with no status: the outcome is unknown */
	ATTEMPT_REHEARSED, /* failureRate made it fail without a request */
};

/* Stored in attempts and used as metric label: never renumber. */
enum verdict {
	VERDICT_SENT = 0,
	VERDICT_RETRY = 1,   /* pending again, due after retry_in */
	VERDICT_FAILED = 2,
	VERDICT_UNKNOWN = 3, /* strict mode: parked */
	VERDICT_RELEASE = 4, /* never started: given back uncharged */
	VERDICT_LOST = 5,    /* only in stored attempts: the lease ran out without an outcome */
	VERDICT_INVALID = 6, /* against the rules when its turn came: not sent */
};
#define VERDICT_COUNT 7
const char *verdict_name(enum verdict v); /* sent retry failed unknown release lost invalid */

#define RETRY_STEPS_MAX 32
#define RETRY_AFTER_MAX (10 * USEC_PER_HOUR)

struct delivery_policy {
	uint64_t success[10]; /* bitmap of status codes 0–639 that mean accepted */
	int max_attempts;
	usec_t backoff[RETRY_STEPS_MAX];
	size_t backoff_n;  /* >= 1; the last step repeats */
	bool strict;       /* an unknown outcome parks the message */
	bool retry_free;   /* retries run beside the beat */
};

struct delivery_outcome {
	enum attempt_end end;
	int status;          /* ANSWERED: 100–599 */
	usec_t retry_after;  /* asked for by the receiver; 0: not */
};

struct delivery_judgement {
	enum verdict verdict;
	usec_t retry_in; /* RETRY: how long to wait, backoff and Retry-After with jitter included */
	bool gone;       /* 410: stop the scheduler, raise the alert */
};

bool delivery_success(const struct delivery_policy *p, int status);

/* attempt: 1 for the first. jitter: uniform in [0, 1), passed in so that the rule stays pure; adds 0–20 %.
 * Retried: NOT_SENT, REHEARSED, BROKEN (unless strict), 408, 429, 5xx; the larger of backoff and Retry-After
 * (capped) counts. The last allowed attempt fails instead. 3xx and other 4xx fail at once. */
struct delivery_judgement delivery_judge(const struct delivery_policy *p, const struct delivery_outcome *o,
                                         int attempt, double jitter);

/* What every attempt of a message carries as Idempotency-Key. Permanent and without a lookup: the same on every
 * node, whoever sends. */
#define DELIVERY_KEY_TEXT 40
char *delivery_key(int64_t id, usec_t created_at, const char *phone, const char *content, size_t content_len,
                   char out[DELIVERY_KEY_TEXT]);

/* The wait after the given attempt, jitter included. */
usec_t retry_backoff(const struct delivery_policy *p, int attempt, double jitter);

#endif
