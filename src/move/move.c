#include "move.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "move_compare.h"
#include "move_mark.h"
#include "text.h"

/* A node that was starting when the mark was set has reported by then. */
#define NOTICE (NODE_REPORT_EVERY + USEC_PER_SEC)
/* How often the target is told how far the copy is. */
#define POSITION_EVERY USEC_PER_SEC
#define TRIES 5

struct end {
	const char *name; /* "source" */
	const char *url, *shown;
	struct store *store;
	struct store_session *c;
	struct move_mark mark;
};

struct mover {
	const struct move_options *o;
	struct end from, to;
	enum move_step step;
	uint64_t done, total;
	struct state_record expected; /* of the target */
	int64_t goes_on;              /* the job that the move has ended in the source only; 0: none */
	struct move_result result;
	bool stopped;
};

/* --- opening ----------------------------------------------------------------------------------------------- */

/* Names the side in front of what went wrong. */
static int blame(const struct end *e, int rc, struct error *err)
{
	struct error old = *err;

	return rc ? error_set(err, rc, "%s %s: %s", e->name, e->shown, old.text) : OK;
}

/* The source must be there already: a mistyped name shall not make an empty database. An older schema of its
 * own is brought up first, by `herald migrate`. */
static int end_open(struct end *e, bool create, struct error *err)
{
	const struct store_options options = {.url = e->url, .read_only_schema = !create};
	int rc = store_open(&e->store, &options, err);

	if (!rc && !(store_capabilities(e->store) & STORE_DURABLE))
		rc = error_set(err, ERR_CONFIG, "it keeps nothing: there is nothing to move");
	if (!rc)
		rc = store_session_open(e->store, &e->c, err);
	if (!rc)
		rc = mark_get(e->c, &e->mark, err);
	return blame(e, rc, err);
}

static void end_close(struct end *e)
{
	store_session_close(e->c);
	store_close(e->store);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return text_starts_with(a, "sqlite:") && text_starts_with(b, "sqlite:") && !stat(strchr(a, ':') + 1, &x) &&
	       !stat(strchr(b, ':') + 1, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int same_database(struct error *err)
{
	return error_set(err, ERR_CONFIG, "source and target are the same database");
}

/* --- who is there ------------------------------------------------------------------------------------------ */

static int check_nodes(struct end *e, struct error *err)
{
	struct node_page page;
	const struct node *n;
	int rc;
	size_t i;

	/* Who could be there but the one that has it open: this process. */
	if (store_capabilities(e->store) & STORE_EXCLUSIVE)
		return OK;
	rc = store_nodes(e->c, &page, err);
	if (rc)
		return blame(e, rc, err);
	for (i = 0; !rc && i < page.n; i++) {
		n = &page.items[i];
		if (!n->left && n->last_seen > page.now - NODE_SILENT_AFTER)
			rc = error_set(err, ERR_CONFIG,
			               "%s %s: the node %s works with it (seen %.1f s ago): stop all nodes "
			               "first; one that was killed counts for %d s more",
			               e->name, e->shown, n->id,
			               (double)MAX_OF(page.now - n->last_seen, 0) / (double)USEC_PER_SEC,
			               (int)(NODE_SILENT_AFTER / USEC_PER_SEC));
	}
	node_page_release(&page);
	return rc;
}

/* Waits until a node that had looked for the mark just before it was set would have shown up. */
static int wait_notice(struct end *e, struct error *err)
{
	usec_t now;
	int rc;

	if (store_capabilities(e->store) & STORE_EXCLUSIVE)
		return OK;
	rc = store_now(e->c, &now, err);
	if (!rc && now >= e->mark.at && now < e->mark.at + NOTICE)
		usleep((useconds_t)(e->mark.at + NOTICE - now));
	return blame(e, rc, err);
}

static int check_empty(struct end *e, struct error *err)
{
	struct run_record_page runs;
	struct record_page page;
	bool empty;
	int rc = store_export_messages(e->c, 0, 1, &page, err);

	if (rc)
		return blame(e, rc, err);
	empty = !page.n;
	record_page_release(&page);
	if (empty) {
		rc = store_export_runs(e->c, 0, 1, &runs, err);
		if (rc)
			return blame(e, rc, err);
		empty = !runs.n;
		run_record_page_release(&runs);
	}
	return empty ? OK
	             : error_set(err, ERR_CONFIG,
	                         "target %s: it holds messages or runs already; a move needs an empty database",
	                         e->shown);
}

/* --- marks ------------------------------------------------------------------------------------------------- */

static int set_mark(struct end *e, enum move_role role, const char *peer, struct error *err)
{
	int rc = store_now(e->c, &e->mark.at, err);

	e->mark.role = role;
	snprintf(e->mark.peer, sizeof(e->mark.peer), "%s", peer);
	return blame(e, rc ? rc : mark_set(e->c, &e->mark, err), err);
}

/* What the marks say that were found: that this move has begun before, or that it cannot. */
static int judge_marks(struct mover *m, struct error *err)
{
	const struct move_mark *from = &m->from.mark, *to = &m->to.mark;
	const bool together = from->role != ROLE_NONE && !strcmp(from->token, to->token);

	if (from->role == ROLE_TARGET)
		return error_set(err, ERR_CONFIG,
		                 "source %s: it is itself an unfinished copy of %s; finish that move first",
		                 m->from.shown, from->peer);
	if (together && to->role != ROLE_TARGET)
		return same_database(err);
	if (to->role == ROLE_TARGET && !together)
		return error_set(err, ERR_CONFIG,
		                 "target %s: it is an unfinished copy of %s; empty it, or finish that move",
		                 m->to.shown, to->peer);
	if (to->role == ROLE_SOURCE || to->role == ROLE_LEFT)
		return error_set(err, ERR_CONFIG, "target %s: it takes part in a move to %s itself", m->to.shown,
		                 to->peer);
	/* The target's mark is taken away last. */
	if (from->role == ROLE_LEFT && !together)
		return error_set(err, ERR_CONFIG,
		                 "source %s: it was moved to %s before; `herald move --release` makes it one to "
		                 "move from again",
		                 m->from.shown, from->peer);
	m->result.resumed = together;
	return OK;
}

/* So that a node that was cut off, and comes back, does not send what the target sends. */
static int stop_source(struct mover *m, struct error *err)
{
	struct scheduler_change stop = SCHEDULER_CHANGE_NONE;
	struct scheduler s;
	bool changed;
	int rc;

	stop.running = 0;
	rc = store_scheduler_change(m->from.c, &stop, &s, &changed, err);
	return rc == ERR_NOT_FOUND ? OK : blame(&m->from, rc, err);
}

static int mark_source(struct mover *m, struct error *err)
{
	struct state_record state;
	unsigned char random[16];
	int rc;

	/* A source that is marked already was to be moved to another target: that move is given up. */
	if (m->from.mark.role == ROLE_NONE) {
		rc = store_export_state(m->from.c, &state, err);
		if (rc)
			return blame(&m->from, rc, err);
		m->from.mark.was_running = state.scheduler_set && state.s.pacing.running;
	}
	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), m->from.mark.token);
	return set_mark(&m->from, ROLE_SOURCE, m->to.shown, err);
}

