/* Whole records, out of the SQLite driver and into it. */
#include "alloc.h"
#include "store_sqlite.h"

/* --- messages out ------------------------------------------------------------------------------------------ */

static int read_messages(struct sq_conn *c, int64_t after, uint32_t limit, struct record_page *page,
                         struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT " SQL_MESSAGE_COLUMNS ",m.run,m.said FROM herald_messages m" SQL_MESSAGE_JOINS
	                " WHERE m.id>?1 ORDER BY m.id LIMIT ?2",
	                err);
	struct sq_rows rows = sq_rows(c, st);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int64(st, 2, (int64_t)limit + 1);
	return sql_message_records(&rows.sql, limit, page, err);
}

static int read_attempts(struct sq_conn *c, struct record_page *page, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS
	                " WHERE a.message BETWEEN ?1 AND ?2 ORDER BY a.message,a.seq",
	                err);
	struct sq_rows rows = sq_rows(c, st);

	if (!page->n)
		return OK;
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, page->items[0].m.id);
	sqlite3_bind_int64(st, 2, page->items[page->n - 1].m.id);
	return sql_attempt_records(&rows.sql, page, err);
}

static int export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                           struct error *err)
{
	struct sq_conn *c;
	int rc = sq_read_begin(session, &c, err);

	if (rc)
		return rc;
	rc = read_messages(c, after, limit, ret, err);
	if (!rc)
		rc = read_attempts(c, ret, err);
	return sq_read_end(c, rc, err);
}

/* --- messages in ------------------------------------------------------------------------------------------- */

struct importer {
	struct sq_conn *c;
	sqlite3_stmt *given, *next, *find;
	int64_t last_id;
	usec_t created_at; /* of the last id */
	struct sq_totals totals;
	const char *owner; /* the last one looked up */
	int64_t owner_id;
};

#define INSERT_MESSAGE                                                                             \
	"INSERT INTO herald_messages(" SQL_MESSAGE_NUMBERS "," SQL_MESSAGE_TEXTS ",owner)"             \
	" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18) ON CONFLICT"

static int importer_init(struct importer *im, struct sq_conn *c, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c, "SELECT last_id,last_created_at FROM herald_totals", err);
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	*im = (struct importer){
		.c = c,
		.last_id = sqlite3_column_int64(st, 0),
		.created_at = sqlite3_column_int64(st, 1),
		.given = sq_stmt(c, INSERT_MESSAGE "(id) DO NOTHING", err),
		.next = sq_stmt(c, INSERT_MESSAGE "(idempotency_key) WHERE idempotency_key IS NOT NULL DO"
		                                  " NOTHING",
		                err),
		.find = sq_stmt(c, "SELECT id,created_at FROM herald_messages WHERE idempotency_key=?1", err),
	};
	return im->given && im->next && im->find ? OK : err->code;
}

/* `none` when there is no name. Records next to each other mostly have the same. */
static int find_owner(struct importer *im, const char *owner, int64_t none, int64_t *ret,
                      struct error *err)
{
	int rc;

	if (!owner) {
		*ret = none;
		return OK;
	}
	if (!im->owner || strcmp(im->owner, owner) != 0) {
		rc = sq_owner(im->c, owner, &im->owner_id, err);
		if (rc)
			return rc;
		im->owner = owner;
	}
	*ret = im->owner_id;
	return OK;
}

/* What means nothing yet has the values that sq_insert() gives it. */
static int insert_message(struct importer *im, const struct message_record *r, int64_t id,
                          struct error *err)
{
	sqlite3_stmt *st = r->m.id ? im->given : im->next;
	struct message_record like_ours = *r;
	const char *texts[SQL_MESSAGE_TEXTS_N];
	int64_t numbers[SQL_MESSAGE_NUMBERS_N], owner;
	size_t i;
	int rc = find_owner(im, r->m.owner, -1, &owner, err);

