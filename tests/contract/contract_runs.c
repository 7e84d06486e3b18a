/* Runs: their figures, when they end, and how many in a row sent nothing. */
#include <string.h>

#include "contract.h"

/* A beat of n messages, all claimed. */
static int64_t beat(struct fixture *f, uint32_t n, struct claimed *m)
{
	pass(2 * unit());
	return claim_n(f, n, m);
}

static struct run_end end_one(struct fixture *f, const struct claimed *m, int64_t run, enum verdict v)
{
	struct settlement s = outcome(m, run, v);
	struct settle_result r = settle_all(f, &s, 1);

	assert_true(r.ended_n <= 1);
	return r.ended_n ? r.ended[0] : (struct run_end){.run = 0};
}

static void test_a_run_ends_with_its_last_outcome(void **state)
{
	struct fixture *f = *state;
	struct run_end end;
	struct claimed m[4];
	struct run r;
	int64_t run;

	schedule(f, unit(), 4);
	add(f, 4);
	run = beat(f, 4, m);
	assert_int_equal(end_one(f, &m[0], run, VERDICT_SENT).run, 0);
	assert_int_equal(end_one(f, &m[1], run, VERDICT_RETRY).run, 0);
	r = run_of(f, run);
	assert_int_equal(r.claimed, 4);
	assert_int_equal(r.sent, 1);
	assert_int_equal(r.retried, 1);
	assert_false(r.finished);
	assert_int_equal(end_one(f, &m[2], run, VERDICT_FAILED).run, 0);
	end = end_one(f, &m[3], run, VERDICT_UNKNOWN);
	assert_int_equal(end.run, run);
	assert_int_equal(end.claimed, 4);
	assert_int_equal(end.sent, 1);
	assert_int_equal(end.failed, 1);
	assert_int_equal(end.retried, 1);
	assert_false(end.all_failed);
	r = run_of(f, run);
	assert_true(r.finished);
	assert_int_equal(r.lost, 1);
	assert_int_equal(r.last_id, m[3].id);
	assert_true(r.started_at > 0);
}

static void test_a_run_with_claims_left_ends_when_the_next_opens(void **state)
{
	struct fixture *f = *state;
	struct claimed m[2];
	struct claim_batch b;
	int64_t run;

	schedule(f, unit(), 2);
	add(f, 5);
	run = beat(f, 1, m);
	assert_int_equal(end_one(f, &m[0], run, VERDICT_SENT).run, 0);
	assert_false(run_of(f, run).finished);
	pass(2 * unit());
	b = claim(f, 2);
	assert_int_equal(b.ended.run, run);
	assert_int_equal(b.ended.claimed, 1);
	assert_int_equal(b.ended.sent, 1);
	claim_batch_release(&b);
	assert_true(run_of(f, run).finished);
}

static void test_a_run_that_runs_out_of_work_ends(void **state)
{
	struct fixture *f = *state;
	struct claimed m[1];
	struct claim_batch b;
	int64_t run;

	schedule(f, unit(), 5);
	add(f, 1);
	run = beat(f, 1, m);
	assert_int_equal(end_one(f, &m[0], run, VERDICT_SENT).run, 0); /* it may give 4 more */
	b = claim(f, 5);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.ended.run, run);
	claim_batch_release(&b);
	assert_true(run_of(f, run).finished);
}

static void test_an_empty_run_ends_at_once(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	schedule(f, unit(), 5);
	b = claim(f, 5);
	assert_int_equal(b.run, 1);
	assert_int_equal(b.ended.run, 1);
	assert_int_equal(b.ended.claimed, 0);
	assert_false(b.ended.all_failed);
	claim_batch_release(&b);
	assert_true(run_of(f, 1).finished);
	assert_int_equal(run_of(f, 1).last_id, 0);
}

