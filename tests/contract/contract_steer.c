/* Cancel, replay, and the scheduler's row. */
#include <string.h>

#include "contract.h"

static int cancel(struct fixture *f, int64_t id, struct message *m)
{
	struct arena arena = ARENA_INIT;
	int rc = store_cancel(f->c, id, &arena, m, &f->err);

	m->phone = m->content = NULL;
	arena_release(&arena);
	return rc;
}

static void test_pending_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct message m;

	schedule(f, 0, 1);
	add(f, 1);
	pass(unit());
	OKAY(cancel(f, 1, &m));
	assert_int_equal(m.id, 1);
	assert_int_equal(m.status, MESSAGE_CANCELLED);
	assert_true(m.updated_at > m.created_at);
	assert_int_equal(status_of(f, 1), MESSAGE_CANCELLED);
	check_counts(f, "cancelled=1");
	claim_none(f);
	assert_int_equal(cancel(f, 1, &m), ERR_CONFLICT);
	assert_non_null(strstr(f->err.text, "cancelled"));
}

static void test_what_is_on_its_way_cannot_be_cancelled(void **state)
{
	static const enum verdict verdicts[] = {VERDICT_SENT, VERDICT_FAILED, VERDICT_UNKNOWN};
	struct fixture *f = *state;
	struct claimed m[3];
	struct message msg;
	int64_t run;
	size_t i;

	schedule(f, 0, 1);
	add(f, 3);
	run = claim_n(f, 3, m);
	for (i = 0; i < 3; i++) {
		assert_int_equal(cancel(f, m[i].id, &msg), ERR_CONFLICT);
		assert_non_null(strstr(f->err.text, "sending"));
		assert_true(settle(f, &m[i], run, verdicts[i]));
		assert_int_equal(cancel(f, m[i].id, &msg), ERR_CONFLICT);
	}
	check_counts(f, "sent=1 failed=1 unknown=1");
}

static void test_a_free_retry_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct settlement s;
	struct message msg;
	struct claimed m;
	int64_t run;

	schedule(f, 0, 1);
	add(f, 1);
	run = claim_n(f, 1, &m);
	s = outcome(&m, run, VERDICT_RETRY);
	s.retry_free = true;
	settle_all(f, &s, 1);
	OKAY(cancel(f, 1, &msg));
	check_counts(f, "cancelled=1");
}

static void test_replay_begins_anew_under_a_growing_fence(void **state)
{
	struct fixture *f = *state;
	struct attempt_page page;
	struct claimed old, m;
	struct message now;
	int64_t run;

	schedule(f, 0, 1);
	add(f, 1);
	run = claim_n(f, 1, &old);
	pass(20 * unit());
	recover(f);
	run = claim_n(f, 1, &old);
	assert_true(settle(f, &old, run, VERDICT_FAILED));
	pass(unit());
	OKAY(store_replay(f->c, 1, &f->err));
	now = get(f, 1);
	assert_int_equal(now.status, MESSAGE_PENDING);
	assert_int_equal(now.attempts, 0);
	assert_int_equal(now.lost, 0);
	assert_int_equal(now.fence, 2);
	assert_null(now.last_error);
	assert_null(now.message_id);
	assert_int_equal(now.sent_at, 0);
	assert_true(now.due_at > now.created_at);
	check_counts(f, "pending=1");

	run = claim_n(f, 1, &m);
	assert_int_equal(m.attempt, 1);
	assert_int_equal(m.fence, 3);
	/* A report of the last life cannot pass for one of this. */
	assert_false(settle(f, &old, run, VERDICT_RELEASE));
	assert_int_equal(status_of(f, 1), MESSAGE_SENDING);
	assert_true(settle(f, &m, run, VERDICT_SENT));
	/* What was before the replay stays listed. */
	OKAY(store_attempts(f->c, 1, &page, &f->err));
	assert_int_equal(page.n, 3);
	assert_int_equal(page.items[0].verdict, VERDICT_LOST);
	assert_int_equal(page.items[1].verdict, VERDICT_FAILED);
	assert_int_equal(page.items[2].verdict, VERDICT_SENT);
	assert_int_equal(page.items[2].attempt, 1);
	attempt_page_release(&page);
}

