/* Whole records, out of the SQLite driver and into it. */
#include "alloc.h"
#include "store_sqlite.h"

/* Pages end early when their texts are this large. */
#define PAGE_BYTES (8 << 20)

/* --- messages out ------------------------------------------------------------------------------------------ */

static int read_messages(struct sq_conn *c, int64_t after, uint32_t limit, struct record_page *page,
                         struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT " SQ_MESSAGE_COLUMNS ",m.run,m.said FROM herald_messages m" SQ_MESSAGE_JOINS
	                " WHERE m.id>?1 ORDER BY m.id LIMIT ?2",
	                err);
	struct message_record *r;
	int rc;

	if (!st)
		return err->code;
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int64(st, 2, (int64_t)limit + 1);
	while ((rc = sq_row(c, st, err)) > 0) {
		if (page->n == limit || page->arena.used > PAGE_BYTES) {
			page->more = true;
			return OK;
		}
		r = &page->items[page->n++];
		sq_message(st, &page->arena, &r->m);
		if (!r->m.owner)
			r->m.owner = sq_text(st, 17, &page->arena);
		record_complete(r, sqlite3_column_int(st, 1), sqlite3_column_int64(st, 18),
		                sqlite3_column_int64(st, 19));
	}
	return rc;
}

static int read_attempts(struct sq_conn *c, struct record_page *page, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT a.message,a.seq,a.attempt,a.run,a.verdict,a.http_status,a.started_at,"
	                "a.duration,a.error,o.owner FROM herald_attempts a"
	                " LEFT JOIN herald_owners o ON o.id=a.owner"
	                " WHERE a.message BETWEEN ?1 AND ?2 ORDER BY a.message,a.seq",
	                err);
	struct attempt_record *a;
	size_t at = 0;
	int rc;

	if (!page->n)
		return OK;
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, page->items[0].m.id);
	sqlite3_bind_int64(st, 2, page->items[page->n - 1].m.id);
	while ((rc = sq_row(c, st, err)) > 0) {
		a = record_attempt(page, sqlite3_column_int64(st, 0), &at);
		if (!a)
			continue;
		*a = (struct attempt_record){
			.seq = sqlite3_column_int64(st, 1),
			.a = {.attempt = sqlite3_column_int(st, 2),
			      .run = sqlite3_column_int64(st, 3),
			      .verdict = (enum verdict)sqlite3_column_int(st, 4),
			      .http_status = sqlite3_column_int(st, 5),
			      .started_at = sqlite3_column_int64(st, 6),
			      .duration = sqlite3_column_int64(st, 7),
			      .error = sq_text(st, 8, &page->arena),
			      .node = sq_text(st, 9, &page->arena)},
		};
	}
	return rc;
}

static int export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                           struct error *err)
{
	struct record_page page = {.n = 0};
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc || (rc = sq_read_begin(c, err)))
		return rc;
	rc = read_messages(c, after, limit, &page, err);
	if (!rc)
		rc = read_attempts(c, &page, err);
	rc = sq_read_end(c, rc, err);
	if (rc)
		record_page_release(&page);
	else
		*ret = page;
	return rc;
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
	"INSERT INTO herald_messages(id,state,state_at,attempts,lost,fence,owner,run,said,due_at,"    \
	"started_at,updated_at,created_at,send_at,phone,content,idempotency_key,metadata)"            \
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
	const struct message *m = &r->m;
	int64_t owner;
	int rc = find_owner(im, m->owner, -1, &owner, err);

	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, id);
	sqlite3_bind_int(st, 2, record_state(r));
	sqlite3_bind_int64(st, 3, record_state_at(r));
	sqlite3_bind_int(st, 4, m->attempts);
	sqlite3_bind_int(st, 5, m->lost);
	sqlite3_bind_int64(st, 6, m->fence);
	sqlite3_bind_int64(st, 7, owner);
	sqlite3_bind_int64(st, 8, m->status == MESSAGE_SENDING ? r->run : 1 << 24);
	sqlite3_bind_int64(st, 9, r->said);
	sqlite3_bind_int64(st, 10, m->due_at);
	sqlite3_bind_int64(st, 11, m->fence ? m->started_at : m->created_at);
	sqlite3_bind_int64(st, 12, m->updated_at);
	sqlite3_bind_int64(st, 13, m->created_at);
	sqlite3_bind_int64(st, 14, m->send_at);
	sq_bind_text(st, 15, m->phone);
	sq_bind_text(st, 16, m->content);
	sq_bind_text(st, 17, m->idempotency_key);
	sq_bind_text(st, 18, m->metadata);
	rc = sq_run(im->c, st, err);
	if (rc && sqlite3_extended_errcode(im->c->handle) == SQLITE_CONSTRAINT_UNIQUE)
		rc = error_set(err, ERR_CONFLICT,
		               "message %lld: another one has its idempotency key %s already",
		               (long long)id, m->idempotency_key);
	return rc;
}

