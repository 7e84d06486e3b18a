#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "query.h"

#define ALL                                                                                                \
	(QUERY_PAGE | QUERY_PAGE_SIZE | QUERY_STATUS | QUERY_PHONE | QUERY_SINCE | QUERY_UNTIL | QUERY_CURSOR)

static bool parse(struct query *q, const char *text, unsigned allowed, struct buf *ret_why)
{
	struct details d = {.members = BUF_INIT};
	bool ok;

	query_init(q);
	ok = query_parse(q, text, strlen(text), allowed, &d);
	assert_int_equal(ok, d.n == 0);
	if (ret_why) {
		buf_clear(ret_why);
		buf_addstr(ret_why, d.members.data);
	}
	buf_release(&d.members);
	return ok;
}

static void nothing_given(void **state)
{
	static const char *const texts[] = {"", "&", "&&&"};
	struct query q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_true(parse(&q, texts[i], ALL, NULL));
		assert_int_equal(q.given, 0);
		assert_int_equal(q.page, 1);
		assert_int_equal(q.page_size, 20);
		assert_int_equal(q.status, -1);
		query_release(&q);
	}
}

static void everything_given(void **state)
{
	struct query q;

	(void)state;
	assert_true(parse(&q,
	                  "page=3&pageSize=100&status=sent&phoneNumber=+905551234567&"
	                  "since=1970-01-01T00:00:01Z&until=1970-01-01T03:00:02+03:00",
	                  ALL, NULL));
	assert_int_equal(q.page, 3);
	assert_int_equal(q.page_size, 100);
	assert_int_equal(q.status, MESSAGE_SENT);
	assert_string_equal(q.phone, "+905551234567");
	assert_int_equal(q.since, USEC_PER_SEC);
	assert_int_equal(q.until, 2 * USEC_PER_SEC);
	query_release(&q);

	assert_true(parse(&q, "ph%6fneNumber=%2B905551234567&p%61ge=%31", ALL, NULL));
	assert_string_equal(q.phone, "+905551234567");
	assert_int_equal(q.page, 1);
	query_release(&q);
}

static void each_fault_is_named(void **state)
{
	static const struct {
		const char *text, *field;
	} cases[] = {
		{"page=0", "{\"page\":"},          {"page", "{\"page\":"},
		{"page=1&page=2", "{\"page\":"},   {"page=%", "{\"page\":"},
		{"page=%0", "{\"page\":"},         {"page=%g0", "{\"page\":"},
		{"page=+1", "{\"page\":"},         {"page=1000000001", "{\"page\":"},
		{"pageSize=101", "{\"pageSize\":"}, {"status=SENT", "{\"status\":"},
		{"status=%73ent%00", "{\"status\":"}, {"phoneNumber=%20", "{\"phoneNumber\":"},
		{"phoneNumber=+1234567890123456789012345", "{\"phoneNumber\":"},
		{"since=1", "{\"since\":"},        {"until=", "{\"until\":"},
		{"cursor=", "{\"cursor\":"},       {"nope=1", "{\"nope\":"},
		{"Page=1", "{\"Page\":"},          {"=1", "{\"\":"},
		{"%ff=1", "{\"query\":"},          {"page=1&cursor=x", "{\"page\":"},
	};
	struct buf why = BUF_INIT;
	struct query q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(&q, cases[i].text, ALL, &why))
			fail_msg("%s was taken", cases[i].text);
		if (strncmp(why.data, cases[i].field, strlen(cases[i].field)) != 0)
			fail_msg("%s: %s", cases[i].text, why.data);
		query_release(&q);
	}
	buf_release(&why);
}

static void only_what_is_allowed(void **state)
{
	struct query q;

	(void)state;
	assert_false(parse(&q, "status=sent", ALL & ~(unsigned)QUERY_STATUS, NULL));
	query_release(&q);
	assert_false(parse(&q, "page=1", 0, NULL));
	query_release(&q);
}

/* --- cursors */

static const struct cursor somewhere = {{.at = 1234567890123456, .id = MESSAGE_ID_MAX, .lane = -3}, 7};

static void cursor_round_trip(void **state)
{
	struct buf text = BUF_INIT;
	struct cursor back;
	struct query q;

	(void)state;
	query_init(&q);
	q.status = MESSAGE_PENDING;
	cursor_write(&text, CURSOR_MESSAGES, &q, &somewhere);
	assert_true(cursor_read(text.data, text.len, CURSOR_MESSAGES, &q, &back));
	assert_int_equal(back.position.at, somewhere.position.at);
	assert_int_equal(back.position.id, somewhere.position.id);
	assert_int_equal(back.position.lane, somewhere.position.lane);
	assert_int_equal(back.page, somewhere.page);
	buf_release(&text);
	query_release(&q);
}

static void cursor_belongs_to_its_list(void **state)
{
	struct buf text = BUF_INIT;
	struct query q, other;
	struct cursor back;

	(void)state;
	query_init(&q);
	cursor_write(&text, CURSOR_MESSAGES, &q, &somewhere);
	assert_false(cursor_read(text.data, text.len, CURSOR_RUNS, &q, &back));
	for (int i = 0; i < 4; i++) {
		query_init(&other);
		if (i == 0)
			other.status = MESSAGE_SENT;
		else if (i == 1)
			other.since = 1;
		else if (i == 2)
			other.until = 1;
		else
			memcpy(other.phone, "+1", 3);
		assert_false(cursor_read(text.data, text.len, CURSOR_MESSAGES, &other, &back));
	}
	/* The size of the pages may change on the way. */
	q.page_size = 5;
	assert_true(cursor_read(text.data, text.len, CURSOR_MESSAGES, &q, &back));
	buf_release(&text);
}

static void no_cursor_can_be_made_by_hand(void **state)
{
	struct buf text = BUF_INIT;
	struct cursor back;
	struct query q;

	(void)state;
	query_init(&q);
	cursor_write(&text, CURSOR_MESSAGES, &q, &somewhere);
	for (size_t i = 0; i < text.len; i++) {
		const char was = text.data[i];

		text.data[i] = was == 'A' ? 'B' : 'A';
		assert_false(cursor_read(text.data, text.len, CURSOR_MESSAGES, &q, &back));
		text.data[i] = was;
		assert_false(cursor_read(text.data, i, CURSOR_MESSAGES, &q, &back));
	}
	buf_addstr(&text, "A");
	assert_false(cursor_read(text.data, text.len, CURSOR_MESSAGES, &q, &back));
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given),
		cmocka_unit_test(everything_given),
		cmocka_unit_test(each_fault_is_named),
		cmocka_unit_test(only_what_is_allowed),
		cmocka_unit_test(cursor_round_trip),
		cmocka_unit_test(cursor_belongs_to_its_list),
		cmocka_unit_test(no_cursor_can_be_made_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
