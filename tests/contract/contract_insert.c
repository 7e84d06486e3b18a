/* Taking messages in: what is stored, and what an idempotency key does. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contract.h"

static struct message_draft draft(const char *key)
{
	return (struct message_draft){
		.phone = "+905551234567", .content = "Hello", .idempotency_key = key};
}

static void insert_one(struct fixture *f, struct message_draft *d)
{
	struct insert_group g = {.drafts = d, .n = 1};

	OKAY(store_insert(f->c, &g, 1, &f->err));
	assert_int_equal(g.stored, d->result != INSERT_CONFLICT);
}

static void test_everything_is_kept(void **state)
{
	struct fixture *f = *state;
	usec_t later = 0;
	struct message_draft d = {
		.phone = "+441632960001",
		.content = "na\xc3\xafve \xf0\x9f\x98\x80 'quoted' \"text\"\n\ttab",
		.idempotency_key = "order-17",
		.metadata = "{\"a\":\"\xc3\xbc\"}",
	};
	struct message m;

	OKAY(store_now(f->c, &later, &f->err));
	later += 10 * unit();
	d.send_at = later;
	insert_one(f, &d);
	assert_int_equal(d.result, INSERT_CREATED);
	assert_true(d.id > 0 && d.id <= MESSAGE_ID_MAX);
	m = get(f, d.id);
	assert_int_equal(m.status, MESSAGE_PENDING);
	assert_string_equal(m.phone, d.phone);
	assert_string_equal(m.content, d.content);
	assert_string_equal(m.idempotency_key, d.idempotency_key);
	assert_string_equal(m.metadata, d.metadata);
	assert_int_equal(m.send_at, later);
	assert_int_equal(m.due_at, later);
	assert_int_equal(m.created_at, d.created_at);
	assert_int_equal(m.updated_at, d.created_at);
	assert_int_equal(m.attempts, 0);
	assert_int_equal(m.lost, 0);
	assert_int_equal(m.fence, 0);
	assert_int_equal(m.started_at, 0);
	assert_int_equal(m.sent_at, 0);
	assert_int_equal(m.lease_until, 0);
	assert_null(m.owner);
	assert_null(m.message_id);
	assert_null(m.last_error);
	check_counts(f, "pending=1");
}

static void test_the_longest_texts_are_kept(void **state)
{
	struct fixture *f = *state;
	char *content = xmalloc(MESSAGE_CONTENT_MAX_BYTES + 1);
	char *metadata = xmalloc(MESSAGE_METADATA_MAX + 1), *key = xmalloc(MESSAGE_KEY_MAX + 1);
	struct message_draft d = {.phone = "12345678901234567890",
	                          .content = content,
	                          .metadata = metadata,
	                          .idempotency_key = key};
	struct message m;

	memset(content, 'c', MESSAGE_CONTENT_MAX_BYTES);
	content[MESSAGE_CONTENT_MAX_BYTES] = '\0';
	memset(metadata, 'm', MESSAGE_METADATA_MAX);
	metadata[MESSAGE_METADATA_MAX] = '\0';
	memset(key, 'k', MESSAGE_KEY_MAX);
	key[MESSAGE_KEY_MAX] = '\0';
	insert_one(f, &d);
	m = get(f, d.id);
	assert_string_equal(m.content, content);
	assert_string_equal(m.metadata, metadata);
	assert_string_equal(m.idempotency_key, key);
	free(content);
	free(metadata);
	free(key);
	d = (struct message_draft){.phone = "x", .content = ""};
	insert_one(f, &d);
	assert_string_equal(get(f, d.id).content, "");
}

static void test_what_is_too_long_or_missing_is_refused(void **state)
{
	struct fixture *f = *state;
	static const struct message_draft bad[] = {
		{.phone = NULL, .content = "Hello"},
		{.phone = "", .content = "Hello"},
		{.phone = "123456789012345678901", .content = "Hello"},
		{.phone = "+905551234567", .content = NULL},
		{.phone = "+905551234567", .content = "Hello", .idempotency_key = ""},
		{.phone = "+905551234567", .content = "Hello", .idempotency_key = "a b"},
		{.phone = "+905551234567", .content = "Hello", .send_at = -1},
	};
	struct message_draft drafts[2];
	struct insert_group g = {.drafts = drafts, .n = 2};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		drafts[0] = draft(NULL);
		drafts[1] = bad[i];
		assert_int_equal(store_insert(f->c, &g, 1, &f->err), ERR_INVALID);
	}
	check_counts(f, "");
}

static void test_ids_and_creation_times_rise_together(void **state)
{
	struct fixture *f = *state;
	int64_t a = add(f, 3), b;

	pass(unit());
	b = add(f, 2);
	assert_int_equal(b, a + 3);
	assert_true(get(f, b).created_at > get(f, a).created_at);
	if (!turns_clock())
		return;
	set_back(5 * unit());
	assert_true(get(f, add(f, 1)).created_at >= get(f, b).created_at);
}

/* A clock that was set back must not hold up what is created now. */
static void test_due_at_once_also_after_the_clock_was_set_back(void **state)
{
	struct fixture *f = *state;
	struct claimed m[2];

	if (!turns_clock())
		skip();
	schedule(f, 0, 1);
	add(f, 1);
	set_back(5 * unit());
	add(f, 1);
	claim_n(f, 1, m);
	assert_int_equal(m[0].id, 2);
}

