/* Steering: cancel, replay and the scheduler. */
#include "alloc.h"
#include "store_postgres.h"

/* Adds what has moved between states, and commits. */
static int count_and_commit(struct pg_session *s, const int64_t by_state[ROW_STATE_COUNT],
                            struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call;
	int rc;

	pg_counts_call(&call, &args, s, by_state);
	rc = pg_run(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

struct canceller {
	int64_t id;
	struct arena *arena;
	struct message message;
};

/* The message as it is afterwards comes along in the same round trip. */
static int cancel_body(struct pg_session *s, void *arg, struct error *err)
{
	int64_t by_state[ROW_STATE_COUNT] = {[MESSAGE_CANCELLED] = 1};
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct canceller *c = arg;
	struct pg_call calls[] = {
		{.sql = "SELECT state FROM herald_messages WHERE id=$1::bigint FOR UPDATE", .args = &args},
		{.sql = "WITH t AS MATERIALIZED (SELECT " PG_NOW " AS now) UPDATE herald_messages m"
	                " SET state=4,state_at=t.now,updated_at=t.now FROM t"
	                " WHERE id=$1::bigint AND state IN (0,6)",
	         .args = &args},
		{.sql = PG_MESSAGE_BY_ID, .args = &args},
	};
	struct pg_rows rows;
	int rc, state;

	pg_add_i64(&args, c->id);
	rc = pg_begin(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	rows = pg_rows(calls[2].res);
	rc = sql_message(&rows.sql, c->id, c->arena, &c->message, err);
	if (!rc) {
		state = (int)pg_i64(calls[0].res, 0, 0);
		if (row_status(state) != MESSAGE_PENDING)
			rc = error_set(err, ERR_CONFLICT,
			               "message %lld is %s: only pending ones can be cancelled",
			               (long long)c->id, message_status_name(row_status(state)));
		by_state[state]--;
	}
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc ? rc : count_and_commit(s, by_state, err);
}

int pg_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct canceller c = {.id = id, .arena = arena};
	int rc = pg_transact(session, cancel_body, &c, err);

	if (!rc)
		*ret = c.message;
	return rc;
}

/* A life of its own begins: what was said of the last one stays with its attempts. The fence goes on, so
 * that a late report of the last life cannot pass for one of this. */
#define REPLAY                                                                                     \
	"WITH t AS MATERIALIZED (SELECT " PG_NOW " AS now),"                                       \
	" u AS (UPDATE herald_messages m SET state=0,state_at=t.now,due_at=t.now,"                 \
	"updated_at=t.now,attempts=0,lost=0,said=-1 FROM t WHERE "
#define REPLAY_END " RETURNING 1) SELECT count(*) FROM u"

struct replayer {
	const char *sql;
	int64_t param; /* id or limit */
	int64_t replayed;
};

static int replay_body(struct pg_session *s, void *arg, struct error *err)
{
	int64_t by_state[ROW_STATE_COUNT] = {0};
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct replayer *re = arg;
	struct pg_call call = {.sql = re->sql, .args = &args};
	int rc;

	pg_add_i64(&args, re->param);
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	re->replayed = pg_i64(call.res, 0, 0);
	pg_calls_clear(&call, 1);
	if (!re->replayed)
		return OK;
	by_state[MESSAGE_FAILED] = -re->replayed;
	by_state[MESSAGE_PENDING] = re->replayed;
	return count_and_commit(s, by_state, err);
}

int pg_replay(void *session, int64_t id, struct error *err)
{
	struct replayer re = {.sql = REPLAY "m.id=$1::bigint AND m.state+0=3" REPLAY_END, .param = id};
	int rc = pg_transact(session, replay_body, &re, err);

	if (!rc && !re.replayed)
		rc = error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
	return rc;
}

/* SKIP LOCKED: what another session is replaying need not be waited for. */
int pg_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct replayer re = {
		.sql = REPLAY "m.id=ANY(ARRAY(SELECT id FROM herald_messages WHERE state=3"
	                      " ORDER BY state,state_at,id LIMIT $1::bigint FOR UPDATE SKIP LOCKED))"
		       REPLAY_END,
		.param = limit,
	};
	int rc = pg_transact(session, replay_body, &re, err);

	if (!rc)
		*ret = (uint32_t)re.replayed;
	return rc;
}

/* --- the scheduler ----------------------------------------------------------------------------------------- */

/* What goes beside the scheduler's row itself. Every message sent has been counted as sent once, and stays
 * so. */
#define BESIDE                                                                                     \
	"SELECT " PG_NOW ",(SELECT sum(sent)::bigint FROM herald_counts),"                         \
	"(SELECT all_failed FROM herald_streak)"

static void read_beside(const PGresult *res, struct scheduler *ret)
{
	ret->now = pg_i64(res, 0, 0);
	ret->messages_sent = pg_i64(res, 0, 1);
	ret->all_failed_in_a_row = (uint32_t)pg_i64(res, 0, 2);
}

void pg_add_scheduler(struct pg_args *args, const struct scheduler_row *row)
{
	const struct pacing *p = &row->s.pacing;

	pg_add_i64(args, p->running);
	pg_add_i64(args, p->interval);
	pg_add_i64(args, p->batch);
	pg_add_i64(args, p->beat_at);
	pg_add_i64(args, p->epoch);
	pg_add_i64(args, p->left);
	pg_add_f64(args, row->s.failure_rate);
	pg_add_i64(args, row->s.last_alert_at);
	pg_add_i64(args, row->config_interval);
	pg_add_i64(args, row->config_batch);
	pg_add_i64(args, p->not_before);
	pg_add_i64(args, row->job);
}

/* What a change of the scheduler has begun and ended; row->s.now is set. */
static int write_job(struct pg_session *s, const struct scheduler_row *row, struct error *err)
{
	struct pg_args ended cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args begun cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args old cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[3];
	size_t n = 0;
	int rc;

	if (row->job_closed) {
		calls[n++] = (struct pg_call){
			.sql = "UPDATE herald_jobs SET finished_at=$2::bigint,last_run=$3::bigint"
			       " WHERE id=$1::bigint",
			.args = &ended};
		pg_add_i64(&ended, row->job_closed);
		pg_add_i64(&ended, row->s.now);
		pg_add_i64(&ended, row->s.pacing.epoch);
	}
	if (row->job_opened) {
		calls[n++] = (struct pg_call){
			.sql = "INSERT INTO herald_jobs(id,name,started_at,first_run)"
			       " VALUES($1::bigint,$2::text,$3::bigint,$4::bigint)",
			.args = &begun};
		pg_add_i64(&begun, row->job_opened);
		pg_add_text(&begun, row->job_name);
		pg_add_i64(&begun, row->s.now);
		pg_add_i64(&begun, row->s.pacing.epoch + 1);
		calls[n++] = (struct pg_call){.sql = "DELETE FROM herald_jobs WHERE id<=$1::bigint", .args = &old};
		pg_add_i64(&old, row->job_opened - JOBS_KEPT);
	}
	if (!n)
		return OK;
	rc = pg_run(s, calls, n, err);
	if (!rc)
		pg_calls_clear(calls, n);
	return rc;
}

static int write_row(struct pg_session *s, const struct scheduler_row *row, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call = {
		.sql = "UPDATE herald_scheduler SET running=$1::bigint<>0,beat_interval=$2::bigint,"
		       "batch=$3::bigint,beat_at=$4::bigint,epoch=$5::bigint,remaining=$6::bigint,"
		       "failure_rate=$7::float8,last_alert_at=$8::bigint,config_interval=$9::bigint,"
		       "config_batch=$10::bigint,not_before=$11::bigint,"
		       "job=$12::bigint",
		.args = &args,
	};
	int rc;

	pg_add_scheduler(&args, row);
	rc = pg_run(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	rc = write_job(s, row, err);
	return rc ? rc : pg_commit(s, err);
}

/* Of several nodes that start at once, one makes the row; the others find it. */
static int make_row(struct pg_session *s, const struct scheduler_defaults *d, struct error *err)
{
	const struct scheduler_row row = scheduler_row_new(d);
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	PGresult *res;
	int rc;

	pg_add_scheduler(&args, &row);
	rc = pg_run1(s, PG_SCHEDULER_INSERT " ON CONFLICT DO NOTHING", &args, &res, err);
	if (!rc)
		PQclear(res);
	return rc;
}

static int steer_body(struct pg_session *s, void *arg, struct error *err)
{
	struct steering *st = arg;
	struct pg_call calls[] = {
		{.sql = "SELECT " SQL_SCHEDULER_COLUMNS " FROM herald_scheduler FOR UPDATE"},
		{.sql = BESIDE},
	};
	int rc = st->defaults ? make_row(s, st->defaults, err) : OK;

	if (!rc)
		rc = pg_begin(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	rc = pg_scheduler(calls[0].res, &st->row, err);
	if (!rc)
		read_beside(calls[1].res, &st->row.s);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	if (rc)
		return rc;
	steering_apply(st);
	return write_row(s, &st->row, err);
}

int pg_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                      struct error *err)
{
	struct steering st = {.defaults = d};
	int rc = pg_transact(session, steer_body, &st, err);

	if (!rc)
		*ret = st.row.s;
	return rc;
}

int pg_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                        bool *ret_changed, struct error *err)
{
	struct steering st = {.change = change};
	int rc = pg_transact(session, steer_body, &st, err);

	if (rc)
		return rc;
	*ret = st.row.s;
	*ret_changed = st.changed;
	return OK;
}

static int get_body(struct pg_session *s, void *arg, struct error *err)
{
	struct scheduler_row row;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " SQL_SCHEDULER_COLUMNS " FROM herald_scheduler"},
		{.sql = BESIDE},
		{.sql = PG_END_READ},
	};
	int rc = pg_run(s, calls, ARRAY_SIZE(calls), err);

	if (rc)
		return rc;
	rc = pg_scheduler(calls[1].res, &row, err);
	if (!rc) {
		read_beside(calls[2].res, &row.s);
		*(struct scheduler *)arg = row.s;
	}
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	return pg_transact(session, get_body, ret, err);
}
