/* Records of all but the messages: see store_postgres_records.c. */
#include <string.h>

#include "store_postgres.h"

/* --- runs -------------------------------------------------------------------------------------------------- */

struct runs_query {
	int64_t after;
	uint32_t limit;
	struct run_record_page page;
};

static int runs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct runs_query *q = arg;
	PGresult *res;
	int rc, i;

	run_record_page_release(&q->page);
	pg_add_i64(&args, q->after);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	rc = pg_run1(s,
	             "SELECT id,started_at,node,claimed,sent,failed,retried,lost,last_id,finished,closed"
	             " FROM herald_runs WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint",
	             &args, &res, err);
	if (rc)
		return rc;
	q->page.items = arena_calloc(&q->page.arena, q->limit, sizeof(*q->page.items));
	for (i = 0; i < PQntuples(res) && q->page.n < q->limit; i++) {
		q->page.items[q->page.n++] = (struct run_record){
			.r = {.id = pg_i64(res, i, 0),
			      .started_at = pg_i64(res, i, 1),
			      .node = pg_text(res, i, 2, &q->page.arena),
			      .claimed = (uint32_t)pg_i64(res, i, 3),
			      .sent = (uint32_t)pg_i64(res, i, 4),
			      .failed = (uint32_t)pg_i64(res, i, 5),
			      .retried = (uint32_t)pg_i64(res, i, 6),
			      .lost = (uint32_t)pg_i64(res, i, 7),
			      .last_id = pg_i64(res, i, 8),
			      .finished = pg_i64(res, i, 9) != 0},
			.closed = pg_i64(res, i, 10) != 0,
		};
	}
	q->page.more = i < PQntuples(res);
	PQclear(res);
	return OK;
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct runs_query q = {.after = after, .limit = limit};
	int rc = pg_transact(session, runs_body, &q, err);

	if (rc)
		run_record_page_release(&q.page);
	else
		*ret = q.page;
	return rc;
}

struct runs_import {
	const struct run_record *items;
	size_t n;
};

static int64_t run_number(const struct run_record *r, int col)
{
	const int64_t numbers_of[] = {r->r.id,      r->r.started_at, r->r.claimed,  r->r.sent,
	                              r->r.failed,  r->r.retried,    r->r.lost,     r->r.last_id,
	                              r->r.finished, r->closed};

	return numbers_of[col];
}
#define RUN_NUMBERS 10

static int import_runs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct runs_import *im = arg;
	struct pg_call call = {
		.sql = "INSERT INTO herald_runs(id,started_at,claimed,sent,failed,retried,lost,last_id,"
		       "finished,closed,node) SELECT d.id,d.started_at,d.claimed,d.sent,d.failed,d.retried,"
		       "d.lost,d.last_id,d.finished<>0,d.closed<>0,d.node"
		       " FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],"
		       "$6::bigint[],$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::text[])"
		       " AS d(id,started_at,claimed,sent,failed,retried,lost,last_id,finished,closed,node)"
		       " ON CONFLICT DO NOTHING",
		.args = &args,
	};
	size_t i;
	int rc, col;

	for (col = 0; col < RUN_NUMBERS; col++) {
		pg_add_i64_array(&args, im->n);
		for (i = 0; i < im->n; i++)
			pg_item_i64(&args, run_number(&im->items[i], col));
	}
	pg_add_text_array(&args, im->n);
	for (i = 0; i < im->n; i++)
		pg_item_text(&args, im->items[i].r.node, strlen(im->items[i].r.node));
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct runs_import im = {.items = items, .n = n};

	return pg_transact(session, import_runs_body, &im, err);
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

struct jobs_query {
	int64_t after;
	uint32_t limit;
	struct job_record_page page;
};

static int jobs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct jobs_query *q = arg;
	PGresult *res;
	int i, rc;

	job_record_page_release(&q->page);
	pg_add_i64(&args, q->after);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	rc = pg_run1(s,
	             "SELECT id,name,started_at,finished_at,first_run,last_run FROM herald_jobs"
	             " WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint",
	             &args, &res, err);
	if (rc)
		return rc;
	q->page.items = arena_calloc(&q->page.arena, q->limit, sizeof(*q->page.items));
	for (i = 0; i < PQntuples(res) && q->page.n < q->limit; i++) {
		q->page.items[q->page.n++] = (struct job_record){
			.j = {.id = pg_i64(res, i, 0),
			      .name = pg_text(res, i, 1, &q->page.arena),
			      .started_at = pg_i64(res, i, 2),
			      .finished_at = pg_i64(res, i, 3)},
			.first_run = pg_i64(res, i, 4),
			.last_run = pg_i64(res, i, 5),
		};
	}
	q->page.more = i < PQntuples(res);
	PQclear(res);
	return OK;
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct jobs_query q = {.after = after, .limit = limit};
	int rc = pg_transact(session, jobs_body, &q, err);

	if (rc)
		job_record_page_release(&q.page);
	else
		*ret = q.page;
	return rc;
}