static void test_a_repeated_key_gives_the_first_message(void **state)
{
	struct fixture *f = *state;
	struct message_draft first = draft("k"), again = draft("k");

	insert_one(f, &first);
	pass(unit());
	insert_one(f, &again);
	assert_int_equal(again.result, INSERT_REPEATED);
	assert_int_equal(again.id, first.id);
	assert_int_equal(again.created_at, first.created_at);
	check_counts(f, "pending=1");
	assert_int_equal(add(f, 1), first.id + 1);
}

static void test_a_key_used_for_another_message_conflicts(void **state)
{
	struct fixture *f = *state;
	struct message_draft first = draft("k"), d;
	size_t i;

	first.metadata = "{}";
	insert_one(f, &first);
	for (i = 0; i < 5; i++) {
		d = first;
		d.phone = i == 0 ? "+905551234568" : d.phone;
		d.content = i == 1 ? "Hello!" : d.content;
		d.metadata = i == 2 ? "{ }" : i == 3 ? NULL : d.metadata;
		d.send_at = i == 4 ? 1 : d.send_at;
		insert_one(f, &d);
		assert_int_equal(d.result, INSERT_CONFLICT);
	}
	check_counts(f, "pending=1");
	assert_string_equal(get(f, first.id).content, "Hello");
}

static void test_no_key_never_repeats(void **state)
{
	struct fixture *f = *state;
	struct message_draft a = draft(NULL), b = draft(NULL);

	insert_one(f, &a);
	insert_one(f, &b);
	assert_int_equal(b.result, INSERT_CREATED);
	check_counts(f, "pending=2");
}

static void test_keys_differ_by_case(void **state)
{
	struct fixture *f = *state;
	struct message_draft a = draft("key"), b = draft("KEY");

	insert_one(f, &a);
	insert_one(f, &b);
	assert_int_equal(b.result, INSERT_CREATED);
}

static void test_a_group_with_a_conflict_is_not_stored_the_others_are(void **state)
{
	struct fixture *f = *state;
	struct message_draft old = draft("old");
	struct message_draft a[] = {draft("a1"), draft("a2")};
	struct message_draft b[] = {draft("b1"), draft("old"), draft("b3"), draft("a1"), draft("b1")};
	struct message_draft c[] = {draft("b1"), draft(NULL)};
	struct insert_group g[] = {
		{.drafts = a, .n = 2}, {.drafts = b, .n = 5}, {.drafts = c, .n = 2}};

	insert_one(f, &old);
	b[1].content = "Something else";
	OKAY(store_insert(f->c, g, 3, &f->err));
	assert_true(g[0].stored);
	assert_false(g[1].stored);
	assert_true(g[2].stored);
	assert_int_equal(b[0].result, INSERT_CREATED); /* it would have been */
	assert_int_equal(b[0].id, 0);
	assert_int_equal(b[1].result, INSERT_CONFLICT);
	assert_int_equal(b[1].id, 0);
	assert_int_equal(b[2].result, INSERT_CREATED);
	assert_int_equal(b[3].result, INSERT_REPEATED);
	assert_int_equal(b[3].id, a[0].id);
	assert_int_equal(b[4].result, INSERT_REPEATED);
	assert_int_equal(b[4].id, 0); /* of one that was taken back */
	/* Its key is free again, and no id is wasted. */
	assert_int_equal(c[0].result, INSERT_CREATED);
	assert_int_equal(c[0].id, a[1].id + 1);
	check_counts(f, "pending=5");
}

