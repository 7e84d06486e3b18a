/* What outlives the store's closing, and the process's death. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract.h"
#include "text.h"

static void test_everything_is_there_again(void **state)
{
	struct fixture *f = *state;
	struct message_draft again = {
		.phone = "+905551234567", .content = "Hello", .idempotency_key = "k"};
	struct insert_group g = {.drafts = &again, .n = 1};
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct scheduler before, after;
	struct attempt_page page;
	struct claimed m[3];
	int found, current;
	bool changed;
	int64_t run;

	if (!can(f, STORE_DURABLE))
		skip();
	schedule(f, unit(), 3);
	add(f, 4);
	OKAY(store_insert(f->c, &g, 1, &f->err));
	run = claim_n(f, 3, m);
	assert_true(settle(f, &m[0], run, VERDICT_SENT));
	assert_true(settle(f, &m[1], run, VERDICT_RETRY));
	c.running = 0;
	c.failure_rate = 0.5;
	OKAY(store_scheduler_change(f->c, &c, &before, &changed, &f->err));
	before = scheduler(f);
	reopen(f);
	store_schema(f->store, &found, &current);
	assert_int_equal(found, current);
	after = scheduler(f);
	assert_false(after.pacing.running);
	assert_int_equal(after.pacing.beat_at, before.pacing.beat_at);
	assert_int_equal(after.pacing.epoch, before.pacing.epoch);
	assert_int_equal(after.pacing.left, before.pacing.left);
	assert_int_equal(after.messages_sent, 1);
	assert_true(after.failure_rate > 0.49 && after.failure_rate < 0.51);
	check_counts(f, "pending=3 sending=1 sent=1");
	assert_string_equal(get(f, m[0].id).message_id, "provider-1");
	assert_string_equal(get(f, m[1].id).last_error, "HTTP 503");
	assert_int_equal(get(f, m[2].id).status, MESSAGE_SENDING);
	assert_string_equal(get(f, m[2].id).owner, "node/boot");
	OKAY(store_attempts(f->c, m[0].id, &page, &f->err));
	assert_int_equal(page.n, 1);
	attempt_page_release(&page);
	assert_int_equal(run_of(f, run).claimed, 3);
	OKAY(store_insert(f->c, &g, 1, &f->err));
	assert_int_equal(again.result, INSERT_REPEATED);
	assert_int_equal(add(f, 1), 6);
	/* The outcome of a claim may arrive after the restart. */
	assert_true(settle(f, &m[2], run, VERDICT_SENT));
}

static void test_a_restart_does_not_shorten_the_interval(void **state)
{
	struct fixture *f = *state;
	struct claim_batch b;

	if (!can(f, STORE_DURABLE))
		skip();
	schedule(f, unit(), 1);
	add(f, 3);
	b = claim(f, 5);
	claim_batch_release(&b);
	reopen(f);
	schedule(f, unit(), 1);
	b = claim(f, 5);
	assert_int_equal(b.answer, PACING_WAIT);
	claim_batch_release(&b);
	pass(2 * unit());
	b = claim(f, 5);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.run, 2);
	claim_batch_release(&b);
}

static void test_the_first_opening_finds_no_schema(void **state)
{
	struct fixture *f = *state;
	int found, current;

	store_schema(f->store, &found, &current);
	assert_int_equal(found, 0);
}

/* Another process: it says after each commit what it was told is stored, until it is killed. */
static void store_until_killed(const char *url, int out)
{
	const struct store_options options = {.url = url};
	struct message_draft d[3];
	struct insert_group g = {.drafts = d, .n = 3};
	struct claim_request r = claim_request(2);
	struct settle_result result;
	struct store_session *c;
	struct settlement s[2];
	struct claim_batch b;
	struct store *store;
	size_t i;

	if (store_open(&store, &options, NULL) || store_session_open(store, &c, NULL))
		_exit(1);
	for (;;) {
		for (i = 0; i < 3; i++)
			d[i] = (struct message_draft){.phone = "+905551234567", .content = "Hello"};
		if (store_insert(c, &g, 1, NULL) ||
		    write(out, &d[2].id, sizeof(d[2].id)) != sizeof(d[2].id))
			_exit(1);
		if (store_claim(c, &r, &b, NULL))
			_exit(1);
		for (i = 0; i < b.n; i++)
			s[i] = outcome(&b.items[i], b.run, i ? VERDICT_SENT : VERDICT_RETRY);
		if (store_settle(c, s, b.n, &result, NULL))
			_exit(1);
		claim_batch_release(&b);
	}
}

