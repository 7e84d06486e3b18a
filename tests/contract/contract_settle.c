/* Outcomes: which count, what they do to the message, and what is kept of each attempt. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contract.h"
#include "text.h"

/* One message, claimed. */
static int64_t claimed_one(struct fixture *f, struct claimed *m)
{
	schedule(f, 0, 1);
	add(f, 1);
	return claim_n(f, 1, m);
}

static void test_sent(void **state)
{
	struct fixture *f = *state;
	struct settlement s;
	struct claimed m;
	struct message now;

	s = outcome(&m, claimed_one(f, &m), VERDICT_SENT);
	s.id = m.id;
	s.fence = m.fence;
	pass(unit());
	assert_int_equal(settle_all(f, &s, 1).applied, 1);
	now = get(f, m.id);
	assert_int_equal(now.status, MESSAGE_SENT);
	assert_string_equal(now.message_id, "provider-1");
	assert_true(s.sent_at > now.started_at);
	assert_int_equal(now.sent_at, s.sent_at);
	assert_int_equal(now.updated_at, s.sent_at);
	assert_int_equal(now.attempts, 1);
	assert_null(now.last_error);
	assert_null(now.owner);
	assert_int_equal(now.lease_until, 0);
	assert_int_equal(scheduler(f).messages_sent, 1);
	check_counts(f, "sent=1");
}

static void test_sent_without_an_id(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);
	struct settlement s = outcome(&m, run, VERDICT_SENT);

	s.message_id = NULL;
	settle_all(f, &s, 1);
	assert_null(get(f, m.id).message_id);
	assert_int_equal(status_of(f, m.id), MESSAGE_SENT);
}

static void test_retry(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);
	struct message now;
	usec_t before = 0;

	OKAY(store_now(f->c, &before, &f->err));
	assert_true(settle(f, &m, run, VERDICT_RETRY));
	now = get(f, m.id);
	assert_int_equal(now.status, MESSAGE_PENDING);
	assert_true(now.due_at >= before + unit());
	assert_string_equal(now.last_error, "HTTP 503");
	assert_int_equal(now.attempts, 1);
	assert_int_equal(now.fence, 1);
	assert_int_equal(now.sent_at, 0);
	check_counts(f, "pending=1");
	claim_none(f);
	pass(2 * unit());
	run = claim_n(f, 1, &m);
	assert_int_equal(m.attempt, 2);
	assert_int_equal(m.fence, 2);
	assert_string_equal(get(f, m.id).last_error, "HTTP 503");
	assert_true(settle(f, &m, run, VERDICT_SENT));
	assert_null(get(f, m.id).last_error);
}

static void test_failed(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);

	assert_true(settle(f, &m, run, VERDICT_FAILED));
	assert_int_equal(status_of(f, m.id), MESSAGE_FAILED);
	assert_string_equal(get(f, m.id).last_error, "HTTP 503");
	assert_int_equal(get(f, m.id).attempts, 1);
	check_counts(f, "failed=1");
}

static void test_unknown(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);

	assert_true(settle(f, &m, run, VERDICT_UNKNOWN));
	assert_int_equal(status_of(f, m.id), MESSAGE_UNKNOWN);
	check_counts(f, "unknown=1");
}

/* Against the rules: over, with the reason; what is retried beside the beat is another state. */
static void test_invalid(void **state)
{
	struct fixture *f = *state;
	struct list_query q = {.status = MESSAGE_INVALID, .limit = 10, .want_total = true};
	struct attempt_page attempts;
	struct message_page page;
	struct settlement s[2];
	struct claimed m[2];
	uint32_t replayed;
	int64_t run;

	schedule(f, unit(), 2);
	add(f, 2);
	run = claim_n(f, 2, m);
	s[0] = outcome(&m[0], run, VERDICT_INVALID);
	s[0].http_status = 0;
	s[0].error = "the phone number does not match";
	s[1] = outcome(&m[1], run, VERDICT_RETRY);
	s[1].retry_free = true;
	assert_int_equal(settle_all(f, s, 2).applied, 2);
	assert_int_equal(status_of(f, m[0].id), MESSAGE_INVALID);
	assert_string_equal(get(f, m[0].id).last_error, "the phone number does not match");
	assert_int_equal(get(f, m[0].id).attempts, 1);
	check_counts(f, "pending=1 invalid=1");
	assert_int_equal(run_of(f, run).failed, 1);
	assert_true(run_of(f, run).finished);

	OKAY(store_list(f->c, &q, &page, &f->err));
	assert_int_equal(page.n, 1);
	assert_int_equal(page.total, 1);
	assert_int_equal(page.items[0].id, m[0].id);
	message_page_release(&page);
	OKAY(store_attempts(f->c, m[0].id, &attempts, &f->err));
	assert_int_equal(attempts.n, 1);
	assert_int_equal(attempts.items[0].verdict, VERDICT_INVALID);
	attempt_page_release(&attempts);

	/* It stays what it is. */
	assert_int_equal(store_replay(f->c, m[0].id, &f->err), ERR_NOT_FOUND);
	OKAY(store_replay_some(f->c, 10, &replayed, &f->err));
	assert_int_equal(replayed, 0);
	assert_false(settle(f, &m[0], run, VERDICT_SENT));
	assert_false(settle(f, &m[0], run, VERDICT_RETRY));
	check_counts(f, "pending=1 invalid=1");
}

