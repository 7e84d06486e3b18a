/* Steering: cancel, replay and the scheduler. */
#include "store_sqlite.h"

/* Changes one row's state if it is one of those expected; sq_totals follow. 1: done; 0: it was in another
 * state, or is not there. */
static int move_row(struct sq_conn *c, int64_t id, const char *sql, int from, int to, usec_t now,
                    struct error *err)
{
	struct sq_totals totals = {.by_state[0] = 0};
	int rc = sq_change(c, err, sql, id, from, now);

	if (rc || !sqlite3_changes(c->handle))
		return rc;
	totals.by_state[from]--;
	totals.by_state[to]++;
	rc = sq_totals_add(c, &totals, err);
	return rc ? rc : 1;
}

static int cancel(struct sq_conn *c, int64_t id, usec_t now, struct arena *arena, struct message *ret,
                  struct error *err)
{
	static const char sql[] =
		"UPDATE herald_messages SET state=4,state_at=?3,updated_at=?3 WHERE id=?1 AND state=?2";
	int rc = move_row(c, id, sql, MESSAGE_PENDING, MESSAGE_CANCELLED, now, err);

	if (!rc)
		rc = move_row(c, id, sql, ROW_RETRYING, MESSAGE_CANCELLED, now, err);
	if (rc < 0)
		return rc;
	if (rc)
		return sq_message_get(c, id, arena, ret, err);
	rc = sq_message_get(c, id, arena, ret, err);
	return rc ? rc
	          : error_set(err, ERR_CONFLICT, "message %lld is %s: only pending ones can be cancelled",
	                      (long long)id, message_status_name(ret->status));
}

int sq_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	struct message m;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = sq_end(db, cancel(&db->writer, id, db->clock(), arena, &m, err), err);
	if (!rc)
		*ret = m;
	return rc;
}

/* A life of its own begins: what was said of the last one stays with its attempts. The fence goes on, so
 * that a late report of the last life cannot pass for one of this. */
#define REPLAY                                                                                     \
	"UPDATE herald_messages SET state=0,state_at=?3,due_at=?3,updated_at=?3,attempts=0,lost=0,"   \
	"said=-1 "

int sq_replay(void *session, int64_t id, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = move_row(&db->writer, id, REPLAY "WHERE id=?1 AND state=?2", MESSAGE_FAILED,
	              MESSAGE_PENDING, db->clock(), err);
	if (!rc)
		rc = error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
	return sq_end(db, rc < 0 ? rc : OK, err);
}

static int replay_some(struct sq_conn *c, uint32_t limit, usec_t now, uint32_t *ret,
                       struct error *err)
{
	struct sq_totals totals = {.by_state[0] = 0};
	int n, rc = sq_change(c, err,
	                      REPLAY "WHERE id IN (SELECT id FROM herald_messages WHERE state=?2"
	                             " ORDER BY state_at,id LIMIT ?1)",
	                      limit, MESSAGE_FAILED, now);

	if (rc)
		return rc;
	n = sqlite3_changes(c->handle);
	*ret = (uint32_t)n;
	totals.by_state[MESSAGE_FAILED] = -n;
	totals.by_state[MESSAGE_PENDING] = n;
	return n ? sq_totals_add(c, &totals, err) : OK;
}

int sq_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	uint32_t n = 0;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = sq_end(db, replay_some(&db->writer, limit, db->clock(), &n, err), err);
	if (!rc)
		*ret = n;
	return rc;
}

/* --- the scheduler ----------------------------------------------------------------------------------------- */

/* Writes what a change of the scheduler has begun and ended; row->s.now is set. */
static int write_row(struct sq_conn *c, const struct scheduler_row *row, struct error *err)
{
	sqlite3_stmt *st;
	int rc = sq_scheduler_write(c, row, err);

	if (!rc && row->job_closed)
		rc = sq_change(c, err, "UPDATE herald_jobs SET finished_at=?2,last_run=?3 WHERE id=?1",
		               row->job_closed, row->s.now, row->s.pacing.epoch);
	if (rc || !row->job_opened)
		return rc;
	st = sq_stmt(c, "INSERT INTO herald_jobs(id,name,started_at,first_run) VALUES(?1,?2,?3,?4)", err);
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, row->job_opened);
	sq_bind_text(st, 2, row->job_name);
	sqlite3_bind_int64(st, 3, row->s.now);
	sqlite3_bind_int64(st, 4, row->s.pacing.epoch + 1);
	rc = sq_run(c, st, err);
	if (rc)
		return rc;
	return sq_change(c, err, "DELETE FROM herald_jobs WHERE id<=?1", row->job_opened - JOBS_KEPT);
}

static int steer(struct sq_db *db, struct steering *st, struct error *err)
{
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = sq_scheduler_read(&db->writer, &st->row, err);
	if (rc == ERR_NOT_FOUND && st->defaults) {
		st->row = scheduler_row_new(st->defaults);
		rc = OK;
	}
	if (!rc) {
		st->row.s.now = db->clock();
		steering_apply(st);
		rc = write_row(&db->writer, &st->row, err);
	}
	return sq_end(db, rc, err);
}

int sq_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                      struct error *err)
{
	struct steering st = {.defaults = d};
	int rc = steer(((struct sq_session *)session)->db, &st, err);

	if (!rc)
		*ret = st.row.s;
	return rc;
}

int sq_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	struct sq_session *s = session;
	struct scheduler_row row;
	struct sq_conn *c;
	int rc = sq_reader(s, &c, err);

	if (!rc)
		rc = sq_scheduler_read(c, &row, err);
	if (rc)
		return rc;
	row.s.now = s->db->clock();
	*ret = row.s;
	return OK;
}

int sq_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                        bool *ret_changed, struct error *err)
{
	struct steering st = {.change = change};
	int rc = steer(((struct sq_session *)session)->db, &st, err);

	if (rc)
		return rc;
	*ret = st.row.s;
	*ret_changed = st.changed;
	return OK;
}