/* Takes the marks that this move has set off again: it has not begun. */
static void unmark(struct mover *m)
{
	struct scheduler_change start = SCHEDULER_CHANGE_NONE;
	struct error ignored = ERROR_INIT;
	struct scheduler s;
	bool changed;

	start.running = m->from.mark.was_running;
	m->to.mark.role = ROLE_NONE;
	m->from.mark.role = ROLE_NONE;
	if (mark_set(m->to.c, &m->to.mark, &ignored) ||
	    (start.running && store_scheduler_change(m->from.c, &start, &s, &changed, &ignored)))
		return;
	/* Last: without it nobody would know that the scheduler was running. */
	if (mark_set(m->from.c, &m->from.mark, &ignored))
		return;
}

/* Both sides get their marks, the source first; then nobody works with them. */
static int begin(struct mover *m, struct error *err)
{
	int rc = OK;

	if ((rc = check_nodes(&m->from, err)) || (rc = check_nodes(&m->to, err)))
		return rc;
	if (m->result.resumed)
		return m->from.mark.role == ROLE_SOURCE ? stop_source(m, err) : OK;
	if ((rc = check_empty(&m->to, err)) || (rc = mark_source(m, err)))
		return rc;
	/* Two names of one database: what was set there is read here. */
	rc = blame(&m->to, mark_get(m->to.c, &m->to.mark, err), err);
	if (!rc && m->to.mark.role != ROLE_NONE)
		rc = same_database(err);
	if (rc) {
		unmark(m);
		return rc;
	}
	memcpy(m->to.mark.token, m->from.mark.token, sizeof(m->to.mark.token));
	m->to.mark.after = 0;
	if ((rc = set_mark(&m->to, ROLE_TARGET, m->from.shown, err)) || (rc = wait_notice(&m->from, err)) ||
	    (rc = wait_notice(&m->to, err)) || (rc = check_nodes(&m->from, err)) ||
	    (rc = check_nodes(&m->to, err)) || (rc = check_empty(&m->to, err)) || (rc = stop_source(m, err)))
		unmark(m);
	return rc;
}

