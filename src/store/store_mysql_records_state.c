/* Records of all but the messages: see store_mysql_records.c. */
#include "store_mysql.h"

/* --- runs and jobs ----------------------------------------------------------------------------------------- */

static int read_range(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct sql_range *r = arg;
	struct my_rows rows;
	int rc;

	buf_addf(my_begin(&q), "%s WHERE id>%lld ORDER BY id LIMIT %u", r->select, (long long)r->from,
	         r->limit + 1);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rows = my_rows(&q, 0);
	return r->read(&rows.sql, r->limit, r->page, err);
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs",
		.from = after, .limit = limit, .read = sql_run_records, .page = ret,
	};

	return my_transact(session, read_range, &r, err);
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS " FROM herald_jobs",
		.from = after, .limit = limit, .read = sql_job_records, .page = ret,
	};

	return my_transact(session, read_range, &r, err);
}

struct import {
	const char *insert, *again; /* "INSERT … VALUES", and what leaves a row alone that is there */
	sql_row_values *values;
	const void *items;
	size_t n;
};

static int write_rows(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct import *im = arg;
	int64_t numbers[SQL_VALUES_MAX];
	const char *text;
	struct buf *sql;
	size_t i, n;

	my_start(s, &q);
	sql = my_begin(&q);
	buf_addstr(sql, im->insert);
	for (i = 0; i < im->n; i++) {
		n = im->values(im->items, i, numbers, &text);
		buf_addstr(sql, i ? ",(" : "(");
		my_numbers(sql, numbers, n);
		buf_addch(sql, ',');
		my_quote_text(s, sql, text);
		buf_addch(sql, ')');
	}
	buf_addstr(sql, im->again);
	return my_commit(s, &q, NULL, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct import im = {
		.insert = "INSERT INTO herald_runs(" SQL_RUN_COLUMNS ") VALUES",
		.again = " ON DUPLICATE KEY UPDATE id=herald_runs.id",
		.values = sql_run_values, .items = items, .n = n,
	};

	return my_transact(session, write_rows, &im, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct import im = {
		.insert = "INSERT INTO herald_jobs(" SQL_JOB_COLUMNS ") VALUES",
		.again = " ON DUPLICATE KEY UPDATE id=herald_jobs.id",
		.values = sql_job_values, .items = items, .n = n,
	};

	return my_transact(session, write_rows, &im, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int read_state(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct state_record state = {.scheduler_set = false};
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
	if (!my_scheduler_row(&q, scheduler, &row, err)) {
		state_set_scheduler(&state, &row);
		state.beat_closed = my_row(&q, closed, &r) && my_int(&r, 0);
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
	return my_transact(session, read_state, ret, err);
}

/* The last id and time of creation are those of the messages. What was delivered is a sum over all slots, so the
 * difference goes to this session's. */
static int write_state(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct state_record *state = arg;
	const struct scheduler_row row = state_scheduler(state);
	struct my_totals totals = {.delivered = state->s.messages_sent};
	struct my_row r;
	size_t sum;
	int rc;

	my_start(s, &q);
	my_scheduler_write(&q, "REPLACE INTO", &row, "");
	buf_addf(my_begin(&q), "UPDATE herald_streak SET all_failed=%u WHERE one=1",
	         state->s.all_failed_in_a_row);
	sum = my_add(&q, "SELECT COALESCE(SUM(delivered),0) FROM herald_totals FOR UPDATE");
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	totals.delivered -= my_row(&q, sum, &r) ? my_int(&r, 0) : 0;
	my_batch_clear(&q);
	my_totals_add(s, &q, &totals);
	return my_commit(s, &q, NULL, err);
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
	const char **ret;
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
		*note->ret = my_row(&q, 0, &r) ? my_text(&r, 0, note->arena) : NULL;
	return rc;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct note note = {.name = name, .arena = arena, .ret = ret};

	return my_transact(session, read_note, &note, err);
}

static int write_note(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct note *note = arg;
	struct buf *sql;

	my_start(s, &q);
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
	return my_commit(s, &q, NULL, err);
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
