/* Rows that several verbs of the SQLite driver read and write. */
#include "alloc.h"
#include "store_sqlite.h"

int sq_totals_add(struct sq_conn *c, const struct sq_totals *t, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "UPDATE herald_totals SET pending=pending+?1,sending=sending+?2,"
	                           "sent=sent+?3,failed=failed+?4,cancelled=cancelled+?5,"
	                           "unknown=unknown+?6,retrying=retrying+?7,"
	                           "invalid=invalid+?8",
	                           err);
	int i;

	if (!st)
		return err->code;
	for (i = 0; i < ROW_STATE_COUNT; i++)
		sqlite3_bind_int64(st, i + 1, t->by_state[i]);
	return sq_run(c, st, err);
}

int sq_owner(struct sq_conn *c, const char *owner, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c, "SELECT id FROM herald_owners WHERE owner=?1", err);
	sqlite3_stmt *add;
	int rc;

	if (!st)
		return err->code;
	sq_bind_text(st, 1, owner);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	if (rc) {
		*ret = sqlite3_column_int64(st, 0);
		return OK;
	}
	add = sq_stmt(c, "INSERT INTO herald_owners(owner) VALUES(?1)", err);
	if (!add)
		return err->code;
	sq_bind_text(add, 1, owner);
	rc = sq_run(c, add, err);
	if (!rc)
		*ret = sqlite3_last_insert_rowid(c->handle);
	return rc;
}

int sq_scheduler_read(struct sq_conn *c, struct scheduler_row *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT running,interval,batch,beat_at,epoch,remaining,failure_rate,"
	                "messages_sent,all_failed,last_alert_at,config_interval,config_batch,not_before,job"
	                " FROM herald_scheduler",
	                err);
	struct scheduler_row row = {.config_batch = 0};
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
	row.s.pacing.running = sqlite3_column_int(st, 0) != 0;
	row.s.pacing.interval = sqlite3_column_int64(st, 1);
	row.s.pacing.batch = (uint32_t)sqlite3_column_int64(st, 2);
	row.s.pacing.beat_at = sqlite3_column_int64(st, 3);
	row.s.pacing.epoch = sqlite3_column_int64(st, 4);
	row.s.pacing.left = (uint32_t)sqlite3_column_int64(st, 5);
	row.s.failure_rate = sqlite3_column_double(st, 6);
	row.s.messages_sent = sqlite3_column_int64(st, 7);
	row.s.all_failed_in_a_row = (uint32_t)sqlite3_column_int64(st, 8);
	row.s.last_alert_at = sqlite3_column_int64(st, 9);
	row.config_interval = sqlite3_column_int64(st, 10);
	row.config_batch = (uint32_t)sqlite3_column_int64(st, 11);
	row.s.pacing.not_before = sqlite3_column_int64(st, 12);
	row.job = sqlite3_column_int64(st, 13);
	/* Every beat is a run, and runs are numbered by beats. */
	row.s.last_run_at = row.s.pacing.beat_at;
	row.s.runs_count = row.s.pacing.epoch;
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
	sqlite3_stmt *st = sq_stmt(c, "UPDATE herald_runs SET finished=1 WHERE id=?1", err);
	struct scheduler_row row;
	int rc;

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, run);
	if ((rc = sq_run(c, st, err)) || (rc = sq_scheduler_read(c, &row, err)))
		return rc;
	run_end_apply(run, t, &row.s.all_failed_in_a_row, ret);
	st = sq_stmt(c, "UPDATE herald_scheduler SET all_failed=?1", err);
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, row.s.all_failed_in_a_row);
	return sq_run(c, st, err);
}

int sq_run_add(struct sq_conn *c, int64_t run, const struct run_tally *add, bool close,
               struct run_end *ret, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "UPDATE herald_runs SET claimed=claimed+?2,sent=sent+?3,"
	                           "failed=failed+?4,retried=retried+?5,lost=lost+?6,"
	                           "closed=closed OR ?7 WHERE id=?1",
	                           err);
	sqlite3_stmt *get cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT claimed,sent,failed,retried,lost,closed,finished"
	                " FROM herald_runs WHERE id=?1",
	                err);
	struct run_tally t;
	int rc;

	*ret = (struct run_end){.run = 0};
	if (!st || !get)
		return err->code;
	sqlite3_bind_int64(st, 1, run);
	sqlite3_bind_int64(st, 2, (int32_t)add->claimed);
	sqlite3_bind_int64(st, 3, add->sent);
	sqlite3_bind_int64(st, 4, add->failed);
	sqlite3_bind_int64(st, 5, add->retried);
	sqlite3_bind_int64(st, 6, add->lost);
	sqlite3_bind_int(st, 7, close);
	rc = sq_run(c, st, err);
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