/* --- copying ----------------------------------------------------------------------------------------------- */

static bool tick(struct mover *m)
{
	if (m->o->progress && !m->o->progress(m->o->arg, m->step, m->done, m->total))
		m->stopped = true;
	return !m->stopped;
}

/* An import may be repeated, so a server that is away for a moment does not end the move. */
static bool worth_another_try(int rc, int tries)
{
	if ((rc != ERR_TRANSIENT && rc != ERR_UNCERTAIN) || tries == TRIES)
		return false;
	usleep((useconds_t)((unsigned)tries * USEC_PER_SEC / 2));
	return true;
}

static int import_page(struct mover *m, struct record_page *page, struct error *err)
{
	int tries = 0, rc;

	do
		rc = store_import_messages(m->to.c, page->items, page->n, err);
	while (worth_another_try(rc, ++tries));
	return blame(&m->to, rc, err);
}

static int export_page(struct mover *m, struct page_size *size, struct record_page *ret, struct error *err)
{
	int tries = 0, rc;

	do
		rc = store_export_messages(m->from.c, m->to.mark.after, size->limit, ret, err);
	while (worth_another_try(rc, ++tries));
	return blame(&m->from, rc, err);
}

static int copy_messages(struct mover *m, struct error *err)
{
	struct page_size size = PAGE_SIZE_INIT;
	struct record_page page;
	usec_t noted = clock_mono();
	bool more = true;
	int rc = OK;

	while (!rc && more && tick(m)) {
		rc = export_page(m, &size, &page, err);
		if (rc)
			return rc;
		if (page.n) {
			rc = import_page(m, &page, err);
			m->to.mark.after = page.items[page.n - 1].m.id;
			m->done += page.n;
		}
		more = page.more;
		page_size_adapt(&size, page.arena.used);
		record_page_release(&page);
		if (!rc && clock_mono() - noted > POSITION_EVERY) {
			noted = clock_mono();
			rc = blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
		}
	}
	/* Also when it was stopped: that is where the next one goes on. */
	return rc ? rc : blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
}

static int copy_runs(struct mover *m, struct error *err)
{
	struct run_record_page page;
	int64_t after = 0;
	bool more = true;
	int rc = OK;

	while (!rc && more && tick(m)) {
		rc = blame(&m->from, store_export_runs(m->from.c, after, RECORDS_MAX, &page, err), err);
		if (rc)
			return rc;
		if (page.n)
			after = page.items[page.n - 1].r.id;
		rc = blame(&m->to, store_import_runs(m->to.c, page.items, page.n, err), err);
		m->done += page.n;
		more = page.more;
		run_record_page_release(&page);
	}
	return rc;
}

/*
 * The beat goes on by the target's clock, which may be another one: what had passed of the interval has passed
 * there. The source's clock is read first, so that the way between the two makes the wait longer, never
 * shorter.
 */
static int expect_state(struct mover *m, struct error *err)
{
	struct pacing *p = &m->expected.s.pacing;
	usec_t now, ahead;
	int rc = blame(&m->from, store_export_state(m->from.c, &m->expected, err), err);

	if (!rc)
		rc = blame(&m->to, store_now(m->to.c, &now, err), err);
	if (rc)
		return rc;
	ahead = now - m->expected.s.now;
	if (p->beat_at)
		p->beat_at = MAX_OF(p->beat_at + ahead, 1);
	if (p->not_before)
		p->not_before = MAX_OF(p->not_before + ahead, 1);
	p->running = m->from.mark.was_running;
	m->goes_on = p->running ? m->expected.job : 0;
	return OK;
}

/* The state is expected by then: it tells which job goes on. */
static int copy_jobs(struct mover *m, struct error *err)
{
	struct job_record_page page;
	int64_t after = 0;
	bool more = true;
	int rc = OK;
	size_t i;

	while (!rc && more && tick(m)) {
		rc = blame(&m->from, store_export_jobs(m->from.c, after, RECORDS_MAX, &page, err), err);
		if (rc)
			return rc;
		if (page.n)
			after = page.items[page.n - 1].j.id;
		for (i = 0; i < page.n; i++)
			job_goes_on(&page.items[i], m->goes_on);
		rc = blame(&m->to, store_import_jobs(m->to.c, page.items, page.n, err), err);
		more = page.more;
		job_record_page_release(&page);
	}
	return rc;
}

static int copy_state(struct mover *m, struct error *err)
{
	return blame(&m->to, store_import_state(m->to.c, &m->expected, err), err);
}