/* Given back as if it had never been taken: uncharged, at its old place, but under a fence of the past. */
static void test_release(void **state)
{
	struct fixture *f = *state;
	struct claimed m[3];
	struct attempt_page page;
	struct message now;
	usec_t due;
	int64_t run;

	schedule(f, 0, 1);
	add(f, 2);
	due = get(f, 1).due_at;
	pass(unit());
	run = claim_n(f, 1, m);
	assert_int_equal(m[0].id, 1);
	assert_true(settle(f, &m[0], run, VERDICT_RELEASE));
	now = get(f, 1);
	assert_int_equal(now.status, MESSAGE_PENDING);
	assert_int_equal(now.attempts, 0);
	assert_int_equal(now.due_at, due);
	assert_int_equal(now.fence, 1);
	assert_null(now.last_error);
	OKAY(store_attempts(f->c, 1, &page, &f->err));
	assert_int_equal(page.n, 0);
	attempt_page_release(&page);
	claim_n(f, 1, m);
	assert_int_equal(m[0].id, 1);
	assert_int_equal(m[0].attempt, 1);
	assert_int_equal(m[0].fence, 2);
}

/* Brings message 1 into each state, with fence 2 and a report of fence 1 still to come. */
enum situation {
	S_PENDING,
	S_SENDING,
	S_SENT,
	S_FAILED,
	S_UNKNOWN,
	S_CANCELLED,
	S_COUNT,
};

static void bring_about(struct fixture *f, enum situation s, struct claimed *old)
{
	struct arena arena = ARENA_INIT;
	struct claimed m;
	struct message msg;
	int64_t run = claimed_one(f, old);

	pass(20 * unit());
	assert_int_equal(recover(f).pending, 1);
	if (s == S_PENDING)
		return;
	if (s == S_CANCELLED) {
		OKAY(store_cancel(f->c, old->id, &arena, &msg, &f->err));
		arena_release(&arena);
		return;
	}
	run = claim_n(f, 1, &m);
	assert_int_equal(m.fence, old->fence + 1);
	if (s == S_SENT)
		assert_true(settle(f, &m, run, VERDICT_SENT));
	else if (s == S_FAILED)
		assert_true(settle(f, &m, run, VERDICT_FAILED));
	else if (s == S_UNKNOWN)
		assert_true(settle(f, &m, run, VERDICT_UNKNOWN));
}

static void late_report(void **state, enum verdict v, unsigned accepted)
{
	struct fixture *f = *state;
	enum message_status before;
	struct claimed old;
	size_t records = 0;
	struct attempt_page page;
	int s;

	for (s = 0; s < S_COUNT; s++) {
		bring_about(f, (enum situation)s, &old);
		before = status_of(f, old.id);
		OKAY(store_attempts(f->c, old.id, &page, &f->err));
		records = page.n;
		attempt_page_release(&page);
		assert_int_equal(settle(f, &old, 0, v), (accepted >> s) & 1);
		if (!((accepted >> s) & 1))
			assert_int_equal(status_of(f, old.id), before);
		else
			assert_int_equal(status_of(f, old.id), MESSAGE_SENT);
		/* Recorded, whether it counted or not. */
		OKAY(store_attempts(f->c, old.id, &page, &f->err));
		assert_int_equal(page.n, records + (v != VERDICT_RELEASE));
		attempt_page_release(&page);
		check_invariants(f);
		teardown(state);
		assert_int_equal(setup(state), 0);
		f = *state;
	}
}