int sq_attempt_add(struct sq_conn *c, const struct sq_attempt *a, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "INSERT INTO herald_attempts(message,seq,attempt,run,owner,verdict,"
	                           "http_status,started_at,duration,message_id,error)"
	                           " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)"
	                           " ON CONFLICT DO NOTHING",
	                           err);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, a->message);
	sqlite3_bind_int64(st, 2, a->seq);
	sqlite3_bind_int(st, 3, a->attempt);
	sqlite3_bind_int64(st, 4, a->run);
	sqlite3_bind_int64(st, 5, a->owner);
	sqlite3_bind_int(st, 6, (int)a->verdict);
	sqlite3_bind_int(st, 7, a->http_status);
	sqlite3_bind_int64(st, 8, a->started_at);
	sqlite3_bind_int64(st, 9, a->duration);
	sq_bind_cut(st, 10, a->message_id, MESSAGE_PROVIDER_ID_MAX);
	sq_bind_cut(st, 11, a->error, MESSAGE_ERROR_MAX);
	return sq_run(c, st, err);
}

static int by_run(const void *a, const void *b)
{
	const struct run_outcome *x = a, *y = b;

	return (x->run > y->run) - (x->run < y->run);
}

int sq_outcomes_apply(struct sq_conn *c, struct run_outcomes *o, struct settle_result *ret,
                      struct error *err)
{
	struct run_end end;
	size_t i;
	int rc;

	/* Runs end in the order of their beats. */
	if (o->n > 1)
		qsort(o->runs, o->n, sizeof(*o->runs), by_run);
	for (i = 0; i < o->n; i++) {
		rc = sq_run_add(c, o->runs[i].run, &o->runs[i].add, false, &end, err);
		if (rc)
			return rc;
		if (end.run && ret->ended_n < ARRAY_SIZE(ret->ended))
			ret->ended[ret->ended_n] = end;
		ret->ended_n += end.run != 0;
	}
	return OK;
}

void sq_message(sqlite3_stmt *st, struct arena *arena, struct message *ret)
{
	usec_t state_at = sqlite3_column_int64(st, 2);
	int64_t fence = sqlite3_column_int64(st, 5);
	struct message m = {
		.id = sqlite3_column_int64(st, 0),
		.status = row_status(sqlite3_column_int(st, 1)),
		.attempts = sqlite3_column_int(st, 3),
		.lost = sqlite3_column_int(st, 4),
		.fence = fence,
		.due_at = sqlite3_column_int64(st, 6),
		.started_at = fence ? sqlite3_column_int64(st, 7) : 0,
		.created_at = sqlite3_column_int64(st, 8),
		.updated_at = sqlite3_column_int64(st, 9),
		.send_at = sqlite3_column_int64(st, 10),
		.phone = sq_text(st, 11, arena),
		.content = sq_text(st, 12, arena),
		.idempotency_key = sq_text(st, 13, arena),
		.metadata = sq_text(st, 14, arena),
		.message_id = sq_text(st, 15, arena),
		.last_error = sq_text(st, 16, arena),
	};

	if (m.status == MESSAGE_SENDING) {
		m.owner = sq_text(st, 17, arena);
		m.lease_until = state_at;
	} else if (m.status == MESSAGE_SENT) {
		m.sent_at = state_at;
	}
	*ret = m;
}

int sq_message_get(struct sq_conn *c, int64_t id, struct arena *arena, struct message *ret,
                   struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT " SQ_MESSAGE_COLUMNS " FROM herald_messages m" SQ_MESSAGE_JOINS " WHERE m.id=?1",
		err);
	int rc;

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, id);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
	sq_message(st, arena, ret);
	return OK;
}
