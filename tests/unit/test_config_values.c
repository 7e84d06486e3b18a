/* The value types of configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "suggest.h"
#include "values.h"

static int parse_set(const char *text, struct status_set *ret)
{
	return status_set_parse(text, strlen(text), 200, 399, ret, NULL);
}

static void test_status_set(void **state)
{
	static const char *const bad[] = {"",        ",",        "200,",    "199",     "400",  "200-",
	                                  "-299",    "299-200",  "2 00",    "200--299", "abc", "200-400",
	                                  "200;304", "+200"};
	struct buf out = BUF_INIT;
	struct status_set set, untouched = {.bits = {7}};

	(void)state;
	assert_int_equal(parse_set("304, 200-202 ,203,399", &set), OK);
	status_set_format(&set, &out);
	assert_string_equal(out.data, "200-203,304,399");
	assert_false(status_set_has(&set, -1));
	assert_false(status_set_has(&set, 640));
	assert_false(status_set_has(&set, INT32_MIN));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_set(bad[i], &untouched), ERR_INVALID);
	assert_int_equal(untouched.bits[0], 7);
	buf_release(&out);
}

static int parse_list(const char *text, struct duration_list *ret)
{
	return duration_list_parse(text, strlen(text), 0, 10 * USEC_PER_HOUR, ret, NULL);
}

static void test_duration_list(void **state)
{
	static const char *const bad[] = {"", "5s,", ",5s", "5s,,1m", "5", "11h", "5s;1m", "-1s"};
	struct duration_list list;
	struct buf out = BUF_INIT;
	char text[40 * 3] = "1s";

	(void)state;
	assert_int_equal(parse_list("500ms , 90s,0", &list), OK);
	assert_int_equal(list.n, 3);
	duration_list_format(&list, &out);
	assert_string_equal(out.data, "500ms,1m30s,0");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_list(bad[i], &list), ERR_INVALID);
	for (int i = 1; i < DURATION_LIST_MAX; i++)
		memcpy(text + 3 * i - 1, ",1s", 4);
	assert_int_equal(parse_list(text, &list), OK);
	assert_int_equal(list.n, DURATION_LIST_MAX);
	memcpy(text + 3 * DURATION_LIST_MAX - 1, ",1s", 4);
	assert_int_equal(parse_list(text, &list), ERR_INVALID);
	buf_release(&out);
}

static void test_api_keys(void **state)
{
	static const char *const bad[] = {"short", "good-key-1,", ",good-key-1", "good-key-1,,good-key-2",
	                                  "with space-1", "caf\xc3\xa9-caf\xc3\xa9"};
	struct config_list keys = {0};
	char text[300];

	(void)state;
	assert_int_equal(api_keys_parse("12345678, abcdefgh", 18, &keys, NULL), OK);
	assert_int_equal(keys.n, 2);
	assert_int_equal(keys.at[1].len, 8);
	assert_string_equal(keys.at[1].data, "abcdefgh");
	config_list_release(&keys);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(api_keys_parse(bad[i], strlen(bad[i]), &keys, NULL), ERR_INVALID);
	assert_int_equal(keys.n, 0);
	memset(text, 'x', sizeof(text));
	assert_int_equal(api_keys_parse(text, 257, &keys, NULL), ERR_INVALID);
	assert_int_equal(api_keys_parse(text, 256, &keys, NULL), OK);
	config_list_release(&keys);
	for (size_t i = 8; i < 160; i += 9)
		text[i] = ',';
	assert_int_equal(api_keys_parse(text, 16 * 9 - 1, &keys, NULL), OK);
	config_list_release(&keys);
	assert_int_equal(api_keys_parse(text, 17 * 9 - 1, &keys, NULL), ERR_INVALID);
}

#define KEY24 "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
#define KEY23 "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY="

static void test_signing_keys(void **state)
{
	static const char *const bad[] = {"", " , ", KEY23, "whsec_", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
	                                  KEY24 "!", KEY24 " x"};
	struct buf out = BUF_INIT;

	(void)state;
	assert_int_equal(signing_keys_parse(KEY24, strlen(KEY24), &out, NULL), OK);
	assert_string_equal(out.data, KEY24);
	buf_clear(&out);
	assert_int_equal(signing_keys_parse(KEY24 ", " KEY24, 2 * strlen(KEY24) + 2, &out, NULL), OK);
	assert_string_equal(out.data, KEY24 " " KEY24);
	buf_clear(&out);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(signing_keys_parse(bad[i], strlen(bad[i]), &out, NULL), ERR_INVALID);
		assert_int_equal(out.len, 0);
	}
	buf_release(&out);
}

static void test_message_id(void **state)
{
	static const char *const good[] = {"json:/messageId", "json:", "json:/a~1b/0/~0", "header:x-request-id"};
	static const char *const bad[] = {"", "messageId", "json:messageId", "json:/a~", "json:/a~2",
	                                  "header:", "header:a b", "header:a:b", "xml:/a", "json:/\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(message_id_check(good[i], strlen(good[i]), NULL), OK);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(message_id_check(bad[i], strlen(bad[i]), NULL), ERR_INVALID);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
		const char *canonical;
	} good[] = {{"0", 0, "0"},
	            {"1023", 1023, "1023"},
	            {"1024", 1024, "1KiB"},
	            {"16MiB", 16 << 20, "16MiB"},
	            {"1024MiB", 1 << 30, "1GiB"},
	            {"1536KiB", 1536 << 10, "1536KiB"}};
	static const char *const bad[] = {"", "KiB", "1MB", "1 MiB", "-1", "1.5MiB", "9223372036854775807KiB"};
	struct buf out = BUF_INIT;
	int64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(size_parse(good[i].text, strlen(good[i].text), &bytes));
		assert_int_equal(bytes, good[i].bytes);
		buf_clear(&out);
		size_format(bytes, &out);
		assert_string_equal(out.data, good[i].canonical);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(size_parse(bad[i], strlen(bad[i]), &bytes));
	buf_release(&out);
}

static void test_edit_distance(void **state)
{
	struct suggest s = SUGGEST_INIT("WEBHOOK_ULR");

	(void)state;
	assert_int_equal(edit_distance("", ""), 0);
	assert_int_equal(edit_distance("abc", ""), 3);
	assert_int_equal(edit_distance("", "abc"), 3);
	assert_int_equal(edit_distance("abc", "ABC"), 0);
	assert_int_equal(edit_distance("abcd", "abdc"), 1);
	assert_int_equal(edit_distance("kitten", "sitting"), 3);
	assert_int_equal(edit_distance("SERVER_PORT", "SERVR_PORTS"), 2);
	suggest_offer(&s, "SERVER_PORT");
	assert_string_equal(s.best, "");
	suggest_offer(&s, "WEBHOOK_URL");
	suggest_offer(&s, "ALERT_WEBHOOK_URL");
	assert_string_equal(s.best, "WEBHOOK_URL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_set),   cmocka_unit_test(test_duration_list),
		cmocka_unit_test(test_api_keys),     cmocka_unit_test(test_signing_keys),
		cmocka_unit_test(test_message_id),   cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_edit_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