/* How much there is to do, for people. */
static int count(struct mover *m, struct error *err)
{
	struct store_counts counts;
	struct run_page runs;
	int rc = store_counts(m->from.c, &counts, err), i;

	if (!rc)
		rc = store_runs(m->from.c, 0, 0, 1, &runs, err);
	if (rc)
		return blame(&m->from, rc, err);
	m->total = (uint64_t)runs.total;
	run_page_release(&runs);
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		m->total += (uint64_t)counts.by_status[i];
	return OK;
}

/* What an earlier move has copied counts as done. */
static int count_copied(struct mover *m, struct error *err)
{
	struct store_counts counts;
	int rc = blame(&m->to, store_counts(m->to.c, &counts, err), err), i;

	for (i = 0; !rc && i < MESSAGE_STATUS_COUNT; i++)
		m->done += (uint64_t)counts.by_status[i];
	return rc;
}

static int copy_all(struct mover *m, struct error *err)
{
	int rc;

	m->step = MOVE_COPY;
	if ((rc = count(m, err)) || (rc = count_copied(m, err)) || (rc = copy_messages(m, err)) ||
	    (!m->stopped && (rc = copy_runs(m, err))) || (rc = expect_state(m, err)) ||
	    (!m->stopped && (rc = copy_jobs(m, err))) || (!m->stopped && (rc = copy_state(m, err))))
		return rc;
	return OK;
}

/* --- verifying --------------------------------------------------------------------------------------------- */

static bool verify_tick(void *arg, uint64_t done)
{
	struct mover *m = arg;

	m->done = done;
	return tick(m);
}

static int verify(struct mover *m, struct error *err)
{
	struct buf expected cleanup(buf_release) = BUF_INIT, found cleanup(buf_release) = BUF_INIT;
	struct state_record state;
	int rc;

	m->step = MOVE_VERIFY;
	m->done = 0;
	rc = compare_stores(m->from.c, m->to.c, m->goes_on, verify_tick, m, &m->result, &m->stopped, err);
	if (!rc)
		rc = blame(&m->to, store_export_state(m->to.c, &state, err), err);
	if (rc)
		return rc;
	state_record_print(&m->expected, &expected);
	state_record_print(&state, &found);
	if (!text_equal(expected.data, found.data))
		return error_set(err, ERR_CONFLICT, "the copy differs from the source: the scheduler's state");
	return OK;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

/* Source first: if this is cut short, the next move finds the target's mark, and compares once more. */
static int finish(struct mover *m, struct error *err)
{
	int rc = set_mark(&m->from, ROLE_LEFT, m->to.shown, err);

	if (rc)
		return rc;
	m->to.mark.role = ROLE_NONE;
	return blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
}

static int run(struct mover *m, struct error *err)
{
	int rc;

	if (!strcmp(m->from.url, m->to.url) || same_file(m->from.url, m->to.url))
		return same_database(err);
	if ((rc = end_open(&m->from, false, err)) || (rc = end_open(&m->to, true, err)) ||
	    (rc = judge_marks(m, err)))
		return rc;
	if ((rc = begin(m, err)) || (rc = copy_all(m, err)) || (!m->stopped && (rc = verify(m, err))))
		return rc;
	return m->stopped ? error_set(err, ERR_TRANSIENT, "stopped") : finish(m, err);
}

int move_run(const struct move_options *o, struct move_result *ret, bool *ret_stopped, struct error *err)
{
	struct mover m = {
		.o = o,
		.from = {.name = "source", .url = o->from, .shown = o->from_shown},
		.to = {.name = "target", .url = o->to, .shown = o->to_shown},
	};
	int rc = run(&m, err);

	end_close(&m.from);
	end_close(&m.to);
	*ret_stopped = m.stopped;
	if (!rc)
		*ret = m.result;
	return rc;
}

static int release(struct end *e, struct error *err)
{
	struct scheduler_change start = SCHEDULER_CHANGE_NONE;
	struct scheduler s;
	bool changed;
	int rc = end_open(e, false, err);

	if (rc)
		return rc;
	if (e->mark.role == ROLE_NONE)
		return error_set(err, ERR_NOT_FOUND, "%s: it takes part in no move", e->shown);
	if (e->mark.role == ROLE_TARGET)
		return error_set(err, ERR_CONFIG,
		                 "%s: it is an unfinished copy of %s: run `herald move` again, or empty it",
		                 e->shown, e->mark.peer);
	start.running = 1;
	if (e->mark.was_running)
		rc = store_scheduler_change(e->c, &start, &s, &changed, err);
	e->mark.role = ROLE_NONE;
	return blame(e, rc ? rc : mark_set(e->c, &e->mark, err), err);
}

int move_release(const char *url, const char *shown, struct error *err)
{
	struct end e = {.name = "database", .url = url, .shown = shown};
	int rc = release(&e, err);

	end_close(&e);
	return rc;
}
