/* Looking at single messages, their attempts, counts, runs and jobs. */
#include "store_postgres.h"

struct getter {
	int64_t id;
	struct arena *arena;
	struct message *ret;
};

static int get_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct getter *g = arg;
	struct pg_rows rows;
	PGresult *res;
	int rc;

	pg_add_i64(&args, g->id);
	rc = pg_run1(s, PG_MESSAGE_BY_ID, &args, &res, err);
	if (rc)
		return rc;
	rows = pg_rows(res);
	rc = sql_message(&rows.sql, g->id, g->arena, g->ret, err);
	PQclear(res);
	return rc;
}

int pg_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct getter g = {.id = id, .arena = arena, .ret = ret};

	return pg_transact(session, get_body, &g, err);
}

static int counts_body(struct pg_session *s, void *arg, struct error *err)
{
	struct store_counts *counts = arg;
	PGresult *res;
	int i, rc = pg_run1(s,
	                    "SELECT sum(pending+retrying)::bigint,sum(sending)::bigint,"
	                    "sum(sent)::bigint,sum(failed)::bigint,sum(cancelled)::bigint,"
	                    "sum(unknown)::bigint,sum(invalid)::bigint FROM herald_counts",
	                    NULL, &res, err);

	if (rc)
		return rc;
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		counts->by_status[i] = pg_i64(res, 0, i);
	PQclear(res);
	return OK;
}

int pg_counts(void *session, struct store_counts *ret, struct error *err)
{
	return pg_transact(session, counts_body, ret, err);
}

/* --- the queue --------------------------------------------------------------------------------------------- */

struct ahead {
	const struct ahead_query *q;
	uint32_t *ret;
};

/* The order by is that of the index, so the limit ends the scan. */
static int ahead_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct ahead *a = arg;
	PGresult *res;
	int rc;

	pg_add_i64(&args, a->q->due_at);
	pg_add_i64(&args, a->q->id);
	pg_add_i64(&args, a->q->limit);
	if (a->q->order == ORDER_LIFO)
		pg_add_i64(&args, a->q->now);
	rc = pg_run1(s,
	             a->q->order == ORDER_LIFO
	                     ? "SELECT count(*) FROM (SELECT 1 FROM herald_messages WHERE state=0"
	                       " AND (state_at,id)>($1::bigint,$2::bigint)"
	                       " AND state_at<=greatest($1::bigint,$4::bigint)"
	                       " ORDER BY state,state_at,id LIMIT $3::bigint) k"
	                     : "SELECT count(*) FROM (SELECT 1 FROM herald_messages WHERE state=0"
	                       " AND (state_at,id)<($1::bigint,$2::bigint)"
	                       " ORDER BY state,state_at,id LIMIT $3::bigint) k",
	             &args, &res, err);
	if (rc)
		return rc;
	*a->ret = (uint32_t)pg_i64(res, 0, 0);
	PQclear(res);
	return OK;
}

int pg_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	struct ahead a = {.q = q, .ret = ret};

	return pg_transact(session, ahead_body, &a, err);
}

/* --- attempts ---------------------------------------------------------------------------------------------- */

struct attempts_query {
	int64_t id;
	struct attempt_page *page;
};

static int attempts_body(struct pg_session *s, void *arg, struct error *err)
{
	struct attempts_query *q = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT 1 FROM herald_messages WHERE id=$1::bigint", .args = &args},
		{.sql = "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS " WHERE a.message=$1::bigint"
	                " ORDER BY a.message,a.seq LIMIT " SQL_ATTEMPTS_SHOWN,
	         .args = &args},
		{.sql = PG_END_READ},
	};
	struct pg_rows rows;
	int rc;

	pg_add_i64(&args, q->id);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	rows = pg_rows(calls[2].res);
	if (PQntuples(calls[1].res))
		rc = sql_attempt_page(&rows.sql, q->page, err);
	else
		rc = error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)q->id);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct attempts_query q = {.id = id, .page = ret};

	return pg_transact(session, attempts_body, &q, err);
}

/* --- runs and jobs ----------------------------------------------------------------------------------------- */

static int range_body(struct pg_session *s, void *arg, struct error *err)
{
	const struct sql_range *r = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = r->count},
		{.sql = r->select, .args = &args},
		{.sql = PG_END_READ},
	};
	struct pg_rows rows;
	int rc;

	pg_add_i64(&args, r->from ? r->from : INT64_MAX);
	pg_add_i64(&args, (int64_t)r->limit + 1);
	pg_add_i64(&args, (int64_t)r->offset);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	rows = pg_rows(calls[2].res);
	rc = r->read(&rows.sql, r->limit, r->page, err);
	*r->ret_total = pg_i64(calls[1].res, 0, 0);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

#define NEWEST_FIRST " WHERE id<$1::bigint ORDER BY id DESC LIMIT $2::bigint OFFSET $3::bigint"

int pg_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
            struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs" NEWEST_FIRST,
		.count = "SELECT count(*) FROM herald_runs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_run_page, .page = ret, .ret_total = &ret->total,
	};

	return pg_transact(session, range_body, &r, err);
}

int pg_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS "," SQL_JOB_TAKEN "::bigint FROM herald_jobs j" NEWEST_FIRST,
		.count = "SELECT count(*) FROM herald_jobs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_job_page, .page = ret, .ret_total = &ret->total,
	};

	return pg_transact(session, range_body, &r, err);
}