static void test_a_late_success_is_a_fact(void **state)
{
	late_report(state, VERDICT_SENT, 1u << S_PENDING | 1u << S_SENDING | 1u << S_UNKNOWN);
}

static void test_a_late_retry_is_an_opinion(void **state)
{
	late_report(state, VERDICT_RETRY, 0);
}

static void test_a_late_failure_is_an_opinion(void **state)
{
	late_report(state, VERDICT_FAILED, 0);
}

static void test_a_late_unknown_is_an_opinion(void **state)
{
	late_report(state, VERDICT_UNKNOWN, 0);
}

static void test_a_late_release_is_an_opinion(void **state)
{
	late_report(state, VERDICT_RELEASE, 0);
}

/* A claim is over with its first report; only a success may still follow. */
static void test_the_current_fence_counts_only_while_sending(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);

	assert_true(settle(f, &m, run, VERDICT_RETRY));
	assert_false(settle(f, &m, run, VERDICT_FAILED));
	assert_false(settle(f, &m, run, VERDICT_RELEASE));
	assert_int_equal(status_of(f, m.id), MESSAGE_PENDING);
	assert_true(settle(f, &m, run, VERDICT_SENT));
	assert_string_equal(get(f, m.id).message_id, "provider-1");
	assert_false(settle(f, &m, run, VERDICT_SENT));
	check_counts(f, "sent=1");
	assert_int_equal(scheduler(f).messages_sent, 1);
}

static void test_a_message_that_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);
	struct attempt_page page;

	m.id = 4711;
	assert_false(settle(f, &m, run, VERDICT_SENT));
	assert_int_equal(store_attempts(f->c, 4711, &page, &f->err), ERR_NOT_FOUND);
	check_counts(f, "sending=1");
}

static void test_a_batch_of_different_outcomes(void **state)
{
	static const enum verdict verdicts[] = {VERDICT_SENT, VERDICT_RETRY, VERDICT_FAILED,
	                                        VERDICT_UNKNOWN, VERDICT_RELEASE};
	struct fixture *f = *state;
	struct settlement s[6];
	struct claimed m[5];
	struct settle_result r;
	int64_t run;
	size_t i;

	schedule(f, 0, 1);
	add(f, 5);
	run = claim_n(f, 5, m);
	for (i = 0; i < 5; i++)
		s[i] = outcome(&m[i], run, verdicts[i]);
	s[5] = s[0]; /* twice in one batch */
	r = settle_all(f, s, 6);
	assert_int_equal(r.applied, 5);
	assert_false(s[5].applied);
	assert_int_equal(s[5].sent_at, 0);
	check_counts(f, "pending=2 sent=1 failed=1 unknown=1");
}

static void test_attempts_are_kept_oldest_first(void **state)
{
	struct fixture *f = *state;
	struct attempt_page page;
	struct claimed m;
	int64_t run = claimed_one(f, &m), run2;

	assert_true(settle(f, &m, run, VERDICT_RETRY));
	pass(MAX_OF(2 * unit(), PACING_CONTINUOUS_RUN));
	run2 = claim_n(f, 1, &m);
	pass(20 * unit());
	recover(f);
	assert_true(settle(f, &m, run2, VERDICT_SENT));
	OKAY(store_attempts(f->c, m.id, &page, &f->err));
	assert_int_equal(page.n, 3);
	assert_int_equal(page.items[0].attempt, 1);
	assert_int_equal(page.items[0].run, run);
	assert_int_equal(page.items[0].verdict, VERDICT_RETRY);
	assert_int_equal(page.items[0].http_status, 503);
	assert_int_equal(page.items[0].duration, 1500);
	assert_true(page.items[0].started_at > 0);
	assert_string_equal(page.items[0].error, "HTTP 503");
	assert_string_equal(page.items[0].node, "node/boot");
	assert_int_equal(page.items[1].attempt, 2);
	assert_int_equal(page.items[1].verdict, VERDICT_LOST);
	assert_int_equal(page.items[1].run, run2);
	assert_string_equal(page.items[1].error, "lease ran out");
	assert_string_equal(page.items[1].node, "node/boot");
	assert_int_equal(page.items[2].verdict, VERDICT_SENT);
	assert_int_equal(page.items[2].run, run2);
	assert_int_equal(page.items[2].http_status, 202);
	assert_null(page.items[2].error);
	attempt_page_release(&page);
}