static void test_a_lone_group_with_a_conflict_is_not_stored(void **state)
{
	struct fixture *f = *state;
	struct message_draft old = draft("old");
	struct message_draft a[] = {draft("a1"), draft("old"), draft("a3")};
	struct insert_group g = {.drafts = a, .n = 3};

	insert_one(f, &old);
	a[1].phone = "+905550000000";
	OKAY(store_insert(f->c, &g, 1, &f->err));
	assert_false(g.stored);
	check_counts(f, "pending=1");
	assert_int_equal(add(f, 1), old.id + 1);
	a[1].phone = old.phone;
	OKAY(store_insert(f->c, &g, 1, &f->err));
	assert_true(g.stored);
	assert_int_equal(a[1].id, old.id);
	check_counts(f, "pending=4");
}

static void test_a_key_repeated_within_a_call_counts_as_stored_before(void **state)
{
	struct fixture *f = *state;
	struct message_draft a[] = {draft("k"), draft("k")}, b[] = {draft("k")}, c[] = {draft("k")};
	struct insert_group g[] = {{.drafts = a, .n = 2}, {.drafts = b, .n = 1}, {.drafts = c, .n = 1}};

	c[0].content = "Another";
	OKAY(store_insert(f->c, g, 3, &f->err));
	assert_int_equal(a[0].result, INSERT_CREATED);
	assert_int_equal(a[1].result, INSERT_REPEATED);
	assert_int_equal(a[1].id, a[0].id);
	assert_int_equal(b[0].result, INSERT_REPEATED);
	assert_int_equal(c[0].result, INSERT_CONFLICT);
	assert_false(g[2].stored);
	check_counts(f, "pending=1");
}

/* The promise is about the key, not about the state that its message is in by then. */
static void test_a_key_still_counts_when_its_message_was_sent(void **state)
{
	struct fixture *f = *state;
	struct message_draft first = draft("k"), again = draft("k");
	struct claimed m;
	int64_t run;

	schedule(f, 0, 1);
	insert_one(f, &first);
	run = claim_n(f, 1, &m);
	assert_true(settle(f, &m, run, VERDICT_SENT));
	insert_one(f, &again);
	assert_int_equal(again.result, INSERT_REPEATED);
	check_counts(f, "sent=1");
}

static void test_nothing_to_store_is_fine(void **state)
{
	struct fixture *f = *state;
	struct insert_group g = {.n = 0};

	OKAY(store_insert(f->c, NULL, 0, &f->err));
	OKAY(store_insert(f->c, &g, 1, &f->err));
	assert_true(g.stored);
}

const struct CMUnitTest insert_tests[] = {
	TEST(test_everything_is_kept),
	TEST(test_the_longest_texts_are_kept),
	TEST(test_what_is_too_long_or_missing_is_refused),
	TEST(test_ids_and_creation_times_rise_together),
	TEST(test_due_at_once_also_after_the_clock_was_set_back),
	TEST(test_a_repeated_key_gives_the_first_message),
	TEST(test_a_key_used_for_another_message_conflicts),
	TEST(test_no_key_never_repeats),
	TEST(test_keys_differ_by_case),
	TEST(test_a_group_with_a_conflict_is_not_stored_the_others_are),
	TEST(test_a_lone_group_with_a_conflict_is_not_stored),
	TEST(test_a_key_repeated_within_a_call_counts_as_stored_before),
	TEST(test_a_key_still_counts_when_its_message_was_sent),
	TEST(test_nothing_to_store_is_fine),
};
GROUP_END(insert);
