/* Taking back claims whose owner is gone. */
#include "alloc.h"
#include "store_sqlite.h"

/* A lease has run out, or another owner holds it: there is one process, so that one is dead, unless it is
 * outside. There are as many rows in `sending` as requests in flight, so looking at all of them is cheap. */
#define DEAD_LEASES                                                                                   \
	" FROM herald_messages WHERE state=1 AND (state_at<=?1 OR owner NOT IN"                       \
	" (SELECT id FROM herald_owners WHERE id=?2 OR owner LIKE '%" STORE_OWNER_OUTSIDE "'))"

struct recoverer {
	struct sq_conn *c;
	const struct recover_request *r;
	usec_t now;
	struct sql_lost *rows;
	size_t n;
	struct sq_totals totals;
	struct run_outcomes outcomes;
	struct recover_result result;
};

static int next_expiry(struct sq_conn *c, usec_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT state_at FROM herald_messages WHERE state=1 ORDER BY state_at LIMIT 1", err);
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	*ret = rc ? sqlite3_column_int64(st, 0) : USEC_NEVER;
	return OK;
}

/* Whether there is anything to take back; asked without the writer, as most calls find nothing. */
static int look(struct sq_conn *c, struct recoverer *re, bool *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(c, "SELECT 1" DEAD_LEASES " LIMIT 1", err);
	int64_t owner;
	int rc;

	if (!st)
		return err->code;
	rc = sq_owner_find(c, re->r->owner, &owner, err);
	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, re->now);
	sqlite3_bind_int64(st, 2, owner);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	*ret = rc;
	return next_expiry(c, &re->result.next_expiry, err);
}

static int gather(struct recoverer *re, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(re->c, "SELECT " SQL_LOST_COLUMNS DEAD_LEASES " ORDER BY state_at,id LIMIT ?3", err);
	struct sq_rows rows = sq_rows(re->c, st);
	int64_t owner;
	size_t cap = 0;
	int rc;

	if (!st)
		return err->code;
	rc = sq_owner_find(re->c, re->r->owner, &owner, err);
	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, re->now);
	sqlite3_bind_int64(st, 2, owner);
	sqlite3_bind_int64(st, 3, (int64_t)re->r->limit + 1);
	while ((rc = sq_row(re->c, st, err)) > 0) {
		if (re->n == re->r->limit) {
			re->result.more = true;
			return OK;
		}
		if (re->n == cap) {
			cap = cap ? 2 * cap : 64;
			re->rows = xreallocarray(re->rows, cap, sizeof(*re->rows));
		}
		re->rows[re->n++] = sql_lost_row(&rows.sql, re->r);
	}
	return rc;
}

static int recover_row(struct recoverer *re, const struct sql_lost *row, struct error *err)
{
	const struct sql_attempt attempt = sql_attempt_lost(row, re->r);
	int rc = sq_change(re->c, err,
	                   "UPDATE herald_messages SET state=?2,state_at=?3,updated_at=?3,"
	                   "due_at=iif(?6,?3,due_at),said=?4,lost=?5 WHERE id=?1",
	                   row->id, row->state, re->now, attempt.seq, row->lost,
	                   row_status(row->state) == MESSAGE_PENDING);

	if (rc)
		return rc;
	recovered_count(&re->result, re->totals.by_state, row->state);
	run_outcomes_add(&re->outcomes, row->run, VERDICT_LOST);
	return sq_attempt_add(re->c, &attempt, err);
}

static int recover_all(struct recoverer *re, struct error *err)
{
	struct settle_result unlisted = {.ended_n = 0};
	size_t i;
	int rc = gather(re, err);

	for (i = 0; !rc && i < re->n; i++)
		rc = recover_row(re, &re->rows[i], err);
	if (!rc && re->n)
		rc = sq_totals_add(re->c, &re->totals, err);
	if (!rc)
		rc = sq_outcomes_apply(re->c, &re->outcomes, &unlisted, err);
	return rc ? rc : next_expiry(re->c, &re->result.next_expiry, err);
}

int sq_recover(void *session, const struct recover_request *r, struct recover_result *ret,
               struct error *err)
{
	struct sq_session *s = session;
	struct recoverer re = {.r = r, .now = s->db->clock()};
	struct sq_conn *reader;
	bool found = false;
	int rc = sq_read_begin(s, &reader, err);

	if (rc)
		return rc;
	rc = sq_read_end(reader, look(reader, &re, &found, err), err);
	if (!rc && found && !(rc = sq_begin(s->db, err))) {
		re.c = &s->db->writer;
		rc = sq_end(s->db, recover_all(&re, err), err);
	}
	free(re.rows);
	run_outcomes_release(&re.outcomes);
	if (!rc)
		*ret = re.result;
	return rc;
}
