#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "attr.h"

/* Sizes around the alignment and around the chunk sizes, so that pieces meet every way of being placed. */
static const size_t sizes[] = {0, 1, 7, 8, 9, 100, 1000, 3000, 4000, 5000, 20000, 300000};

static void pieces_are_aligned_and_apart(void **state)
{
	struct arena a = ARENA_INIT;
	unsigned char *pieces[ARRAY_SIZE(sizes) * 20];
	size_t n = 0;

	(void)state;
	for (size_t round = 0; round < 20; round++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++, n++) {
			pieces[n] = arena_alloc(&a, sizes[i]);
			assert_int_equal((uintptr_t)pieces[n] % 8, 0);
			memset(pieces[n], (int)(n & 0xff), sizes[i]);
		}
	/* Had any two overlapped, the later would have overwritten the earlier. */
	for (n = 0; n < ARRAY_SIZE(pieces); n++)
		for (size_t at = 0; at < sizes[n % ARRAY_SIZE(sizes)]; at++)
			assert_int_equal(pieces[n][at], n & 0xff);
	arena_release(&a);
}

static void a_large_piece_leaves_the_room_of_the_head(void **state)
{
	struct arena a = ARENA_INIT;
	char *first, *second;

	(void)state;
	first = arena_alloc(&a, 8);
	arena_alloc(&a, 1000000);
	second = arena_alloc(&a, 8);
	assert_ptr_equal(second, first + 8);
	arena_release(&a);
}

static void calloc_zeroes_reused_memory(void **state)
{
	struct arena a = ARENA_INIT;
	unsigned char *p;

	(void)state;
	memset(arena_alloc(&a, 512), 0xff, 512);
	arena_clear(&a);
	p = arena_calloc(&a, 64, 8);
	for (size_t i = 0; i < 512; i++)
		assert_int_equal(p[i], 0);
	arena_release(&a);
}

static void strings_are_copied(void **state)
{
	struct arena a = ARENA_INIT;
	char source[] = "abcdef", *copy, *part;

	(void)state;
	copy = arena_strdup(&a, source);
	part = arena_strndup(&a, source, 3);
	source[0] = 'X';
	assert_string_equal(copy, "abcdef");
	assert_string_equal(part, "abc");
	assert_memory_equal(arena_strndup(&a, "a\0b", 3), "a\0b", 4);
	assert_string_equal(arena_strndup(&a, NULL, 0), "");
	assert_null(arena_strdup(&a, NULL));
	arena_release(&a);
}

static void an_array_keeps_its_items_as_it_grows(void **state)
{
	struct arena a = ARENA_INIT;
	uint64_t *items = NULL;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		items = arena_grow(&a, items, n, sizeof(*items));
		items[n] = n;
		arena_alloc(&a, 1); /* overwritten by an item that is out of bounds */
	}
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(items[n], n);
	/* Less than twice what is there, over all moves. */
	assert_true(a.used <= 2 * 1024 * sizeof(*items) + 1000 * 8);
	arena_release(&a);
}

static void clear_keeps_one_chunk_and_release_none(void **state)
{
	struct arena a = ARENA_INIT;
	void *head;

	(void)state;
	for (int i = 0; i < 1000; i++)
		arena_alloc(&a, 100);
	assert_int_equal(a.used, 1000 * 104);
	head = a.head;
	arena_clear(&a);
	assert_int_equal(a.used, 0);
	assert_ptr_equal(a.head, head);
	arena_alloc(&a, 100);
	assert_ptr_equal(a.head, head);
	arena_release(&a);
	assert_null(a.head);
	arena_alloc(&a, 1);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_and_apart),
		cmocka_unit_test(a_large_piece_leaves_the_room_of_the_head),
		cmocka_unit_test(calloc_zeroes_reused_memory),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(an_array_keeps_its_items_as_it_grows),
		cmocka_unit_test(clear_keeps_one_chunk_and_release_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
