/*
 * The bodies of the lease routes, checked in full like those of body.h: every field that is wrong is named, an
 * unknown one is an error. Texts point into doc. On false, d says why. Pure; thread-safe.
 */
#ifndef HERALD_LEASE_BODY_H
#define HERALD_LEASE_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "answer.h"
#include "arena.h"
#include "lease_token.h"
#include "leasing.h"

#define LEASE_LIMIT_MAX 500
#define LEASE_LIMIT_DEFAULT 10
#define LEASE_SECONDS_MIN 0.1
#define LEASE_SECONDS_MAX 86400.0
#define LEASE_OUTCOMES_MAX 2000

/* {"limit","leaseSeconds","node","whenStopped","retries"} */
must_check bool lease_body_ask(json_t *doc, struct lease_ask *ret, struct details *d);

/* One attempt's end. */
struct lease_outcome {
	int64_t id; /* 0: not given */
	struct lease_token token;
	enum verdict verdict;
	usec_t retry_in; /* -1: not given */
	int http_status;
	usec_t started_at; /* 0: not given */
	usec_t duration;
	const char *message_id, *error; /* NULL: not given */
};

/* {"token","messageId","httpStatus","startedAt","durationMs"} */
must_check bool lease_body_commit(json_t *doc, struct lease_outcome *ret, struct details *d);
/* {"token","error","retry","retryInSeconds","httpStatus","startedAt","durationMs"}: verdict RETRY or FAILED */
must_check bool lease_body_fail(json_t *doc, struct lease_outcome *ret, struct details *d);
/* {"outcomes":[{"id","token","outcome", and as above}]}; *ret is in the arena */
must_check bool lease_body_outcomes(json_t *doc, struct arena *a, struct lease_outcome **ret, size_t *ret_n,
                                    struct details *d);

struct lease_extension {
	struct lease_ref *refs;
	size_t n;
	usec_t lease; /* 0: not given */
};
/* {"token","leaseSeconds"} for message `id`, or {"leases":[{"id","token"}],"leaseSeconds"} with id 0. */
must_check bool lease_body_extend(json_t *doc, int64_t id, struct arena *a, struct lease_extension *ret,
                                  struct details *d);

/* {"node","bootId","version","role","inFlight","leaving"} */
must_check bool lease_body_node(json_t *doc, struct node_report *ret, struct details *d);

#endif
