/*
 * Whole records: what is exported from one store and imported into another is the same there, whichever
 * drivers the two have, and life goes on with it.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contract.h"
#include "store_records.h"
#include "store_rules.h"

/* --- a store that has seen something ----------------------------------------------------------------------- */

static struct message_draft draft(const char *content)
{
	return (struct message_draft){.phone = "+905551234567", .content = content};
}

static int64_t put(struct fixture *f, struct message_draft d)
{
	struct insert_group g = {.drafts = &d, .n = 1};

	OKAY(store_insert(f->c, &g, 1, &f->err));
	return d.id;
}

/* What `live` leaves behind. */
struct lived {
	int64_t run;         /* the last one, with claims under way */
	struct claimed held; /* one of these */
};

/*
 * A beat of nine: sent, failed, retried in both ways, unknown, given back, failed and replayed, invalid, lost
 * and then reported sent. Around it: pending, for later, cancelled, and a beat of which something is still
 * being sent.
 */
static void live(struct fixture *f, struct lived *ret)
{
	static const enum verdict verdicts[] = {VERDICT_SENT,  VERDICT_FAILED,  VERDICT_RETRY, VERDICT_RETRY,
	                                        VERDICT_UNKNOWN, VERDICT_RELEASE, VERDICT_FAILED,
	                                        VERDICT_INVALID};
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;
	struct message_draft odd = draft("Grüße, שלום, 你好 \xf0\x9f\x98\x80 \"'\\%_\n\t;--");
	struct arena arena = ARENA_INIT;
	struct claimed m[9], next[2];
	struct settlement s[ARRAY_SIZE(verdicts)];
	struct message cancelled;
	struct scheduler now;
	bool changed;
	int64_t run, id;
	size_t i;

	schedule(f, 2 * unit(), 9);
	add(f, 8);
	odd.idempotency_key = "key-1";
	odd.metadata = "{\"a\":\"b\\u0000\"}";
	odd.send_at = 1000;
	put(f, odd);
	run = claim_n(f, 9, m);
	for (i = 0; i < ARRAY_SIZE(verdicts); i++)
		s[i] = outcome(&m[i], run, verdicts[i]);
	s[3].retry_free = true;
	settle_all(f, s, ARRAY_SIZE(s));
	OKAY(store_replay(f->c, m[6].id, &f->err));
	/* The ninth is lost, and then reported sent. */
	pass(13 * unit());
	recover(f);
	assert_true(settle(f, &m[8], run, VERDICT_SENT));

	odd = draft(""); /* taken in by INVALID_MESSAGES=park */
	odd.metadata = "{}";
	odd.send_at = test_clock() + 1000 * unit();
	put(f, odd);
	id = add(f, 1);
	OKAY(store_cancel(f->c, id, &arena, &cancelled, &f->err));
	arena_release(&arena);
	change.failure_rate = 0.25;
	change.alerted_at = 12345;
	change.interval = 12 * unit();
	change.batch = 2;
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	ret->run = claim_n(f, 2, next);
	assert_true(settle(f, &next[0], ret->run, VERDICT_FAILED));
	ret->held = next[1];
	/* Started anew, it holds back. */
	change = (struct scheduler_change)SCHEDULER_CHANGE_NONE;
	change.running = 0;
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	change.running = 1;
	change.first_after_interval = true;
	change.job_name = "second";
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	assert_true(now.pacing.not_before > 0);
}

/* --- another store, of memory ----------------------------------------------------------------------------------------- */

static void open_other(struct fixture *f, struct fixture *ret)
{
	*ret = (struct fixture){.store = open_store("memory:")};
	assert_okay(store_session_open(ret->store, &ret->c, &f->err), &f->err, "store_session_open");
}

static void close_other(struct fixture *o)
{
	check_invariants(o);
	store_session_close(o->c);
	store_close(o->store);
}

