/* The cache: registry, bounds, expiry, paging while entries change. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "cache.h"
#include "text.h"

static struct cache *open_memory(size_t max, usec_t ttl)
{
	struct cache_options o = {.url = "memory:", .ttl = ttl, .max_entries = max};
	struct error err = ERROR_INIT;
	struct cache *c = NULL;

	if (cache_open(&c, &o, &err))
		fail_msg("%s", err.text);
	return c;
}

static void put(struct cache *c, int64_t id)
{
	char text[300];
	struct cache_entry e = {.id = id, .message_id = text, .sent_at = id * 10};

	/* Lengths on both sides of what fits into a slot. */
	snprintf(text, sizeof(text), "%0*lld", (int)(30 + id % 20), (long long)id);
	cache_put(c, &e, 1);
}

/* Walks all pages; seen[id] counts. Returns how many entries came. */
static size_t walk(struct cache *c, uint32_t limit, unsigned *seen, size_t seen_n)
{
	struct cache_page p = {.next = ""};
	char cursor[sizeof(p.next)] = "";
	struct error err = ERROR_INIT;
	size_t total = 0;

	do {
		assert_int_equal(cache_list(c, cursor, limit, &p, &err), OK);
		assert_true(p.n <= limit);
		for (size_t i = 0; i < p.n; i++) {
			assert_true((size_t)p.items[i].id < seen_n);
			seen[p.items[i].id]++;
			assert_int_equal(p.items[i].sent_at, p.items[i].id * 10);
			assert_int_equal(strtoll(p.items[i].message_id, NULL, 10), p.items[i].id);
		}
		total += p.n;
		memcpy(cursor, p.next, sizeof(cursor));
		cache_page_release(&p);
	} while (*cursor);
	return total;
}

/* The memory cache gives back what a layout holds, so that a test with it sees what Redis would do. */
static void test_layouts(void **state)
{
	struct cache_options o = {.url = "memory:", .max_entries = 10, .key = "message:{messageId}",
	                          .value = "{sentAt}"};
	const struct cache_entry e[] = {{.id = 1, .message_id = "a", .sent_at = 10}, {.id = 2, .sent_at = 20},
	                                {.id = 3, .message_id = "c", .sent_at = 30}};
	struct error err = ERROR_INIT;
	struct cache_page p;
	struct cache *c;

	(void)state;
	assert_int_equal(cache_open(&c, &o, &err), OK);
	cache_put(c, e, 3);
	assert_int_equal(cache_list(c, "", 10, &p, &err), OK);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.items[0].id, 0);
	assert_string_equal(p.items[0].message_id, "a");
	assert_int_equal(p.items[1].sent_at, 30);
	cache_page_release(&p);
	cache_close(c);

	o = (struct cache_options){.url = "memory:", .max_entries = 10, .list = true};
	assert_int_equal(cache_open(&c, &o, &err), OK);
	cache_put(c, e, 3);
	assert_int_equal(cache_list(c, "", 10, &p, &err), OK);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.items[0].id, 0);
	assert_int_equal(p.items[0].sent_at, 10);
	cache_page_release(&p);
	cache_close(c);

	o.ttl = USEC_PER_SEC;
	assert_int_equal(cache_open(&c, &o, &err), ERR_CONFIG);
	o = (struct cache_options){.url = "memory:", .max_entries = 10, .key = "x"};
	assert_int_equal(cache_open(&c, &o, &err), ERR_CONFIG);
}

static void test_urls(void **state)
{
	static const char *const bad[] = {"", "memory", "mem:", "redas://:secret@h", "x:", NULL};
	struct cache *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cache_options o = {.url = bad[i], .max_entries = 10};
		struct error err = ERROR_INIT;

		assert_int_equal(cache_open(&c, &o, &err), ERR_CONFIG);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_null(strstr(err.text, "secret"));
		assert_non_null(strstr(err.text, "built in: memory, none"));
	}
	struct cache_options o = {.url = "memory:", .max_entries = 0};
	assert_int_equal(cache_open(&c, &o, NULL), ERR_CONFIG);
}

