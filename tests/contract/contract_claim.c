/* The beat and what it gives. */
#include <string.h>

#include "contract.h"

static void test_a_beat_gives_its_batch_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;
	usec_t next_at;

	schedule(f, unit(), 3);
	add(f, 10);
	b = claim(f, 2);
	next_at = b.next_at;
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.run, 1);
	assert_true(b.more);
	/* A store without transactions may count from the end of a slow write, never from before its beginning. */
	if (turns_clock())
		assert_int_equal(next_at, b.now + unit());
	else
		assert_true(next_at >= b.now + unit());
	assert_int_equal(b.lateness, 0);
	assert_int_equal(b.lease_until, b.now + 10 * unit());
	claim_batch_release(&b);

	b = claim(f, 2);
	assert_int_equal(b.answer, PACING_JOIN);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.run, 1);
	assert_false(b.more);
	assert_int_equal(b.next_at, next_at);
	claim_batch_release(&b);

	b = claim(f, 2);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.next_at, next_at);
	claim_batch_release(&b);
	check_counts(f, "pending=7 sending=3");
}

static void test_the_next_beat_opens_after_the_interval_and_not_before(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;
	usec_t opened;
	int i;

	if (!turns_clock())
		skip();
	schedule(f, unit(), 1);
	add(f, 10);
	b = claim(f, 5);
	opened = b.now;
	claim_batch_release(&b);
	for (i = 0; i < 3; i++) {
		pass(unit() - 1);
		b = claim(f, 5);
		assert_int_equal(b.answer, PACING_WAIT);
		assert_int_equal(b.n, 0);
		claim_batch_release(&b);
		pass(1);
		b = claim(f, 5);
		assert_int_equal(b.answer, PACING_OPEN);
		assert_int_equal(b.n, 1);
		assert_int_equal(b.now, opened + unit());
		assert_int_equal(b.run, i + 2);
		opened = b.now;
		claim_batch_release(&b);
	}
}

static void test_no_burst_after_a_pause(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	schedule(f, unit(), 2);
	add(f, 20);
	b = claim(f, 10);
	claim_batch_release(&b);
	pass(5 * unit());
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 2);
	assert_true(b.lateness >= 4 * unit());
	claim_batch_release(&b);
	b = claim(f, 10);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
}

static void change(struct fixture *f, const struct scheduler_change *c)
{
	struct scheduler s;
	bool changed;

	OKAY(store_scheduler_change(f->c, c, &s, &changed, &f->err));
}

static void run_scheduler(struct fixture *f, bool running)
{
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;

	c.running = running;
	change(f, &c);
}

static void test_stop_and_start_do_not_shorten_the_interval(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	schedule(f, unit(), 2);
	add(f, 20);
	b = claim(f, 10);
	claim_batch_release(&b);
	run_scheduler(f, false);
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_STOPPED);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.next_at, USEC_NEVER);
	claim_batch_release(&b);
	run_scheduler(f, true);
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
}

/* Asks for messages and expects to get none before `at` has passed, then some. */
static void expect_held_back(struct fixture *f, usec_t at)
{
	struct claim_batch b = claim(f, 10);
	usec_t now = 0;

	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.next_at, at);
	claim_batch_release(&b);
	OKAY(store_now(f->c, &now, &f->err));
	pass(at - now);
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 2);
	claim_batch_release(&b);
}

static struct scheduler start_after_interval(struct fixture *f)
{
	const struct scheduler_defaults d = {
		.auto_start = true, .interval = 3 * unit(), .batch = 2, .first_after_interval = true};
	struct scheduler s;

	OKAY(store_scheduler_init(f->c, &d, &s, &f->err));
	return s;
}

static void test_the_first_beat_may_come_an_interval_later(void **state)
{
	struct fixture *f = *state;
	struct scheduler s = start_after_interval(f);
	usec_t first = s.pacing.not_before;

	add(f, 20);
	assert_int_equal(first, s.now + 3 * unit());
	/* Another node that starts meanwhile changes nothing, nor does one while the beat is kept. */
	pass(unit());
	assert_int_equal(start_after_interval(f).pacing.not_before, first);
	expect_held_back(f, first);
	s = start_after_interval(f);
	assert_int_equal(s.pacing.not_before, first);
	assert_int_equal(pacing_next_at(&s.pacing), s.pacing.beat_at + 3 * unit());
	/* After a pause of all nodes it is as in the beginning. */
	pass(4 * unit());
	s = start_after_interval(f);
	assert_int_equal(s.pacing.not_before, s.now + 3 * unit());
	expect_held_back(f, s.pacing.not_before);
}