static char *print_all(struct fixture *f)
{
	struct buf text = BUF_INIT;
	struct run_record_page runs;
	struct job_record_page jobs;
	struct state_record state;
	struct record_page page;
	int64_t after = 0;
	bool more;
	size_t i;

	do {
		OKAY(store_export_messages(f->c, after, 3, &page, &f->err));
		assert_true(page.n <= 3);
		for (i = 0; i < page.n; i++) {
			assert_true(page.items[i].m.id > after);
			after = page.items[i].m.id;
			message_record_print(&page.items[i], &text);
		}
		more = page.more;
		record_page_release(&page);
	} while (more);
	after = 0;
	do {
		OKAY(store_export_runs(f->c, after, 1, &runs, &f->err));
		for (i = 0; i < runs.n; i++) {
			assert_true(runs.items[i].r.id > after);
			after = runs.items[i].r.id;
			run_record_print(&runs.items[i], &text);
		}
		more = runs.more;
		run_record_page_release(&runs);
	} while (more);
	after = 0;
	do {
		OKAY(store_export_jobs(f->c, after, 1, &jobs, &f->err));
		for (i = 0; i < jobs.n; i++) {
			assert_true(jobs.items[i].j.id > after);
			after = jobs.items[i].j.id;
			job_record_print(&jobs.items[i], &text);
		}
		more = jobs.more;
		job_record_page_release(&jobs);
	} while (more);
	OKAY(store_export_state(f->c, &state, &f->err));
	state_record_print(&state, &text);
	return text.data;
}

/* In pages of `limit`, some of them twice. */
static void copy(struct fixture *f, struct fixture *to, uint32_t limit)
{
	struct run_record_page runs;
	struct job_record_page jobs;
	struct state_record state;
	struct record_page page;
	int64_t after = 0;
	size_t i, round;
	bool more;

	do {
		OKAY(store_export_messages(f->c, after, limit, &page, &f->err));
		for (round = 0; round < 2; round++) {
			OKAY(store_import_messages(to->c, page.items, page.n, &f->err));
			for (i = 0; i < page.n; i++)
				assert_int_equal(page.items[i].result, round ? INSERT_REPEATED : INSERT_CREATED);
		}
		if (page.n)
			after = page.items[page.n - 1].m.id;
		more = page.more;
		record_page_release(&page);
	} while (more);
	after = 0;
	do {
		OKAY(store_export_runs(f->c, after, limit, &runs, &f->err));
		OKAY(store_import_runs(to->c, runs.items, runs.n, &f->err));
		OKAY(store_import_runs(to->c, runs.items, runs.n, &f->err));
		if (runs.n)
			after = runs.items[runs.n - 1].r.id;
		more = runs.more;
		run_record_page_release(&runs);
	} while (more);
	after = 0;
	do {
		OKAY(store_export_jobs(f->c, after, limit, &jobs, &f->err));
		OKAY(store_import_jobs(to->c, jobs.items, jobs.n, &f->err));
		OKAY(store_import_jobs(to->c, jobs.items, jobs.n, &f->err));
		if (jobs.n)
			after = jobs.items[jobs.n - 1].j.id;
		more = jobs.more;
		job_record_page_release(&jobs);
	} while (more);
	OKAY(store_export_state(f->c, &state, &f->err));
	OKAY(store_import_state(to->c, &state, &f->err));
}

