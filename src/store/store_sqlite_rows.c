/* Rows that several verbs of the SQLite driver read and write. */
#include "store_sqlite.h"

static int rows_next(struct sql_rows *sql, struct error *err)
{
	struct sq_rows *rows = container_of(sql, struct sq_rows, sql);

	return sq_row(rows->c, rows->st, err);
}

static int64_t rows_integer(const struct sql_rows *sql, int col)
{
	return sqlite3_column_int64(container_of(sql, const struct sq_rows, sql)->st, col);
}

static double rows_real(const struct sql_rows *sql, int col)
{
	return sqlite3_column_double(container_of(sql, const struct sq_rows, sql)->st, col);
}

static const char *rows_text(const struct sql_rows *sql, int col, struct arena *arena)
{
	return sq_text(container_of(sql, const struct sq_rows, sql)->st, col, arena);
}

struct sq_rows sq_rows(struct sq_conn *c, sqlite3_stmt *st)
{
	return (struct sq_rows){
		.sql = {.next = rows_next, .integer = rows_integer, .real = rows_real, .text = rows_text},
		.c = c,
		.st = st,
	};
}

int sq_totals_add(struct sq_conn *c, const struct sq_totals *t, struct error *err)
{
	return sq_change_by(c,
	                    "UPDATE herald_totals SET pending=pending+?1,sending=sending+?2,"
	                    "sent=sent+?3,failed=failed+?4,cancelled=cancelled+?5,"
	                    "unknown=unknown+?6,retrying=retrying+?7,"
	                    "invalid=invalid+?8",
	                    t->by_state, ROW_STATE_COUNT, err);
}

int sq_owner_find(struct sq_conn *c, const char *owner, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c, "SELECT id FROM herald_owners WHERE owner=?1", err);
	int rc;

	if (!st)
		return err->code;
	sq_bind_text(st, 1, owner);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	*ret = rc ? sqlite3_column_int64(st, 0) : 0;
	return OK;
}

int sq_owner(struct sq_conn *c, const char *owner, int64_t *ret, struct error *err)
{
	sqlite3_stmt *add;
	int64_t id;
	int rc = sq_owner_find(c, owner, &id, err);

	if (!rc && !id) {
		add = sq_stmt(c, "INSERT INTO herald_owners(owner) VALUES(?1)", err);
		if (!add)
			return err->code;
		sq_bind_text(add, 1, owner);
		rc = sq_run(c, add, err);
		id = sqlite3_last_insert_rowid(c->handle);
	}
	if (!rc)
		*ret = id;
	return rc;
}

int sq_scheduler_read(struct sq_conn *c, struct scheduler_row *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT " SQ_SCHEDULER_COLUMNS ",messages_sent,all_failed FROM herald_scheduler", err);
	struct sq_rows rows = sq_rows(c, st);
	struct scheduler_row row;
	int rc = st ? sql_scheduler(&rows.sql, &row, err) : err->code;

	if (rc)
		return rc;
	row.s.messages_sent = sqlite3_column_int64(st, SQL_SCHEDULER_COLUMNS_N);
	row.s.all_failed_in_a_row = (uint32_t)sqlite3_column_int64(st, SQL_SCHEDULER_COLUMNS_N + 1);
	*ret = row;
	return OK;
}

int sq_scheduler_write(struct sq_conn *c, const struct scheduler_row *row, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "INSERT OR REPLACE INTO herald_scheduler(one,running,interval,"
	                           "batch,beat_at,epoch,remaining,failure_rate,messages_sent,"
	                           "all_failed,last_alert_at,config_interval,config_batch,not_before,job)"
	                           " VALUES(1,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
	                           err);
	const struct pacing *p = &row->s.pacing;

	if (!st)
		return err->code;
	sqlite3_bind_int(st, 1, p->running);
	sqlite3_bind_int64(st, 2, p->interval);
	sqlite3_bind_int64(st, 3, p->batch);
	sqlite3_bind_int64(st, 4, p->beat_at);
	sqlite3_bind_int64(st, 5, p->epoch);
	sqlite3_bind_int64(st, 6, p->left);
	sqlite3_bind_double(st, 7, row->s.failure_rate);
	sqlite3_bind_int64(st, 8, row->s.messages_sent);
	sqlite3_bind_int64(st, 9, row->s.all_failed_in_a_row);
	sqlite3_bind_int64(st, 10, row->s.last_alert_at);
	sqlite3_bind_int64(st, 11, row->config_interval);
	sqlite3_bind_int64(st, 12, row->config_batch);
	sqlite3_bind_int64(st, 13, p->not_before);
	sqlite3_bind_int64(st, 14, row->job);
	return sq_run(c, st, err);
}