struct jobs_import {
	const struct job_record *items;
	size_t n;
};

static int64_t job_number(const struct job_record *r, int col)
{
	const int64_t numbers_of[] = {r->j.id, r->j.started_at, r->j.finished_at, r->first_run, r->last_run};

	return numbers_of[col];
}
#define JOB_NUMBERS 5

static int import_jobs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct jobs_import *im = arg;
	struct pg_call call = {
		.sql = "INSERT INTO herald_jobs(id,started_at,finished_at,first_run,last_run,name)"
		       " SELECT * FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],"
		       "$6::text[]) ON CONFLICT DO NOTHING",
		.args = &args,
	};
	size_t i;
	int rc, col;

	for (col = 0; col < JOB_NUMBERS; col++) {
		pg_add_i64_array(&args, im->n);
		for (i = 0; i < im->n; i++)
			pg_item_i64(&args, job_number(&im->items[i], col));
	}
	pg_add_text_array(&args, im->n);
	for (i = 0; i < im->n; i++)
		pg_item_text(&args, im->items[i].j.name, strlen(im->items[i].j.name));
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct jobs_import im = {.items = items, .n = n};

	return pg_transact(session, import_jobs_body, &im, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int export_state_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " PG_SCHEDULER_COLUMNS ",(SELECT closed FROM herald_runs WHERE id=s.epoch)"
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
	*state = (struct state_record){.scheduler_set = PQntuples(calls[1].res) != 0};
	if (state->scheduler_set) {
		pg_scheduler(calls[1].res, 0, &row);
		state->s = row.s;
		state->config_interval = row.config_interval;
		state->config_batch = row.config_batch;
		state->job = row.job;
		state->beat_closed = pg_i64(calls[1].res, 0, PG_SCHEDULER_COLUMNS_N) != 0;
		state->s.messages_sent = pg_i64(calls[2].res, 0, 1);
		state->s.all_failed_in_a_row = (uint32_t)pg_i64(calls[2].res, 0, 2);
	}
	state->s.now = pg_i64(calls[2].res, 0, 0);
	state->last_id = pg_i64(calls[2].res, 0, 3);
	state->last_created_at = pg_i64(calls[2].res, 0, 4);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
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
	const struct pacing *p = &state->s.pacing;
	struct pg_call calls[4] = {
		{.sql = PG_RAISE("herald_ids"), .args = &ids},
		{.sql = PG_RAISE("herald_created"), .args = &created},
		{.sql = "INSERT INTO herald_scheduler(one,running,beat_interval,batch,beat_at,epoch,"
	                "remaining,failure_rate,last_alert_at,config_interval,config_batch,not_before,job)"
	                " VALUES(1,$1::bigint<>0,$2::bigint,$3::bigint,$4::bigint,$5::bigint,$6::bigint,"
	                "$7::float8,$8::bigint,$9::bigint,$10::bigint,$11::bigint,$12::bigint)"
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
	pg_add_i64(&row, p->running);
	pg_add_i64(&row, p->interval);
	pg_add_i64(&row, p->batch);
	pg_add_i64(&row, p->beat_at);
	pg_add_i64(&row, p->epoch);
	pg_add_i64(&row, p->left);
	pg_add_f64(&row, state->s.failure_rate);
	pg_add_i64(&row, state->s.last_alert_at);
	pg_add_i64(&row, state->config_interval);
	pg_add_i64(&row, state->config_batch);
	pg_add_i64(&row, p->not_before);
	pg_add_i64(&row, state->job);
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
	const char *found;
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
	note->found = PQntuples(res) ? pg_text(res, 0, 0, note->arena) : NULL;
	PQclear(res);
	return OK;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct note note = {.name = name, .arena = arena};
	int rc = pg_transact(session, note_get_body, &note, err);

	if (!rc)
		*ret = note.found;
	return rc;
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