static void test_all_failed_in_a_row(void **state)
{
	static const enum verdict verdicts[] = {VERDICT_FAILED, VERDICT_RETRY, VERDICT_UNKNOWN};
	struct fixture *f = *state;
	struct settlement s[2];
	struct settle_result r;
	struct claimed m[2];
	int64_t run;
	uint32_t i;

	schedule(f, unit(), 2);
	for (i = 0; i < 4; i++) {
		add(f, 2);
		run = beat(f, 2, m);
		s[0] = outcome(&m[0], run, VERDICT_FAILED);
		s[1] = outcome(&m[1], run, i < 3 ? verdicts[i] : VERDICT_SENT);
		if (i == 1)
			s[1].retry_in = 1000 * unit();
		r = settle_all(f, s, 2);
		assert_int_equal(r.ended_n, 1);
		assert_int_equal(r.ended[0].all_failed, i < 3);
		assert_int_equal(r.ended[0].all_failed_in_a_row, i < 3 ? i + 1 : 0);
		assert_int_equal(scheduler(f).all_failed_in_a_row, i < 3 ? i + 1 : 0);
	}
}

/* What was released was not tried, so it says nothing about the receiver. */
static void test_a_run_that_was_released_is_an_empty_one(void **state)
{
	struct fixture *f = *state;
	struct claimed m[2];
	struct run_end end;
	int64_t run;

	schedule(f, unit(), 2);
	add(f, 2);
	run = beat(f, 2, m);
	assert_int_equal(end_one(f, &m[0], run, VERDICT_RELEASE).run, 0);
	end = end_one(f, &m[1], run, VERDICT_RELEASE);
	assert_int_equal(end.run, run);
	assert_int_equal(end.claimed, 0);
	assert_false(end.all_failed);
	assert_int_equal(run_of(f, run).claimed, 0);
	assert_int_equal(scheduler(f).all_failed_in_a_row, 0);
}

static void test_an_empty_run_leaves_the_row_of_failures(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;
	struct claimed m;
	int64_t run;

	schedule(f, unit(), 1);
	add(f, 1);
	run = beat(f, 1, &m);
	assert_int_equal(end_one(f, &m, run, VERDICT_FAILED).all_failed_in_a_row, 1);
	pass(2 * unit());
	b = claim(f, 1);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.ended.all_failed_in_a_row, 1);
	claim_batch_release(&b);
	add(f, 1);
	run = beat(f, 1, &m);
	assert_int_equal(end_one(f, &m, run, VERDICT_FAILED).all_failed_in_a_row, 2);
}

static void test_lost_claims_end_a_run_without_success(void **state)
{
	struct fixture *f = *state;
	struct claimed m[2];
	struct run r;
	int64_t run;

	schedule(f, unit(), 2);
	add(f, 2);
	run = beat(f, 2, m);
	pass(20 * unit());
	assert_int_equal(recover(f).pending, 2);
	r = run_of(f, run);
	assert_int_equal(r.lost, 2);
	assert_true(r.finished);
	assert_int_equal(scheduler(f).all_failed_in_a_row, 1);
	/* A success that arrives now changes the message, not what the run was. */
	assert_true(settle(f, &m[0], run, VERDICT_SENT));
	r = run_of(f, run);
	assert_int_equal(r.sent, 0);
	assert_int_equal(r.lost, 2);
}

/* The old claim's success makes the new claim's row leave `sending`: so the new run has its outcome. */
static void test_a_late_success_counts_for_the_run_that_holds_the_row(void **state)
{
	struct fixture *f = *state;
	struct claimed old, m;
	struct settlement s;
	struct settle_result r;
	int64_t first, second;

	schedule(f, unit(), 1);
	add(f, 1);
	first = beat(f, 1, &old);
	pass(20 * unit());
	recover(f);
	second = beat(f, 1, &m);
	s = outcome(&old, first, VERDICT_SENT);
	r = settle_all(f, &s, 1);
	assert_int_equal(r.ended_n, 1);
	assert_int_equal(r.ended[0].run, second);
	assert_int_equal(r.ended[0].sent, 1);
	assert_false(settle(f, &m, second, VERDICT_FAILED));
	assert_int_equal(run_of(f, second).failed, 0);
}