static int finish_run(struct sq_conn *c, int64_t run, const struct run_tally *t, struct run_end *ret,
                      struct error *err)
{
	struct scheduler_row row;
	int rc = sq_change(c, err, "UPDATE herald_runs SET finished=1 WHERE id=?1", run);

	if (rc || (rc = sq_scheduler_read(c, &row, err)))
		return rc;
	run_end_apply(run, t, &row.s.all_failed_in_a_row, ret);
	return sq_change(c, err, "UPDATE herald_scheduler SET all_failed=?1", row.s.all_failed_in_a_row);
}

int sq_run_add(struct sq_conn *c, int64_t run, const struct run_tally *add, bool close,
               struct run_end *ret, struct error *err)
{
	sqlite3_stmt *get cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT claimed,sent,failed,retried,lost,closed,finished"
	                " FROM herald_runs WHERE id=?1",
	                err);
	struct run_tally t;
	int rc;

	*ret = (struct run_end){.run = 0};
	if (!get)
		return err->code;
	rc = sq_change(c, err,
	               "UPDATE herald_runs SET claimed=claimed+?2,sent=sent+?3,"
	               "failed=failed+?4,retried=retried+?5,lost=lost+?6,"
	               "closed=closed OR ?7 WHERE id=?1",
	               run, (int32_t)add->claimed, add->sent, add->failed, add->retried, add->lost, close);
	if (rc)
		return rc;

	sqlite3_bind_int64(get, 1, run);
	rc = sq_row(c, get, err);
	if (rc <= 0)
		return rc;
	t.claimed = (uint32_t)sqlite3_column_int64(get, 0);
	t.sent = (uint32_t)sqlite3_column_int64(get, 1);
	t.failed = (uint32_t)sqlite3_column_int64(get, 2);
	t.retried = (uint32_t)sqlite3_column_int64(get, 3);
	t.lost = (uint32_t)sqlite3_column_int64(get, 4);
	t.closed = sqlite3_column_int(get, 5) != 0;
	if (sqlite3_column_int(get, 6) || !run_tally_complete(&t))
		return OK;
	return finish_run(c, run, &t, ret, err);
}

int sq_attempt_add(struct sq_conn *c, const struct sql_attempt *a, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "INSERT INTO herald_attempts(" SQL_ATTEMPT_NUMBERS
	                           ",owner,message_id,error) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
	                           " ON CONFLICT DO NOTHING",
	                           err);
	int64_t numbers[SQL_ATTEMPT_NUMBERS_N];

	if (!st)
		return err->code;
	sql_attempt_numbers(a, numbers);
	sq_bind_numbers(st, numbers, ARRAY_SIZE(numbers));
	sqlite3_bind_int64(st, 9, a->owner);
	sq_bind_cut(st, 10, a->message_id, MESSAGE_PROVIDER_ID_MAX);
	sq_bind_cut(st, 11, a->error, MESSAGE_ERROR_MAX);
	return sq_run(c, st, err);
}

int sq_outcomes_apply(struct sq_conn *c, struct run_outcomes *o, struct settle_result *ret,
                      struct error *err)
{
	struct run_end end;
	size_t i;
	int rc;

	run_outcomes_sort(o);
	for (i = 0; i < o->n; i++) {
		rc = sq_run_add(c, o->runs[i].run, &o->runs[i].add, false, &end, err);
		if (rc)
			return rc;
		settle_result_add(ret, &end);
	}
	return OK;
}

int sq_message_get(struct sq_conn *c, int64_t id, struct arena *arena, struct message *ret,
                   struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT " SQL_MESSAGE_COLUMNS " FROM herald_messages m" SQL_MESSAGE_JOINS " WHERE m.id=?1",
		err);
	struct sq_rows rows = sq_rows(c, st);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, id);
	return sql_message(&rows.sql, id, arena, ret, err);
}
