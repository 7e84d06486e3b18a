#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc.h"
#include "csv.h"

/* Splits the text, all of it at hand, in a block of just its size so that a sanitizer sees a byte read too
 * far; shows each record as "[a|b]", BAD as "!", a blank line as "~". */
static void check(const char *text, const char *want, uint64_t want_newlines)
{
	size_t len = strlen(text), at = 0;
	char *data = xmalloc(len ? len : 1), got[512];
	struct csv_record r;
	uint64_t newlines = 0;
	enum csv_result result;
	size_t n = 0;

	memcpy(data, text, len);
	while ((result = csv_split(data + at, len - at, true, ',', &r)) != CSV_END) {
		assert_int_not_equal(result, CSV_MORE);
		assert_true(r.used > 0);
		at += r.used;
		newlines += r.newlines;
		if (result == CSV_BAD) {
			assert_non_null(r.why);
			got[n++] = '!';
		} else if (result == CSV_BLANK) {
			got[n++] = '~';
		} else {
			got[n++] = '[';
			for (size_t i = 0; i < r.n; i++) {
				if (i)
					got[n++] = '|';
				memcpy(got + n, r.field[i].s, r.field[i].len);
				n += r.field[i].len;
			}
			got[n++] = ']';
		}
		assert_true(n < sizeof(got) - 64);
	}
	got[n] = '\0';
	free(data);
	assert_string_equal(got, want);
	assert_int_equal(at, len);
	assert_int_equal(newlines, want_newlines);
}

static void test_plain(void **state)
{
	(void)state;
	check("", "", 0);
	check("a", "[a]", 0);
	check("a,b\nc,d\n", "[a|b][c|d]", 2);
	check("a,b\r\nc,d\r\n", "[a|b][c|d]", 2);
	check("a,b\nc,d", "[a|b][c|d]", 1);
	check("a,b\r", "[a|b]", 0);
	check(",\n", "[|]", 1);
	check(",,", "[||]", 0);
	check("a,\n", "[a|]", 1);
	check(" a , b \n", "[ a | b ]", 1);
	check("a\rb,c\n", "[a\rb|c]", 1);
	check("a;b\tc\n", "[a;b\tc]", 1);
}

static void test_blank_lines(void **state)
{
	(void)state;
	check("\n", "~", 1);
	check("\r\n", "~", 1);
	check("a\n\n\r\nb\n", "[a]~~[b]", 4);
	check("\"\"\n", "[]", 1); /* an empty quoted field is a record */
	check("\"\"", "[]", 0);
}

static void test_quoted(void **state)
{
	(void)state;
	check("\"a\",\"b\"\n", "[a|b]", 1);
	check("\"a,b\",c\n", "[a,b|c]", 1);
	check("\"a\nb\",c\n", "[a\nb|c]", 2);
	check("\"a\r\n\r\nb\"\r\n", "[a\r\n\r\nb]", 3);
	check("\"say \"\"hi\"\"\",x\n", "[say \"hi\"|x]", 1);
	check("\"\"\"\"\n", "[\"]", 1);
	check("\"\"\"\"\"\"\n", "[\"\"]", 1);
	check("\"a\"", "[a]", 0);
	check("\"a\"\r\n\"b\"", "[a][b]", 1);
	check("\"a\"\r", "[a]", 0);
	check("a,\"\"\n", "[a|]", 1);
	check("\"a\",\"\"\"\"\n\"b\",c\n", "[a|\"][b|c]", 2);
}

/* A malformed row costs its own line, and what follows is read as usual. */
static void test_bad(void **state)
{
	(void)state;
	check("a\"b,c\nd,e\n", "![d|e]", 2);
	check("\"a\"b,c\nd,e\n", "![d|e]", 2);
	check("\"a\" ,c\nd,e\n", "![d|e]", 2);
	check("\"a\rb\"\rc\nd\n", "![d]", 2);
	check("x,\"open\nd,e\nf,g\n", "![d|e][f|g]", 3);
	check("x,\"open", "!", 0);
	check("\"", "!", 0);
	check("a\"", "!", 0);
	check("\"a\"\"", "!", 0);
}

/* However the data arrives, the outcome is the same, and a record that is not complete is left as it was. */
static void test_in_pieces(void **state)
{
	static const char text[] = "a,\"b\"\"c\"\r\n\"d\ne\",f\r\n\nx\"y\nlast,\"one\"";
	static const char *const want[] = {"a|b\"c", "d\ne|f", "~", "!", "last|one"};
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t step = 1; step <= len; step++) {
		char data[sizeof(text)];
		size_t start = 0, end = 0, seen = 0;

		memcpy(data, text, len);
		for (;;) {
			struct csv_record r;
			enum csv_result result = csv_split(data + start, end - start, end == len, ',', &r);
			char got[64];
			size_t n = 0;

			if (result == CSV_END)
				break;
			if (result == CSV_MORE) {
				assert_true(end < len);
				assert_memory_equal(data + start, text + start, len - start);
				end = MIN_OF(len, end + step);
				continue;
			}
			start += r.used;
			if (result == CSV_BLANK || result == CSV_BAD) {
				got[n++] = result == CSV_BLANK ? '~' : '!';
			} else {
				for (size_t i = 0; i < r.n; i++) {
					if (i)
						got[n++] = '|';
					memcpy(got + n, r.field[i].s, r.field[i].len);
					n += r.field[i].len;
				}
			}
			got[n] = '\0';
			assert_true(seen < 5);
			assert_string_equal(got, want[seen++]);
		}
		assert_int_equal(seen, 5);
	}
}

static void test_too_many_columns(void **state)
{
	char text[2 * CSV_FIELDS_MAX + 4];
	struct csv_record r;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < CSV_FIELDS_MAX; i++) {
		text[n++] = 'x';
		text[n++] = ',';
	}
	text[n - 1] = '\n';
	assert_int_equal(csv_split(text, n, true, ',', &r), CSV_RECORD);
	assert_int_equal(r.n, CSV_FIELDS_MAX);
	text[n - 1] = ',';
	text[n++] = '\n';
	assert_int_equal(csv_split(text, n, true, ',', &r), CSV_BAD);
	assert_int_equal(r.used, n);
}

static void test_separator(void **state)
{
	struct csv_record r;
	char text[] = "a,b;\"c;d\"\n";

	(void)state;
	assert_int_equal(csv_separator("a,b;c", 5), ',');
	assert_int_equal(csv_separator("a;b,c", 5), ';');
	assert_int_equal(csv_separator("a\tb", 3), '\t');
	assert_int_equal(csv_separator("\"a,b\";c", 7), ';');
	assert_int_equal(csv_separator("a\nb;c", 5), ',');
	assert_int_equal(csv_separator("\"a\nb\";c", 7), ',');
	assert_int_equal(csv_separator("", 0), ',');
	assert_int_equal(csv_split(text, strlen(text), true, ';', &r), CSV_RECORD);
	assert_int_equal(r.n, 2);
	assert_memory_equal(r.field[0].s, "a,b", 3);
	assert_memory_equal(r.field[1].s, "c;d", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),     cmocka_unit_test(test_blank_lines),
		cmocka_unit_test(test_quoted),    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_in_pieces), cmocka_unit_test(test_too_many_columns),
		cmocka_unit_test(test_separator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
