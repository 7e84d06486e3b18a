/* Signatures, against the test vector of the Standard Webhooks specification and an independent HMAC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "sign.h"
#include "text.h"

static void expect(struct buf *out, const char *key, const char *content)
{
	unsigned char digest[32];
	unsigned int len = sizeof(digest);

	HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)content, strlen(content), digest, &len);
	if (out->len)
		buf_addch(out, ' ');
	buf_addstr(out, "v1,");
	base64_encode(out, digest, len);
}

static void test_the_specification_s_vector(void **state)
{
	struct signer *s;
	struct buf out = BUF_INIT;
	const char *body = "{\"test\": 2432232314}";

	(void)state;
	assert_int_equal(signer_new(&s, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", NULL), OK);
	signer_sign(s, &out, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body, strlen(body));
	assert_string_equal(out.data, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	buf_release(&out);
	signer_free(s);
}

static void test_each_secret_signs_each_time(void **state)
{
	struct signer *s;
	struct buf out = BUF_INIT, want = BUF_INIT;

	(void)state;
	assert_int_equal(signer_new(&s, "whsec_Zmlyc3Qga2V5IG9mIDI0IGJ5dGVzIQ== whsec_c2Vjb25k", NULL), OK);
	for (int i = 0; i < 3; i++) {
		const char *body = i == 1 ? "" : "{\"to\":\"x\"}";
		char content[64];

		signer_sign(s, &out, "7-ab", "1700000000", body, strlen(body));
		snprintf(content, sizeof(content), "7-ab.1700000000.%s", body);
		buf_clear(&want);
		expect(&want, "first key of 24 bytes!", content);
		expect(&want, "second", content);
		assert_string_equal(out.data, want.data);
	}
	buf_release(&out);
	buf_release(&want);
	signer_free(s);
}

static void test_bad_secrets(void **state)
{
	static const char *const bad[] = {"whsec_", "hunter2", "whsec_hunter2!", "whsec_c2Vjb25k whsec",
	                                  "whsec_c2Vjb25k,whsec_c2Vjb25k"};
	struct signer *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(signer_new(&s, bad[i], &err), ERR_CONFIG);
		assert_null(strstr(err.text, "hunter2"));
		assert_null(strstr(err.text, "c2Vj"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_specification_s_vector),
		cmocka_unit_test(test_each_secret_signs_each_time),
		cmocka_unit_test(test_bad_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
