#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

static void integers_are_strict(void **state)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1x", "0x10", "--1", "1.0",
	                                  "9223372036854775808", "-9223372036854775809",
	                                  "99999999999999999999999"};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		v = 42;
		if (text_to_i64(bad[i], strlen(bad[i]), INT64_MIN, INT64_MAX, &v))
			fail_msg("accepted: '%s'", bad[i]);
		assert_int_equal(v, 42);
	}
	assert_true(text_to_i64("9223372036854775807", 19, INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MAX);
	assert_true(text_to_i64("-9223372036854775808", 20, INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MIN);
	assert_true(text_to_i64("-0", 2, 0, 0, &v));
	assert_int_equal(v, 0);
	assert_true(text_to_i64("12junk", 2, 0, 100, &v));
	assert_int_equal(v, 12);
	assert_true(text_to_i64("100", 3, 0, 100, &v));
	assert_false(text_to_i64("101", 3, 0, 100, &v));
	assert_false(text_to_i64("-1", 2, 0, 100, &v));
}

static void doubles_are_strict(void **state)
{
	static const char *const bad[] = {"", "-", ".5", "5.", "1e", "1e+", "nan", "inf", "0x1p3", " 1", "1 ",
	                                  "+1", "1e999", "1,5", "1.5.5"};
	double v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		v = 42;
		if (text_to_double(bad[i], strlen(bad[i]), -HUGE_VAL, HUGE_VAL, &v))
			fail_msg("accepted: '%s'", bad[i]);
		assert_true(v == 42);
	}
	assert_true(text_to_double("0.25", 4, 0, 1, &v) && v == 0.25);
	assert_true(text_to_double("-1.5e+3", 7, -1e9, 1e9, &v) && v == -1500);
	assert_true(text_to_double("1", 1, 0, 1, &v) && v == 1);
	assert_true(text_to_double("0.25999", 4, 0, 1, &v) && v == 0.25);
	assert_false(text_to_double("1.0001", 6, 0, 1, &v));
}

static void booleans_have_four_spellings(void **state)
{
	static const char *const yes[] = {"true", "TRUE", "Yes", "on", "1"};
	static const char *const no[] = {"false", "False", "NO", "off", "0"};
	static const char *const bad[] = {"", "y", "tru", "truee", "2", "enabled"};
	bool v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		v = false;
		assert_true(text_to_bool(yes[i], strlen(yes[i]), &v));
		assert_true(v);
		v = true;
		assert_true(text_to_bool(no[i], strlen(no[i]), &v));
		assert_false(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_to_bool(bad[i], strlen(bad[i]), &v));
}

static void compares_texts(void **state)
{
	(void)state;
	assert_true(text_equal(NULL, NULL));
	assert_false(text_equal(NULL, ""));
	assert_true(text_equal("a", "a"));
	assert_false(text_equal("a", "A"));
	assert_true(text_equal_nocase("Content-Type", "content-tYPE"));
	assert_false(text_equal_nocase("abc", "ab"));
	assert_false(text_equal_nocase("ab", "abc"));
	assert_false(text_equal_nocase("[", "{"));
	assert_false(text_equal_nocase(NULL, "a"));
	assert_true(text_starts_with("sqlite:x", "sqlite:"));
	assert_false(text_starts_with("sqlite", "sqlite:"));
}

static void tokens_are_visible_ascii(void **state)
{
	(void)state;
	assert_true(text_is_token("!~aZ", 4, 4));
	assert_false(text_is_token("abcde", 5, 4));
	assert_false(text_is_token("", 0, 4));
	assert_false(text_is_token("a b", 3, 9));
	assert_false(text_is_token("a\n", 2, 9));
	assert_false(text_is_token("a\0", 2, 9));
	assert_false(text_is_token("a\x7f", 2, 9));
	assert_false(text_is_token("\xc3\xa9", 2, 9));
}

/* Every sequence of up to three bytes and the edges of four, against the definition of RFC 3629 read the
 * other way round: decode generously, then ask whether the shortest encoding would be the same. */