static void check_same(struct fixture *a, struct fixture *b)
{
	char *x = print_all(a), *y = print_all(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

/* Of the two jobs that `live` left, the second goes on. */
static void check_jobs(struct fixture *f, int64_t taken, bool goes_on)
{
	struct job_page page;

	OKAY(store_jobs(f->c, 0, 0, 10, &page, &f->err));
	assert_int_equal(page.total, 2);
	assert_int_equal(page.n, 2);
	assert_int_equal(page.items[0].id, 2);
	assert_string_equal(page.items[0].name, "second");
	assert_int_equal(page.items[0].taken, taken);
	assert_int_equal(page.items[0].finished_at == 0, goes_on);
	assert_int_equal(page.items[1].id, 1);
	assert_int_equal(page.items[1].taken, 10); /* one of 11 was given back */
	assert_true(page.items[1].finished_at);
	job_page_release(&page);
}

/* The rest of the life of what `live` left, in the store that it was copied to. */
static void live_on(struct fixture *f, const struct lived *l)
{
	struct scheduler_change stop = SCHEDULER_CHANGE_NONE;
	struct run r = run_of(f, l->run);
	struct scheduler now;
	bool changed;
	int64_t taken;
	int64_t last, sent;
	struct claim_batch b;

	check_jobs(f, 0, true);
	assert_false(r.finished);
	assert_int_equal(r.claimed, 2);
	assert_int_equal(r.failed, 1);
	/* The beat is not due yet, over the move. */
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_WAIT);
	claim_batch_release(&b);
	/* Who claimed it may report it here. */
	sent = scheduler(f).messages_sent;
	assert_true(settle(f, &l->held, l->run, VERDICT_SENT));
	assert_int_equal(scheduler(f).messages_sent, sent + 1);
	r = run_of(f, l->run);
	assert_true(r.finished);
	assert_int_equal(r.sent, 1);
	last = add(f, 1);
	assert_int_equal(status_of(f, last), MESSAGE_PENDING);
	assert_true(get(f, last).created_at >= get(f, last - 1).created_at);
	pass(13 * unit());
	b = claim(f, 10);
	assert_int_equal(b.answer, PACING_OPEN);
	assert_int_equal(b.run, l->run + 1);
	assert_true(b.n >= 2);
	taken = (int64_t)b.n;
	claim_batch_release(&b);
	check_jobs(f, taken, true);
	stop.running = 0;
	OKAY(store_scheduler_change(f->c, &stop, &now, &changed, &f->err));
	check_jobs(f, taken, false);
}

/* --- tests ------------------------------------------------------------------------------------------------- */

static void test_a_copy_is_the_same_and_lives_on(void **state)
{
	struct fixture *f = *state, other;
	struct lived l;

	live(f, &l);
	open_other(f, &other);
	copy(f, &other, 4);
	check_same(f, &other);
	live_on(&other, &l);
	close_other(&other);
}

static void test_a_copy_of_a_copy_is_the_same_and_lives_on(void **state)
{
	struct fixture *f = *state, other;
	struct lived l;

	live(f, &l);
	open_other(f, &other);
	copy(f, &other, 1000);
	empty(f);
	copy(&other, f, 4);
	check_same(f, &other);
	close_other(&other);
	live_on(f, &l);
}

static void test_what_another_kind_of_store_has_comes_as_it_is(void **state)
{
	struct fixture *f = *state, other;
	struct lived l;

	open_other(f, &other);
	live(&other, &l);
	copy(&other, f, 5);
	check_same(&other, f);
	live_on(f, &l);
	close_other(&other);
}

static void test_an_empty_store_has_no_records(void **state)
{
	struct fixture *f = *state;
	struct run_record_page runs;
	struct state_record s;
	struct record_page page;

	OKAY(store_export_messages(f->c, 0, 1000, &page, &f->err));
	assert_int_equal(page.n, 0);
	assert_false(page.more);
	record_page_release(&page);
	OKAY(store_export_runs(f->c, 0, 1000, &runs, &f->err));
	assert_int_equal(runs.n, 0);
	assert_false(runs.more);
	run_record_page_release(&runs);
	OKAY(store_export_state(f->c, &s, &f->err));
	assert_false(s.scheduler_set);
	assert_int_equal(s.last_id, 0);
	OKAY(store_import_state(f->c, &s, &f->err));
	assert_int_equal(add(f, 1), 1);
}

static struct message_record record(int64_t id, enum message_status status)
{
	return (struct message_record){
		.m = {.id = id,
	              .status = status,
	              .phone = "+905551234567",
	              .content = "Hello",
	              .due_at = 1000,
	              .created_at = 1000,
	              .updated_at = 1000},
		.said = -1,
	};
}

static void test_ids_with_gaps_are_kept(void **state)
{
	struct fixture *f = *state;
	struct message_record r[] = {record(5, MESSAGE_CANCELLED), record(9, MESSAGE_PENDING)};

	schedule(f, unit(), 5);
	OKAY(store_import_messages(f->c, r, 2, &f->err));
	assert_int_equal(r[0].result, INSERT_CREATED);
	assert_int_equal(status_of(f, 5), MESSAGE_CANCELLED);
	assert_int_equal(status_of(f, 9), MESSAGE_PENDING);
	assert_int_equal(store_get(f->c, 7, NULL, NULL, &f->err), ERR_NOT_FOUND);
	check_counts(f, "pending=1 cancelled=1");
	assert_int_equal(add(f, 1), 10);
	/* Below those that are there, and among them. */
	r[0] = record(2, MESSAGE_PENDING);
	r[1] = record(9, MESSAGE_CANCELLED);
	OKAY(store_import_messages(f->c, r, 2, &f->err));
	assert_int_equal(r[0].result, INSERT_CREATED);
	assert_int_equal(r[1].result, INSERT_REPEATED);
	check_counts(f, "pending=3 cancelled=1");
	assert_int_equal(add(f, 1), 11);
}

static void expect_phone(struct fixture *f, const char *phone, const int64_t *ids, size_t n)
{
	const struct list_query q = {.status = -1, .limit = 20, .want_total = true, .phone = phone};
	struct message_page page;

	OKAY(store_list(f->c, &q, &page, &f->err));
	assert_int_equal(page.n, n);
	assert_int_equal(page.total, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(page.items[i].id, ids[i]);
		assert_string_equal(page.items[i].phone, phone);
	}
	message_page_release(&page);
}

/* Above, far above, below and between what is there: an index that grows by stretches of ids has them all. */
static void test_imported_messages_are_found_by_phone(void **state)
{
	static const int64_t mine[] = {200002, 200001, 100000, 50000, 700, 5, 1}, others[] = {100001, 699, 2};
	struct fixture *f = *state, other;
	struct message_record r[2] = {record(2, MESSAGE_CANCELLED), record(5, MESSAGE_CANCELLED)};

	schedule(f, unit(), 5);
	assert_int_equal(add(f, 1), 1);
	r[0].m.phone = "+4911111";
	r[1].m.phone = get(f, 1).phone;
	r[0].m.created_at = r[1].m.created_at = get(f, 1).created_at;
	OKAY(store_import_messages(f->c, r, 2, &f->err));
	r[0].m.id = 100001;
	r[1].m.id = 100000;
	OKAY(store_import_messages(f->c, &r[1], 1, &f->err));
	OKAY(store_import_messages(f->c, &r[0], 1, &f->err));
	r[0].m.id = 699;
	r[1].m.id = 700;
	OKAY(store_import_messages(f->c, r, 2, &f->err));
	r[1].m.id = 200001;
	OKAY(store_import_messages(f->c, &r[1], 1, &f->err));
	r[1].m.id = 50000;
	OKAY(store_import_messages(f->c, &r[1], 1, &f->err));
	r[1].m.id = 0;
	OKAY(store_import_messages(f->c, &r[1], 1, &f->err));
	assert_int_equal(r[1].m.id, 200002);
	/* Once more: still found once. */
	r[1].m.id = 50000;
	OKAY(store_import_messages(f->c, &r[1], 1, &f->err));
	expect_phone(f, r[1].m.phone, mine, ARRAY_SIZE(mine));
	expect_phone(f, r[0].m.phone, others, ARRAY_SIZE(others));
	expect_phone(f, "+4922222", NULL, 0);

	open_other(f, &other);
	copy(f, &other, 1000);
	empty(f);
	copy(&other, f, 1000);
	close_other(&other);
	expect_phone(f, r[1].m.phone, mine, ARRAY_SIZE(mine));
	expect_phone(f, r[0].m.phone, others, ARRAY_SIZE(others));
}

static void test_a_key_of_another_message_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct message_record r = record(5, MESSAGE_PENDING);

	r.m.idempotency_key = "k";
	OKAY(store_import_messages(f->c, &r, 1, &f->err));
	OKAY(store_import_messages(f->c, &r, 1, &f->err));
	assert_int_equal(r.result, INSERT_REPEATED);
	r.m.id = 6;
	assert_int_equal(store_import_messages(f->c, &r, 1, &f->err), ERR_CONFLICT);
	check_counts(f, "pending=1");
}

