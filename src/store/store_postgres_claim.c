/*
 * Claiming. First a look, in one round trip and without a lock: whoever has to wait, or finds no work in
 * continuous mode, has then disturbed nobody.
 *
 * With a beat, a claim then locks the scheduler's row, looks again and claims: of two nodes that saw the
 * same beat due, one opens it. The lock comes first, and not as a comparison at the end, since two nodes
 * that claim at a time skip each other's rows, and each would find less work than there is.
 *
 * In continuous mode nothing has to be shared out, so within a run of one second no lock is taken: the
 * run's row, touched last, tells whether somebody has opened the next one meanwhile. Then nothing is done
 * and all begins again.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"

#define CLAIM_TRIES 4
/* When others hold all that is due: soon, but not at once. */
#define CLAIM_AGAIN (5 * USEC_PER_MSEC)

/* What one claim knows and has gathered. */
struct claimer {
	const struct claim_request *r;
	struct pacing seen;
	usec_t soonest; /* when the first row that it may take is due; USEC_NEVER: there is none */
	bool retrying_due;
	struct claim_batch batch;
	int64_t by_state[ROW_STATE_COUNT];
	bool lost_race;
};

/* A row as claimed, with what it is ordered by. */
struct taken {
	struct claimed item;
	usec_t due_at;
};

static usec_t due(const PGresult *res, int col)
{
	return PQgetisnull(res, 0, col) ? USEC_NEVER : pg_i64(res, 0, col);
}

/* When the first row of each state is due. */
#define SOONEST                                                                                    \
	"(SELECT state_at FROM herald_messages WHERE state=0 ORDER BY state,state_at,id LIMIT 1)," \
	"(SELECT state_at FROM herald_messages WHERE state=6 ORDER BY state,state_at,id LIMIT 1)"

static usec_t soonest(const struct claim_request *r, usec_t pending, usec_t retrying)
{
	return MIN_OF(claim_takes(r, MESSAGE_PENDING) ? pending : USEC_NEVER,
	              claim_takes(r, ROW_RETRYING) ? retrying : USEC_NEVER);
}

static int look(struct pg_session *s, struct claimer *cl, struct error *err)
{
	static const char sql[] = "SELECT " SQL_SCHEDULER_COLUMNS "," PG_NOW "," SOONEST
				  " FROM (SELECT) one LEFT JOIN herald_scheduler ON true";
	struct claim_batch *b = &cl->batch;
	struct scheduler_row row;
	usec_t pending, retrying;
	PGresult *res;
	int rc = pg_run1(s, sql, NULL, &res, err);

	if (rc)
		return rc;
	b->now = pg_i64(res, 0, SQL_SCHEDULER_COLUMNS_N);
	b->lease_until = b->now + cl->r->lease;
	if (PQgetisnull(res, 0, 0)) {
		PQclear(res);
		b->answer = PACING_STOPPED;
		b->next_at = USEC_NEVER;
		return OK;
	}
	rc = pg_scheduler(res, &row, err);
	pending = due(res, SQL_SCHEDULER_COLUMNS_N + 1);
	retrying = due(res, SQL_SCHEDULER_COLUMNS_N + 2);
	PQclear(res);
	if (rc)
		return rc;
	cl->seen = row.s.pacing;
	b->failure_rate = row.s.failure_rate;
	cl->retrying_due = retrying <= b->now;
	cl->soonest = soonest(cl->r, pending, retrying);
	claim_look(cl->r, &cl->seen, cl->soonest, b);
	return OK;
}

/* --- taking rows ------------------------------------------------------------------------------------------- */

/* The rows to claim are chosen and locked once and for all in a materialised query: as a mere IN (…) the
 * planner might run it again and exceed the limit. */
#define TAKE(state, order)                                                                         \
	"WITH due AS MATERIALIZED (SELECT id FROM herald_messages WHERE state=" state              \
	" AND state_at<=$1::bigint ORDER BY " order " LIMIT $2::bigint OFFSET $6::bigint"    \
	" FOR UPDATE SKIP LOCKED)"                                                                 \
	" UPDATE herald_messages m SET state=1,state_at=$3::bigint,attempts=attempts+1,"           \
	"fence=fence+1,owner=$4::bigint,run=$5::bigint,started_at=$1::bigint,"                     \
	"updated_at=$1::bigint WHERE m.id=ANY(ARRAY(SELECT id FROM due))"                          \
	" RETURNING m.id,m.fence,m.attempts,m.phone,m.content,m.due_at,m.created_at"
