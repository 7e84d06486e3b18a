/*
 * Claiming. First a look through the session's own connection: whoever has to wait, or finds no work
 * in continuous mode, has then neither queued for the writer nor written. Who may claim does it in one
 * write transaction, in which the scheduler's row is changed only if it is still the one that was
 * looked at (compare-and-set): of two claimers that saw the same beat due, one opens it.
 */
#include <string.h>

#include "alloc.h"
#include "store_sqlite.h"

#define CLAIM_TRIES 4

/* What one claim knows and has gathered. */
struct claimer {
	struct sq_conn *c;
	const struct claim_request *r;
	struct pacing seen; /* the scheduler as it was looked at */
	struct claim_batch batch;
	size_t cap;
	size_t from[ROW_STATE_COUNT]; /* how many of the items were in which state */
	bool lost_race;
};

/* When the first row of a state is due; USEC_NEVER: there is none. */
static int soonest_due(struct sq_conn *c, int state, usec_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT state_at FROM herald_messages WHERE state=?1 ORDER BY state_at LIMIT 1", err);
	int rc;

	if (!st)
		return err->code;
	sqlite3_bind_int(st, 1, state);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	*ret = rc ? sqlite3_column_int64(st, 0) : USEC_NEVER;
	return OK;
}

/* The same over all states that this claim may take from. */
static int soonest_claimable(struct sq_conn *c, const struct claim_request *r, usec_t *ret,
                             struct error *err)
{
	usec_t retrying = USEC_NEVER, pending = USEC_NEVER;
	int rc = OK;

	if (claim_takes(r, ROW_RETRYING))
		rc = soonest_due(c, ROW_RETRYING, &retrying, err);
	if (!rc && claim_takes(r, MESSAGE_PENDING))
		rc = soonest_due(c, MESSAGE_PENDING, &pending, err);
	if (!rc)
		*ret = MIN_OF(retrying, pending);
	return rc;
}

/* Reads up to `most` due rows of a state. */
static int gather(struct claimer *cl, int state, size_t most, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(cl->c,
	                cl->r->order == ORDER_LIFO
	                        ? "SELECT id,fence,attempts,phone,content,created_at FROM herald_messages"
	                          " WHERE state=?1 AND state_at<=?2"
	                          " ORDER BY state_at DESC,id DESC LIMIT ?3 OFFSET ?4"
	                        : "SELECT id,fence,attempts,phone,content,created_at FROM herald_messages"
	                          " WHERE state=?1 AND state_at<=?2 ORDER BY state_at,id LIMIT ?3 OFFSET ?4",
	                err);
	struct claimed *item;
	size_t before = cl->batch.n;
	int rc;

	if (!st)
		return err->code;
	sqlite3_bind_int(st, 1, state);
	sqlite3_bind_int64(st, 2, cl->batch.now);
	sqlite3_bind_int64(st, 3, (int64_t)most);
	sqlite3_bind_int64(st, 4, (int64_t)claim_skips(cl->r, state));
	while ((rc = sq_row(cl->c, st, err)) > 0) {
		item = claim_batch_add(&cl->batch, &cl->cap);
		item->id = sqlite3_column_int64(st, 0);
		item->fence = sqlite3_column_int64(st, 1) + 1;
		item->attempt = sqlite3_column_int(st, 2) + 1;
		item->phone = sq_text(st, 3, &cl->batch.arena);
		item->content = sq_text(st, 4, &cl->batch.arena);
		item->content_len = (size_t)sqlite3_column_bytes(st, 4);
		item->created_at = sqlite3_column_int64(st, 5);
	}
	cl->from[state] = cl->batch.n - before;
	return rc;
}

