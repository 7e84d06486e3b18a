/* Which phone numbers and contents may be taken in, and which may be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "message_rules.h"

static void test_default(void **state)
{
	struct message_rules r;

	(void)state;
	assert_int_equal(message_rules_init(&r, "", 4, false, NULL), OK);
	assert_true(message_rules_phone(&r, "+905551234567"));
	assert_false(message_rules_phone(&r, "05551234567"));
	assert_false(message_rules_takes_phone(&r, "05551234567"));
	assert_true(message_rules_takes_content(&r, "ğğğğ", 8));
	assert_false(message_rules_takes_content(&r, "abcde", 5));
	assert_false(message_rules_takes_content(&r, "", 0));
	/* Stored before the maximum was lowered: it is cut. */
	assert_null(message_rules_broken(&r, "+905551234567", "abcde", 5));
	assert_string_equal(message_rules_broken(&r, "0555", "x", 1), "the phone number is not in E.164 format");
	assert_string_equal(message_rules_broken(&r, "+90555", "", 0), "the content is empty");
	message_rules_release(&r);
}

static void test_pattern(void **state)
{
	struct message_rules r;

	(void)state;
	assert_int_equal(message_rules_init(&r, "^\\+90[5-9][0-9]{9}$", 1000, false, NULL), OK);
	assert_true(message_rules_phone(&r, "+905551234567"));
	assert_false(message_rules_phone(&r, "+904551234567"));
	assert_false(message_rules_phone(&r, "+9055512345678"));
	assert_false(message_rules_phone(&r, "x+905551234567"));
	assert_string_equal(message_rules_broken(&r, "+12", "x", 1),
	                    "the phone number does not match PHONE_PATTERN");
	message_rules_release(&r);

	/* Anything that can be stored. */
	assert_int_equal(message_rules_init(&r, ".", 1000, false, NULL), OK);
	assert_true(message_rules_phone(&r, "0 (555) 123 45 67"));
	assert_true(message_rules_phone(&r, "12345678901234567890"));
	assert_false(message_rules_phone(&r, "123456789012345678901"));
	assert_false(message_rules_phone(&r, ""));
	assert_false(message_rules_phone(&r, "\xff"));
	message_rules_release(&r);
}

static void test_parked(void **state)
{
	struct message_rules r;

	(void)state;
	assert_int_equal(message_rules_init(&r, NULL, 4, true, NULL), OK);
	assert_true(message_rules_takes_phone(&r, "nobody"));
	assert_false(message_rules_takes_phone(&r, ""));
	assert_false(message_rules_takes_phone(&r, "123456789012345678901"));
	assert_false(message_rules_phone(&r, "nobody"));
	assert_true(message_rules_takes_content(&r, "", 0));
	assert_true(message_rules_takes_content(&r, "abcde", 5));
	assert_string_equal(message_rules_broken(&r, "+12", "abcde", 5),
	                    "the content is longer than MESSAGE_MAX_CONTENT_LENGTH");
	assert_null(message_rules_broken(&r, "+12", "abcd", 4));
	message_rules_release(&r);
}

static void test_malformed(void **state)
{
	struct error err = ERROR_INIT;
	struct message_rules r;

	(void)state;
	assert_int_equal(message_rules_init(&r, "(", 4, true, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "PHONE_PATTERN"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_parked),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
