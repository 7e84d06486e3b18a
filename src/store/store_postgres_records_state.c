/* Records of all but the messages: see store_postgres_records.c. */
#include <string.h>

#include "store_postgres.h"

/* --- runs and jobs ----------------------------------------------------------------------------------------- */

static int export_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct sql_range *r = arg;
	struct pg_rows rows;
	PGresult *res;
	int rc;

	pg_add_i64(&args, r->from);
	pg_add_i64(&args, (int64_t)r->limit + 1);
	rc = pg_run1(s, r->select, &args, &res, err);
	if (rc)
		return rc;
	rows = pg_rows(res);
	rc = r->read(&rows.sql, r->limit, r->page, err);
	PQclear(res);
	return rc;
}

#define OLDEST_FIRST " WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint"

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs" OLDEST_FIRST,
		.from = after, .limit = limit, .read = sql_run_records, .page = ret,
	};

	return pg_transact(session, export_body, &r, err);
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS " FROM herald_jobs" OLDEST_FIRST,
		.from = after, .limit = limit, .read = sql_job_records, .page = ret,
	};

	return pg_transact(session, export_body, &r, err);
}

struct import {
	const char *insert; /* from arrays */
	sql_row_values *values;
	const void *items;
	size_t n;
};

static int import_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_table rows cleanup(pg_table_release) = {.texts_n = 1};
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct import *im = arg;
	struct pg_call call = {.sql = im->insert, .args = &args};
	int64_t numbers[SQL_VALUES_MAX];
	const char *text;
	size_t i;
	int rc;

	for (i = 0; i < im->n; i++) {
		rows.numbers_n = im->values(im->items, i, numbers, &text);
		pg_table_row(&rows, numbers, &text);
	}
	pg_add_table(&args, &rows);
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct import im = {
		.insert = "INSERT INTO herald_runs(" SQL_RUN_COLUMNS ") SELECT id,started_at,claimed,sent,failed,"
		          "retried,lost,last_id,finished<>0,closed<>0,node"
		          " FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],"
		          "$6::bigint[],$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::text[])"
		          " AS d(" SQL_RUN_COLUMNS ") ON CONFLICT DO NOTHING",
		.values = sql_run_values, .items = items, .n = n,
	};

	return pg_transact(session, import_body, &im, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct import im = {
		.insert = "INSERT INTO herald_jobs(" SQL_JOB_COLUMNS ") SELECT * FROM unnest($1::bigint[],"
		          "$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::text[])"
		          " ON CONFLICT DO NOTHING",
		.values = sql_job_values, .items = items, .n = n,
	};

	return pg_transact(session, import_body, &im, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int export_state_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " SQL_SCHEDULER_COLUMNS ",(SELECT closed FROM herald_runs WHERE id=s.epoch)"
	                " FROM herald_scheduler s"},
		{.sql = "SELECT " PG_NOW ",(SELECT sum(sent)::bigint FROM herald_counts),"
	                "(SELECT all_failed FROM herald_streak),"
	                "(SELECT last_value-(NOT is_called)::int FROM herald_ids),"
	                "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM herald_created)"},
		{.sql = PG_END_READ},
	};
	struct state_record *state = arg;
	struct scheduler_row row;
	int rc = pg_run(s, calls, ARRAY_SIZE(calls), err);

	if (rc)
		return rc;
	*state = (struct state_record){.scheduler_set = false};
	if (PQntuples(calls[1].res)) {
		rc = pg_scheduler(calls[1].res, &row, err);
		state_set_scheduler(state, &row);
		state->beat_closed = pg_i64(calls[1].res, 0, SQL_SCHEDULER_COLUMNS_N) != 0;
		state->s.messages_sent = pg_i64(calls[2].res, 0, 1);
		state->s.all_failed_in_a_row = (uint32_t)pg_i64(calls[2].res, 0, 2);
	}
	state->s.now = pg_i64(calls[2].res, 0, 0);
	state->last_id = pg_i64(calls[2].res, 0, 3);
	state->last_created_at = pg_i64(calls[2].res, 0, 4);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct state_record state;
	int rc = pg_transact(session, export_state_body, &state, err);

	if (!rc)
		*ret = state;
	return rc;
}

static int import_state_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args row cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args streak cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args ids cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args created cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct state_record *state = arg;
	const struct scheduler_row scheduler = state_scheduler(state);
	struct pg_call calls[4] = {
		{.sql = PG_RAISE("herald_ids"), .args = &ids},
		{.sql = PG_RAISE("herald_created"), .args = &created},
		{.sql = PG_SCHEDULER_INSERT
	                " ON CONFLICT(one) DO UPDATE SET"
	                " running=excluded.running,beat_interval=excluded.beat_interval,"
	                "batch=excluded.batch,beat_at=excluded.beat_at,epoch=excluded.epoch,"
	                "remaining=excluded.remaining,failure_rate=excluded.failure_rate,"
	                "last_alert_at=excluded.last_alert_at,config_interval=excluded.config_interval,"
	                "config_batch=excluded.config_batch,not_before=excluded.not_before,job=excluded.job",
	         .args = &row},
		{.sql = "UPDATE herald_streak SET all_failed=$1::bigint", .args = &streak},
	};
	const size_t n = state->scheduler_set ? 4 : 2;
	int rc;

	/* 0 is below what a sequence can hold, and below every other number. */
	pg_add_i64(&ids, state->last_id ? state->last_id : INT64_MIN);
	pg_add_i64(&created, state->last_created_at ? state->last_created_at : INT64_MIN);
	pg_add_scheduler(&row, &scheduler);
	pg_add_i64(&streak, state->s.all_failed_in_a_row);
	rc = pg_begin(s, calls, n, err);
	if (rc)
		return rc;
	pg_calls_clear(calls, n);
	return pg_commit(s, err);
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	struct state_record copy = *state;

	return pg_transact(session, import_state_body, &copy, err);
}

/* --- notes ------------------------------------------------------------------------------------------------- */

struct note {
	const char *name, *text;
	struct arena *arena;
	const char **ret;
};

static int note_get_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct note *note = arg;
	PGresult *res;
	int rc;

	pg_add_text(&args, note->name);
	rc = pg_run1(s, "SELECT said FROM herald_notes WHERE name=$1::text", &args, &res, err);
	if (rc)
		return rc;
	*note->ret = PQntuples(res) ? pg_text(res, 0, 0, note->arena) : NULL;
	PQclear(res);
	return OK;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct note note = {.name = name, .arena = arena, .ret = ret};

	return pg_transact(session, note_get_body, &note, err);
}

static int note_set_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct note *note = arg;
	struct pg_call call = {
		.sql = "INSERT INTO herald_notes(name,said) VALUES($1::text,$2::text)"
		       " ON CONFLICT(name) DO UPDATE SET said=excluded.said",
		.args = &args,
	};
	int rc;

	pg_add_text(&args, note->name);
	if (note->text)
		pg_add_text(&args, note->text);
	else
		call.sql = "DELETE FROM herald_notes WHERE name=$1::text";
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	struct note note = {.name = name, .text = text};

	return pg_transact(session, note_set_body, &note, err);
}

const struct record_verbs pg_record_verbs = {
	.export_messages = pg_export_messages,
	.import_messages = pg_import_messages,
	.export_runs = export_runs,
	.import_runs = import_runs,
	.export_jobs = export_jobs,
	.import_jobs = import_jobs,
	.export_state = export_state,
	.import_state = import_state,
	.note_get = note_get,
	.note_set = note_set,
};
