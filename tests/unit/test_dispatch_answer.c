/* What an answer says: the provider's id, and Retry-After. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery.h"
#include "webhook_answer.h"

static char id[MESSAGE_PROVIDER_ID_MAX + 1];

/* The id, or "" when there is none. */
static const char *find_n(const char *spec, const char *body, size_t len, const char *header)
{
	struct answer_rule r;
	struct error err = ERROR_INIT;
	size_t n;

	if (answer_rule_init(&r, spec, &err))
		fail_msg("%s: %s", spec, err.text);
	memset(id, 'x', sizeof(id));
	n = answer_message_id(&r, body, len, header, id);
	answer_rule_release(&r);
	if (!n)
		return "";
	assert_int_equal(strlen(id), n);
	return id;
}

static const char *find(const char *spec, const char *body)
{
	return find_n(spec, body, strlen(body), NULL);
}

static void test_pointers(void **state)
{
	static const struct {
		const char *spec, *body, *want;
	} table[] = {
		{"json:/messageId", "{\"message\":\"Accepted\",\"messageId\":\"67f2f8a8-ea58\"}", "67f2f8a8-ea58"},
		{"json:/messageId", " {\"messageId\" : \"a\\u00e9\\n\"} ", "a\xc3\xa9\n"},
		{"json:/messageId", "{\"messageId\":17}", "17"},
		{"json:/messageId", "{\"messageId\":-9223372036854775808}", "-9223372036854775808"},
		{"json:/messageId", "{\"messageId\":\"\"}", ""},
		{"json:/messageId", "{\"messageId\":null}", ""},
		{"json:/messageId", "{\"messageId\":true}", ""},
		{"json:/messageId", "{\"messageId\":1.5}", ""},
		{"json:/messageId", "{\"messageId\":{\"a\":1}}", ""},
		{"json:/messageId", "{\"messageid\":\"x\"}", ""},
		{"json:/messageId", "[\"messageId\"]", ""},
		{"json:/messageId", "{\"messageId\":\"x\"", ""},
		{"json:/messageId", "{\"messageId\":\"x\"} trailing", ""},
		{"json:/messageId", "{\"messageId\":\"x\\u0000y\"}", ""},
		{"json:/messageId", "OK", ""},
		{"json:/messageId", "", ""},
		{"json:", "\"whole\"", "whole"},
		{"json:", "42", "42"},
		{"json:/data/0/id~1x", "{\"data\":[{\"id/x\":\"deep\"}]}", "deep"},
		{"json:/a~0b", "{\"a~b\":\"tilde\"}", "tilde"},
		{"json:/a~01", "{\"a~1\":\"in order\"}", "in order"},
		{"json:/", "{\"\":\"empty name\"}", "empty name"},
		{"json://x", "{\"\":{\"x\":\"y\"}}", "y"},
		{"json:/1", "[\"a\",\"b\"]", "b"},
		{"json:/01", "[\"a\",\"b\"]", ""},
		{"json:/-", "[\"a\",\"b\"]", ""},
		{"json:/2", "[\"a\",\"b\"]", ""},
		{"json:/0", "{\"0\":\"a name\"}", "a name"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(find(table[i].spec, table[i].body), table[i].want))
			fail_msg("%s in %s: %s", table[i].spec, table[i].body, find(table[i].spec, table[i].body));
}

static void test_headers(void **state)
{
	(void)state;
	assert_string_equal(find_n("header:X-Request-Id", "{}", 2, "abc-1"), "abc-1");
	assert_string_equal(find_n("header:X-Request-Id", "{}", 2, NULL), "");
	assert_string_equal(find_n("header:X-Request-Id", "{}", 2, ""), "");
	assert_string_equal(find_n("header:X-Request-Id", "{}", 2, "\xff\xfe"), "");
	/* The header is the place, whatever the body says. */
	assert_string_equal(find_n("header:x", "{\"messageId\":\"b\"}", 17, NULL), "");
}

static void test_long_ids_are_cut_at_a_code_point(void **state)
{
	char value[600];
	const char *got;

	(void)state;
	memset(value, 'a', 300);
	value[300] = '\0';
	assert_int_equal(strlen(find_n("header:x", "", 0, value)), MESSAGE_PROVIDER_ID_MAX);
	for (size_t i = 0; i < 200; i++)
		memcpy(value + 2 * i, "\xc5\x9f", 2);
	value[400] = '\0';
	got = find_n("header:x", "", 0, value);
	assert_int_equal(strlen(got), MESSAGE_PROVIDER_ID_MAX / 2 * 2);
}

static void test_deep_nesting_is_survived(void **state)
{
	static char body[100001];

	(void)state;
	memset(body, '[', 100000);
	assert_string_equal(find("json:/0/0", body), "");
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = {"", "messageId", "json", "json:messageId", "json:/a~", "json:/a~2",
	                                  "json:/\xff", "header:", "header:a b", "header:a\n", "xml:/a"};
	struct answer_rule r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (answer_rule_init(&r, bad[i], NULL) != ERR_CONFIG)
			fail_msg("took %s", bad[i]);
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *text;
		usec_t want;
	} table[] = {
		{NULL, 0},
		{"", 0},
		{"0", 0},
		{"120", 120 * USEC_PER_SEC},
		{"36000", RETRY_AFTER_MAX},
		{"36001", RETRY_AFTER_MAX},
		{"99999999999999999999999", RETRY_AFTER_MAX},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{" 1", 0},
		{"soon", 0},
		{"Sun, 06 Nov 1994 08:49:47 GMT", 10 * USEC_PER_SEC},
		{"Sunday, 06-Nov-94 08:49:47 GMT", 10 * USEC_PER_SEC},
		{"Sun Nov  6 08:49:47 1994", 10 * USEC_PER_SEC},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX},
	};
	usec_t now = 784111777 * USEC_PER_SEC; /* Sun, 06 Nov 1994 08:49:37 GMT */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (retry_after_parse(table[i].text, now) != table[i].want)
			fail_msg("%s: %lld", table[i].text, (long long)retry_after_parse(table[i].text, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_long_ids_are_cut_at_a_code_point),
		cmocka_unit_test(test_deep_nesting_is_survived),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_retry_after),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