static void test_messages_from_elsewhere_get_ids(void **state)
{
	struct fixture *f = *state;
	struct message_record r[] = {record(0, MESSAGE_SENT), record(0, MESSAGE_FAILED),
	                             record(0, MESSAGE_PENDING)};
	struct attempt_record told[2];
	struct attempt_page attempts;
	struct claim_batch b;
	struct claimed m;
	usec_t newest;
	int64_t first, run;

	schedule(f, unit(), 5);
	first = add(f, 1) + 1;
	newest = get(f, first - 1).created_at;
	b = claim(f, 1);
	assert_int_equal(b.n, 1);
	m = b.items[0];
	run = b.run;
	claim_batch_release(&b);
	assert_true(settle(f, &m, run, VERDICT_SENT));

	r[0].m.idempotency_key = "old-1";
	r[0].m.sent_at = 2000;
	r[0].m.message_id = "their-id";
	message_record_tell(&r[0], &told[0]);
	r[1].m.idempotency_key = "old-2";
	r[1].m.last_error = "refused";
	r[1].m.created_at = newest + 5;
	message_record_tell(&r[1], &told[1]);
	OKAY(store_import_messages(f->c, r, 3, &f->err));
	assert_int_equal(r[0].m.id, first);
	assert_int_equal(r[2].m.id, first + 2);
	assert_int_equal(r[0].result, INSERT_CREATED);
	check_counts(f, "pending=1 sent=2 failed=1");
	assert_int_equal(get(f, first).sent_at, 2000);
	assert_string_equal(get(f, first).message_id, "their-id");
	assert_string_equal(get(f, first + 1).last_error, "refused");
	/* Creation rises with the ids. */
	assert_int_equal(get(f, first).created_at, newest);
	assert_int_equal(r[0].m.created_at, newest);
	assert_int_equal(get(f, first + 1).created_at, newest + 5);
	assert_int_equal(get(f, first + 2).created_at, newest + 5);
	OKAY(store_attempts(f->c, first, &attempts, &f->err));
	assert_int_equal(attempts.n, 1);
	assert_int_equal(attempts.items[0].verdict, VERDICT_SENT);
	attempt_page_release(&attempts);
	assert_int_equal(scheduler(f).messages_sent, 2);

	/* Once more: those with keys are known. */
	r[0].m.id = r[1].m.id = 0;
	OKAY(store_import_messages(f->c, r, 2, &f->err));
	assert_int_equal(r[0].result, INSERT_REPEATED);
	assert_int_equal(r[0].m.id, first);
	assert_int_equal(r[1].m.id, first + 1);
	check_counts(f, "pending=1 sent=2 failed=1");
	assert_int_equal(add(f, 1), first + 3);

	/* They lead the usual life. */
	OKAY(store_replay(f->c, first + 1, &f->err));
	pass(unit());
	b = claim(f, 10);
	assert_int_equal(b.n, 3);
	claim_batch_release(&b);
}