static void test_redis_may_be_left_out(void **state)
{
	struct cache_options o = {.url = "redis://localhost", .max_entries = 10};
	struct error err = ERROR_INIT;
	struct cache *c;

	(void)state;
	if (cache_open(&c, &o, &err) == OK) {
		cache_close(c);
		skip();
	}
	assert_int_equal(err.code, ERR_CONFIG);
	assert_string_equal(err.text, "this build has no redis cache driver; built in: memory, none");
}

static void test_none_keeps_nothing(void **state)
{
	struct cache_options o = {.url = "none:"};
	struct cache_page p;
	struct error err = ERROR_INIT;
	struct cache *c;

	(void)state;
	assert_int_equal(cache_open(&c, &o, &err), OK);
	assert_int_equal(cache_health(c), CACHE_DISABLED);
	put(c, 1);
	assert_int_equal(cache_list(c, "", 10, &p, &err), OK);
	assert_int_equal(p.n, 0);
	assert_string_equal(p.next, "");
	cache_page_release(&p);
	assert_int_equal(cache_list(c, "7", 10, &p, &err), ERR_INVALID);
	cache_close(c);
}

static void test_put_and_list(void **state)
{
	struct cache *c = open_memory(100, 0);
	struct cache_entry anonymous = {.id = 9, .sent_at = 5};
	unsigned seen[10] = {0};
	struct cache_page p;

	(void)state;
	assert_int_equal(cache_health(c), CACHE_UP);
	for (int64_t id = 1; id <= 5; id++)
		put(c, id);
	put(c, 3); /* again */
	assert_int_equal(walk(c, 2, seen, ARRAY_SIZE(seen)), 5);
	assert_int_equal(seen[3], 1);

	cache_put(c, &anonymous, 1);
	assert_int_equal(cache_list(c, "", 10, &p, NULL), OK);
	assert_int_equal(p.n, 6);
	assert_int_equal(p.items[4].id, 3);
	assert_int_equal(p.items[5].id, 9);
	assert_null(p.items[5].message_id);
	assert_string_equal(p.next, "");
	cache_page_release(&p);
	cache_close(c);
}

static void test_bad_cursors_and_limits(void **state)
{
	static const char too_long[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	static const char *const bad[] = {"x", "0", "-1", "1x", " 1", "99999999999999999999", too_long};
	struct cache *c = open_memory(10, 0);
	struct error err = ERROR_INIT;
	struct cache_page p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cache_list(c, bad[i], 10, &p, &err), ERR_INVALID);
	assert_int_equal(cache_list(c, "", 0, &p, &err), ERR_INVALID);
	assert_int_equal(cache_list(c, "", 1001, &p, &err), ERR_INVALID);
	assert_int_equal(cache_list(c, "5", 1000, &p, &err), OK);
	assert_int_equal(p.n, 0);
	cache_page_release(&p);
	cache_close(c);
}

static void test_the_oldest_leave_first(void **state)
{
	static unsigned seen[10001];
	struct cache *c = open_memory(100, 0);

	(void)state;
	for (int64_t id = 1; id <= 10000; id++)
		put(c, id);
	assert_int_equal(walk(c, 7, seen, ARRAY_SIZE(seen)), 100);
	for (int64_t id = 9901; id <= 10000; id++)
		assert_int_equal(seen[id], 1);
	cache_close(c);
}

static void test_dead_slots_push_nobody_out(void **state)
{
	unsigned seen[200] = {0};
	struct cache *c = open_memory(100, 0);

	(void)state;
	for (int64_t id = 1; id <= 100; id++)
		put(c, id);
	for (int i = 0; i < 5000; i++)
		put(c, 1 + i % 3);
	assert_int_equal(walk(c, 1000, seen, ARRAY_SIZE(seen)), 100);
	for (int64_t id = 1; id <= 100; id++)
		assert_int_equal(seen[id], 1);
	cache_close(c);
}

