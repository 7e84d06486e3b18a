/*
 * What the holder of a lease shows when it reports an outcome: which claim of the message it had. Opaque to
 * clients, who only hand it back; it proves no right (the API key does), it fences. Pure.
 */
#ifndef HERALD_LEASE_TOKEN_H
#define HERALD_LEASE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "clock.h"

/* The version of what is said over the lease routes, told in /openapi.json, so that a worker without the database
 * notices when it cannot understand. */
#define LEASE_PROTOCOL 1

struct lease_token {
	int64_t fence;    /* >= 1 */
	int64_t run;      /* 0: none */
	int attempt;      /* >= 1 */
	usec_t leased_at; /* the store's clock */
};

#define LEASE_TOKEN_TEXT 80
char *lease_token_format(const struct lease_token *t, char out[LEASE_TOKEN_TEXT]);
must_check bool lease_token_parse(const char *text, size_t len, struct lease_token *ret);

#endif