static void test_one_batch_may_end_several_runs(void **state)
{
	struct fixture *f = *state;
	struct settlement s[12];
	struct settle_result r;
	struct claimed m;
	int64_t run;
	size_t i;

	schedule(f, unit(), 1);
	add(f, 12);
	for (i = 0; i < 12; i++) {
		run = beat(f, 1, &m);
		/* in the reverse order, the first two sent */
		s[11 - i] = outcome(&m, run, i < 2 ? VERDICT_SENT : VERDICT_FAILED);
		s[11 - i].id = m.id;
	}
	r = settle_all(f, s, 12);
	assert_int_equal(r.ended_n, 12);
	for (i = 0; i < ARRAY_SIZE(r.ended); i++) {
		/* in the order of the beats */
		assert_int_equal(r.ended[i].run, i + 1);
		assert_int_equal(r.ended[i].all_failed_in_a_row, i < 2 ? 0 : i - 1);
	}
	assert_int_equal(scheduler(f).all_failed_in_a_row, 10);
}

static void test_free_retries_belong_to_no_run(void **state)
{
	struct fixture *f = *state;
	struct claim_request request = claim_request(5);
	struct settlement s;
	struct claim_batch b;
	struct claimed m;
	int64_t run;

	schedule(f, unit(), 1);
	add(f, 1);
	run = beat(f, 1, &m);
	s = outcome(&m, run, VERDICT_RETRY);
	s.retry_free = true;
	assert_int_equal(settle_all(f, &s, 1).ended_n, 1);
	pass(2 * unit());
	request.free_retries = request.retry_free = true;
	b = claim_as(f, &request);
	assert_int_equal(b.n, 1);
	assert_int_equal(end_one(f, &b.items[0], 0, VERDICT_RELEASE).run, 0);
	claim_batch_release(&b);
	/* Released, it is beside the beat again. */
	b = claim_as(f, &request);
	assert_int_equal(b.n, 1);
	assert_int_equal(end_one(f, &b.items[0], 0, VERDICT_SENT).run, 0);
	claim_batch_release(&b);
	assert_int_equal(scheduler(f).runs_count, 1);
	assert_int_equal(scheduler(f).messages_sent, 1);
	assert_int_equal(run_of(f, run).sent, 0);
}

static void test_runs_are_listed_newest_first(void **state)
{
	struct fixture *f = *state;
	struct run_page page;
	struct claim_batch b;
	int i;

	schedule(f, unit(), 1);
	for (i = 0; i < 7; i++) {
		b = claim(f, 1);
		assert_int_equal(b.run, i + 1);
		claim_batch_release(&b);
		pass(2 * unit());
	}
	OKAY(store_runs(f->c, 0, 0, 3, &page, &f->err));
	assert_int_equal(page.n, 3);
	assert_int_equal(page.total, 7);
	assert_true(page.more);
	assert_int_equal(page.items[0].id, 7);
	assert_int_equal(page.items[2].id, 5);
	assert_string_equal(page.items[0].node, "node");
	run_page_release(&page);
	OKAY(store_runs(f->c, 5, 1, 3, &page, &f->err));
	assert_int_equal(page.n, 3);
	assert_false(page.more);
	assert_int_equal(page.items[0].id, 3);
	run_page_release(&page);
	OKAY(store_runs(f->c, 0, 7, 3, &page, &f->err));
	assert_int_equal(page.n, 0);
	run_page_release(&page);
	assert_int_equal(store_runs(f->c, 0, 0, 0, &page, &f->err), ERR_INVALID);
	assert_int_equal(store_runs(f->c, 0, 0, 1001, &page, &f->err), ERR_INVALID);
}

const struct CMUnitTest runs_tests[] = {
	TEST(test_a_run_ends_with_its_last_outcome),
	TEST(test_a_run_with_claims_left_ends_when_the_next_opens),
	TEST(test_a_run_that_runs_out_of_work_ends),
	TEST(test_an_empty_run_ends_at_once),
	TEST(test_all_failed_in_a_row),
	TEST(test_a_run_that_was_released_is_an_empty_one),
	TEST(test_an_empty_run_leaves_the_row_of_failures),
	TEST(test_lost_claims_end_a_run_without_success),
	TEST(test_a_late_success_counts_for_the_run_that_holds_the_row),
	TEST(test_one_batch_may_end_several_runs),
	TEST(test_free_retries_belong_to_no_run),
	TEST(test_runs_are_listed_newest_first),
};
GROUP_END(runs);
