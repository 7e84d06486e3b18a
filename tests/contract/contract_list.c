/* Lists and counts. That lists are complete, in order and without doubles is checked after every test of
 * the suite (check_invariants). */
#include <string.h>

#include "contract.h"

static struct message_page list(struct fixture *f, const struct list_query *q)
{
	struct message_page page;

	OKAY(store_list(f->c, q, &page, &f->err));
	return page;
}

static void expect_ids(struct fixture *f, const struct list_query *q, const int64_t *ids, size_t n)
{
	struct message_page page = list(f, q);
	size_t i;

	assert_int_equal(page.n, n);
	for (i = 0; i < n; i++)
		assert_int_equal(page.items[i].id, ids[i]);
	message_page_release(&page);
}

#define EXPECT(f, q, ...)                                                                          \
	expect_ids((f), (q), (const int64_t[]){__VA_ARGS__},                                       \
	           sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void test_newest_first_in_pages(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = -1, .limit = 3, .want_total = true};
	struct message_page page;

	add(f, 4);
	pass(unit());
	add(f, 4);
	page = list(f, &q);
	assert_int_equal(page.total, 8);
	assert_true(page.more);
	assert_int_equal(page.items[0].id, 8);
	assert_string_equal(page.items[0].content, "Hello");
	q.after = page.last;
	message_page_release(&page);
	EXPECT(f, &q, 5, 4, 3);
	q.offset = 1; /* on top of the position */
	EXPECT(f, &q, 4, 3, 2);
	q.offset = 0;
	page = list(f, &q);
	q.after = page.last;
	message_page_release(&page);
	page = list(f, &q);
	assert_int_equal(page.n, 2);
	assert_false(page.more);
	message_page_release(&page);

	q = (struct list_query){.status = -1, .limit = 3, .offset = 6};
	page = list(f, &q);
	assert_int_equal(page.n, 2);
	assert_int_equal(page.total, -1);
	assert_int_equal(page.items[0].id, 2);
	message_page_release(&page);
	q.offset = 100;
	page = list(f, &q);
	assert_int_equal(page.n, 0);
	assert_false(page.more);
	message_page_release(&page);
}

/* A page that is exactly full and the last one says so. */
static void test_no_more_after_an_exactly_full_page(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = -1, .limit = 4};
	struct message_page page;

	add(f, 4);
	page = list(f, &q);
	assert_int_equal(page.n, 4);
	assert_false(page.more);
	message_page_release(&page);
}

/* What arrives while somebody walks the list does not shift the pages behind. */
static void test_a_walk_is_not_shifted_by_arrivals(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = -1, .limit = 2};
	struct message_page page;

	add(f, 4);
	page = list(f, &q);
	q.after = page.last;
	message_page_release(&page);
	add(f, 3);
	EXPECT(f, &q, 2, 1);
}

static void test_sent_by_time_of_sending(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = MESSAGE_SENT, .limit = 2, .want_total = true};
	struct message_page page;
	struct claimed m[4];
	int64_t run;
	int i;
	static const int order[] = {2, 0, 3, 1};

	schedule(f, 0, 1);
	add(f, 5);
	run = claim_n(f, 4, m);
	for (i = 0; i < 4; i++) {
		pass(unit());
		assert_true(settle(f, &m[order[i]], run, VERDICT_SENT));
	}
	page = list(f, &q);
	assert_int_equal(page.total, 4);
	assert_int_equal(page.items[0].id, 2);
	assert_string_equal(page.items[0].message_id, "provider-1");
	assert_int_equal(page.items[1].id, 4);
	q.after = page.last;
	message_page_release(&page);
	EXPECT(f, &q, 1, 3);
}

static void test_pending_by_due_time_over_both_lanes(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = MESSAGE_PENDING, .limit = 2};
	struct message_page page;
	struct settlement s[2];
	struct claimed m[2];
	int64_t run;
	usec_t now = 0;

	schedule(f, 0, 1);
	add(f, 2);
	run = claim_n(f, 2, m);
	OKAY(store_now(f->c, &now, &f->err));
	add_at(f, now + 50 * unit()); /* 3 */
	add_at(f, now + 10 * unit()); /* 4 */
	s[0] = outcome(&m[0], run, VERDICT_RETRY);
	s[0].retry_in = 30 * unit();
	s[0].retry_free = true;
	s[1] = outcome(&m[1], run, VERDICT_RETRY);
	s[1].retry_in = 5 * unit();
	s[1].retry_free = true;
	settle_all(f, s, 2);
	page = list(f, &q);
	assert_int_equal(page.items[0].id, 3);
	assert_int_equal(page.items[1].id, 1);
	q.after = page.last;
	message_page_release(&page);
	EXPECT(f, &q, 4, 2);
}