/* Gives the gathered rows to the claimer. */
static int take(struct claimer *cl, int64_t run, struct error *err)
{
	struct sq_totals totals = {.by_state[MESSAGE_SENDING] = (int64_t)cl->batch.n};
	sqlite3_stmt *st = sq_stmt(cl->c,
	                           "UPDATE herald_messages SET state=1,state_at=?2,attempts=attempts+1,"
	                           "fence=fence+1,owner=?3,run=?4,started_at=?5,updated_at=?5"
	                           " WHERE id=?1",
	                           err);
	int64_t owner;
	size_t i;
	int rc;

	if (!cl->batch.n)
		return OK;
	if (!st)
		return err->code;
	rc = sq_owner(cl->c, cl->r->owner, &owner, err);
	sqlite3_bind_int64(st, 2, cl->batch.lease_until);
	sqlite3_bind_int64(st, 3, owner);
	sqlite3_bind_int64(st, 4, run);
	sqlite3_bind_int64(st, 5, cl->batch.now);
	for (i = 0; !rc && i < cl->batch.n; i++) {
		sqlite3_bind_int64(st, 1, cl->batch.items[i].id);
		rc = sq_run(cl->c, st, err);
	}
	for (i = 0; i < ROW_STATE_COUNT; i++)
		totals.by_state[i] -= (int64_t)cl->from[i];
	return rc ? rc : sq_totals_add(cl->c, &totals, err);
}

/* Puts the beat's new state in place of the one looked at; false in *ret: somebody else was first. */
static int swap_pacing(struct claimer *cl, const struct pacing *next, bool *ret, struct error *err)
{
	const struct pacing *p = &cl->seen;
	int rc = sq_change(cl->c, err,
	                   "UPDATE herald_scheduler SET beat_at=?1,epoch=?2,remaining=?3"
	                   " WHERE epoch=?4 AND remaining=?5 AND beat_at=?6 AND running=?7"
	                   " AND interval=?8 AND batch=?9",
	                   next->beat_at, next->epoch, next->left, p->epoch, p->left, p->beat_at, p->running,
	                   p->interval, p->batch);

	if (!rc)
		*ret = sqlite3_changes(cl->c->handle) == 1;
	return rc;
}

static int open_run(struct claimer *cl, int64_t run, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(cl->c,
	                           "INSERT INTO herald_runs(id,started_at,node,claimed,last_id,closed)"
	                           " VALUES(?1,?2,?3,0,0,0)",
	                           err);
	int rc;

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, run);
	sqlite3_bind_int64(st, 2, cl->batch.now);
	sq_bind_text(st, 3, cl->r->node);
	rc = sq_run(cl->c, st, err);
	if (rc || run % 1000)
		return rc;
	return sq_change(cl->c, err, "DELETE FROM herald_runs WHERE id<=?1", run - RUNS_KEPT);
}

/* The run's record. Opening one closes the one before. */
static int record_run(struct claimer *cl, const struct pacing *next, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	const struct run_tally none = {.claimed = 0}, mine = {.claimed = (uint32_t)b->n};
	struct run_end before = {.run = 0}, this;
	int rc = OK;

	b->run = next->epoch;
	if (b->answer == PACING_OPEN) {
		rc = sq_run_add(cl->c, next->epoch - 1, &none, true, &before, err);
		if (!rc)
			rc = open_run(cl, b->run, err);
	}
	if (!rc)
		rc = sq_run_add(cl->c, b->run, &mine, next->interval && !next->left, &this, err);
	if (rc)
		return rc;
	b->ended = before.run ? before : this;
	if (!b->n)
		return OK;
	return sq_change(cl->c, err, "UPDATE herald_runs SET last_id=?2 WHERE id=?1", b->run,
	                 b->items[b->n - 1].id);
}

/* Within the write transaction. Leaves the answer WAIT when there is nothing to write; a beat that runs out
 * of work is closed, which is. */