static void refused(struct fixture *f, struct message_record r)
{
	assert_int_equal(store_import_messages(f->c, &r, 1, &f->err), ERR_INVALID);
	check_counts(f, "");
}

static void test_what_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct message_record good = record(1, MESSAGE_PENDING);
	struct attempt_record a[2] = {{.seq = 4, .a = {.attempt = 1}}, {.seq = 4, .a = {.attempt = 1}}};
	struct message_record r = good, two[2];

	r.m.id = -1;
	refused(f, r);
	r = good;
	r.m.phone = "";
	refused(f, r);
	r = good;
	r.m.created_at = 0;
	refused(f, r);
	r = good;
	r.m.idempotency_key = "with space";
	refused(f, r);
	r = good;
	r.m.status = MESSAGE_SENDING;
	refused(f, r);
	r = good;
	r.m.last_error = "said by nobody";
	refused(f, r);
	r = good;
	r.attempts = a;
	r.attempts_n = 2; /* twice the same seq */
	refused(f, r);
	r = good;
	r.m.lost = -1;
	refused(f, r);
	two[0] = two[1] = good; /* twice the same id */
	assert_int_equal(store_import_messages(f->c, two, 2, &f->err), ERR_INVALID);
	two[1].m.id = 0;
	assert_int_equal(store_import_messages(f->c, two, 2, &f->err), ERR_INVALID);
	two[0].m.id = 0;
	two[0].m.idempotency_key = two[1].m.idempotency_key = "k";
	assert_int_equal(store_import_messages(f->c, two, 2, &f->err), ERR_INVALID);
	check_counts(f, "");
}

