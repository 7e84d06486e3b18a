#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lease_token.h"

static void comes_back_as_it_was(void **state)
{
	const struct lease_token t = {.fence = 7, .run = INT64_MAX, .attempt = 3, .leased_at = 1767323045678901};
	struct lease_token back;
	char text[LEASE_TOKEN_TEXT];

	(void)state;
	assert_string_equal(lease_token_format(&t, text), "7.9223372036854775807.3.1767323045678901");
	assert_true(lease_token_parse(text, strlen(text), &back));
	assert_int_equal(back.fence, t.fence);
	assert_int_equal(back.run, t.run);
	assert_int_equal(back.attempt, t.attempt);
	assert_int_equal(back.leased_at, t.leased_at);
}

static void refuses_anything_else(void **state)
{
	static const char *const texts[] = {
		"", ".", "...", "1.1.1", "1.1.1.", "1.1.1.1.1", "0.1.1.1", "1.-1.1.1", "1.1.0.1", "1.1.1.-1",
		"1.1.1.x", " 1.1.1.1", "1.1.1.1 ", "1.1.99999999999.1", "99999999999999999999.1.1.1", "+1.1.1.1",
	};
	struct lease_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(lease_token_parse(texts[i], strlen(texts[i]), &t));
	assert_false(lease_token_parse("1.1.1.1\0", 8, &t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was),
		cmocka_unit_test(refuses_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
