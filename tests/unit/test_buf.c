#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "buf.h"

static void starts_empty_without_memory(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_string_equal(b.data, "");
	assert_int_equal(b.cap, 0);
	buf_clear(&b);
	buf_truncate(&b, 0);
	buf_add(&b, NULL, 0);
	assert_int_equal(b.cap, 0);
	buf_release(&b);
	assert_ptr_equal(b.data, buf_empty);
}

static void is_terminated_after_every_append(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	/* Over several doublings, so that each append meets a full buffer at some time. */
	for (size_t i = 1; i <= 1000; i++) {
		buf_addch(&b, (char)('a' + i % 26));
		assert_int_equal(b.len, i);
		assert_int_equal(b.data[i], '\0');
		assert_true(b.cap > b.len);
	}
	for (size_t i = 1; i <= 1000; i++)
		assert_int_equal(b.data[i - 1], 'a' + i % 26);
	buf_release(&b);
}

static void holds_nul_bytes(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_addlit(&b, "\0c");
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "a\0b\0c", 6);
	buf_release(&b);
}

static void formats_beyond_its_room(void **state)
{
	struct buf b = BUF_INIT;
	char wide[700];

	(void)state;
	memset(wide, 'x', sizeof(wide));
	wide[sizeof(wide) - 1] = '\0';
	buf_addf(&b, "%d-", 7);
	buf_addf(&b, "%s!", wide);
	assert_int_equal(b.len, 2 + 699 + 1);
	assert_memory_equal(b.data, "7-xx", 4);
	assert_string_equal(b.data + b.len - 2, "x!");
	buf_release(&b);
}

static void writes_integers_to_their_limits(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_addi64(&b, INT64_MIN);
	buf_addch(&b, ' ');
	buf_addi64(&b, INT64_MAX);
	buf_addch(&b, ' ');
	buf_addu64(&b, UINT64_MAX);
	buf_addch(&b, ' ');
	buf_addi64(&b, 0);
	buf_addi64(&b, -10);
	assert_string_equal(b.data, "-9223372036854775808 9223372036854775807 18446744073709551615 0-10");
	buf_release(&b);
}

static void truncates_and_clears_in_place(void **state)
{
	struct buf b = BUF_INIT;
	char *data;

	(void)state;
	buf_addstr(&b, "hello world");
	data = b.data;
	buf_truncate(&b, 5);
	assert_string_equal(b.data, "hello");
	buf_clear(&b);
	assert_string_equal(b.data, "");
	assert_ptr_equal(b.data, data);
	buf_release(&b);
}

static void detaches_memory_that_the_caller_frees(void **state)
{
	struct buf b = BUF_INIT;
	size_t len;
	char *text;

	(void)state;
	buf_addstr(&b, "mine");
	text = buf_detach(&b, &len);
	assert_string_equal(text, "mine");
	assert_int_equal(len, 4);
	assert_int_equal(b.len, 0);
	free(text);

	/* Also when nothing was ever added: the shared NUL must not be handed out. */
	text = buf_detach(&b, NULL);
	assert_string_equal(text, "");
	assert_ptr_not_equal(text, buf_empty);
	free(text);
}

static void reserve_keeps_the_contents(void **state)
{
	struct buf b = BUF_INIT;
	char *data;

	(void)state;
	buf_addstr(&b, "abc");
	buf_reserve(&b, 5000);
	data = b.data;
	for (int i = 0; i < 5000; i++)
		buf_addch(&b, 'z');
	assert_ptr_equal(b.data, data);
	assert_memory_equal(b.data, "abczz", 5);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty_without_memory),
		cmocka_unit_test(is_terminated_after_every_append),
		cmocka_unit_test(holds_nul_bytes),
		cmocka_unit_test(formats_beyond_its_room),
		cmocka_unit_test(writes_integers_to_their_limits),
		cmocka_unit_test(truncates_and_clears_in_place),
		cmocka_unit_test(detaches_memory_that_the_caller_frees),
		cmocka_unit_test(reserve_keeps_the_contents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
