/* Looking at single messages, their attempts, counts and runs. */
#include "alloc.h"
#include "store_postgres.h"

struct getter {
	int64_t id;
	struct arena *arena;
	struct message message;
};

static int get_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct getter *g = arg;
	PGresult *res;
	int rc;

	pg_add_i64(&args, g->id);
	rc = pg_run1(s, PG_MESSAGE_BY_ID, &args, &res, err);
	if (rc)
		return rc;
	if (PQntuples(res))
		pg_message(res, 0, g->arena, &g->message);
	else
		rc = error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)g->id);
	PQclear(res);
	return rc;
}

int pg_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct getter g = {.id = id, .arena = arena};
	int rc = pg_transact(session, get_body, &g, err);

	if (!rc)
		*ret = g.message;
	return rc;
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
	struct store_counts counts;
	int rc = pg_transact(session, counts_body, &counts, err);

	if (!rc)
		*ret = counts;
	return rc;
}

/* --- the queue --------------------------------------------------------------------------------------------- */

struct ahead {
	const struct ahead_query *q;
	uint32_t n;
};

/* The order by is that of the index, so the limit ends the scan. */
static int ahead_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct ahead *a = arg;
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
	a->n = (uint32_t)pg_i64(res, 0, 0);
	PQclear(res);
	return OK;
}

int pg_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	struct ahead a = {.q = q};
	int rc = pg_transact(session, ahead_body, &a, err);

	if (!rc)
		*ret = a.n;
	return rc;
}

/* --- attempts ---------------------------------------------------------------------------------------------- */

struct attempts_query {
	int64_t id;
	struct attempt_page page;
};

static int attempts_body(struct pg_session *s, void *arg, struct error *err)
{
	struct attempts_query *q = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT 1 FROM herald_messages WHERE id=$1::bigint", .args = &args},
		{.sql = "SELECT a.attempt,a.run,a.verdict,a.http_status,a.started_at,a.duration,a.error,"
	                "o.owner FROM herald_attempts a LEFT JOIN herald_owners o ON o.id=a.owner"
	                " WHERE a.message=$1::bigint ORDER BY a.message,a.seq LIMIT 1000",
	         .args = &args},
		{.sql = PG_END_READ},
	};
	const PGresult *res;
	int i, rc;

	pg_add_i64(&args, q->id);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	res = calls[2].res;
	if (!PQntuples(calls[1].res)) {
		rc = error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)q->id);
	} else {
		q->page.n = (size_t)PQntuples(res);
		q->page.items = arena_calloc(&q->page.arena, q->page.n + 1, sizeof(*q->page.items));
	}
	for (i = 0; !rc && i < PQntuples(res); i++) {
		q->page.items[i] = (struct attempt){
			.attempt = (int)pg_i64(res, i, 0),
			.run = pg_i64(res, i, 1),
			.verdict = (enum verdict)pg_i64(res, i, 2),
			.http_status = (int)pg_i64(res, i, 3),
			.started_at = pg_i64(res, i, 4),
			.duration = pg_i64(res, i, 5),
			.error = pg_text(res, i, 6, &q->page.arena),
			.node = pg_text(res, i, 7, &q->page.arena),
		};
	}
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct attempts_query q = {.id = id};
	int rc = pg_transact(session, attempts_body, &q, err);

	if (!rc)
		*ret = q.page;
	return rc;
}

/* --- runs -------------------------------------------------------------------------------------------------- */

struct runs_query {
	int64_t before;
	uint64_t offset;
	uint32_t limit;
	struct run_page page;
};

static void read_runs(const PGresult *res, struct runs_query *q)
{
	struct run_page *page = &q->page;
	int i;

	page->items = arena_calloc(&page->arena, q->limit, sizeof(*page->items));
	for (i = 0; i < PQntuples(res); i++) {
		if (page->n == q->limit) {
			page->more = true;
			return;
		}
		page->items[page->n++] = (struct run){
			.id = pg_i64(res, i, 0),
			.started_at = pg_i64(res, i, 1),
			.node = pg_text(res, i, 2, &page->arena),
			.claimed = (uint32_t)pg_i64(res, i, 3),
			.sent = (uint32_t)pg_i64(res, i, 4),
			.failed = (uint32_t)pg_i64(res, i, 5),
			.retried = (uint32_t)pg_i64(res, i, 6),
			.lost = (uint32_t)pg_i64(res, i, 7),
			.last_id = pg_i64(res, i, 8),
			.finished = pg_i64(res, i, 9) != 0,
		};
	}
}

static int runs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct runs_query *q = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT count(*) FROM herald_runs"},
		{.sql = "SELECT id,started_at,node,claimed,sent,failed,retried,lost,last_id,finished"
	                " FROM herald_runs WHERE id<$1::bigint ORDER BY id DESC"
	                " LIMIT $2::bigint OFFSET $3::bigint",
	         .args = &args},
		{.sql = PG_END_READ},
	};
	int rc;

	pg_add_i64(&args, q->before ? q->before : INT64_MAX);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	pg_add_i64(&args, (int64_t)q->offset);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	q->page.total = pg_i64(calls[1].res, 0, 0);
	read_runs(calls[2].res, q);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
}

int pg_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
            struct error *err)
{
	struct runs_query q = {.before = before, .offset = offset, .limit = limit};
	int rc = pg_transact(session, runs_body, &q, err);

	if (!rc)
		*ret = q.page;
	return rc;
}