	if (rc)
		return rc;
	if (r->m.status != MESSAGE_SENDING)
		like_ours.run = 1 << 24;
	if (!r->m.fence)
		like_ours.m.started_at = r->m.created_at;
	sql_message_numbers(&like_ours, id, r->m.created_at, numbers);
	sql_message_texts(r, texts);
	sq_bind_numbers(st, numbers, ARRAY_SIZE(numbers));
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		sq_bind_text(st, (int)(ARRAY_SIZE(numbers) + i) + 1, texts[i]);
	sqlite3_bind_int64(st, (int)(ARRAY_SIZE(numbers) + ARRAY_SIZE(texts)) + 1, owner);
	rc = sq_run(im->c, st, err);
	if (rc && sqlite3_extended_errcode(im->c->handle) == SQLITE_CONSTRAINT_UNIQUE)
		rc = error_set(err, ERR_CONFLICT,
		               "message %lld: another one has its idempotency key %s already",
		               (long long)id, r->m.idempotency_key);
	return rc;
}

static int insert_attempts(struct importer *im, const struct message_record *r, struct error *err)
{
	struct sql_attempt a;
	int64_t owner = 0;
	size_t i;
	int rc = OK;

	for (i = 0; !rc && i < r->attempts_n; i++) {
		rc = find_owner(im, r->attempts[i].a.node, 0, &owner, err);
		a = sql_attempt_imported(r, i, r->m.id, owner);
		if (!rc)
			rc = sq_attempt_add(im->c, &a, err);
	}
	return rc;
}

static int read_repeated(struct importer *im, struct message_record *r, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = im->find;
	int rc;

	sq_bind_text(st, 1, r->m.idempotency_key);
	rc = sq_row(im->c, st, err);
	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_PERMANENT, "an idempotency key is in the index alone: the "
		                                     "database file is damaged");
	r->m.id = sqlite3_column_int64(st, 0);
	r->m.created_at = sqlite3_column_int64(st, 1);
	return OK;
}

static int import_message(struct importer *im, struct message_record *r, struct error *err)
{
	const int64_t id = r->m.id ? r->m.id : im->last_id + 1;
	int rc;

	if (id > MESSAGE_ID_MAX)
		return error_set(err, ERR_PERMANENT, "the store has given out all its ids");
	if (!r->m.id)
		r->m.created_at = MAX_OF(r->m.created_at, im->created_at);
	rc = insert_message(im, r, id, err);
	if (rc)
		return rc;
	if (!sqlite3_changes(im->c->handle)) {
		r->result = INSERT_REPEATED;
		return r->m.id ? OK : read_repeated(im, r, err);
	}
	r->result = INSERT_CREATED;
	r->m.id = id;
	im->last_id = MAX_OF(im->last_id, id);
	im->created_at = MAX_OF(im->created_at, r->m.created_at);
	im->totals.by_state[record_state(r)]++;
	rc = sq_phones_add(im->c, id, r->m.phone, err);
	return rc ? rc : insert_attempts(im, r, err);
}

static int save_last(struct sq_conn *c, int64_t last_id, usec_t created_at, struct error *err)
{
	return sq_change(c, err,
	                 "UPDATE herald_totals SET last_id=max(last_id,?1),"
	                 "last_created_at=max(last_created_at,?2)",
	                 last_id, created_at);
}

static int import_all(struct sq_conn *c, struct message_record *items, size_t n, struct error *err)
{
	struct importer im;
	size_t i;
	int rc = importer_init(&im, c, err);

	for (i = 0; !rc && i < n; i++)
		rc = import_message(&im, &items[i], err);
	if (rc || (rc = sq_totals_add(c, &im.totals, err)) ||
	    (rc = save_last(c, im.last_id, im.created_at, err)) ||
	    (rc = sq_phones_extend(c, im.last_id, err)))
		return rc;
	return sq_change(c, err, "UPDATE herald_scheduler SET messages_sent=messages_sent+?1",
	                 im.totals.by_state[MESSAGE_SENT]);
}

static int import_messages(void *session, struct message_record *items, size_t n, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	bool given = items[0].m.id != 0;
	size_t i;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = sq_end(db, import_all(&db->writer, items, n, err), err);
	for (i = 0; rc && !given && i < n; i++)
		items[i].m.id = 0;
	return rc;
}

/* --- runs and jobs ----------------------------------------------------------------------------------------- */

static int export_range(void *session, const struct sql_range *r, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_rows rows;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc)
		return rc;
	st = sq_stmt(c, r->select, err);
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, r->from);
	sqlite3_bind_int64(st, 2, (int64_t)r->limit + 1);
	rows = sq_rows(c, st);
	return r->read(&rows.sql, r->limit, r->page, err);
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	const struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs WHERE id>?1 ORDER BY id LIMIT ?2",
		.from = after, .limit = limit, .read = sql_run_records, .page = ret,
	};

	return export_range(session, &r, err);
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	const struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS " FROM herald_jobs WHERE id>?1 ORDER BY id LIMIT ?2",
		.from = after, .limit = limit, .read = sql_job_records, .page = ret,
	};

	return export_range(session, &r, err);
}