static void test_only_failed_is_replayed(void **state)
{
	static const enum verdict verdicts[] = {VERDICT_SENT, VERDICT_UNKNOWN, VERDICT_RETRY};
	struct fixture *f = *state;
	struct claimed m[3];
	struct message msg;
	int64_t run;
	size_t i;

	schedule(f, 0, 1);
	add(f, 4);
	OKAY(cancel(f, 4, &msg));
	assert_int_equal(store_replay(f->c, 4, &f->err), ERR_NOT_FOUND);
	assert_int_equal(store_replay(f->c, 1, &f->err), ERR_NOT_FOUND);
	run = claim_n(f, 3, m);
	for (i = 0; i < 3; i++) {
		assert_int_equal(store_replay(f->c, m[i].id, &f->err), ERR_NOT_FOUND);
		assert_true(settle(f, &m[i], run, verdicts[i]));
		assert_int_equal(store_replay(f->c, m[i].id, &f->err), ERR_NOT_FOUND);
	}
	check_counts(f, "pending=1 sent=1 cancelled=1 unknown=1");
}

static void test_replay_some_until_none_is_left(void **state)
{
	struct fixture *f = *state;
	struct claimed m[5];
	uint32_t n = 0;
	int64_t run;
	size_t i;

	schedule(f, 0, 1);
	add(f, 6);
	run = claim_n(f, 5, m);
	for (i = 0; i < 5; i++)
		assert_true(settle(f, &m[i], run, VERDICT_FAILED));
	OKAY(store_replay_some(f->c, 3, &n, &f->err));
	assert_int_equal(n, 3);
	check_counts(f, "pending=4 failed=2");
	OKAY(store_replay_some(f->c, 3, &n, &f->err));
	assert_int_equal(n, 2);
	OKAY(store_replay_some(f->c, 3, &n, &f->err));
	assert_int_equal(n, 0);
	check_counts(f, "pending=6");
	assert_int_equal(get(f, m[0].id).attempts, 0);
	assert_int_equal(store_replay_some(f->c, 0, &n, &f->err), ERR_INVALID);
}

/* --- the scheduler ----------------------------------------------------------------------------------------- */

static struct scheduler init(struct fixture *f, bool auto_start, usec_t interval, uint32_t batch)
{
	const struct scheduler_defaults d = {.auto_start = auto_start, .interval = interval, .batch = batch};
	struct scheduler s;

	OKAY(store_scheduler_init(f->c, &d, &s, &f->err));
	return s;
}

static struct scheduler change(struct fixture *f, const struct scheduler_change *c, bool *changed)
{
	struct scheduler s;

	OKAY(store_scheduler_change(f->c, c, &s, changed, &f->err));
	return s;
}

static void test_the_first_start_sets_the_scheduler_up(void **state)
{
	struct fixture *f = *state;
	struct scheduler s;

	assert_int_equal(store_scheduler_get(f->c, &s, &f->err), ERR_NOT_FOUND);
	s = init(f, true, unit(), 7);
	assert_true(s.pacing.running);
	assert_int_equal(s.pacing.interval, unit());
	assert_int_equal(s.pacing.batch, 7);
	assert_int_equal(s.pacing.beat_at, 0);
	assert_int_equal(s.pacing.epoch, 0);
	assert_int_equal(s.runs_count, 0);
	assert_int_equal(s.last_run_at, 0);
	assert_true(s.now > 0);
	assert_true(scheduler(f).pacing.running);
}

static void test_an_operators_stop_stays(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	bool changed = false;

	init(f, true, unit(), 7);
	c.running = 0;
	assert_false(change(f, &c, &changed).pacing.running);
	assert_true(changed);
	change(f, &c, &changed);
	assert_false(changed); /* it was so already */
	assert_false(init(f, true, unit(), 7).pacing.running);
	assert_false(init(f, true, 2 * unit(), 9).pacing.running);
	c.running = 1;
	change(f, &c, &changed);
	assert_true(changed);
	assert_true(init(f, false, unit(), 7).pacing.running);
}