static size_t reference_sequence(const unsigned char *u, size_t len)
{
	uint32_t point;
	size_t n;

	if (u[0] < 0x80)
		return 1;
	n = u[0] >= 0xf8 ? 0 : u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : u[0] >= 0xc0 ? 2 : 0;
	if (n == 0 || n > len)
		return 0;
	point = u[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (u[i] & 0x3fu);
	}
	if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return 0;
	return point < 0x80 || (n > 2 && point < 0x800) || (n > 3 && point < 0x10000) ? 0 : n;
}

static void utf8_follows_the_rfc(void **state)
{
	static const unsigned char edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	unsigned char u[4];
	size_t want, got;

	(void)state;
	for (unsigned i = 0; i < 256 * 256; i++)
		for (size_t a = 0; a < ARRAY_SIZE(edges); a++)
			for (size_t b = 0; b < ARRAY_SIZE(edges); b++)
				for (size_t len = 1; len <= 4; len++) {
					u[0] = (unsigned char)(i >> 8);
					u[1] = (unsigned char)i;
					u[2] = edges[a];
					u[3] = edges[b];
					want = reference_sequence(u, len);
					got = utf8_sequence((const char *)u, len);
					if (want != got)
						fail_msg("%02x%02x%02x%02x/%zu: %zu", u[0], u[1], u[2], u[3],
						         len, got);
				}
}

static void utf8_is_checked_at_every_offset(void **state)
{
	char text[40];

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		memset(text, 'a', sizeof(text));
		assert_true(utf8_valid(text, sizeof(text)));
		text[at] = '\xff';
		assert_false(utf8_valid(text, sizeof(text)));
		assert_true(utf8_valid(text, at));
		if (at + 2 <= sizeof(text)) {
			memcpy(text + at, "\xc3\xa9", 2);
			assert_true(utf8_valid(text, sizeof(text)));
			assert_false(utf8_valid(text, at + 1));
		}
	}
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid("a\0b", 3));
}

static void utf8_counts_code_points(void **state)
{
	const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"; /* a, e acute, euro, a smiley, z */
	static const size_t bytes[] = {0, 1, 3, 6, 10, 11, 11};

	(void)state;
	assert_int_equal(utf8_length(text, strlen(text)), 5);
	assert_int_equal(utf8_length("", 0), 0);
	for (size_t points = 0; points < ARRAY_SIZE(bytes); points++)
		assert_int_equal(utf8_prefix(text, strlen(text), points), bytes[points]);
}

static void hex_is_lower_case(void **state)
{
	char out[9];

	(void)state;
	hex_encode("\x00\xff\x1a\xb2", 4, out);
	assert_string_equal(out, "00ff1ab2");
	hex_encode("", 0, out);
	assert_string_equal(out, "");
}

static void base64_matches_the_rfc(void **state)
{
	/* RFC 4648 section 10, and one with the digits that differ */
	static const struct {
		const char *plain, *base64, *url;
	} cases[] = {
		{"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"}, {"fooba", "Zm9vYmE=", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+", "-__-"},
	};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&out);
		base64_encode(&out, cases[i].plain, strlen(cases[i].plain));
		assert_string_equal(out.data, cases[i].base64);
		buf_clear(&out);
		assert_true(base64_decode(&out, cases[i].base64, strlen(cases[i].base64)));
		assert_string_equal(out.data, cases[i].plain);
		buf_clear(&out);
		base64url_encode(&out, cases[i].plain, strlen(cases[i].plain));
		assert_string_equal(out.data, cases[i].url);
		buf_clear(&out);
		assert_true(base64url_decode(&out, cases[i].url, strlen(cases[i].url)));
		assert_string_equal(out.data, cases[i].plain);
	}
	buf_release(&out);
}

