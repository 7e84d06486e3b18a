/* Records of all but the messages: see store_mysql_records.c. */
#include "store_mysql.h"

/* --- runs -------------------------------------------------------------------------------------------------- */

struct runs_query {
	int64_t after;
	uint32_t limit;
	struct run_record_page page;
};

static int read_runs(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct runs_query *rq = arg;
	struct run_record_page *page = &rq->page;
	struct my_row r;
	int rc;

	run_record_page_release(page);
	buf_addf(my_begin(&q),
	         "SELECT id,started_at,node,claimed,sent,failed,retried,lost,last_id,finished,closed"
	         " FROM herald_runs WHERE id>%lld ORDER BY id LIMIT %u",
	         (long long)rq->after, rq->limit + 1);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	page->items = arena_calloc(&page->arena, rq->limit, sizeof(*page->items));
	while (!page->more && my_row(&q, 0, &r)) {
		page->more = page->n == rq->limit;
		if (page->more)
			break;
		page->items[page->n++] = (struct run_record){
			.r = {.id = my_int(&r, 0),
			      .started_at = my_int(&r, 1),
			      .node = my_text(&r, 2, &page->arena),
			      .claimed = (uint32_t)my_int(&r, 3),
			      .sent = (uint32_t)my_int(&r, 4),
			      .failed = (uint32_t)my_int(&r, 5),
			      .retried = (uint32_t)my_int(&r, 6),
			      .lost = (uint32_t)my_int(&r, 7),
			      .last_id = my_int(&r, 8),
			      .finished = my_int(&r, 9) != 0},
			.closed = my_int(&r, 10) != 0,
		};
	}
	return OK;
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct runs_query q = {.after = after, .limit = limit};
	int rc = my_transact(session, read_runs, &q, err);

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

static int write_runs(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct runs_import *im = arg;
	const struct run_record *r;
	struct buf *sql;
	size_t i;

	my_start(&q);
	sql = my_begin(&q);
	buf_addlit(sql, "INSERT INTO herald_runs(id,started_at,claimed,sent,failed,retried,lost,last_id,closed,"
	                "finished,node) VALUES");
	for (i = 0; i < im->n; i++) {
		r = &im->items[i];
		buf_addf(sql, "%s(%lld,%lld,%u,%u,%u,%u,%u,%lld,%d,%d,", i ? "," : "", (long long)r->r.id,
		         (long long)r->r.started_at, r->r.claimed, r->r.sent, r->r.failed, r->r.retried,
		         r->r.lost, (long long)r->r.last_id, r->closed, r->r.finished);
		my_quote_text(s, sql, r->r.node);
		buf_addch(sql, ')');
	}
	buf_addlit(sql, " ON DUPLICATE KEY UPDATE id=herald_runs.id");
	my_commit(&q);
	return my_run(s, &q, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct runs_import im = {.items = items, .n = n};

	return my_transact(session, write_runs, &im, err);
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

struct jobs_query {
	int64_t after;
	uint32_t limit;
	struct job_record_page page;
};

static int read_jobs(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct jobs_query *jq = arg;
	struct job_record_page *page = &jq->page;
	struct my_row r;
	int rc;

	job_record_page_release(page);
	buf_addf(my_begin(&q),
	         "SELECT id,name,started_at,finished_at,first_run,last_run FROM herald_jobs WHERE id>%lld"
	         " ORDER BY id LIMIT %u",
	         (long long)jq->after, jq->limit + 1);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	page->items = arena_calloc(&page->arena, jq->limit, sizeof(*page->items));
	while (!page->more && my_row(&q, 0, &r)) {
		page->more = page->n == jq->limit;
		if (page->more)
			break;
		page->items[page->n++] = (struct job_record){
			.j = {.id = my_int(&r, 0),
			      .name = my_text(&r, 1, &page->arena),
			      .started_at = my_int(&r, 2),
			      .finished_at = my_int(&r, 3)},
			.first_run = my_int(&r, 4),
			.last_run = my_int(&r, 5),
		};
	}
	return OK;
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct jobs_query q = {.after = after, .limit = limit};
	int rc = my_transact(session, read_jobs, &q, err);

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

static int write_jobs(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct jobs_import *im = arg;
	const struct job_record *r;
	struct buf *sql;
	size_t i;

	my_start(&q);
	sql = my_begin(&q);
	buf_addlit(sql, "INSERT INTO herald_jobs(id,started_at,finished_at,first_run,last_run,name) VALUES");
	for (i = 0; i < im->n; i++) {
		r = &im->items[i];
		buf_addf(sql, "%s(%lld,%lld,%lld,%lld,%lld,", i ? "," : "", (long long)r->j.id,
		         (long long)r->j.started_at, (long long)r->j.finished_at, (long long)r->first_run,
		         (long long)r->last_run);
		my_quote_text(s, sql, r->j.name);
		buf_addch(sql, ')');
	}
	buf_addlit(sql, " ON DUPLICATE KEY UPDATE id=herald_jobs.id");
	my_commit(&q);
	return my_run(s, &q, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct jobs_import im = {.items = items, .n = n};

	return my_transact(session, write_jobs, &im, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int read_state(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct state_record state = {.scheduler_set = true};
	size_t scheduler = my_add(&q, MY_SCHEDULER), closed, figures, last;
	struct scheduler_row row;
	struct my_row r;
	int rc;

	closed = my_add(&q, "SELECT closed FROM herald_runs WHERE id=(SELECT epoch FROM herald_scheduler"
	                    " WHERE one=1)");
	figures = my_add(&q, "SELECT " MY_NOW ",(SELECT COALESCE(SUM(delivered),0) FROM herald_totals),"
	                     "(SELECT all_failed FROM herald_streak WHERE one=1)");
	last = my_add(&q, MY_LAST);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rc = my_scheduler_row(&q, scheduler, &row, err);
	if (!rc) {
		state.s = row.s;
		state.config_interval = row.config_interval;
		state.config_batch = row.config_batch;
		state.job = row.job;
		state.beat_closed = my_row(&q, closed, &r) && my_int(&r, 0);
	} else {
		state.scheduler_set = false;
	}
	if (my_row(&q, figures, &r)) {
		state.s.now = my_int(&r, 0);
		state.s.messages_sent = my_int(&r, 1);
		state.s.all_failed_in_a_row = (uint32_t)my_int(&r, 2);
	}
	if (my_row(&q, last, &r)) {
		state.last_id = my_int(&r, 0);
		state.last_created_at = my_int(&r, 1);
	}
	*(struct state_record *)arg = state;
	return OK;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct state_record state;
	int rc = my_transact(session, read_state, &state, err);

	if (!rc)
		*ret = state;
	return rc;
}

/* The last id and time of creation are those of the messages. What was delivered is a sum over all slots, so the
 * difference goes to this session's. */
static int write_state(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct state_record *state = arg;
	const struct pacing *p = &state->s.pacing;
	struct my_totals totals = {.delivered = state->s.messages_sent};
	struct my_row r;
	size_t sum;
	int rc;

	my_start(&q);
	buf_addf(my_begin(&q),
	         "REPLACE INTO herald_scheduler(one,running,beat_interval,batch,beat_at,epoch,remaining,"
	         "failure_rate,last_alert_at,config_interval,config_batch,not_before,job)"
	         " VALUES(1,%d,%lld,%u,%lld,%lld,%u,%.17g,%lld,%lld,%u,%lld,%lld)",
	         p->running, (long long)p->interval, p->batch, (long long)p->beat_at, (long long)p->epoch,
	         p->left, state->s.failure_rate, (long long)state->s.last_alert_at,
	         (long long)state->config_interval, state->config_batch, (long long)p->not_before,
	         (long long)state->job);
	buf_addf(my_begin(&q), "UPDATE herald_streak SET all_failed=%u WHERE one=1",
	         state->s.all_failed_in_a_row);
	sum = my_add(&q, "SELECT COALESCE(SUM(delivered),0) FROM herald_totals FOR UPDATE");
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	totals.delivered -= my_row(&q, sum, &r) ? my_int(&r, 0) : 0;
	my_batch_clear(&q);
	my_totals_add(s, &q, &totals);
	my_commit(&q);
	return my_run(s, &q, err);
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	struct state_record copy = *state;

	return state->scheduler_set ? my_transact(session, write_state, &copy, err) : OK;
}

/* --- notes ------------------------------------------------------------------------------------------------- */

struct note {
	const char *name, *text;
	struct arena *arena;
	const char *found;
};

static int read_note(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct buf *sql = my_begin(&q);
	struct note *note = arg;
	struct my_row r;
	int rc;

	buf_addlit(sql, "SELECT said FROM herald_notes WHERE name=");
	my_quote_text(s, sql, note->name);
	rc = my_run(s, &q, err);
	if (!rc)
		note->found = my_row(&q, 0, &r) ? my_text(&r, 0, note->arena) : NULL;
	return rc;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct note note = {.name = name, .arena = arena};
	int rc = my_transact(session, read_note, &note, err);

	if (!rc)
		*ret = note.found;
	return rc;
}

static int write_note(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct note *note = arg;
	struct buf *sql;

	my_start(&q);
	sql = my_begin(&q);
	if (note->text) {
		buf_addlit(sql, "REPLACE INTO herald_notes(said,name) VALUES(");
		my_quote_text(s, sql, note->text);
		buf_addch(sql, ',');
	} else {
		buf_addlit(sql, "DELETE FROM herald_notes WHERE name=(");
	}
	my_quote_text(s, sql, note->name);
	buf_addch(sql, ')');
	my_commit(&q);
	return my_run(s, &q, err);
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	struct note note = {.name = name, .text = text};

	return my_transact(session, write_note, &note, err);
}

const struct record_verbs my_record_verbs = {
	.export_messages = my_export_messages,
	.import_messages = my_import_messages,
	.export_runs = export_runs,
	.import_runs = import_runs,
	.export_jobs = export_jobs,
	.import_jobs = import_jobs,
	.export_state = export_state,
	.import_state = import_state,
	.note_get = note_get,
	.note_set = note_set,
};