/* A server goes on for a moment with what it was sent, until it comes to see that the client has gone. Where it does
 * not tell who is there, the figures have to stand still. */
static void wait_for_the_last_commit(struct fixture *f)
{
	const usec_t give_up = clock_mono() + 30 * USEC_PER_SEC;
	struct store_counts before, after = {.by_status[0] = -1};

	store_session_close(f->c);
	store_close(f->store);
	while (!database_left() && clock_mono() < give_up)
		usleep(2000);
	f->store = open_store(f->url);
	OKAY(store_session_open(f->store, &f->c, &f->err));
	do {
		before = after;
		usleep(20000);
		OKAY(store_counts(f->c, &after, &f->err));
	} while (memcmp(before.by_status, after.by_status, sizeof(after.by_status)) != 0);
}

static void test_what_was_stored_survives_a_kill(void **state)
{
	struct fixture *f = *state;
	int64_t last = 0, id;
	struct store_counts counts;
	int round, fds[2], status, i;
	pid_t pid;

	if (!can(f, STORE_DURABLE))
		skip();
	schedule(f, 0, 1);
	for (round = 0; round < 8; round++) {
		store_session_close(f->c);
		store_close(f->store);
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			close(fds[0]);
			store_until_killed(f->url, fds[1]);
		}
		close(fds[1]);
		/* Random moments, from when the child has settled for the first time. */
		for (i = 0; i < 2 && read(fds[0], &id, sizeof(id)) == sizeof(id); i++)
			last = id;
		usleep((useconds_t)(20000 + random_u64() % 60000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &id, sizeof(id)) == sizeof(id))
			last = id;
		close(fds[0]);
		f->store = open_store(f->url);
		OKAY(store_session_open(f->store, &f->c, &f->err));
		if (last)
			get(f, last);
		wait_for_the_last_commit(f);
		check_invariants(f);
	}
	assert_true(last > 0);
	OKAY(store_counts(f->c, &counts, &f->err));
	assert_true(counts.by_status[MESSAGE_SENT] > 0);
}

/* STORE_EXCLUSIVE: the owner's death frees the store, its life does not. */
static void test_one_process_at_a_time(void **state)
{
	struct fixture *f = *state;
	const struct store_options options = {.url = f->url};
	int fds[2], status;
	struct error err = ERROR_INIT;
	struct store *s;
	pid_t pid;

	if (!can(f, STORE_DURABLE) || !can(f, STORE_EXCLUSIVE))
		skip();
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		status = store_open(&s, &options, &err);
		_exit(write(fds[1], &err, sizeof(err)) == sizeof(err) ? -status : 99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), -ERR_CONFIG);
	assert_int_equal(read(fds[0], &err, sizeof(err)), sizeof(err));
	assert_non_null(strstr(err.text, "in use by another herald process"));
	close(fds[0]);
	close(fds[1]);
	/* Nothing happened to the one that is open. */
	add(f, 1);
	reopen(f);
	check_counts(f, "pending=1");
}

const struct CMUnitTest durable_tests[] = {
	TEST(test_everything_is_there_again),
	TEST(test_a_restart_does_not_shorten_the_interval),
	TEST(test_the_first_opening_finds_no_schema),
	TEST(test_what_was_stored_survives_a_kill),
	TEST(test_one_process_at_a_time),
};
GROUP_END(durable);
