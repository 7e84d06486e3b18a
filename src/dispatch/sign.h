/*
 * Signatures of outgoing requests as in the Standard Webhooks specification: HMAC-SHA256 over
 * "id.timestamp.body", one per secret, so that a receiver may change its secret while both are in use.
 * One thread at a time.
 */
#ifndef HERALD_SIGN_H
#define HERALD_SIGN_H

#include <stddef.h>

#include "buf.h"
#include "error.h"

struct signer;

/* secrets: "whsec_" and base64, several separated by spaces. ERR_CONFIG, without quoting any. */
must_check int signer_new(struct signer **ret, const char *secrets, struct error *err);
void signer_free(struct signer *s); /* may be NULL */

/* Replaces out with "v1,BASE64 v1,BASE64 ...". */
void signer_sign(struct signer *s, struct buf *out, const char *id, const char *timestamp,
                 const char *body, size_t body_len);

#endif
