/*
 * What an answer of the webhook says beyond its status: the provider's id of the message, and when to
 * come back. Both are foreign bytes: bounded, and never a reason to fail.
 */
#ifndef HERALD_WEBHOOK_ANSWER_H
#define HERALD_WEBHOOK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "clock.h"
#include "error.h"
#include "message.h"

/* Where the id is. Immutable after init. */
struct answer_rule {
	char *header;  /* its name, or NULL: in the JSON body */
	char **tokens; /* of the JSON pointer, unescaped */
	size_t n;
};

/* spec: "header:NAME", or "json:" and a JSON pointer (RFC 6901). ERR_CONFIG. */
must_check int answer_rule_init(struct answer_rule *ret, const char *spec, struct error *err);
void answer_rule_release(struct answer_rule *r);

/*
 * The id as text, cut at MESSAGE_PROVIDER_ID_MAX bytes; a whole number counts as its digits. Returns its
 * length, 0 when there is none: not JSON, not there, empty, another type, not UTF-8. header_value is what
 * came under r->header (may be NULL). Thread-safe.
 */
size_t answer_message_id(const struct answer_rule *r, const char *body, size_t len,
                         const char *header_value, char out[MESSAGE_PROVIDER_ID_MAX + 1]);

/* Retry-After (RFC 9110 section 10.2.3): seconds, or an HTTP date compared with `wall`. 0 when it is
 * neither, or past; at most RETRY_AFTER_MAX. text may be NULL. */
usec_t retry_after_parse(const char *text, usec_t wall);

#endif