static void test_entries_expire(void **state)
{
	unsigned seen[100] = {0};
	struct cache *c = open_memory(100, 20 * USEC_PER_MSEC);
	struct cache *lasting = open_memory(100, USEC_PER_HOUR);

	(void)state;
	for (int64_t id = 1; id <= 50; id++) {
		put(c, id);
		put(lasting, id);
	}
	usleep(25 * 1000);
	assert_int_equal(walk(c, 10, seen, ARRAY_SIZE(seen)), 0);
	assert_int_equal(walk(lasting, 10, seen, ARRAY_SIZE(seen)), 50);
	cache_close(c);
	cache_close(lasting);
}

/* Against a plain array as model: random puts, over growth, eviction and rebuilds. */
static void test_random_use_matches_a_model(void **state)
{
	enum { IDS = 300 };
	uint64_t put_no[IDS] = {0}, clock = 0; /* 0: not there */
	struct cache *c = open_memory(150, 0);

	(void)state;
	for (int step = 0; step < 60000; step++) {
		int64_t id = 1 + (int64_t)(random_u64() % (IDS - 1));

		if (!put_no[id]) {
			size_t live = 0, oldest = 0;

			for (size_t i = 1; i < IDS; i++) {
				live += put_no[i] != 0;
				if (put_no[i] && (!oldest || put_no[i] < put_no[oldest]))
					oldest = i;
			}
			if (live == 150)
				put_no[oldest] = 0;
		}
		put(c, id);
		put_no[id] = ++clock;
		if (step % 500 == 0) {
			unsigned seen[IDS] = {0};

			walk(c, 1 + (uint32_t)(random_u64() % 100), seen, IDS);
			for (size_t i = 1; i < IDS; i++)
				assert_int_equal(seen[i], put_no[i] != 0);
		}
	}
	cache_close(c);
}

static void test_a_walk_sees_all_that_stays(void **state)
{
	enum { KEPT = 500, ALL = 5000 };
	static unsigned seen[ALL];
	struct cache *c = open_memory(2000, 0);
	char cursor[64] = "";
	struct cache_page p;
	int64_t fresh = KEPT + 1;

	(void)state;
	for (int64_t id = 1; id <= KEPT; id++)
		put(c, id);
	do {
		assert_int_equal(cache_list(c, cursor, 10, &p, NULL), OK);
		for (size_t i = 0; i < p.n; i++)
			seen[p.items[i].id]++;
		memcpy(cursor, p.next, sizeof(cursor));
		cache_page_release(&p);
		/* Newcomers, and one that moves to the end: rebuilds happen. */
		for (int i = 0; i < 9; i++)
			if (fresh < 1500)
				put(c, fresh++);
		put(c, 1 + (int64_t)(random_u64() % KEPT));
	} while (*cursor);
	for (int64_t id = 1; id <= KEPT; id++)
		assert_true(seen[id] >= 1);
	cache_close(c);
}

static void test_memory_is_modest(void **state)
{
	enum { N = 100000 };
	struct mallinfo2 before, after;
	struct cache *c;

	(void)state;
	before = mallinfo2();
	c = open_memory(N, USEC_PER_DAY);
	for (int64_t id = 1; id <= 3 * N; id++) {
		struct cache_entry e = {.id = id, .message_id = "67f2f8a8-ea58-4ed0-a6f9-ff217d4d8490",
		                        .sent_at = id};
		cache_put(c, &e, 1);
	}
	after = mallinfo2();
	size_t used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	if (used > 15u << 20)
		fail_msg("%zu bytes for %d entries", used, N);
	cache_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_redis_may_be_left_out),
		cmocka_unit_test(test_none_keeps_nothing),
		cmocka_unit_test(test_put_and_list),
		cmocka_unit_test(test_bad_cursors_and_limits),
		cmocka_unit_test(test_the_oldest_leave_first),
		cmocka_unit_test(test_dead_slots_push_nobody_out),
		cmocka_unit_test(test_entries_expire),
		cmocka_unit_test(test_random_use_matches_a_model),
		cmocka_unit_test(test_a_walk_sees_all_that_stays),
		cmocka_unit_test(test_memory_is_modest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
