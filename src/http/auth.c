#include "auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"

static void digest_of(const char *key, size_t len, unsigned char out[KEY_DIGEST])
{
	if (EVP_Digest(key, len, out, NULL, EVP_sha256(), NULL) != 1)
		panic("http: SHA-256 is not available");
}

int keyring_init(struct keyring *k, const char *keys, struct error *err)
{
	const char *at = keys ? keys : "";

	*k = (struct keyring){0};
	while (*at) {
		const char *start = at + strspn(at, " \t");
		size_t len = strcspn(start, ",");
		const char *next = start + len;

		while (len && (start[len - 1] == ' ' || start[len - 1] == '\t'))
			len--;
		if (len) {
			if (k->n == KEYRING_MAX)
				return error_set(err, ERR_CONFIG, "more than %d API keys for one group",
				                 KEYRING_MAX);
			digest_of(start, len, k->digest[k->n++]);
		}
		at = *next ? next + 1 : next;
	}
	return OK;
}

bool keyring_has(const struct keyring *k, const char *key, size_t len)
{
	unsigned char digest[KEY_DIGEST];
	int found = 0;

	digest_of(key, len, digest);
	for (size_t i = 0; i < k->n; i++)
		found |= CRYPTO_memcmp(digest, k->digest[i], KEY_DIGEST) == 0;
	return found != 0;
}

const char *auth_bearer(const char *authorization)
{
	if (strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	authorization += 7;
	return authorization + strspn(authorization, " ");
}
