#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "error.h"
#include "text.h"

static void sets_code_and_text(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(&err, ERR_CONFLICT, "run %d is over", 7), ERR_CONFLICT);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err.text, "run 7 is over");
}

static void needs_no_struct(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERR_INVALID, "x"), ERR_INVALID);
	assert_int_equal(error_errno(NULL, ERR_CONFIG, ENOENT, "x"), ERR_CONFIG);
	assert_int_equal(error_prefix(NULL, "x"), OK);
}

static void names_the_errno(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_errno(&err, ERR_CONFIG, ENOENT, "open %s", "a.yaml");
	assert_string_equal(err.text, "open a.yaml: No such file or directory");
}

static void gathers_places_on_the_way_up(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_set(&err, ERR_CONFIG, "not a number");
	error_set(&err, err.code, "%s (found: x)", err.text);
	assert_int_equal(error_prefix(&err, "%s", "SERVER_PORT"), ERR_CONFIG);
	assert_string_equal(err.text, "SERVER_PORT: not a number (found: x)");
}

static void text_is_one_line_of_valid_utf8(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_set(&err, ERR_PERMANENT, "said \"%s\"\r\n", "a\nb\xff\x1b[1m\xc3\xa9");
	assert_string_equal(err.text, "said \"a b? [1m\xc3\xa9\"");
}

/* Whatever the length before it, a character of two bytes is there as a whole or not at all. */
static void cuts_between_characters(void **state)
{
	struct error err = ERROR_INIT;
	char text[800];

	(void)state;
	for (size_t ahead = 0; ahead < 4; ahead++) {
		memset(text, 'x', ahead);
		for (size_t at = ahead; at + 2 < sizeof(text); at += 2)
			memcpy(text + at, "\xc3\xa9", 3);
		error_set(&err, ERR_INVALID, "%s", text);
		assert_true(utf8_valid(err.text, strlen(err.text)));
		assert_null(strchr(err.text, '?'));
		assert_in_range(strlen(err.text), sizeof(err.text) - 2, sizeof(err.text) - 1);
	}
}

static void every_code_has_its_own_name(void **state)
{
	(void)state;
	for (int a = OK; a >= ERR_CONFIG; a--) {
		assert_string_not_equal(error_name(a), "unknown");
		for (int b = OK; b > a; b--)
			assert_string_not_equal(error_name(a), error_name(b));
	}
	assert_string_equal(error_name(-99), "unknown");
	assert_string_equal(error_name(ERR_NOT_FOUND), "not_found");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text),
		cmocka_unit_test(needs_no_struct),
		cmocka_unit_test(names_the_errno),
		cmocka_unit_test(gathers_places_on_the_way_up),
		cmocka_unit_test(text_is_one_line_of_valid_utf8),
		cmocka_unit_test(cuts_between_characters),
		cmocka_unit_test(every_code_has_its_own_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