static void test_filters(void **state)
{
	struct fixture *f = *state;
	struct message_draft d[4] = {
		{.phone = "+1111111", .content = "a"},
		{.phone = "+2222222", .content = "b"},
		{.phone = "+1111111", .content = "c"},
		{.phone = "+11111111", .content = "d"},
	};
	struct list_query q = {.status = -1, .limit = 10, .want_total = true};
	struct message_page page;
	struct arena arena = ARENA_INIT;
	struct message m;
	usec_t created[4];
	int i;

	for (i = 0; i < 4; i++) {
		struct insert_group g = {.drafts = &d[i], .n = 1};

		OKAY(store_insert(f->c, &g, 1, &f->err));
		created[i] = d[i].created_at;
		pass(unit());
	}
	OKAY(store_cancel(f->c, 3, &arena, &m, &f->err));
	arena_release(&arena);

	q.phone = "+1111111";
	EXPECT(f, &q, 3, 1);
	page = list(f, &q);
	assert_int_equal(page.total, 2);
	message_page_release(&page);
	q.status = MESSAGE_PENDING;
	EXPECT(f, &q, 1);
	q.phone = "+3333333";
	page = list(f, &q);
	assert_int_equal(page.n, 0);
	assert_int_equal(page.total, 0);
	message_page_release(&page);

	q = (struct list_query){.status = -1, .limit = 10, .want_total = true, .since = created[1]};
	EXPECT(f, &q, 4, 3, 2);
	q.since = created[1] + 1;
	EXPECT(f, &q, 4, 3);
	q.since = created[1];
	q.until = created[3];
	EXPECT(f, &q, 3, 2);
	page = list(f, &q);
	assert_int_equal(page.total, 2);
	message_page_release(&page);
	q.until = created[3] + 1;
	EXPECT(f, &q, 4, 3, 2);
	q.status = MESSAGE_PENDING;
	EXPECT(f, &q, 4, 2);
	page = list(f, &q);
	assert_int_equal(page.total, 2);
	message_page_release(&page);
	q.status = MESSAGE_CANCELLED;
	EXPECT(f, &q, 3);
	q = (struct list_query){.status = -1, .limit = 10, .want_total = true, .until = created[0]};
	page = list(f, &q);
	assert_int_equal(page.n, 0);
	assert_int_equal(page.total, 0);
	message_page_release(&page);
	q.until = 0;
	q.since = created[3] + 100 * unit();
	page = list(f, &q);
	assert_int_equal(page.n, 0);
	assert_int_equal(page.total, 0);
	message_page_release(&page);
	q.until = created[0];
	page = list(f, &q);
	assert_int_equal(page.total, 0);
	message_page_release(&page);
}

static const char number[] = "+905551234567"; /* of add() */

/* Where counting takes reading, it ends at a bound; what the counters know is told in full. */
static void test_totals_are_counted_so_far(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = -1, .limit = 2, .want_total = true, .count_most = 4};
	struct message_page page;
	static const struct {
		const char *phone;
		usec_t since;
		int status;
		uint32_t most;
		int64_t total;
		bool more;
	} cases[] = {
		{number, 0, -1, 4, 4, true},  {number, 0, -1, 5, 5, true},
		{number, 0, -1, 6, 6, false}, {number, 0, MESSAGE_PENDING, 4, 4, true},
		{number, 0, -1, 0, 6, false}, {number, 0, MESSAGE_PENDING, 6, 6, false},
		{NULL, 0, -1, 4, 6, false},  {NULL, 0, MESSAGE_PENDING, 4, 6, false},
		{NULL, 1, -1, 6, 6, false},  {NULL, 1, MESSAGE_PENDING, 4, 4, true},
		{NULL, 1, MESSAGE_SENT, 4, 0, false},
	};
	size_t i;

	add(f, 6);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		q.phone = cases[i].phone;
		q.since = cases[i].since;
		q.status = cases[i].status;
		q.count_most = cases[i].most;
		page = list(f, &q);
		assert_int_equal(page.total, cases[i].total);
		assert_int_equal(page.total_more, cases[i].more);
		assert_int_equal(page.n, cases[i].total ? 2 : 0);
		message_page_release(&page);
	}
}