static void base64_refuses_second_spellings(void **state)
{
	static const char *const plain[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "Zg==Zg==", "Zm 9", "-__-",
	                                    "Zm9v\n", "=", "A===", "Zg==="};
	static const char *const url[] = {"Z", "Zh", "Zm9", "Zg==", "+//+", "Zm 9", "Zm9v\n"};
	struct buf out = BUF_INIT;

	(void)state;
	buf_addstr(&out, "kept");
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (base64_decode(&out, plain[i], strlen(plain[i])))
			fail_msg("accepted: %s", plain[i]);
	for (size_t i = 0; i < ARRAY_SIZE(url); i++)
		if (base64url_decode(&out, url[i], strlen(url[i])))
			fail_msg("accepted: %s", url[i]);
	assert_string_equal(out.data, "kept");
	buf_release(&out);
}

static void percent_encodes_all_but_the_unreserved(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	percent_encode(&out, "aZ09-._~ +&=/?%\xc3\xa9\0", 18);
	assert_string_equal(out.data, "aZ09-._~%20%2B%26%3D%2F%3F%25%C3%A9%00");
	buf_release(&out);
}

static void random_differs_and_fills(void **state)
{
	unsigned char a[32] = {0}, b[32] = {0};
	double unit, sum = 0;

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(random_u64() != random_u64());
	for (int i = 0; i < 10000; i++) {
		unit = random_unit();
		assert_true(unit >= 0 && unit < 1);
		sum += unit;
	}
	/* 40 standard deviations: fails when the scale is wrong, not by chance. */
	assert_true(fabs(sum / 10000 - 0.5) < 0.12);
}

/* Values that stores hold: a change here would make every imported row a new one. */
static void hash_is_stable(void **state)
{
	const char *text = "the quick brown fox";
	uint64_t seen[32];

	(void)state;
	assert_true(hash_bytes("", 0, 0) == 0xf9376fe90135a10eu);
	assert_true(hash_bytes("a", 1, 0) == 0xb4b9db8fb72c6590u);
	assert_true(hash_bytes(text, strlen(text), 0) == 0xed0b59caab1c1f0eu);
	assert_true(hash_bytes(text, strlen(text), 1) == 0x83001fcb88fd4fc7u);
	/* A zero byte is not nothing, at any length. */
	for (size_t len = 0; len < ARRAY_SIZE(seen); len++) {
		static const char zeroes[32];

		seen[len] = hash_bytes(zeroes, len, 0);
		for (size_t i = 0; i < len; i++)
			assert_true(seen[i] != seen[len]);
	}
}

/* Each input bit should flip each output bit about every second time. */
static void hash_spreads(void **state)
{
	unsigned char key[24];
	uint64_t base, flips[64] = {0};
	const int rounds = 200;

	(void)state;
	for (int r = 0; r < rounds; r++) {
		random_bytes(key, sizeof(key));
		base = hash_bytes(key, sizeof(key), 0);
		for (size_t bit = 0; bit < sizeof(key) * 8; bit++) {
			key[bit / 8] ^= (unsigned char)(1 << bit % 8);
			for (size_t o = 0; o < 64; o++)
				flips[o] += (base ^ hash_bytes(key, sizeof(key), 0)) >> o & 1;
			key[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
	}
	for (size_t o = 0; o < 64; o++)
		assert_in_range(flips[o] * 100 / (uint64_t)(rounds * 192), 45, 55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_strict),
		cmocka_unit_test(doubles_are_strict),
		cmocka_unit_test(booleans_have_four_spellings),
		cmocka_unit_test(compares_texts),
		cmocka_unit_test(tokens_are_visible_ascii),
		cmocka_unit_test(utf8_follows_the_rfc),
		cmocka_unit_test(utf8_is_checked_at_every_offset),
		cmocka_unit_test(utf8_counts_code_points),
		cmocka_unit_test(hex_is_lower_case),
		cmocka_unit_test(base64_matches_the_rfc),
		cmocka_unit_test(base64_refuses_second_spellings),
		cmocka_unit_test(percent_encodes_all_but_the_unreserved),
		cmocka_unit_test(random_differs_and_fills),
		cmocka_unit_test(hash_is_stable),
		cmocka_unit_test(hash_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