#define FIFO "state,state_at,id"
#define LIFO "state DESC,state_at DESC,id DESC"

static const char *take_sql(bool retrying, enum message_order order)
{
	if (order == ORDER_LIFO)
		return retrying ? TAKE("6", LIFO) : TAKE("0", LIFO);
	return retrying ? TAKE("6", FIFO) : TAKE("0", FIFO);
}

static int by_due(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;

	if (x->due_at != y->due_at)
		return x->due_at < y->due_at ? -1 : 1;
	return (x->item.id > y->item.id) - (x->item.id < y->item.id);
}

/* Adds the rows of a result to the items, in order: an UPDATE returns them in any. */
static void add_items(struct claimer *cl, const PGresult *res, int state)
{
	struct claim_batch *b = &cl->batch;
	int n = PQntuples(res), i;
	struct taken *rows = xcalloc((size_t)n + 1, sizeof(*rows));
	struct claimed *items = arena_alloc(&b->arena, (b->n + (size_t)n) * sizeof(*items) + 1);

	for (i = 0; i < n; i++) {
		rows[i].item = (struct claimed){
			.id = pg_i64(res, i, 0),
			.fence = pg_i64(res, i, 1),
			.attempt = (int)pg_i64(res, i, 2),
			.phone = pg_text(res, i, 3, &b->arena),
			.content = pg_text(res, i, 4, &b->arena),
			.content_len = (size_t)PQgetlength(res, i, 4),
			.created_at = pg_i64(res, i, 6),
		};
		rows[i].due_at = pg_i64(res, i, 5);
	}
	qsort(rows, (size_t)n, sizeof(*rows), by_due);
	if (b->n)
		memcpy(items, b->items, b->n * sizeof(*items));
	for (i = 0; i < n; i++)
		items[b->n + (size_t)i] = rows[cl->r->order == ORDER_LIFO ? n - 1 - i : i].item;
	free(rows);
	b->items = items;
	b->n += (size_t)n;
	cl->by_state[state] -= n;
	cl->by_state[MESSAGE_SENDING] += n;
}

/* Takes up to `most` due rows of a state. begin: the transaction opens with it. */
static int take(struct pg_session *s, struct claimer *cl, int state, size_t most, int64_t run,
                bool begin, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call = {.sql = take_sql(state == ROW_RETRYING, cl->r->order), .args = &args};
	int rc;

	pg_add_i64(&args, b->now);
	pg_add_i64(&args, (int64_t)most);
	pg_add_i64(&args, b->lease_until);
	pg_add_i64(&args, s->owner_id);
	pg_add_i64(&args, run);
	pg_add_i64(&args, (int64_t)claim_skips(cl->r, state));
	rc = begin ? pg_begin(s, &call, 1, err) : pg_run(s, &call, 1, err);
	if (rc)
		return rc;
	add_items(cl, call.res, state);
	pg_calls_clear(&call, 1);
	return OK;
}

/* Retries that run beside the beat, when left to the beat, come first. */
static int take_both(struct pg_session *s, struct claimer *cl, size_t grant, int64_t run, bool begin,
                     struct error *err)
{
	int rc = OK;

	if (cl->retrying_due && !cl->r->retry_free) {
		rc = take(s, cl, ROW_RETRYING, grant, run, begin, err);
		begin = false;
	}
	if (!rc && cl->batch.n < grant)
		rc = take(s, cl, MESSAGE_PENDING, grant - cl->batch.n, run, begin, err);
	return rc;
}

/* --- the beat ---------------------------------------------------------------------------------------------- */

