/* The nodes on a store: who reports is listed, with the store's times, until it is old news. */
#include <string.h>

#include "contract.h"

static struct node_report report(const char *node, const char *boot)
{
	return (struct node_report){
		.node = node, .boot = boot, .version = "1.2.3", .role = "all", .in_flight = 5};
}

static void seen(struct fixture *f, const char *node, const char *boot)
{
	const struct node_report r = report(node, boot);

	OKAY(store_node_seen(f->c, &r, &f->err));
}

static void leave(struct fixture *f, const char *node, const char *boot)
{
	struct node_report r = report(node, boot);

	r.leaving = true;
	r.in_flight = 0;
	OKAY(store_node_seen(f->c, &r, &f->err));
}

/* "a/1 b/2-": nodes and boots in order, '-' behind those that have left. */
static void check_nodes(struct fixture *f, const char *text)
{
	char found[400] = "";
	struct node_page p;
	size_t i, len;

	OKAY(store_nodes(f->c, &p, &f->err));
	for (i = 0; i < p.n; i++) {
		len = strlen(found);
		snprintf(found + len, sizeof(found) - len, "%s%s/%s%s", len ? " " : "", p.items[i].id,
		         p.items[i].boot, p.items[i].left ? "-" : "");
	}
	node_page_release(&p);
	assert_string_equal(found, text);
}

static void test_nobody_at_first(void **state)
{
	check_nodes(*state, "");
}

static void test_a_report_is_listed_as_it_was_made(void **state)
{
	struct fixture *f = *state;
	struct node_report r = report("host-1", "abc");
	struct node_page p;
	usec_t before, after;

	OKAY(store_now(f->c, &before, &f->err));
	OKAY(store_node_seen(f->c, &r, &f->err));
	OKAY(store_now(f->c, &after, &f->err));
	OKAY(store_nodes(f->c, &p, &f->err));
	assert_int_equal(p.n, 1);
	assert_string_equal(p.items[0].id, "host-1");
	assert_string_equal(p.items[0].boot, "abc");
	assert_string_equal(p.items[0].version, "1.2.3");
	assert_string_equal(p.items[0].role, "all");
	assert_int_equal(p.items[0].in_flight, 5);
	assert_false(p.items[0].left);
	assert_in_range(p.items[0].started_at, before, after);
	assert_int_equal(p.items[0].last_seen, p.items[0].started_at);
	assert_true(p.now >= after);
	node_page_release(&p);
}

static void test_a_later_report_moves_what_changes(void **state)
{
	struct fixture *f = *state;
	struct node_report r = report("a", "1");
	struct node_page first, p;

	seen(f, "a", "1");
	OKAY(store_nodes(f->c, &first, &f->err));
	pass(unit());
	r.in_flight = 900000;
	OKAY(store_node_seen(f->c, &r, &f->err));
	OKAY(store_nodes(f->c, &p, &f->err));
	assert_int_equal(p.n, 1);
	assert_int_equal(p.items[0].started_at, first.items[0].started_at);
	assert_true(p.items[0].last_seen >= first.items[0].last_seen + unit());
	assert_int_equal(p.items[0].in_flight, 900000);
	node_page_release(&first);
	node_page_release(&p);
}

static void test_nodes_are_sorted_by_name(void **state)
{
	struct fixture *f = *state;

	seen(f, "b", "1");
	seen(f, "a'\\\"", "1");
	seen(f, "B", "1");
	seen(f, "a-10", "1");
	check_nodes(f, "B/1 a'\\\"/1 a-10/1 b/1");
}

static void test_who_leaves_says_so(void **state)
{
	struct fixture *f = *state;

	seen(f, "a", "1");
	seen(f, "b", "1");
	leave(f, "a", "1");
	check_nodes(f, "a/1- b/1");
}

static void test_a_new_life_takes_the_place_of_one_that_left(void **state)
{
	struct fixture *f = *state;

	seen(f, "a", "1");
	seen(f, "b", "1");
	leave(f, "a", "1");
	seen(f, "a", "2");
	check_nodes(f, "a/2 b/1");
}

static void test_two_under_one_name_are_both_shown(void **state)
{
	struct fixture *f = *state;

	seen(f, "a", "1");
	pass(1000);
	seen(f, "a", "2");
	seen(f, "a", "1");
	check_nodes(f, "a/1 a/2");
}

static void test_a_new_life_takes_the_place_of_one_long_silent(void **state)
{
	struct fixture *f = *state;

	if (!turns_clock())
		skip();
	seen(f, "a", "1");
	seen(f, "b", "1");
	pass(59 * USEC_PER_SEC);
	seen(f, "a", "2");
	check_nodes(f, "a/1 a/2 b/1");
	pass(2 * USEC_PER_SEC);
	seen(f, "a", "2");
	/* The other node was silent for as long, but may come back under its name. */
	check_nodes(f, "a/2 b/1");
}

static void test_who_was_not_seen_for_a_day_is_forgotten(void **state)
{
	struct fixture *f = *state;

	if (!turns_clock())
		skip();
	seen(f, "a", "1");
	leave(f, "c", "1");
	pass(USEC_PER_HOUR);
	seen(f, "b", "1");
	check_nodes(f, "a/1 b/1 c/1-");
	pass(USEC_PER_DAY - USEC_PER_MINUTE);
	seen(f, "b", "1");
	check_nodes(f, "b/1");
	/* Its own absence is nobody's reason to forget itself. */
	pass(2 * USEC_PER_DAY);
	seen(f, "b", "1");
	check_nodes(f, "b/1");
}

static void test_a_report_has_bounds(void **state)
{
	struct fixture *f = *state;
	char longest[NODE_ID_MAX + 2];
	struct node_report r;

	memset(longest, 'x', sizeof(longest));
	longest[NODE_ID_MAX + 1] = '\0';
	r = report(longest, "1");
	assert_int_equal(store_node_seen(f->c, &r, &f->err), ERR_INVALID);
	r = report("a", "");
	assert_int_equal(store_node_seen(f->c, &r, &f->err), ERR_INVALID);
	r = report("a", "1");
	r.version = NULL;
	assert_int_equal(store_node_seen(f->c, &r, &f->err), ERR_INVALID);
	longest[NODE_ID_MAX] = '\0';
	seen(f, longest, "1");
}

const struct CMUnitTest nodes_tests[] = {
	TEST(test_nobody_at_first),
	TEST(test_a_report_is_listed_as_it_was_made),
	TEST(test_a_later_report_moves_what_changes),
	TEST(test_nodes_are_sorted_by_name),
	TEST(test_who_leaves_says_so),
	TEST(test_a_new_life_takes_the_place_of_one_that_left),
	TEST(test_two_under_one_name_are_both_shown),
	TEST(test_a_new_life_takes_the_place_of_one_long_silent),
	TEST(test_who_was_not_seen_for_a_day_is_forgotten),
	TEST(test_a_report_has_bounds),
};
GROUP_END(nodes);