static void test_queries_that_make_no_sense_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct list_query bad[] = {
		{.status = -1, .limit = 0},
		{.status = -1, .limit = 1001},
		{.status = -2, .limit = 1},
		{.status = MESSAGE_STATUS_COUNT, .limit = 1},
	};
	struct message_page page;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(store_list(f->c, &bad[i], &page, &f->err), ERR_INVALID);
}

static void test_what_is_not_there_is_not_found(void **state)
{
	static const int64_t ids[] = {0, -1, 1, 4711, INT64_MAX, INT64_MIN};
	struct fixture *f = *state;
	struct arena arena = ARENA_INIT;
	struct attempt_page page;
	struct message m;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_int_equal(store_get(f->c, ids[i], &arena, &m, &f->err), ERR_NOT_FOUND);
		assert_int_equal(store_attempts(f->c, ids[i], &page, &f->err), ERR_NOT_FOUND);
		assert_int_equal(store_cancel(f->c, ids[i], &arena, &m, &f->err), ERR_NOT_FOUND);
		assert_int_equal(store_replay(f->c, ids[i], &f->err), ERR_NOT_FOUND);
	}
	arena_release(&arena);
}

static uint32_t ahead_of(struct fixture *f, int64_t id, enum message_order order, uint32_t limit)
{
	struct ahead_query q = {.order = order, .id = id, .limit = limit};
	struct arena arena = ARENA_INIT;
	struct message m;
	uint32_t n = 4711;

	OKAY(store_get(f->c, id, &arena, &m, &f->err));
	OKAY(store_now(f->c, &q.now, &f->err));
	q.due_at = m.due_at;
	arena_release(&arena);
	OKAY(store_ahead(f->c, &q, &n, &f->err));
	return n;
}

static void test_how_many_go_before(void **state)
{
	struct fixture *f = *state;
	struct ahead_query bad = {.id = 1};
	struct arena arena = ARENA_INIT;
	struct message m;
	usec_t now;
	uint32_t n;

	add(f, 3);
	pass(unit());
	add(f, 4); /* 4 to 7, at one moment */
	OKAY(store_now(f->c, &now, &f->err));
	add_at(f, now + USEC_PER_HOUR);
	add_at(f, now + USEC_PER_HOUR); /* 8 and 9 */
	assert_int_equal(ahead_of(f, 1, ORDER_FIFO, 100), 0);
	assert_int_equal(ahead_of(f, 3, ORDER_FIFO, 100), 2);
	assert_int_equal(ahead_of(f, 6, ORDER_FIFO, 100), 5);
	assert_int_equal(ahead_of(f, 6, ORDER_FIFO, 4), 4);
	assert_int_equal(ahead_of(f, 9, ORDER_FIFO, 100), 8);
	/* The other way round, those that are not due stay out of it. */
	assert_int_equal(ahead_of(f, 7, ORDER_LIFO, 100), 0);
	assert_int_equal(ahead_of(f, 6, ORDER_LIFO, 100), 1);
	assert_int_equal(ahead_of(f, 1, ORDER_LIFO, 100), 6);
	assert_int_equal(ahead_of(f, 1, ORDER_LIFO, 2), 2);
	assert_int_equal(ahead_of(f, 8, ORDER_LIFO, 100), 1);
	/* What is not pending is in nobody's way. */
	OKAY(store_cancel(f->c, 1, &arena, &m, &f->err));
	arena_release(&arena);
	assert_int_equal(ahead_of(f, 6, ORDER_FIFO, 100), 4);
	assert_int_equal(store_ahead(f->c, &bad, &n, &f->err), ERR_INVALID);
}

const struct CMUnitTest list_tests[] = {
	TEST(test_newest_first_in_pages),
	TEST(test_no_more_after_an_exactly_full_page),
	TEST(test_a_walk_is_not_shifted_by_arrivals),
	TEST(test_sent_by_time_of_sending),
	TEST(test_pending_by_due_time_over_both_lanes),
	TEST(test_filters),
	TEST(test_totals_are_counted_so_far),
	TEST(test_how_many_go_before),
	TEST(test_queries_that_make_no_sense_are_refused),
	TEST(test_what_is_not_there_is_not_found),
};
GROUP_END(list);
