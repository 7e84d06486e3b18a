#include "sign.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "alloc.h"
#include "text.h"

#define SECRETS_MAX 16
#define PREFIX "whsec_"

/* One context per secret, made once: fetching the algorithm and hashing the key cost more than a
 * signature, and a context can start over with the key it has. */
struct signer {
	EVP_MAC_CTX *mac[SECRETS_MAX];
	size_t n;
};

static EVP_MAC_CTX *mac_new(const void *key, size_t len)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;

	EVP_MAC_free(hmac);
	if (!ctx || !EVP_MAC_init(ctx, key, len, params))
		panic("libcrypto has no HMAC-SHA256");
	return ctx;
}

static bool add_secret(struct signer *s, const char *text, size_t len)
{
	struct buf key = BUF_INIT;
	bool good = s->n < SECRETS_MAX && len > strlen(PREFIX) && !memcmp(text, PREFIX, strlen(PREFIX)) &&
	            base64_decode(&key, text + strlen(PREFIX), len - strlen(PREFIX)) && key.len;

	if (good)
		s->mac[s->n++] = mac_new(key.data, key.len);
	if (key.len)
		OPENSSL_cleanse(key.data, key.len);
	buf_release(&key);
	return good;
}

int signer_new(struct signer **ret, const char *secrets, struct error *err)
{
	struct signer *s = xcalloc(1, sizeof(*s));

	for (size_t len; *(secrets += strspn(secrets, " ")); secrets += len) {
		len = strcspn(secrets, " ");
		if (!add_secret(s, secrets, len)) {
			signer_free(s);
			return error_set(err, ERR_CONFIG,
			                 "a webhook secret must be " PREFIX " and base64, and there may be "
			                 "at most %d", SECRETS_MAX);
		}
	}
	*ret = s;
	return OK;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		EVP_MAC_CTX_free(s->mac[i]);
	free(s);
}

void signer_sign(struct signer *s, struct buf *out, const char *id, const char *timestamp,
                 const char *body, size_t body_len)
{
	unsigned char digest[32];
	size_t len;

	buf_clear(out);
	for (size_t i = 0; i < s->n; i++) {
		EVP_MAC_CTX *m = s->mac[i];

		if (!EVP_MAC_init(m, NULL, 0, NULL) ||
		    !EVP_MAC_update(m, (const unsigned char *)id, strlen(id)) ||
		    !EVP_MAC_update(m, (const unsigned char *)".", 1) ||
		    !EVP_MAC_update(m, (const unsigned char *)timestamp, strlen(timestamp)) ||
		    !EVP_MAC_update(m, (const unsigned char *)".", 1) ||
		    !EVP_MAC_update(m, (const unsigned char *)body, body_len) ||
		    !EVP_MAC_final(m, digest, &len, sizeof(digest)))
			panic("libcrypto failed to sign");
		if (i)
			buf_addlit(out, " ");
		buf_addlit(out, "v1,");
		base64_encode(out, digest, sizeof(digest));
	}
}