static void test_a_start_may_wait_for_an_interval(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change start = SCHEDULER_CHANGE_NONE;
	struct scheduler s;
	struct claim_batch b;
	bool changed;

	schedule(f, 3 * unit(), 2);
	add(f, 20);
	b = claim(f, 1);
	assert_int_equal(b.n, 1);
	claim_batch_release(&b);
	run_scheduler(f, false);
	pass(unit());
	start.running = 1;
	start.first_after_interval = true;
	OKAY(store_scheduler_change(f->c, &start, &s, &changed, &f->err));
	assert_int_equal(s.pacing.not_before, s.now + 3 * unit());
	/* Starting what runs is no start. What was left of the beat is gone, also for "run now". */
	pass(unit());
	OKAY(store_scheduler_change(f->c, &start, &s, &changed, &f->err));
	assert_false(changed);
	assert_true(s.pacing.not_before < s.now + 3 * unit());
	expect_held_back(f, s.pacing.not_before);
}

static void test_before_the_scheduler_is_set_up_nothing_is_claimed(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	add(f, 1);
	b = claim(f, 1);
	assert_int_equal(b.answer, PACING_STOPPED);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
}

static void test_forced_claims_when_stopped_but_never_early(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(10);
	struct claim_batch b;

	schedule(f, unit(), 2);
	add(f, 20);
	run_scheduler(f, false);
	r.forced = true;
	b = claim_as(f, &r);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 2);
	claim_batch_release(&b);
	b = claim_as(f, &r);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
}

static void test_a_smaller_batch_bounds_the_open_beat(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct claim_batch b;

	schedule(f, unit(), 10);
	add(f, 20);
	b = claim(f, 1);
	claim_batch_release(&b);
	c.batch = 2;
	change(f, &c);
	b = claim(f, 10);
	assert_int_equal(b.n, 2);
	claim_batch_release(&b);
}

static void test_a_claim_leaves_its_mark(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(1);
	struct claim_batch b;
	struct message m;
	int64_t id;

	schedule(f, unit(), 1);
	id = add(f, 1);
	r.owner = "north/7";
	b = claim_as(f, &r);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.items[0].id, id);
	assert_int_equal(b.items[0].fence, 1);
	assert_int_equal(b.items[0].attempt, 1);
	assert_string_equal(b.items[0].phone, "+905551234567");
	assert_string_equal(b.items[0].content, "Hello");
	assert_int_equal(b.items[0].content_len, 5);
	m = get(f, id);
	assert_int_equal(b.items[0].created_at, m.created_at);
	assert_int_equal(m.status, MESSAGE_SENDING);
	assert_int_equal(m.attempts, 1);
	assert_int_equal(m.fence, 1);
	assert_string_equal(m.owner, "north/7");
	assert_int_equal(m.started_at, b.now);
	assert_int_equal(m.updated_at, b.now);
	assert_int_equal(m.lease_until, b.lease_until);
	claim_batch_release(&b);
}

/* A beat that found less than it had to give is over: what comes later waits for the next. */
static void test_running_out_of_work_closes_the_beat(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	schedule(f, unit(), 5);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_OPEN); /* a run without work is one, too */
	assert_int_equal(b.n, 0);
	assert_int_equal(b.run, 1);
	assert_false(b.more);
	claim_batch_release(&b);
	add(f, 3);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_WAIT);
	claim_batch_release(&b);
	pass(unit());
	b = claim(f, 5);
	assert_int_equal(b.n, 3);
	claim_batch_release(&b);
	add(f, 1);
	b = claim(f, 5);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
	assert_int_equal(scheduler(f).runs_count, 2);
}