/* Many rows, long texts: more than one packet or page holds. */
static void test_many_and_long(void **state)
{
	struct fixture *f = *state, other;
	struct message_record *r = xcalloc(300, sizeof(*r));
	char *content = xmalloc(MESSAGE_CONTENT_MAX_BYTES + 1);
	struct attempt_record a[2] = {
		{.seq = 5, .a = {.attempt = 1, .verdict = VERDICT_RETRY, .error = "HTTP 503", .node = "n/1"}},
		{.seq = 9, .a = {.attempt = 2, .verdict = VERDICT_FAILED, .error = "HTTP 400", .node = "n/2"}},
	};
	size_t i;

	memset(content, 'x', MESSAGE_CONTENT_MAX_BYTES);
	content[MESSAGE_CONTENT_MAX_BYTES] = '\0';
	for (i = 0; i < 300; i++) {
		r[i] = record((int64_t)i * 2 + 1, MESSAGE_FAILED);
		r[i].m.fence = 2;
		r[i].m.owner = "n/2";
		r[i].m.attempts = 2;
		r[i].m.last_error = "HTTP 400";
		r[i].said = 9;
		r[i].attempts = a;
		r[i].attempts_n = 2;
	}
	for (i = 0; i < 60; i++)
		r[i * 5].m.content = content;
	OKAY(store_import_messages(f->c, r, 300, &f->err));
	check_counts(f, "failed=300");
	open_other(f, &other);
	copy(f, &other, 1000);
	check_same(f, &other);
	close_other(&other);
	free(content);
	free(r);
}

static void test_notes(void **state)
{
	struct fixture *f = *state;
	struct arena arena = ARENA_INIT;
	const char *text = "?";

	OKAY(store_note_get(f->c, "move", &arena, &text, &f->err));
	assert_null(text);
	OKAY(store_note_set(f->c, "move", "one 'ü'", &f->err));
	OKAY(store_note_set(f->c, "other", "kept", &f->err));
	OKAY(store_note_set(f->c, "move", "two \"ü\"", &f->err));
	if (can(f, STORE_DURABLE))
		reopen(f);
	OKAY(store_note_get(f->c, "move", &arena, &text, &f->err));
	assert_string_equal(text, "two \"ü\"");
	OKAY(store_note_set(f->c, "move", NULL, &f->err));
	OKAY(store_note_set(f->c, "move", NULL, &f->err));
	OKAY(store_note_get(f->c, "move", &arena, &text, &f->err));
	assert_null(text);
	OKAY(store_note_get(f->c, "other", &arena, &text, &f->err));
	assert_string_equal(text, "kept");
	assert_int_equal(store_note_set(f->c, "", "x", &f->err), ERR_INVALID);
	arena_release(&arena);
}