static void test_auto_start_off(void **state)
{
	struct fixture *f = *state;

	assert_false(init(f, false, unit(), 7).pacing.running);
	assert_false(init(f, true, unit(), 7).pacing.running);
}

/* The API's change holds until somebody changes the configuration. */
static void test_the_configuration_wins_only_when_it_changes(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct scheduler s;
	bool changed = true;

	init(f, true, unit(), 7);
	c.interval = 3 * unit();
	c.batch = 9;
	s = change(f, &c, &changed);
	assert_false(changed);
	assert_int_equal(s.pacing.interval, 3 * unit());
	s = init(f, true, unit(), 7);
	assert_int_equal(s.pacing.interval, 3 * unit());
	assert_int_equal(s.pacing.batch, 9);
	s = init(f, true, 4 * unit(), 7);
	assert_int_equal(s.pacing.interval, 4 * unit());
	assert_int_equal(s.pacing.batch, 9); /* that one did not change */
	s = init(f, true, 4 * unit(), 8);
	assert_int_equal(s.pacing.batch, 8);
}

static void test_changes_touch_only_what_they_name(void **state)
{
	struct fixture *f = *state;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct scheduler s;
	struct claim_batch b;
	bool changed;

	init(f, true, unit(), 2);
	add(f, 1);
	b = claim(f, 2);
	claim_batch_release(&b);
	c.failure_rate = 1;
	s = change(f, &c, &changed);
	assert_true(s.failure_rate > 0.99);
	assert_int_equal(s.pacing.epoch, 1);
	assert_int_equal(s.pacing.interval, unit());
	assert_int_equal(s.pacing.batch, 2);
	assert_true(s.pacing.beat_at > 0);
	assert_int_equal(s.last_run_at, s.pacing.beat_at);
	assert_int_equal(s.runs_count, 1);
	c = (struct scheduler_change)SCHEDULER_CHANGE_NONE;
	c.alerted_at = 12345;
	s = change(f, &c, &changed);
	assert_int_equal(s.last_alert_at, 12345);
	assert_true(s.failure_rate > 0.99);
	c = (struct scheduler_change)SCHEDULER_CHANGE_NONE;
	c.interval = 0;
	assert_int_equal(change(f, &c, &changed).pacing.interval, 0);
}

static void test_changes_out_of_bounds_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct scheduler_change none = SCHEDULER_CHANGE_NONE;
	const struct scheduler_defaults no_batch = {true, 1, 0};
	struct scheduler_change c;
	struct scheduler s;
	bool changed;

	assert_int_equal(store_scheduler_change(f->c, &none, &s, &changed, &f->err), ERR_NOT_FOUND);
	assert_int_equal(store_scheduler_init(f->c, &no_batch, &s, &f->err), ERR_INVALID);
	init(f, true, unit(), 2);
	c = none;
	c.batch = 0;
	assert_int_equal(store_scheduler_change(f->c, &c, &s, &changed, &f->err), ERR_INVALID);
	c.batch = PACING_BATCH_MAX + 1;
	assert_int_equal(store_scheduler_change(f->c, &c, &s, &changed, &f->err), ERR_INVALID);
	c = none;
	c.interval = -5;
	assert_int_equal(store_scheduler_change(f->c, &c, &s, &changed, &f->err), ERR_INVALID);
	c = none;
	c.failure_rate = 1.5;
	assert_int_equal(store_scheduler_change(f->c, &c, &s, &changed, &f->err), ERR_INVALID);
}

static void test_the_store_answers(void **state)
{
	struct fixture *f = *state;
	usec_t now = 0;

	OKAY(store_ping(f->c, &f->err));
	OKAY(store_now(f->c, &now, &f->err));
	assert_true(now > 0);
}