/* Begins, locks the scheduler's row and asks again, by the time of when the lock was had. */
static int lock_beat(struct pg_session *s, struct claimer *cl, uint32_t *ret_grant, struct error *err)
{
	struct pg_call calls[] = {
		{.sql = "SELECT " SQL_SCHEDULER_COLUMNS " FROM herald_scheduler FOR UPDATE"},
		{.sql = "SELECT " PG_NOW},
	};
	struct scheduler_row row;
	int rc = pg_begin(s, calls, ARRAY_SIZE(calls), err);

	if (rc)
		return rc;
	rc = pg_scheduler(calls[0].res, &row, err);
	if (!rc) {
		cl->seen = row.s.pacing;
		cl->batch.failure_rate = row.s.failure_rate;
		cl->batch.now = pg_i64(calls[1].res, 0, 0);
		cl->batch.lease_until = cl->batch.now + cl->r->lease;
	}
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	if (!rc)
		cl->batch.answer = claim_ask(cl->r, &cl->seen, cl->batch.now, ret_grant);
	return rc;
}

static void add_run_end(struct claimer *cl, const struct run_end *end)
{
	/* Two can end with one claim, if the later one is empty; that one says nothing. */
	if (end->run && !cl->batch.ended.run)
		cl->batch.ended = *end;
}

/* Writes the beat's new state and the run's record. Opening a run closes the one before. */
static int record_beat(struct pg_session *s, struct claimer *cl, const struct pacing *next,
                       struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pg_args counts cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args beat cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args before cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args run cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args old cleanup(pg_args_release) = PG_ARGS_INIT;
	bool opens = b->answer == PACING_OPEN, last = next->interval && !next->left;
	struct pg_call calls[6];
	struct run_end end;
	size_t n = 0, runs, i;
	int rc;

	if (!next->interval && !b->more)
		calls[n++] = (struct pg_call){.sql = "SELECT " SOONEST};

	if (b->n)
		pg_counts_call(&calls[n++], &counts, s, cl->by_state);
	if (opens || next->interval) {
		calls[n++] = (struct pg_call){
			.sql = "UPDATE herald_scheduler SET beat_at=$1::bigint,epoch=$2::bigint,"
			       "remaining=$3::bigint",
			.args = &beat};
		pg_add_i64(&beat, next->beat_at);
		pg_add_i64(&beat, next->epoch);
		pg_add_i64(&beat, next->left);
	}
	runs = n;
	if (opens) {
		calls[n++] = (struct pg_call){
			.sql = "UPDATE herald_runs SET closed=true WHERE id=$1::bigint"
			       " RETURNING " PG_TALLY_COLUMNS,
			.args = &before};
		pg_add_i64(&before, next->epoch - 1);
		calls[n++] = (struct pg_call){
			.sql = "INSERT INTO herald_runs(id,claimed,last_id,closed,started_at,node)"
			       " VALUES($1::bigint,$2::bigint,$3::bigint,$4::bigint<>0,$5::bigint,$6::text)"
			       " RETURNING " PG_TALLY_COLUMNS,
			.args = &run};
	} else {
		calls[n++] = (struct pg_call){
			.sql = "UPDATE herald_runs SET claimed=claimed+$2::bigint,"
			       "last_id=CASE WHEN $2::bigint>0 THEN $3::bigint ELSE last_id END,"
			       "closed=$4::bigint<>0 WHERE id=$1::bigint AND NOT closed"
			       " RETURNING " PG_TALLY_COLUMNS,
			.args = &run};
	}
	pg_add_i64(&run, next->epoch);
	pg_add_i64(&run, (int64_t)b->n);
	pg_add_i64(&run, b->n ? b->items[b->n - 1].id : 0);
	pg_add_i64(&run, last);
	if (opens) {
		pg_add_i64(&run, b->now);
		pg_add_text(&run, cl->r->node);
	}
	if (opens && next->epoch % 1000 == 0) {
		calls[n++] = (struct pg_call){.sql = "DELETE FROM herald_runs WHERE id<=$1::bigint",
		                              .args = &old};
		pg_add_i64(&old, next->epoch - RUNS_KEPT);
	}
	rc = pg_run(s, calls, n, err);
	if (rc)
		return rc;
	if (!next->interval && !b->more)
		cl->soonest = soonest(cl->r, due(calls[0].res, 0), due(calls[0].res, 1));
	for (i = runs; !rc && i < runs + (opens ? 2 : 1); i++) {
		if (PQntuples(calls[i].res)) {
			rc = pg_run_finish(s, calls[i].res, 0, &end, err);
			if (!rc)
				add_run_end(cl, &end);
		} else if (!opens) {
			cl->lost_race = true;
		}
	}
	pg_calls_clear(calls, n);
	return rc;
}

