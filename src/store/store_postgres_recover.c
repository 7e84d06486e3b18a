/* Taking back claims whose owner is gone. */
#include <stdlib.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

#define NEXT_EXPIRY                                                                                \
	"SELECT state_at FROM herald_messages WHERE state=1 ORDER BY state,state_at,id LIMIT 1"

struct recoverer {
	const struct recover_request *r;
	struct sql_lost *rows;
	size_t n;
	usec_t now;
	int64_t by_state[ROW_STATE_COUNT];
	struct run_outcomes outcomes;
	struct recover_result result;
};

static usec_t expiry(const PGresult *res)
{
	return PQntuples(res) ? pg_i64(res, 0, 0) : USEC_NEVER;
}

/* Whether there is anything to take back; asked without a lock, as most calls find nothing. */
static int look(struct pg_session *s, struct recoverer *re, bool *ret, struct error *err)
{
	struct pg_call calls[] = {{.sql = "SELECT " PG_NOW}, {.sql = NEXT_EXPIRY}};
	int rc = pg_run(s, calls, ARRAY_SIZE(calls), err);

	if (rc)
		return rc;
	re->now = pg_i64(calls[0].res, 0, 0);
	re->result.next_expiry = expiry(calls[1].res);
	*ret = re->result.next_expiry <= re->now;
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
}

/* A row that is locked has somebody who cares for it: its owner after all, or another node. */
static int gather(struct pg_session *s, struct recoverer *re, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call = {
		.sql = "SELECT " SQL_LOST_COLUMNS " FROM herald_messages"
		       " WHERE state=1 AND state_at<=$1::bigint ORDER BY state,state_at,id"
		       " LIMIT $2::bigint FOR UPDATE SKIP LOCKED",
		.args = &args,
	};
	struct sql_lost *row;
	struct pg_rows rows;
	int rc;

	pg_add_i64(&args, re->now);
	pg_add_i64(&args, re->r->limit);
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	re->rows = xcalloc((size_t)PQntuples(call.res) + 1, sizeof(*re->rows));
	rows = pg_rows(call.res);
	while (rows.sql.next(&rows.sql, err) > 0) {
		row = &re->rows[re->n++];
		*row = sql_lost_row(&rows.sql, re->r);
		recovered_count(&re->result, re->by_state, row->state);
		run_outcomes_add(&re->outcomes, row->run, VERDICT_LOST);
	}
	pg_calls_clear(&call, 1);
	return OK;
}

static int write_rows(struct pg_session *s, const struct recoverer *re, struct error *err)
{
	/* 5 is VERDICT_LOST. */
	static const char sql[] =
		"WITH u AS (UPDATE herald_messages m SET state=d.state,state_at=$5::bigint,"
		"updated_at=$5::bigint,said=d.seq,lost=d.lost,"
		"due_at=CASE WHEN d.state IN (0,6) THEN $5::bigint ELSE m.due_at END"
		" FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[])"
		" AS d(id,state,seq,lost) WHERE m.id=d.id"
		" RETURNING m.id,m.said,m.attempts,m.run,m.owner,m.started_at)"
		" INSERT INTO herald_attempts(message,seq,attempt,run,owner,verdict,http_status,"
		"started_at,duration,error)"
		" SELECT id,said,attempts,run,owner,5,0,started_at,0,$6::text FROM u"
		" ON CONFLICT DO NOTHING";
	struct pg_table rows cleanup(pg_table_release) = {.numbers_n = 4};
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	char *error cleanup(free_ptr) = NULL;
	PGresult *res;
	size_t i;
	int rc;

	for (i = 0; i < re->n; i++) {
		const struct sql_lost *row = &re->rows[i];
		const int64_t numbers[] = {row->id, row->state, attempt_seq(row->fence, VERDICT_LOST), row->lost};

		pg_table_row(&rows, numbers, NULL);
	}
	pg_add_table(&args, &rows);
	pg_add_i64(&args, re->now);
	if (re->r->last_error)
		error = xstrndup(re->r->last_error, text_stored(re->r->last_error, MESSAGE_ERROR_MAX));
	pg_add_text(&args, error);
	rc = pg_run1(s, sql, &args, &res, err);
	if (!rc)
		PQclear(res);
	return rc;
}

static int take_back(struct pg_session *s, struct recoverer *re, struct error *err)
{
	PGresult *res;
	int rc = gather(s, re, err);

	if (!rc && re->n)
		rc = write_rows(s, re, err);
	if (!rc)
		rc = pg_run1(s, NEXT_EXPIRY, NULL, &res, err);
	if (rc)
		return rc;
	re->result.next_expiry = expiry(res);
	re->result.more = re->n == re->r->limit && re->result.next_expiry <= re->now;
	PQclear(res);
	if (!re->n)
		return OK;
	rc = pg_account(s, re->by_state, &re->outcomes, NULL, NULL, err);
	return rc ? rc : pg_commit(s, err);
}

static int recover_body(struct pg_session *s, void *arg, struct error *err)
{
	struct recoverer *re = arg;
	bool found;
	int rc;

	*re = (struct recoverer){.r = re->r};
	rc = look(s, re, &found, err);
	if (!rc && found)
		rc = take_back(s, re, err);
	free(re->rows);
	run_outcomes_release(&re->outcomes);
	return rc;
}

int pg_recover(void *session, const struct recover_request *r, struct recover_result *ret,
               struct error *err)
{
	struct recoverer re = {.r = r};
	int rc = pg_transact(session, recover_body, &re, err);

	if (!rc)
		*ret = re.result;
	return rc;
}