/* The newest job. */
static struct job last_job(struct fixture *f, const char *name)
{
	struct job_page page;
	struct job job;

	OKAY(store_jobs(f->c, 0, 0, 1, &page, &f->err));
	assert_int_equal(page.n, 1);
	job = page.items[0];
	assert_string_equal(job.name, name);
	assert_int_equal(page.total, job.id);
	assert_int_equal(page.more, job.id > 1);
	job_page_release(&page);
	return job;
}

static void test_jobs(void **state)
{
	struct fixture *f = *state;
	const struct scheduler_defaults d = {
		.auto_start = true, .interval = unit(), .batch = 3, .job_name = "first"};
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct claimed m[3];
	struct job_page page;
	struct scheduler s;
	struct job job;
	bool changed;
	usec_t before = 0;
	int i;

	OKAY(store_jobs(f->c, 0, 0, 10, &page, &f->err));
	assert_int_equal(page.n, 0);
	assert_int_equal(page.total, 0);
	job_page_release(&page);

	OKAY(store_now(f->c, &before, &f->err));
	OKAY(store_scheduler_init(f->c, &d, &s, &f->err));
	OKAY(store_scheduler_init(f->c, &d, &s, &f->err)); /* another node: no other job */
	job = last_job(f, "first");
	assert_int_equal(job.id, 1);
	assert_true(job.started_at >= before && job.started_at <= s.now);
	assert_int_equal(job.finished_at, 0);
	assert_int_equal(job.taken, 0);
	add(f, 7);
	claim_n(f, 3, m);
	assert_int_equal(last_job(f, "first").taken, 3);

	pass(unit());
	c.running = 0;
	change(f, &c, &changed);
	change(f, &c, &changed);
	job = last_job(f, "first");
	assert_true(job.finished_at > job.started_at);
	assert_int_equal(job.taken, 3);

	pass(unit());
	c.running = 1;
	change(f, &c, &changed);
	change(f, &c, &changed);
	claim_n(f, 3, m);
	if (can(f, STORE_DURABLE))
		reopen(f);
	job = last_job(f, "messages");
	assert_int_equal(job.id, 2);
	assert_int_equal(job.finished_at, 0);
	assert_int_equal(job.taken, 3);

	for (i = 0; i < 3; i++) {
		c.running = i & 1;
		change(f, &c, &changed);
	}
	OKAY(store_jobs(f->c, 3, 0, 10, &page, &f->err));
	assert_int_equal(page.n, 2);
	assert_int_equal(page.total, 3);
	assert_int_equal(page.items[0].id, 2);
	assert_int_equal(page.items[0].taken, 3);
	assert_int_equal(page.items[1].id, 1);
	assert_int_equal(page.items[1].taken, 3);
	assert_false(page.more);
	job_page_release(&page);
	OKAY(store_jobs(f->c, 0, 1, 1, &page, &f->err));
	assert_int_equal(page.n, 1);
	assert_int_equal(page.items[0].id, 2);
	assert_true(page.more);
	job_page_release(&page);
	assert_int_equal(store_jobs(f->c, 0, 0, 0, &page, &f->err), ERR_INVALID);
}

const struct CMUnitTest steer_tests[] = {
	TEST(test_pending_can_be_cancelled),
	TEST(test_what_is_on_its_way_cannot_be_cancelled),
	TEST(test_a_free_retry_can_be_cancelled),
	TEST(test_replay_begins_anew_under_a_growing_fence),
	TEST(test_only_failed_is_replayed),
	TEST(test_replay_some_until_none_is_left),
	TEST(test_the_first_start_sets_the_scheduler_up),
	TEST(test_an_operators_stop_stays),
	TEST(test_auto_start_off),
	TEST(test_the_configuration_wins_only_when_it_changes),
	TEST(test_changes_touch_only_what_they_name),
	TEST(test_changes_out_of_bounds_are_refused),
	TEST(test_jobs),
	TEST(test_the_store_answers),
};
GROUP_END(steer);