static int claim_from_beat(struct pg_session *s, struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	bool locks = cl->seen.interval || b->answer == PACING_OPEN;
	struct pacing next;
	uint32_t grant = cl->r->want;
	int rc = OK;

	if (locks) {
		rc = lock_beat(s, cl, &grant, err);
		if (rc)
			return rc;
		b->next_at = claim_next_at(&cl->seen, b->answer, cl->soonest);
		if (b->answer != PACING_OPEN && b->answer != PACING_JOIN)
			return OK;
	}
	b->run = b->answer == PACING_OPEN ? cl->seen.epoch + 1 : cl->seen.epoch;
	rc = take_both(s, cl, grant, b->run, !locks, err);
	if (rc)
		return rc;
	if (!b->n && !cl->seen.interval) {
		b->answer = PACING_WAIT;
		b->run = 0;
		b->next_at = MAX_OF(cl->soonest, b->now + CLAIM_AGAIN);
		return OK;
	}
	next = claim_advance(&cl->seen, grant, b);
	rc = record_beat(s, cl, &next, err);
	if (rc || cl->lost_race)
		return rc;
	b->next_at = b->more && !next.interval ? b->now : claim_next_at(&next, b->answer, cl->soonest);
	return pg_commit(s, err);
}

static int claim_beside(struct pg_session *s, struct claimer *cl, struct error *err)
{
	struct pg_args counts cleanup(pg_args_release) = PG_ARGS_INIT;
	struct claim_batch *b = &cl->batch;
	struct pg_call calls[] = {{.sql = NULL}, {.sql = "SELECT " SOONEST}};
	const int state = cl->r->unpaced ? MESSAGE_PENDING : ROW_RETRYING;
	int rc = take(s, cl, state, cl->r->want, 0, true, err);

	if (rc)
		return rc;
	if (!b->n) {
		b->answer = PACING_WAIT;
		b->next_at = MAX_OF(cl->soonest, b->now + CLAIM_AGAIN);
		return OK;
	}
	pg_counts_call(&calls[0], &counts, s, cl->by_state);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	b->more = b->n == cl->r->want;
	b->next_at = b->more ? b->now : soonest(cl->r, due(calls[1].res, 0), due(calls[1].res, 1));
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return pg_commit(s, err);
}

static int claim_body(struct pg_session *s, void *arg, struct error *err)
{
	struct claimer *cl = arg;
	const struct claim_request *r = cl->r;
	int64_t owner;
	int rc;

	claim_batch_release(&cl->batch);
	*cl = (struct claimer){.r = r};
	rc = look(s, cl, err);
	if (rc || (cl->batch.answer != PACING_OPEN && cl->batch.answer != PACING_JOIN))
		return rc;
	rc = pg_owner(s, r->owner, &owner, err);
	if (rc)
		return rc;
	return claim_beside_beat(r) ? claim_beside(s, cl, err) : claim_from_beat(s, cl, err);
}

int pg_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct claimer cl = {.r = r};
	int tries, rc;

	for (tries = 0; tries < CLAIM_TRIES; tries++) {
		rc = pg_transact(session, claim_body, &cl, err);
		if (rc || !cl.lost_race)
			break;
	}
	if (!rc && cl.lost_race) {
		/* A store this busy: let the others go on. */
		arena_release(&cl.batch.arena);
		cl.batch = (struct claim_batch){.answer = PACING_WAIT,
		                                .now = cl.batch.now,
		                                .next_at = cl.batch.now + CLAIM_AGAIN};
	}
	if (rc)
		claim_batch_release(&cl.batch);
	else
		*ret = cl.batch;
	return rc;
}