/* The oldest jobs are not kept, so the first of a copy has any id. */
static void test_jobs_are_taken_over_and_go_on(void **state)
{
	struct fixture *f = *state;
	const struct job_record jobs[] = {
		{.j = {.id = 7, .name = "seventh", .started_at = 1000, .finished_at = 2000}, .first_run = 3, .last_run = 5},
		{.j = {.id = 8, .name = "achte ü", .started_at = 3000}, .first_run = 6},
	};
	struct job_record bad[] = {jobs[1], jobs[0]};
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;
	struct state_record s;
	struct scheduler now;
	struct job_page page;
	bool changed;

	assert_int_equal(store_import_jobs(f->c, bad, 2, &f->err), ERR_INVALID);
	bad[0].j.name = "";
	assert_int_equal(store_import_jobs(f->c, bad, 1, &f->err), ERR_INVALID);
	schedule(f, unit(), 5);
	change.running = 0;
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	OKAY(store_import_jobs(f->c, jobs, 2, &f->err));
	OKAY(store_export_state(f->c, &s, &f->err));
	assert_int_equal(s.job, 1);
	s.job = 8;
	s.s.pacing.running = true;
	OKAY(store_import_state(f->c, &s, &f->err));
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	assert_true(changed);
	change.running = 1;
	change.job_name = "ninth";
	OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	OKAY(store_jobs(f->c, 0, 0, 10, &page, &f->err));
	assert_int_equal(page.n, 4);
	assert_int_equal(page.items[0].id, 9);
	assert_string_equal(page.items[0].name, "ninth");
	assert_int_equal(page.items[0].finished_at, 0);
	assert_int_equal(page.items[1].id, 8);
	assert_string_equal(page.items[1].name, "achte ü");
	assert_true(page.items[1].finished_at);
	assert_int_equal(page.items[2].finished_at, 2000);
	job_page_release(&page);
}

static void test_the_oldest_jobs_are_forgotten(void **state)
{
	struct fixture *f = *state;
	const struct job_record jobs[] = {
		{.j = {.id = 2, .name = "a", .started_at = 1000, .finished_at = 2000}, .first_run = 1, .last_run = 1},
		{.j = {.id = 3, .name = "b", .started_at = 2000, .finished_at = 3000}, .first_run = 2, .last_run = 2},
		{.j = {.id = 4, .name = "c", .started_at = 3000, .finished_at = 4000}, .first_run = 3, .last_run = 3},
		{.j = {.id = JOBS_KEPT + 2, .name = "d", .started_at = 4000}, .first_run = 4},
	};
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;
	struct state_record s;
	struct scheduler now;
	struct job_page page;
	bool changed;

	schedule(f, unit(), 5);
	OKAY(store_import_jobs(f->c, jobs, ARRAY_SIZE(jobs), &f->err));
	OKAY(store_export_state(f->c, &s, &f->err));
	s.job = JOBS_KEPT + 2;
	OKAY(store_import_state(f->c, &s, &f->err));
	for (change.running = 0; change.running < 2; change.running++)
		OKAY(store_scheduler_change(f->c, &change, &now, &changed, &f->err));
	OKAY(store_jobs(f->c, 0, 0, 10, &page, &f->err));
	assert_int_equal(page.n, 3);
	assert_false(page.more);
	assert_int_equal(page.items[0].id, JOBS_KEPT + 3);
	assert_int_equal(page.items[1].id, JOBS_KEPT + 2);
	assert_true(page.items[1].finished_at);
	assert_int_equal(page.items[2].id, 4);
	job_page_release(&page);
}

const struct CMUnitTest records_tests[] = {
	TEST(test_a_copy_is_the_same_and_lives_on),
	TEST(test_a_copy_of_a_copy_is_the_same_and_lives_on),
	TEST(test_what_another_kind_of_store_has_comes_as_it_is),
	TEST(test_an_empty_store_has_no_records),
	TEST(test_ids_with_gaps_are_kept),
	TEST(test_imported_messages_are_found_by_phone),
	TEST(test_a_key_of_another_message_is_a_conflict),
	TEST(test_messages_from_elsewhere_get_ids),
	TEST(test_what_cannot_be_is_refused),
	TEST(test_many_and_long),
	TEST(test_jobs_are_taken_over_and_go_on),
	TEST(test_the_oldest_jobs_are_forgotten),
	TEST(test_notes),
};
GROUP_END(records);