static void test_fifo_by_due_time_then_id(void **state)
{
	struct fixture *f = *state;
	usec_t now = 0;
	int64_t late, early, same;
	struct claimed m[4];

	schedule(f, 0, 1);
	OKAY(store_now(f->c, &now, &f->err));
	late = add_at(f, now + 3 * unit());
	early = add_at(f, now + 2 * unit());
	same = add_at(f, now + 2 * unit());
	pass(4 * unit());
	assert_int_equal(add(f, 1), same + 1);
	claim_n(f, 4, m);
	assert_int_equal(m[0].id, early);
	assert_int_equal(m[1].id, same);
	assert_int_equal(m[2].id, late);
	assert_int_equal(m[3].id, same + 1);
}

static void test_lifo_is_the_reverse_of_fifo(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(2);
	usec_t now = 0;
	struct claim_batch b;
	int64_t first, future;

	schedule(f, 0, 1);
	r.order = ORDER_LIFO;
	first = add(f, 4);
	OKAY(store_now(f->c, &now, &f->err));
	future = add_at(f, now + 5 * unit());
	b = claim_as(f, &r);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.items[0].id, first + 3);
	assert_int_equal(b.items[1].id, first + 2);
	claim_batch_release(&b);
	r.want = 10;
	b = claim_as(f, &r);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.items[0].id, first + 1);
	assert_int_equal(b.items[1].id, first);
	assert_int_equal(b.next_at, now + 5 * unit());
	claim_batch_release(&b);
	assert_int_equal(status_of(f, future), MESSAGE_PENDING);
}

static void test_what_is_not_due_is_not_claimed(void **state)
{
	struct fixture *f = *state;
	usec_t now = 0;
	struct claim_batch b;

	schedule(f, 0, 1);
	OKAY(store_now(f->c, &now, &f->err));
	add_at(f, now + 2 * unit());
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.next_at, now + 2 * unit());
	claim_batch_release(&b);
	pass(2 * unit());
	b = claim(f, 5);
	assert_int_equal(b.n, 1);
	claim_batch_release(&b);
}

static void test_continuous_mode(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	schedule(f, 0, 1);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.next_at, USEC_NEVER);
	claim_batch_release(&b);
	assert_int_equal(scheduler(f).runs_count, 0); /* no work, no trace */

	add(f, 7);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 5);
	assert_true(b.more);
	assert_true(b.next_at <= b.now);
	assert_int_equal(b.run, 1);
	claim_batch_release(&b);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_JOIN);
	assert_int_equal(b.n, 2);
	assert_false(b.more);
	assert_int_equal(b.next_at, USEC_NEVER);
	assert_int_equal(b.run, 1);
	claim_batch_release(&b);
	pass(MAX_OF(unit(), PACING_CONTINUOUS_RUN));
	add(f, 1);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.run, 2);
	claim_batch_release(&b);
}

static void test_the_failure_rate_comes_with_the_claim(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct claim_batch b;

	schedule(f, unit(), 1);
	c.failure_rate = 0.25;
	change(f, &c);
	b = claim(f, 1);
	assert_true(b.failure_rate > 0.249 && b.failure_rate < 0.251);
	claim_batch_release(&b);
}

/* Puts one message into the lane beside the beat, due after a unit. */
static int64_t free_retry(struct fixture *f)
{
	struct claimed m;
	struct settlement s;

	add(f, 1);
	s = outcome(&m, claim_n(f, 1, &m), VERDICT_RETRY);
	s.id = m.id;
	s.fence = m.fence;
	s.attempt = m.attempt;
	s.retry_free = true;
	assert_int_equal(settle_all(f, &s, 1).applied, 1);
	return m.id;
}