static int import(void *session, const char *insert, sql_row_values *values, const void *items, size_t n,
                  struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	int64_t numbers[SQL_VALUES_MAX];
	sqlite3_stmt *st;
	const char *text;
	size_t i, numbers_n;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	st = sq_stmt(&db->writer, insert, err);
	rc = st ? OK : err->code;
	for (i = 0; !rc && i < n; i++) {
		numbers_n = values(items, i, numbers, &text);
		sq_bind_numbers(st, numbers, numbers_n);
		sq_bind_text(st, (int)numbers_n + 1, text);
		rc = sq_run(&db->writer, st, err);
	}
	return sq_end(db, rc, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	return import(session,
	              "INSERT INTO herald_runs(" SQL_RUN_COLUMNS ")"
	              " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT DO NOTHING",
	              sql_run_values, items, n, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	return import(session,
	              "INSERT INTO herald_jobs(" SQL_JOB_COLUMNS ")"
	              " VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT DO NOTHING",
	              sql_job_values, items, n, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int read_state(struct sq_conn *c, struct state_record *ret, struct error *err)
{
	sqlite3_stmt *last cleanup(sq_reset) =
		sq_stmt(c, "SELECT last_id,last_created_at FROM herald_totals", err);
	sqlite3_stmt *run cleanup(sq_reset) =
		sq_stmt(c, "SELECT closed FROM herald_runs WHERE id=?1", err);
	struct state_record state = {.scheduler_set = false};
	struct scheduler_row row;
	int rc = last && run ? sq_row(c, last, err) : err->code;

	if (rc < 0)
		return rc;
	state.last_id = sqlite3_column_int64(last, 0);
	state.last_created_at = sqlite3_column_int64(last, 1);
	rc = sq_scheduler_read(c, &row, err);
	if (!rc) {
		state_set_scheduler(&state, &row);
		sqlite3_bind_int64(run, 1, row.s.pacing.epoch);
		rc = sq_row(c, run, err);
		state.beat_closed = rc > 0 && sqlite3_column_int(run, 0);
	}
	if (rc < 0 && rc != ERR_NOT_FOUND)
		return rc;
	*ret = state;
	return OK;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct sq_session *s = session;
	struct sq_conn *c;
	int rc = sq_read_begin(s, &c, err);

	if (rc)
		return rc;
	rc = sq_read_end(c, read_state(c, ret, err), err);
	if (!rc)
		ret->s.now = s->db->clock();
	return rc;
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	const struct scheduler_row row = state_scheduler(state);
	struct sq_db *db = ((struct sq_session *)session)->db;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = save_last(&db->writer, state->last_id, state->last_created_at, err);
	if (!rc && state->scheduler_set)
		rc = sq_scheduler_write(&db->writer, &row, err);
	return sq_end(db, rc, err);
}

/* --- notes ------------------------------------------------------------------------------------------------- */

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc)
		return rc;
	st = sq_stmt(c, "SELECT text FROM herald_notes WHERE name=?1", err);
	if (!st)
		return err->code;
	sq_bind_text(st, 1, name);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	*ret = rc ? sq_text(st, 0, arena) : NULL;
	return OK;
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	sqlite3_stmt *st;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	st = sq_stmt(&db->writer,
	             text ? "INSERT OR REPLACE INTO herald_notes(name,text) VALUES(?1,?2)"
	                  : "DELETE FROM herald_notes WHERE name=?1",
	             err);
	if (!st)
		return sq_end(db, err->code, err);
	sq_bind_text(st, 1, name);
	if (text)
		sq_bind_text(st, 2, text);
	return sq_end(db, sq_run(&db->writer, st, err), err);
}

const struct record_verbs sq_record_verbs = {
	.export_messages = export_messages,
	.import_messages = import_messages,
	.export_runs = export_runs,
	.import_runs = import_runs,
	.export_jobs = export_jobs,
	.import_jobs = import_jobs,
	.export_state = export_state,
	.import_state = import_state,
	.note_get = note_get,
	.note_set = note_set,
};