/* A success that comes when the next run has claimed the message already counts for that one. */
static void test_a_late_attempt_names_its_own_run(void **state)
{
	struct fixture *f = *state;
	struct attempt_page page;
	struct claimed old, m;
	int64_t run = claimed_one(f, &old), run2;

	pass(MAX_OF(20 * unit(), PACING_CONTINUOUS_RUN));
	assert_int_equal(recover(f).pending, 1);
	run2 = claim_n(f, 1, &m);
	assert_true(run2 > run);
	assert_true(settle(f, &old, run, VERDICT_SENT));
	OKAY(store_attempts(f->c, m.id, &page, &f->err));
	assert_int_equal(page.n, 2);
	assert_int_equal(page.items[0].verdict, VERDICT_LOST);
	assert_int_equal(page.items[0].run, run);
	assert_int_equal(page.items[1].verdict, VERDICT_SENT);
	assert_int_equal(page.items[1].run, run);
	attempt_page_release(&page);
}

/* After an uncertain commit a caller may settle again. */
static void test_the_same_report_twice_is_one_attempt(void **state)
{
	struct fixture *f = *state;
	struct attempt_page page;
	struct claimed m;
	int64_t run = claimed_one(f, &m);

	assert_true(settle(f, &m, run, VERDICT_FAILED));
	assert_false(settle(f, &m, run, VERDICT_FAILED));
	OKAY(store_attempts(f->c, m.id, &page, &f->err));
	assert_int_equal(page.n, 1);
	attempt_page_release(&page);
}

static void test_long_texts_are_cut_at_a_code_point(void **state)
{
	struct fixture *f = *state;
	char *text = xmalloc(2001);
	struct settlement s;
	struct claimed m;
	int64_t run = claimed_one(f, &m);
	const char *kept;
	size_t i;

	for (i = 0; i < 2000; i += 4)
		memcpy(text + i, "\xf0\x9f\x98\x80", 4);
	memmove(text + 1, text, 1996);
	text[0] = 'x';
	text[1997] = '\0';
	s = outcome(&m, run, VERDICT_RETRY);
	s.error = text;
	settle_all(f, &s, 1);
	kept = get(f, m.id).last_error;
	assert_int_equal(strlen(kept), 497); /* 1 + 124 * 4 <= 500 */
	assert_true(utf8_valid(kept, strlen(kept)));
	pass(2 * unit());
	run = claim_n(f, 1, &m);
	s = outcome(&m, run, VERDICT_SENT);
	s.message_id = text;
	settle_all(f, &s, 1);
	assert_int_equal(strlen(get(f, m.id).message_id), 253);
	free(text);
}

static void test_verdicts_that_are_not_outcomes_are_refused(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run = claimed_one(f, &m);
	struct settlement s = outcome(&m, run, VERDICT_LOST);
	struct settle_result r;

	assert_int_equal(store_settle(f->c, &s, 1, &r, &f->err), ERR_INVALID);
	OKAY(store_settle(f->c, NULL, 0, &r, &f->err));
	assert_int_equal(r.applied, 0);
	check_counts(f, "sending=1");
}

const struct CMUnitTest settle_tests[] = {
	TEST(test_sent),
	TEST(test_sent_without_an_id),
	TEST(test_retry),
	TEST(test_failed),
	TEST(test_unknown),
	TEST(test_invalid),
	TEST(test_release),
	TEST(test_a_late_success_is_a_fact),
	TEST(test_a_late_retry_is_an_opinion),
	TEST(test_a_late_failure_is_an_opinion),
	TEST(test_a_late_unknown_is_an_opinion),
	TEST(test_a_late_release_is_an_opinion),
	TEST(test_the_current_fence_counts_only_while_sending),
	TEST(test_a_message_that_is_not_there),
	TEST(test_a_batch_of_different_outcomes),
	TEST(test_attempts_are_kept_oldest_first),
	TEST(test_a_late_attempt_names_its_own_run),
	TEST(test_the_same_report_twice_is_one_attempt),
	TEST(test_long_texts_are_cut_at_a_code_point),
	TEST(test_verdicts_that_are_not_outcomes_are_refused),
};
GROUP_END(settle);