static void test_free_retries_run_beside_the_beat(void **state)
{
	struct fixture *f = *state;
	struct claim_request beat = claim_request(10), retries = claim_request(10);
	struct claim_batch b;
	int64_t id, fresh;

	beat.retry_free = retries.retry_free = retries.free_retries = true;
	schedule(f, 0, 1);
	id = free_retry(f);
	assert_int_equal(status_of(f, id), MESSAGE_PENDING);
	b = claim_as(f, &retries);
	assert_int_equal(b.answer, PACING_WAIT);
	assert_int_equal(b.n, 0);
	assert_int_equal(b.next_at, get(f, id).due_at);
	claim_batch_release(&b);

	pass(2 * unit());
	fresh = add(f, 1);
	b = claim_as(f, &beat);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.items[0].id, fresh);
	assert_int_equal(b.next_at, USEC_NEVER);
	claim_batch_release(&b);
	b = claim_as(f, &retries);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.items[0].id, id);
	assert_int_equal(b.items[0].attempt, 2);
	assert_int_equal(b.items[0].fence, 2);
	assert_int_equal(b.run, 0);
	assert_int_equal(b.next_at, USEC_NEVER);
	claim_batch_release(&b);
	check_counts(f, "sending=2");
}

static void test_free_retries_stop_with_the_scheduler(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(10);
	struct claim_batch b;

	r.free_retries = r.retry_free = true;
	schedule(f, 0, 1);
	free_retry(f);
	pass(2 * unit());
	run_scheduler(f, false);
	b = claim_as(f, &r);
	assert_int_equal(b.answer, PACING_STOPPED);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
	run_scheduler(f, true);
	b = claim_as(f, &r);
	assert_int_equal(b.n, 1);
	claim_batch_release(&b);
}

/* RETRY_PACING went from free to shared: what waits in the lane must not wait for ever. */
static void test_the_beat_takes_over_retries_left_in_the_lane(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;
	int64_t id;

	schedule(f, 0, 1);
	id = free_retry(f);
	pass(2 * unit());
	b = claim(f, 10);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.items[0].id, id);
	assert_int_not_equal(b.run, 0);
	claim_batch_release(&b);
}

static void test_retries_spend_the_budget_of_the_beat(void **state)
{
	struct fixture *f = *state;
	struct claimed m[2];
	int64_t run;

	schedule(f, unit(), 1);
	add(f, 2);
	run = claim_n(f, 1, m);
	assert_true(settle(f, &m[0], run, VERDICT_RETRY));
	pass(2 * unit());
	claim_n(f, 1, m);
	assert_int_equal(m[0].id, 2); /* due first */
	claim_none(f);
	pass(unit());
	claim_n(f, 1, m);
	assert_int_equal(m[0].id, 1);
	assert_int_equal(m[0].attempt, 2);
}

static struct claim_batch claim_unpaced(struct fixture *f, uint32_t want, uint64_t skip, enum message_order order)
{
	struct claim_request r = claim_request(want);

	r.unpaced = true;
	r.skip = skip;
	r.order = order;
	return claim_as(f, &r);
}

static void assert_ids(struct claim_batch *b, size_t n, int64_t first, int64_t second)
{
	assert_int_equal(b->n, n);
	assert_int_equal(b->answer, n ? PACING_JOIN : PACING_WAIT);
	assert_int_equal(b->run, 0);
	if (n > 0)
		assert_int_equal(b->items[0].id, first);
	if (n > 1)
		assert_int_equal(b->items[1].id, second);
	claim_batch_release(b);
}

/* Beside the beat: neither held up by it nor a share of it, and no run. */
static void test_unpaced_claims_leave_the_beat_alone(void **state)
{
	struct fixture *f = *state;
	struct scheduler before, after;
	struct claim_batch b;
	int64_t first;

	schedule(f, unit(), 2);
	first = add(f, 9);
	b = claim_unpaced(f, 2, 0, ORDER_FIFO);
	assert_int_equal(b.lease_until, b.now + 10 * unit());
	assert_true(b.more);
	assert_ids(&b, 2, first, first + 1);
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.run, 1);
	claim_batch_release(&b);

	before = scheduler(f);
	b = claim_unpaced(f, 2, 0, ORDER_FIFO); /* the beat is used up */
	assert_ids(&b, 2, first + 4, first + 5);
	run_scheduler(f, false);
	b = claim_unpaced(f, 5, 0, ORDER_FIFO); /* stopped */
	assert_false(b.more);
	assert_int_equal(b.next_at, USEC_NEVER);
	assert_ids(&b, 3, first + 6, first + 7);
	b = claim_unpaced(f, 5, 0, ORDER_FIFO);
	assert_ids(&b, 0, 0, 0);
	after = scheduler(f);
	assert_int_equal(after.pacing.epoch, before.pacing.epoch);
	assert_int_equal(after.pacing.beat_at, before.pacing.beat_at);
	assert_int_equal(after.runs_count, 1);
	check_counts(f, "sending=9");
}