static int insert_attempts(struct importer *im, const struct message_record *r, struct error *err)
{
	struct sq_attempt a;
	size_t i;
	int rc = OK;

	for (i = 0; !rc && i < r->attempts_n; i++) {
		const struct attempt_record *from = &r->attempts[i];

		a = (struct sq_attempt){
			.message = r->m.id,
			.seq = from->seq,
			.run = from->a.run,
			.attempt = from->a.attempt,
			.verdict = from->a.verdict,
			.http_status = from->a.http_status,
			.started_at = from->a.started_at,
			.duration = from->a.duration,
			.message_id = from->seq == r->said ? r->m.message_id : NULL,
			.error = from->a.error,
		};
		rc = find_owner(im, from->a.node, 0, &a.owner, err);
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
	sqlite3_stmt *st = sq_stmt(c,
	                           "UPDATE herald_totals SET last_id=max(last_id,?1),"
	                           "last_created_at=max(last_created_at,?2)",
	                           err);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, last_id);
	sqlite3_bind_int64(st, 2, created_at);
	return sq_run(c, st, err);
}

static int import_all(struct sq_conn *c, struct message_record *items, size_t n, struct error *err)
{
	struct importer im;
	sqlite3_stmt *st;
	size_t i;
	int rc = importer_init(&im, c, err);

	for (i = 0; !rc && i < n; i++)
		rc = import_message(&im, &items[i], err);
	if (rc || (rc = sq_totals_add(c, &im.totals, err)) ||
	    (rc = save_last(c, im.last_id, im.created_at, err)) ||
	    (rc = sq_phones_extend(c, im.last_id, err)))
		return rc;
	st = sq_stmt(c, "UPDATE herald_scheduler SET messages_sent=messages_sent+?1", err);
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, im.totals.by_state[MESSAGE_SENT]);
	return sq_run(c, st, err);
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

/* --- runs -------------------------------------------------------------------------------------------------- */

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct run_record_page page = {.n = 0};
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc)
		return rc;
	st = sq_stmt(c,
	             "SELECT id,started_at,node,claimed,sent,failed,retried,lost,last_id,finished,closed"
	             " FROM herald_runs WHERE id>?1 ORDER BY id LIMIT ?2",
	             err);
	if (!st)
		return err->code;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int64(st, 2, (int64_t)limit + 1);
	while (!page.more && (rc = sq_row(c, st, err)) > 0) {
		page.more = page.n == limit;
		if (page.more)
			break;
		page.items[page.n++] = (struct run_record){
			.r = {.id = sqlite3_column_int64(st, 0),
			      .started_at = sqlite3_column_int64(st, 1),
			      .node = sq_text(st, 2, &page.arena),
			      .claimed = (uint32_t)sqlite3_column_int64(st, 3),
			      .sent = (uint32_t)sqlite3_column_int64(st, 4),
			      .failed = (uint32_t)sqlite3_column_int64(st, 5),
			      .retried = (uint32_t)sqlite3_column_int64(st, 6),
			      .lost = (uint32_t)sqlite3_column_int64(st, 7),
			      .last_id = sqlite3_column_int64(st, 8),
			      .finished = sqlite3_column_int(st, 9) != 0},
			.closed = sqlite3_column_int(st, 10) != 0,
		};
	}
	if (rc < 0) {
		run_record_page_release(&page);
		return rc;
	}
	*ret = page;
	return OK;
}

