/* Recording outcomes and prolonging leases. */
#include "store_sqlite.h"

/* Rows are read, judged by the shared rule and written by id: within a write transaction nobody can
 * come between, and the rule stands in one place. */
struct settler {
	struct sq_conn *c;
	usec_t now;
	sqlite3_stmt *read, *end, *retry, *release;
	struct sq_totals totals;
	struct run_outcomes outcomes;
	int64_t sent;
	uint32_t applied;
};

static int settler_init(struct settler *se, struct sq_conn *c, usec_t now, struct error *err)
{
	*se = (struct settler){.c = c, .now = now};
	se->read = sq_stmt(c, "SELECT state,fence,owner,run FROM herald_messages WHERE id=?1", err);
	se->end = sq_stmt(c,
	                  "UPDATE herald_messages SET state=?2,state_at=?3,updated_at=?3,said=?4,lost=0"
	                  " WHERE id=?1",
	                  err);
	se->retry = sq_stmt(c,
	                    "UPDATE herald_messages SET state=?2,state_at=?5,due_at=?5,updated_at=?3,"
	                    "said=?4,lost=0 WHERE id=?1",
	                    err);
	se->release = sq_stmt(c,
	                      "UPDATE herald_messages SET state=?2,state_at=due_at,updated_at=?3,"
	                      "attempts=attempts-1 WHERE id=?1",
	                      err);
	return se->read && se->end && se->retry && se->release ? OK : err->code;
}

static int apply(struct settler *se, const struct settlement *s, int state, int64_t seq,
                 struct error *err)
{
	sqlite3_stmt *st = se->end;

	if (s->verdict == VERDICT_RELEASE)
		st = se->release;
	else if (s->verdict == VERDICT_RETRY)
		st = se->retry;
	sqlite3_bind_int64(st, 1, s->id);
	sqlite3_bind_int(st, 2, state);
	sqlite3_bind_int64(st, 3, se->now);
	if (st != se->release)
		sqlite3_bind_int64(st, 4, seq);
	if (st == se->retry)
		sqlite3_bind_int64(st, 5, se->now + s->retry_in);
	return sq_run(se->c, st, err);
}

static int settle_one(struct settler *se, struct settlement *s, struct error *err)
{
	struct sql_attempt attempt = sql_attempt_settled(s, 0);
	int64_t fence, run;
	int rc, state, next;

	s->applied = false;
	s->sent_at = 0;
	sqlite3_bind_int64(se->read, 1, s->id);
	rc = sq_row(se->c, se->read, err);
	if (rc <= 0)
		return rc;
	state = sqlite3_column_int(se->read, 0);
	fence = sqlite3_column_int64(se->read, 1);
	if (fence == s->fence)
		attempt.owner = sqlite3_column_int64(se->read, 2);
	run = sqlite3_column_int64(se->read, 3);
	sqlite3_reset(se->read);

	if (settlement_applies(state, fence, s)) {
		next = settlement_state(s, !run);
		rc = apply(se, s, next, attempt.seq, err);
		if (rc)
			return rc;
		s->applied = true;
		se->applied++;
		se->totals.by_state[state]--;
		se->totals.by_state[next]++;
		if (next == MESSAGE_SENT) {
			s->sent_at = se->now;
			se->sent++;
		}
		if (state == MESSAGE_SENDING)
			run_outcomes_add(&se->outcomes, run, s->verdict);
	}
	return s->verdict == VERDICT_RELEASE ? OK : sq_attempt_add(se->c, &attempt, err);
}

static int settle_all(struct settler *se, struct settlement *s, size_t n, struct settle_result *ret,
                      struct error *err)
{
	size_t i;
	int rc = OK;

	for (i = 0; !rc && i < n; i++)
		rc = settle_one(se, &s[i], err);
	if (!rc && se->applied)
		rc = sq_totals_add(se->c, &se->totals, err);
	if (!rc)
		rc = sq_outcomes_apply(se->c, &se->outcomes, ret, err);
	ret->applied = se->applied;
	if (rc || !se->sent)
		return rc;
	return sq_change(se->c, err, "UPDATE herald_scheduler SET messages_sent=messages_sent+?1", se->sent);
}

int sq_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret,
              struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	struct settle_result result = {.applied = 0};
	struct settler se;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = settler_init(&se, &db->writer, db->clock(), err);
	if (!rc)
		rc = settle_all(&se, s, n, &result, err);
	rc = sq_end(db, rc, err);
	run_outcomes_release(&se.outcomes);
	if (!rc)
		*ret = result;
	return rc;
}

static int renew_all(struct sq_conn *c, const struct lease_ref *refs, size_t n, usec_t until,
                     size_t *ret, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(
		c, "UPDATE herald_messages SET state_at=?1 WHERE id=?2 AND state=1 AND fence=?3", err);
	size_t i;
	int rc = OK;

	if (!st)
		return err->code;
	*ret = 0;
	sqlite3_bind_int64(st, 1, until);
	for (i = 0; !rc && i < n; i++) {
		sqlite3_bind_int64(st, 2, refs[i].id);
		sqlite3_bind_int64(st, 3, refs[i].fence);
		rc = sq_run(c, st, err);
		*ret += !rc && sqlite3_changes(c->handle) > 0;
	}
	return rc;
}

int sq_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
             size_t *ret_renewed, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	size_t renewed = 0;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = sq_end(db, renew_all(&db->writer, refs, n, db->clock() + lease, &renewed, err), err);
	if (!rc)
		*ret_renewed = renewed;
	return rc;
}
