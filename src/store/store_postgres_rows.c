/* Rows that several verbs of the PostgreSQL driver read and write. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"

void pg_counts_call(struct pg_call *call, struct pg_args *args, const struct pg_session *s,
                    const int64_t by_state[ROW_STATE_COUNT])
{
	int i;

	*call = (struct pg_call){
		.sql = "UPDATE herald_counts SET pending=pending+$2::bigint,sending=sending+$3::bigint,"
		       "sent=sent+$4::bigint,failed=failed+$5::bigint,cancelled=cancelled+$6::bigint,"
		       "unknown=unknown+$7::bigint,retrying=retrying+$8::bigint,"
		       "invalid=invalid+$9::bigint"
		       " WHERE slot=($1::bigint & 63)::int",
		.args = args,
	};
	pg_add_i64(args, s->handle ? PQbackendPID(s->handle) : 0);
	for (i = 0; i < ROW_STATE_COUNT; i++)
		pg_add_i64(args, by_state[i]);
}

int pg_owner(struct pg_session *s, const char *owner, int64_t *ret, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = "INSERT INTO herald_owners(owner) SELECT $1::text WHERE NOT EXISTS"
	                " (SELECT 1 FROM herald_owners WHERE owner=$1::text) ON CONFLICT DO NOTHING",
	         .args = &args},
		{.sql = "SELECT id FROM herald_owners WHERE owner=$1::text", .args = &args},
	};
	int rc;

	if (s->owner && !strcmp(s->owner, owner)) {
		*ret = s->owner_id;
		return OK;
	}
	pg_add_text(&args, owner);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	if (PQntuples(calls[1].res)) {
		free(s->owner);
		s->owner = xstrdup(owner);
		*ret = s->owner_id = pg_i64(calls[1].res, 0, 0);
	} else {
		rc = error_set(err, ERR_TRANSIENT, "the owner's row is gone again");
	}
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_scheduler(const PGresult *res, struct scheduler_row *ret, struct error *err)
{
	struct pg_rows rows = pg_rows(res);

	return sql_scheduler(&rows.sql, ret, err);
}

int pg_run_finish(struct pg_session *s, const PGresult *res, int row, struct run_end *ret,
                  struct error *err)
{
	struct pg_args streak cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args run cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = "UPDATE herald_streak SET all_failed=$1::bigint", .args = &streak},
		{.sql = "UPDATE herald_runs SET finished=true WHERE id=$1::bigint", .args = &run},
	};
	const struct run_tally t = {
		.claimed = (uint32_t)pg_i64(res, row, 1),
		.sent = (uint32_t)pg_i64(res, row, 2),
		.failed = (uint32_t)pg_i64(res, row, 3),
		.retried = (uint32_t)pg_i64(res, row, 4),
		.lost = (uint32_t)pg_i64(res, row, 5),
		.closed = pg_i64(res, row, 6) != 0,
	};
	int64_t id = pg_i64(res, row, 0);
	uint32_t all_failed;
	PGresult *locked;
	int rc;

	*ret = (struct run_end){.run = 0};
	if (pg_i64(res, row, 7) || !run_tally_complete(&t))
		return OK;
	rc = pg_run1(s, "SELECT all_failed FROM herald_streak FOR UPDATE", NULL, &locked, err);
	if (rc)
		return rc;
	all_failed = PQntuples(locked) ? (uint32_t)pg_i64(locked, 0, 0) : 0;
	PQclear(locked);
	run_end_apply(id, &t, &all_failed, ret);
	pg_add_i64(&streak, all_failed);
	pg_add_i64(&run, id);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (!rc)
		pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

/* --- outcomes ---------------------------------------------------------------------------------------------- */

/* One run's figures; claimed shrinks when a claim is given back, so it is added as a signed number. */
static void outcome_call(struct pg_call *call, struct pg_args *args, const struct run_outcome *o)
{
	*call = (struct pg_call){
		.sql = "UPDATE herald_runs SET claimed=claimed+$2::bigint,sent=sent+$3::bigint,"
		       "failed=failed+$4::bigint,retried=retried+$5::bigint,lost=lost+$6::bigint"
		       " WHERE id=$1::bigint RETURNING " PG_TALLY_COLUMNS,
		.args = args,
	};
	pg_add_i64(args, o->run);
	pg_add_i64(args, (int32_t)o->add.claimed);
	pg_add_i64(args, o->add.sent);
	pg_add_i64(args, o->add.failed);
	pg_add_i64(args, o->add.retried);
	pg_add_i64(args, o->add.lost);
}

/* Finishes the runs among the results that are complete. */
static int finish_runs(struct pg_session *s, const struct pg_call *calls, size_t n,
                       void (*ended)(void *arg, const struct run_end *end), void *arg,
                       struct error *err)
{
	struct run_end end;
	size_t i;
	int rc = OK;

	for (i = 0; !rc && i < n; i++) {
		if (!PQntuples(calls[i].res))
			continue; /* an old run, no longer kept */
		rc = pg_run_finish(s, calls[i].res, 0, &end, err);
		if (!rc && end.run && ended)
			ended(arg, &end);
	}
	return rc;
}

int pg_account(struct pg_session *s, const int64_t by_state[ROW_STATE_COUNT], struct run_outcomes *o,
               void (*ended)(void *arg, const struct run_end *end), void *arg, struct error *err)
{
	struct pg_args args[PG_CALLS_MAX];
	struct pg_call calls[PG_CALLS_MAX];
	size_t i, n, done = 0;
	bool counted = false;
	int rc = OK;

	run_outcomes_sort(o);
	while (!rc && (!counted || done < o->n)) {
		n = 0;
		if (!counted) {
			args[n] = (struct pg_args)PG_ARGS_INIT;
			pg_counts_call(&calls[n], &args[n], s, by_state);
			n++;
		}
		for (; n < PG_CALLS_MAX && done < o->n; n++) {
			args[n] = (struct pg_args)PG_ARGS_INIT;
			outcome_call(&calls[n], &args[n], &o->runs[done++]);
		}
		rc = pg_run(s, calls, n, err);
		if (!rc)
			rc = finish_runs(s, calls + !counted, n - !counted, ended, arg, err);
		pg_calls_clear(calls, n);
		for (i = 0; i < n; i++)
			pg_args_release(&args[i]);
		counted = true;
	}
	return rc;
}
