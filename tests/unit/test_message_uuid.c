/* Ids spelled as UUIDs: fixed spellings, the bits that RFC 9562 asks for, the way back, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "message_uuid.h"
#include "text.h"

/* Clients keep them: these never change. */
static const struct {
	int64_t id;
	const char *uuid;
} fixed[] = {
	{1, "3087ef33-a419-8af3-9223-8a63ee9d446d"},
	{2, "e1745ada-d506-8e83-b0ca-32854895dbea"},
	{1000000, "c0594420-e0a5-8e81-ae04-7d479a04a018"},
	{MESSAGE_ID_MAX, "a4716df1-3fc0-8852-8097-ebe2b3b7375a"},
};

static void test_fixed_spellings(void **state)
{
	char text[MESSAGE_UUID_TEXT];
	int64_t id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		message_uuid_format(fixed[i].id, text);
		assert_string_equal(text, fixed[i].uuid);
		assert_true(message_uuid_parse(fixed[i].uuid, strlen(fixed[i].uuid), &id));
		assert_int_equal(id, fixed[i].id);
	}
}

static void check_id(int64_t id)
{
	char text[MESSAGE_UUID_TEXT];
	int64_t back;

	message_uuid_format(id, text);
	assert_int_equal(strlen(text), MESSAGE_UUID_LEN);
	for (int i = 0; i < MESSAGE_UUID_LEN; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23)
			assert_int_equal(text[i], '-');
		else
			assert_non_null(strchr("0123456789abcdef", text[i]));
	assert_int_equal(text[14], '8');                /* version */
	assert_non_null(strchr("89ab", text[19]));      /* variant */
	assert_true(message_uuid_parse(text, MESSAGE_UUID_LEN, &back));
	assert_int_equal(back, id);
	for (char *c = text; *c; c++)
		*c = (char)toupper(*c);
	assert_true(message_uuid_parse(text, MESSAGE_UUID_LEN, &back));
	assert_int_equal(back, id);
}

static void test_there_and_back(void **state)
{
	(void)state;
	for (int64_t id = 1; id < 20000; id++)
		check_id(id);
	for (int bit = 0; bit < 53; bit++)
		check_id(INT64_C(1) << bit);
	for (int i = 0; i < 20000; i++)
		check_id((int64_t)(random_u64() >> 12) + 1);
}

/* Of two neighbours, about half of the 122 bits differ: with all pairs of a run, close to 61 on average. */
static void test_neighbours_look_unrelated(void **state)
{
	char last[MESSAGE_UUID_TEXT], text[MESSAGE_UUID_TEXT];
	uint64_t differing = 0;

	(void)state;
	message_uuid_format(1, last);
	for (int64_t id = 2; id <= 1001; id++) {
		message_uuid_format(id, text);
		assert_memory_not_equal(text, last, 8);
		for (int i = 0; i < MESSAGE_UUID_LEN; i++) {
			char digit[2][2] = {{text[i], 0}, {last[i], 0}};

			differing += (uint64_t)__builtin_popcountl(strtoul(digit[0], NULL, 16) ^
			                                           strtoul(digit[1], NULL, 16));
		}
		memcpy(last, text, sizeof(last));
	}
	assert_in_range(differing, 59000, 63000);
}

/* Each of the 128 bits counts, so no other UUID reads as one of ours. */
static void test_anything_else_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"00000000-0000-0000-0000-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
		"f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
		"320c3d4d-cc00-875b-8ec9-32d5f69181c0",
	};
	char text[MESSAGE_UUID_TEXT + 1];
	int64_t id = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(message_uuid_parse(bad[i], strlen(bad[i]), &id));
	for (int i = 0; i < MESSAGE_UUID_LEN; i++) {
		for (const char *c = "0123456789abcdef-g {"; *c; c++) {
			message_uuid_format(12345, text);
			if (text[i] == *c)
				continue;
			text[i] = *c;
			assert_false(message_uuid_parse(text, MESSAGE_UUID_LEN, &id));
		}
	}
	message_uuid_format(12345, text);
	assert_false(message_uuid_parse(text, MESSAGE_UUID_LEN - 1, &id));
	text[MESSAGE_UUID_LEN] = '0';
	assert_false(message_uuid_parse(text, MESSAGE_UUID_LEN + 1, &id));
	assert_int_equal(id, 77);
}

static void test_either_spelling(void **state)
{
	int64_t id = 0;

	(void)state;
	assert_true(message_id_parse("12", 2, &id));
	assert_int_equal(id, 12);
	assert_true(message_id_parse(fixed[1].uuid, MESSAGE_UUID_LEN, &id));
	assert_int_equal(id, 2);
	assert_false(message_id_parse("0", 1, &id));
	assert_false(message_id_parse("9007199254740992", 16, &id));
	assert_false(message_id_parse("012", 3, &id));
	assert_false(message_id_parse("x", 1, &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_spellings),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_neighbours_look_unrelated),
		cmocka_unit_test(test_anything_else_is_refused),
		cmocka_unit_test(test_either_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