static void test_unpaced_claims_step_over_some(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;
	int64_t first;

	schedule(f, unit(), 2);
	first = add(f, 6);
	b = claim_unpaced(f, 2, 2, ORDER_FIFO);
	assert_ids(&b, 2, first + 2, first + 3);
	b = claim_unpaced(f, 2, 1, ORDER_LIFO);
	assert_ids(&b, 2, first + 4, first + 1);
	b = claim_unpaced(f, 2, 2, ORDER_FIFO);
	assert_ids(&b, 0, 0, 0);
	b = claim_unpaced(f, 2, UINT32_MAX, ORDER_LIFO);
	assert_ids(&b, 0, 0, 0);
	b = claim_unpaced(f, 5, 1, ORDER_FIFO);
	assert_ids(&b, 1, first + 5, 0);
	check_counts(f, "pending=1 sending=5");
}

/* Their outcomes count like any other's, but for a run. */
static void test_unpaced_claims_are_settled(void **state)
{
	struct fixture *f = *state;
	struct claimed sent, retried;
	struct claim_batch b;
	usec_t now = 0;

	schedule(f, unit(), 2);
	add(f, 2);
	OKAY(store_now(f->c, &now, &f->err));
	add_at(f, now + 100 * unit());
	b = claim_unpaced(f, 5, 0, ORDER_FIFO);
	assert_int_equal(b.n, 2); /* not what is due later */
	sent = b.items[0];
	retried = b.items[1];
	claim_batch_release(&b);
	assert_true(settle(f, &sent, 0, VERDICT_SENT));
	assert_true(settle(f, &retried, 0, VERDICT_RETRY));
	check_counts(f, "pending=2 sent=1");
	assert_int_equal(scheduler(f).messages_sent, 1);
	assert_int_equal(get(f, retried.id).attempts, 1);
}

static void test_a_request_that_makes_no_sense_is_refused(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(0);
	struct claim_batch b;

	assert_int_equal(store_claim(f->c, &r, &b, &f->err), ERR_INVALID);
	r.want = 1;
	r.lease = 0;
	assert_int_equal(store_claim(f->c, &r, &b, &f->err), ERR_INVALID);
}

const struct CMUnitTest claim_tests[] = {
	TEST(test_a_beat_gives_its_batch_and_no_more),
	TEST(test_the_next_beat_opens_after_the_interval_and_not_before),
	TEST(test_no_burst_after_a_pause),
	TEST(test_stop_and_start_do_not_shorten_the_interval),
	TEST(test_the_first_beat_may_come_an_interval_later),
	TEST(test_a_start_may_wait_for_an_interval),
	TEST(test_before_the_scheduler_is_set_up_nothing_is_claimed),
	TEST(test_forced_claims_when_stopped_but_never_early),
	TEST(test_a_smaller_batch_bounds_the_open_beat),
	TEST(test_a_claim_leaves_its_mark),
	TEST(test_running_out_of_work_closes_the_beat),
	TEST(test_fifo_by_due_time_then_id),
	TEST(test_lifo_is_the_reverse_of_fifo),
	TEST(test_what_is_not_due_is_not_claimed),
	TEST(test_continuous_mode),
	TEST(test_the_failure_rate_comes_with_the_claim),
	TEST(test_free_retries_run_beside_the_beat),
	TEST(test_free_retries_stop_with_the_scheduler),
	TEST(test_the_beat_takes_over_retries_left_in_the_lane),
	TEST(test_retries_spend_the_budget_of_the_beat),
	TEST(test_unpaced_claims_leave_the_beat_alone),
	TEST(test_unpaced_claims_step_over_some),
	TEST(test_unpaced_claims_are_settled),
	TEST(test_a_request_that_makes_no_sense_is_refused),
};
GROUP_END(claim);
