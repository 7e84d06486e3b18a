/*
 * For tests: a receiver that exists only on paper. A test makes a script under a name and opens a
 * transport with the URL "fake:NAME" (or lets the code under test open it); each request is recorded and
 * ends as the script says, in the order of the requests. All functions are thread-safe, so a test may
 * drive a dispatcher that runs in its own threads.
 */
#ifndef HERALD_TRANSPORT_FAKE_H
#define HERALD_TRANSPORT_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "transport.h"

struct fake_script;

/* How one request shall end. Strings must outlive the script. */
struct fake_outcome {
	enum attempt_end end;
	int status;            /* ANSWERED */
	usec_t delay;          /* USEC_NEVER: when fake_script_release() is called */
	const char *body;      /* NULL: {"message":"Accepted","messageId":"fake-N"}, N from 1 */
	bool body_cut;
	const char *captured;
	const char *retry_after;
	const char *error;
};

/* A request as it came; good until fake_script_free(). */
struct fake_request {
	usec_t at; /* clock_mono() */
	char *body;
	size_t body_len;
	char *key;
	char *timestamp; /* may be NULL */
	char *signature; /* may be NULL */
};

/* The name must be unused. Requests beyond the script end as 202 at once, unless
 * fake_script_otherwise() says how. */
struct fake_script *fake_script_new(const char *name);
void fake_script_free(struct fake_script *s); /* after the transport was closed */

void fake_script_push(struct fake_script *s, const struct fake_outcome *outcome);
void fake_script_otherwise(struct fake_script *s, const struct fake_outcome *outcome);
/* Ends all requests that wait for it now. */
void fake_script_release(struct fake_script *s);

size_t fake_script_count(struct fake_script *s); /* requests so far */
/* The i-th from 0; i < fake_script_count(). */
const struct fake_request *fake_script_request(struct fake_script *s, size_t i);
/* Waits until n requests have come; false when they have not within the time. */
must_check bool fake_script_wait(struct fake_script *s, size_t n, usec_t timeout);

#endif
