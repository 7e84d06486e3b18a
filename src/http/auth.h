/*
 * API keys. A key that a client presents is hashed and the hash compared with that of every configured key,
 * in constant time and without stopping at a match, so that time tells neither a key nor which one it was.
 */
#ifndef HERALD_AUTH_H
#define HERALD_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

#define KEYRING_MAX 16
#define KEY_DIGEST 32 /* SHA-256 */

struct keyring {
	size_t n; /* 0: no key is configured */
	unsigned char digest[KEYRING_MAX][KEY_DIGEST];
};

/* keys: comma-separated, spaces around each ignored, empty ones skipped; NULL is empty. ERR_CONFIG: more than
 * KEYRING_MAX. */
must_check int keyring_init(struct keyring *k, const char *keys, struct error *err);

/* Thread-safe. */
bool keyring_has(const struct keyring *k, const char *key, size_t len);

/* The KEY of "Bearer KEY" (scheme in any case), or NULL. */
const char *auth_bearer(const char *authorization);

#endif
