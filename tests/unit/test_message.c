/* The state table, names, phone numbers and the cutting of contents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "message.h"
#include "text.h"

/* Written as a picture, row by row, so that it is not the code's own table again. */
static void test_every_pair_of_state_and_event(void **state)
{
	/* events:           claim success retry fail park release expire cancel replay reject */
	static const char *const legal[MESSAGE_STATUS_COUNT] = {
		[MESSAGE_PENDING] = "xx.....x..", [MESSAGE_SENDING] = ".xxxxxx..x",
		[MESSAGE_SENT] = "..........",    [MESSAGE_FAILED] = "........x.",
		[MESSAGE_CANCELLED] = "..........", [MESSAGE_UNKNOWN] = ".x........",
		[MESSAGE_INVALID] = "..........",
	};
	(void)state;
	for (int s = 0; s < MESSAGE_STATUS_COUNT; s++) {
		for (int e = 0; e < MESSAGE_EVENT_COUNT; e++) {
			bool may = message_may((enum message_status)s, (enum message_event)e);

			if (may != (legal[s][e] == 'x'))
				fail_msg("%s, event %d: %d", message_status_name((enum message_status)s), e, may);
		}
	}
	assert_false(message_may((enum message_status)7, EVENT_CLAIM));
	assert_false(message_may(MESSAGE_PENDING, (enum message_event)10));
}

static void test_status_names_round_trip(void **state)
{
	enum message_status s = MESSAGE_SENT;

	(void)state;
	for (int i = 0; i < MESSAGE_STATUS_COUNT; i++) {
		assert_true(message_status_parse(message_status_name((enum message_status)i), &s));
		assert_int_equal(s, i);
	}
	assert_string_equal(message_status_name(MESSAGE_UNKNOWN), "unknown");
	assert_string_equal(message_status_name((enum message_status)77), "?");
	s = MESSAGE_FAILED;
	assert_false(message_status_parse("Sent", &s));
	assert_false(message_status_parse("?", &s));
	assert_false(message_status_parse("", &s));
	assert_int_equal(s, MESSAGE_FAILED);
}

static void test_phone(void **state)
{
	static const char *const good[] = {"+12", "+905551234567", "+123456789012345"};
	static const char *const bad[] = {"",        "+",      "+1",    "905551234567", "+0555",
	                                  "+1234567890123456", "+90 555", "+90-5", "++90", "+90555a",
	                                  " +90555", "+90555\n"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!phone_valid(good[i]))
			fail_msg("refused %s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (phone_valid(bad[i]))
			fail_msg("took %s", bad[i]);
}

static void check_cut(const char *content, size_t max, size_t want_len, bool want_cut)
{
	bool cut = !want_cut;
	size_t len = content_cut(content, strlen(content), max, &cut);

	assert_int_equal(len, want_len);
	assert_int_equal(cut, want_cut);
}

static void test_content_cut(void **state)
{
	(void)state;
	check_cut("", 4, 0, false);
	check_cut("abcd", 4, 4, false);
	check_cut("abcde", 4, 1, true);
	check_cut("abcdefghij", 9, 6, true);
	/* Code points are counted, not bytes, and never split: 2, 3 and 4 bytes each. */
	check_cut("şşşş", 4, 8, false);
	check_cut("şşşşş", 4, 2, true);
	check_cut("€€€€€€", 5, 6, true);
	check_cut("😀😀😀😀😀", 4, 4, true);
	check_cut("a😀b😀c😀", 5, 5, true);
}

static void test_cut_content_is_valid_and_of_exact_length(void **state)
{
	static const char *const points[] = {"a", "ş", "€", "😀"};
	char text[200 * 4 + 4];

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t n = random_u64() % 200, len = 0, max = 4 + random_u64() % 100;
		bool cut;

		for (size_t i = 0; i < n; i++) {
			const char *p = points[random_u64() % 4];

			memcpy(text + len, p, strlen(p));
			len += strlen(p);
		}
		size_t kept = content_cut(text, len, max, &cut);

		assert_int_equal(cut, n > max);
		assert_true(utf8_valid(text, kept));
		assert_int_equal(utf8_length(text, kept) + (cut ? 3 : 0), cut ? max : n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair_of_state_and_event),
		cmocka_unit_test(test_status_names_round_trip),
		cmocka_unit_test(test_phone),
		cmocka_unit_test(test_content_cut),
		cmocka_unit_test(test_cut_content_is_valid_and_of_exact_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
