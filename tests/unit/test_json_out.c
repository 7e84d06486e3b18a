#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "json_out.h"
#include "text.h"

static void writes_a_document(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_begin(&b);

	(void)state;
	json_open_object(&j);
	json_kv_str(&j, "s", "x");
	json_kv_str(&j, "n", NULL);
	json_kv_int(&j, "i", -7);
	json_kv_bool(&j, "t", true);
	json_kv_bool(&j, "f", false);
	json_kv_double(&j, "d", 0.1);
	json_kv_time(&j, "at", 1767323045678000);
	json_kv_time(&j, "never", 0);
	json_key(&j, "empty");
	json_open_object(&j);
	json_end(&j);
	json_key(&j, "list");
	json_open_array(&j);
	json_int(&j, 1);
	json_open_array(&j);
	json_end(&j);
	json_raw(&j, "{\"a\":2}", 7);
	json_put_null(&j);
	json_end(&j);
	json_kv_int(&j, "last", 0);
	json_end(&j);
	assert_string_equal(b.data, "{\"s\":\"x\",\"n\":null,\"i\":-7,\"t\":true,\"f\":false,\"d\":0.1,"
	                            "\"at\":\"2026-01-02T03:04:05.678Z\",\"never\":null,\"empty\":{},"
	                            "\"list\":[1,[],{\"a\":2},null],\"last\":0}");
	buf_release(&b);
}

/* The flags of a level must not leak into the next one that has the same depth. */
static void writes_to_the_full_depth(void **state)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_begin(&b);
	json_t *doc;

	(void)state;
	json_open_array(&j);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 31; i++) {
			if (i % 2 == round) {
				json_open_object(&j);
				json_key(&j, "k");
			} else {
				json_open_array(&j);
				json_int(&j, i);
			}
		}
		json_put_null(&j);
		for (int i = 0; i < 31; i++)
			json_end(&j);
	}
	json_end(&j);
	doc = json_loadb(b.data, b.len, 0, NULL);
	assert_non_null(doc);
	assert_int_equal(json_array_size(doc), 2);
	json_decref(doc);
	buf_release(&b);
}

static void assert_quoted(const char *s, size_t len, const char *want)
{
	struct buf b = BUF_INIT;

	json_quote(&b, s, len);
	assert_string_equal(b.data, want);
	buf_release(&b);
}

static void escapes_what_must_be(void **state)
{
	(void)state;
	assert_quoted("", 0, "\"\"");
	assert_quoted("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	assert_quoted("\n\r\t\b\f", 5, "\"\\n\\r\\t\\u0008\\u000c\"");
	assert_quoted("\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"");
	assert_quoted("\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"");
	assert_quoted("a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_quoted("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Each byte at each offset of a text longer than the words that are looked at in one go. */
static void finds_special_bytes_at_every_offset(void **state)
{
	struct buf b = BUF_INIT;
	char text[21];
	json_t *doc;

	(void)state;
	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, 'a', sizeof(text));
			text[at] = (char)c;
			buf_clear(&b);
			json_quote(&b, text, sizeof(text));
			doc = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			assert_non_null(doc);
			if (c < 0x80) {
				assert_int_equal(json_string_length(doc), sizeof(text));
				assert_memory_equal(json_string_value(doc), text, sizeof(text));
			} else {
				assert_int_equal(json_string_length(doc), sizeof(text) + 2);
				assert_memory_equal(json_string_value(doc) + at, "\xef\xbf\xbd", 3);
			}
			json_decref(doc);
		}
	buf_release(&b);
}

static void random_bytes_give_valid_json(void **state)
{
	struct buf b = BUF_INIT;
	char text[64];
	json_t *doc;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		random_bytes(text, sizeof(text));
		buf_clear(&b);
		json_quote(&b, text, random_u64() % sizeof(text));
		doc = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(doc);
		json_decref(doc);
	}
	buf_release(&b);
}

static void doubles_round_trip(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{0, "0"}, {-0.0, "-0"}, {1, "1"}, {-1500, "-1500"}, {0.1, "0.1"}, {0.05, "0.05"},
		{1e15, "1e+15"}, {1e300, "1e+300"}, {1.0 / 3, "0.3333333333333333"}, {NAN, "null"},
		{HUGE_VAL, "null"}, {-HUGE_VAL, "null"}, {DBL_MAX, "1.7976931348623157e+308"},
	};
	struct buf b = BUF_INIT;
	struct json_out j = json_begin(&b);
	uint64_t bits;
	double v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&b);
		json_double(&j, cases[i].v);
		assert_string_equal(b.data, cases[i].text);
	}
	for (int i = 0; i < 20000; i++) {
		bits = random_u64();
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		buf_clear(&b);
		json_double(&j, v);
		assert_true(strtod(b.data, NULL) == v);
	}
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_document),
		cmocka_unit_test(writes_to_the_full_depth),
		cmocka_unit_test(escapes_what_must_be),
		cmocka_unit_test(finds_special_bytes_at_every_offset),
		cmocka_unit_test(random_bytes_give_valid_json),
		cmocka_unit_test(doubles_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