static int claim_from_beat(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pacing next;
	uint32_t grant;
	bool swapped = false;
	usec_t soonest = USEC_NEVER;
	int rc = OK;

	b->answer = pacing_ask(&cl->seen, b->now, cl->r->want, cl->r->forced, &grant);
	if (b->answer != PACING_OPEN && b->answer != PACING_JOIN)
		return OK;
	if (!cl->r->retry_free)
		rc = gather(cl, ROW_RETRYING, grant, err);
	if (!rc && b->n < grant)
		rc = gather(cl, MESSAGE_PENDING, grant - b->n, err);
	if (rc)
		return rc;
	if (!b->n && !cl->seen.interval) {
		b->answer = PACING_WAIT;
		return OK;
	}
	next = claim_advance(&cl->seen, grant, b);
	rc = swap_pacing(cl, &next, &swapped, err);
	if (rc)
		return rc;
	if (!swapped) {
		cl->lost_race = true;
		return OK;
	}
	if ((rc = record_run(cl, &next, err)) || (rc = take(cl, b->run, err)))
		return rc;
	if (!next.interval && !b->more)
		rc = soonest_claimable(cl->c, cl->r, &soonest, err);
	b->next_at = b->more && !next.interval ? b->now : claim_next_at(&next, b->answer, soonest);
	return rc;
}

static int claim_beside(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct scheduler_row row;
	int rc = sq_scheduler_read(cl->c, &row, err);

	if (rc)
		return rc;
	b->answer = PACING_STOPPED;
	if (!row.s.pacing.running && !cl->r->forced && !cl->r->unpaced)
		return OK;
	b->answer = PACING_WAIT;
	rc = gather(cl, cl->r->unpaced ? MESSAGE_PENDING : ROW_RETRYING, cl->r->want, err);
	if (rc || !b->n)
		return rc;
	b->answer = PACING_JOIN;
	b->more = b->n == cl->r->want;
	b->next_at = b->now;
	rc = take(cl, 0, err);
	return rc || b->more ? rc : soonest_claimable(cl->c, cl->r, &b->next_at, err);
}

/* One attempt to claim in a write transaction, after a look that found it worthwhile. */
static int claim_now(struct sq_db *db, struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	cl->c = &db->writer;
	/* Read again, since waiting for the turn may have taken a while: beats and leases shall be
	 * measured from here. */
	b->now = db->clock();
	b->lease_until = b->now + cl->r->lease;
	rc = claim_beside_beat(cl->r) ? claim_beside(cl, err) : claim_from_beat(cl, err);
	if (!rc && (cl->lost_race || b->answer == PACING_WAIT || b->answer == PACING_STOPPED)) {
		sq_abandon(db);
		return OK;
	}
	return sq_end(db, rc, err);
}

/* Looks at what there is to do; fills in the batch's answer, and next_at when that is not to claim. */
static int look(struct sq_db *db, struct sq_conn *c, struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct scheduler_row row;
	usec_t soonest = USEC_NEVER;
	int rc = sq_scheduler_read(c, &row, err);

	b->now = db->clock();
	if (rc == ERR_NOT_FOUND) {
		b->answer = PACING_STOPPED;
		b->next_at = USEC_NEVER;
		return OK;
	}
	if (rc)
		return rc;
	cl->seen = row.s.pacing;
	b->failure_rate = row.s.failure_rate;
	if (claim_by_due(cl->r, &cl->seen))
		rc = soonest_claimable(c, cl->r, &soonest, err);
	claim_look(cl->r, &cl->seen, soonest, b);
	return rc;
}

int sq_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct sq_session *s = session;
	struct claimer cl;
	struct sq_conn *reader;
	int tries, rc;

	for (tries = 0;; tries++) {
		cl = (struct claimer){.r = r};
		if ((rc = sq_read_begin(s, &reader, err)))
			return rc;
		rc = sq_read_end(reader, look(s->db, reader, &cl, err), err);
		if (rc || (cl.batch.answer != PACING_OPEN && cl.batch.answer != PACING_JOIN))
			break;
		rc = claim_now(s->db, &cl, err);
		if (rc || !cl.lost_race)
			break;
		arena_release(&cl.batch.arena);
		if (tries == CLAIM_TRIES) {
			/* A store this busy: let the others go on. */
			cl.batch = (struct claim_batch){.answer = PACING_WAIT,
			                                .now = cl.batch.now,
			                                .next_at = cl.batch.now};
			break;
		}
	}
	if (rc)
		claim_batch_release(&cl.batch);
	else
		*ret = cl.batch;
	return rc;
}
