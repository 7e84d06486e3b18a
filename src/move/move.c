#include "move.h"

#include <string.h>

#include "move_compare.h"
#include "move_copy.h"
#include "text.h"

static int same_database(struct error *err)
{
	return error_set(err, ERR_CONFIG, "source and target are the same database");
}

/* --- marks ------------------------------------------------------------------------------------------------- */

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
	return rc == ERR_NOT_FOUND ? OK : end_blame(&m->from, rc, err);
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
			return end_blame(&m->from, rc, err);
		m->from.mark.was_running = state.scheduler_set && state.s.pacing.running;
	}
	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), m->from.mark.token);
	return end_set_mark(&m->from, ROLE_SOURCE, m->to.shown, err);
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

	if ((rc = end_check_nodes(&m->from, err)) || (rc = end_check_nodes(&m->to, err)))
		return rc;
	if (m->result.resumed)
		return m->from.mark.role == ROLE_SOURCE ? stop_source(m, err) : OK;
	if ((rc = end_check_empty(&m->to, err)) || (rc = mark_source(m, err)))
		return rc;
	/* Two names of one database: what was set there is read here. */
	rc = end_blame(&m->to, mark_get(m->to.c, &m->to.mark, err), err);
	if (!rc && m->to.mark.role != ROLE_NONE)
		rc = same_database(err);
	if (rc) {
		unmark(m);
		return rc;
	}
	memcpy(m->to.mark.token, m->from.mark.token, sizeof(m->to.mark.token));
	m->to.mark.after = 0;
	if ((rc = end_set_mark(&m->to, ROLE_TARGET, m->from.shown, err)) || (rc = end_wait_notice(&m->from, err)) ||
	    (rc = end_wait_notice(&m->to, err)) || (rc = end_check_nodes(&m->from, err)) ||
	    (rc = end_check_nodes(&m->to, err)) || (rc = end_check_empty(&m->to, err)) || (rc = stop_source(m, err)))
		unmark(m);
	return rc;
}

/* --- verifying --------------------------------------------------------------------------------------------- */

static bool verify_tick(void *arg, uint64_t done)
{
	struct mover *m = arg;

	m->done = done;
	return mover_tick(m);
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
		rc = end_blame(&m->to, store_export_state(m->to.c, &state, err), err);
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
	int rc = end_set_mark(&m->from, ROLE_LEFT, m->to.shown, err);

	if (rc)
		return rc;
	m->to.mark.role = ROLE_NONE;
	return end_blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
}

static int run(struct mover *m, struct error *err)
{
	int rc;

	if (!strcmp(m->from.url, m->to.url) || end_same_file(m->from.url, m->to.url))
		return same_database(err);
	if ((rc = end_open(&m->from, false, err)) || (rc = end_open(&m->to, true, err)) ||
	    (rc = judge_marks(m, err)))
		return rc;
	if ((rc = begin(m, err)) || (rc = mover_copy(m, err)) || (!m->stopped && (rc = verify(m, err))))
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
	return end_blame(e, rc ? rc : mark_set(e->c, &e->mark, err), err);
}

int move_release(const char *url, const char *shown, struct error *err)
{
	struct end e = {.name = "database", .url = url, .shown = shown};
	int rc = release(&e, err);

	end_close(&e);
	return rc;
}