static int insert_run(struct sq_conn *c, const struct run_record *r, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "INSERT INTO herald_runs(id,started_at,node,claimed,sent,failed,"
	                           "retried,lost,last_id,finished,closed)"
	                           " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT DO NOTHING",
	                           err);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, r->r.id);
	sqlite3_bind_int64(st, 2, r->r.started_at);
	sq_bind_text(st, 3, r->r.node);
	sqlite3_bind_int64(st, 4, r->r.claimed);
	sqlite3_bind_int64(st, 5, r->r.sent);
	sqlite3_bind_int64(st, 6, r->r.failed);
	sqlite3_bind_int64(st, 7, r->r.retried);
	sqlite3_bind_int64(st, 8, r->r.lost);
	sqlite3_bind_int64(st, 9, r->r.last_id);
	sqlite3_bind_int(st, 10, r->r.finished);
	sqlite3_bind_int(st, 11, r->closed);
	return sq_run(c, st, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	size_t i;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	for (i = 0; !rc && i < n; i++)
		rc = insert_run(&db->writer, &items[i], err);
	return sq_end(db, rc, err);
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct job_record_page page = {.n = 0};
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc)
		return rc;
	st = sq_stmt(c,
	             "SELECT id,name,started_at,finished_at,first_run,last_run FROM herald_jobs"
	             " WHERE id>?1 ORDER BY id LIMIT ?2",
	             err);
	if (!st)
		return err->code;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int64(st, 2, (int64_t)limit + 1);
	while ((rc = sq_row(c, st, err)) > 0) {
		page.more = page.n == limit;
		if (page.more)
			break;
		page.items[page.n++] = (struct job_record){
			.j = {.id = sqlite3_column_int64(st, 0),
			      .name = sq_text(st, 1, &page.arena),
			      .started_at = sqlite3_column_int64(st, 2),
			      .finished_at = sqlite3_column_int64(st, 3)},
			.first_run = sqlite3_column_int64(st, 4),
			.last_run = sqlite3_column_int64(st, 5),
		};
	}
	if (rc < 0) {
		job_record_page_release(&page);
		return rc;
	}
	*ret = page;
	return OK;
}

static int insert_job(struct sq_conn *c, const struct job_record *r, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c,
	                           "INSERT INTO herald_jobs(id,name,started_at,finished_at,first_run,last_run)"
	                           " VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT DO NOTHING",
	                           err);

	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, r->j.id);
	sq_bind_text(st, 2, r->j.name);
	sqlite3_bind_int64(st, 3, r->j.started_at);
	sqlite3_bind_int64(st, 4, r->j.finished_at);
	sqlite3_bind_int64(st, 5, r->first_run);
	sqlite3_bind_int64(st, 6, r->last_run);
	return sq_run(c, st, err);
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	size_t i;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	for (i = 0; !rc && i < n; i++)
		rc = insert_job(&db->writer, &items[i], err);
	return sq_end(db, rc, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int read_state(struct sq_conn *c, struct state_record *ret, struct error *err)
{
	sqlite3_stmt *last cleanup(sq_reset) =
		sq_stmt(c, "SELECT last_id,last_created_at FROM herald_totals", err);
	sqlite3_stmt *run cleanup(sq_reset) =
		sq_stmt(c, "SELECT closed FROM herald_runs WHERE id=?1", err);
	struct state_record state = {.scheduler_set = true};
	struct scheduler_row row;
	int rc = last && run ? sq_row(c, last, err) : err->code;

	if (rc < 0)
		return rc;
	state.last_id = sqlite3_column_int64(last, 0);
	state.last_created_at = sqlite3_column_int64(last, 1);
	rc = sq_scheduler_read(c, &row, err);
	if (rc == ERR_NOT_FOUND) {
		state.scheduler_set = false;
	} else if (rc) {
		return rc;
	} else {
		state.s = row.s;
		state.config_interval = row.config_interval;
		state.config_batch = row.config_batch;
		state.job = row.job;
		sqlite3_bind_int64(run, 1, row.s.pacing.epoch);
		rc = sq_row(c, run, err);
		if (rc < 0)
			return rc;
		state.beat_closed = rc && sqlite3_column_int(run, 0);
	}
	*ret = state;
	return OK;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct sq_session *s = session;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc || (rc = sq_read_begin(c, err)))
		return rc;
	rc = sq_read_end(c, read_state(c, ret, err), err);
	if (!rc)
		ret->s.now = s->db->clock();
	return rc;
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	const struct scheduler_row row = {.s = state->s,
	                                  .config_interval = state->config_interval,
	                                  .config_batch = state->config_batch,
	                                  .job = state->job};
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
