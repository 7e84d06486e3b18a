/* Whole records, out of the memory driver and into it. */
#include <string.h>

#include "alloc.h"
#include "store_memory.h"

/* --- messages ---------------------------------------------------------------------------------------------- */

static void export_row(const struct row *row, struct arena *arena, struct message_record *r)
{
	size_t i;

	mem_copy_message(row, arena, &r->m);
	r->m.owner = arena_strdup(arena, row->m.owner);
	r->attempts = arena_calloc(arena, row->n_records, sizeof(*r->attempts));
	r->attempts_n = row->n_records;
	for (i = 0; i < row->n_records; i++) {
		r->attempts[i] = (struct attempt_record){row->records[i].seq, row->records[i].attempt};
		r->attempts[i].a.error = arena_strdup(arena, r->attempts[i].a.error);
		r->attempts[i].a.node = arena_strdup(arena, r->attempts[i].a.node);
	}
	record_complete(r, row->state, row->run, record_said(r));
}

static int export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                           struct error *err)
{
	struct record_page page = {.n = 0};
	struct mem_db *db = session;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	for (i = mem_row_index(db, after + 1); i < db->n_rows && page.n < limit; i++)
		export_row(db->rows[i], &page.arena, &page.items[page.n++]);
	page.more = i < db->n_rows;
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

static const char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static struct row *new_row(struct mem_db *db, const struct message_record *r)
{
	struct row *row = xcalloc(1, sizeof(*row));
	struct record *rec;
	size_t i;

	row->m = r->m;
	row->m.phone = copy(r->m.phone);
	row->m.content = copy(r->m.content);
	row->m.message_id = copy(r->m.message_id);
	row->m.last_error = copy(r->m.last_error);
	row->m.idempotency_key = copy(r->m.idempotency_key);
	row->m.metadata = copy(r->m.metadata);
	row->m.owner = mem_owner(db, r->m.owner);
	row->state = record_state(r);
	row->state_at = record_state_at(r);
	row->run = r->run;
	for (i = 0; i < r->attempts_n; i++) {
		rec = mem_record_add(row, r->attempts[i].seq);
		rec->attempt = r->attempts[i].a;
		rec->attempt.error = copy(rec->attempt.error);
		rec->attempt.node = mem_owner(db, rec->attempt.node);
	}
	return row;
}

static void import_row(struct mem_db *db, struct message_record *r)
{
	struct row *row;
	size_t at;

	r->result = INSERT_CREATED;
	if (!r->m.id) {
		r->m.id = db->last_id + 1;
		r->m.created_at = MAX_OF(r->m.created_at, db->last_created_at);
	}
	row = new_row(db, r);
	at = mem_row_index(db, row->m.id);
	if (db->n_rows == db->cap_rows) {
		db->cap_rows = db->cap_rows ? 2 * db->cap_rows : 64;
		db->rows = xreallocarray(db->rows, db->cap_rows, sizeof(*db->rows));
	}
	memmove(db->rows + at + 1, db->rows + at, (db->n_rows++ - at) * sizeof(*db->rows));
	db->rows[at] = row;
	order_add(&db->by_state[row->state], row->state_at, row->m.id);
	if (row->m.idempotency_key)
		mem_add_key(db, row);
	db->last_id = MAX_OF(db->last_id, row->m.id);
	db->last_created_at = MAX_OF(db->last_created_at, row->m.created_at);
	db->scheduler.s.messages_sent += row->state == MESSAGE_SENT;
}

/* The row that a record would be, if it is there. */
static struct row *find(struct mem_db *db, const struct message_record *r)
{
	return r->m.id ? mem_row(db, r->m.id) : mem_find_key(db, r->m.idempotency_key);
}

static int import_messages(void *session, struct message_record *items, size_t n, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	size_t i;
	int rc = OK;

	pthread_mutex_lock(&db->lock);
	for (i = 0; !rc && i < n; i++) {
		if (!find(db, &items[i]) && mem_find_key(db, items[i].m.idempotency_key))
			rc = error_set(err, ERR_CONFLICT,
			               "message %lld: another one has its idempotency key %s already",
			               (long long)items[i].m.id, items[i].m.idempotency_key);
	}
	for (i = 0; !rc && i < n; i++) {
		row = find(db, &items[i]);
		if (row) {
			items[i].result = INSERT_REPEATED;
			items[i].m.id = row->m.id;
			items[i].m.created_at = row->m.created_at;
		} else {
			import_row(db, &items[i]);
		}
	}
	pthread_mutex_unlock(&db->lock);
	return rc;
}

/* --- runs -------------------------------------------------------------------------------------------------- */

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct run_record_page page = {.n = 0};
	struct mem_db *db = session;
	const struct mem_run *run;
	struct run_record *r;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	for (i = mem_run_index(db, after + 1); i < db->n_runs && page.n < limit; i++) {
		run = &db->runs[i];
		r = &page.items[page.n++];
		*r = (struct run_record){.r = run->r, .closed = run->tally.closed};
		r->r.node = arena_strdup(&page.arena, run->r.node);
		r->r.claimed = run->tally.claimed;
		r->r.sent = run->tally.sent;
		r->r.failed = run->tally.failed;
		r->r.retried = run->tally.retried;
		r->r.lost = run->tally.lost;
	}
	page.more = i < db->n_runs;
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct mem_db *db = session;
	struct mem_run *run;
	size_t i, at;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; i < n; i++) {
		at = mem_run_index(db, items[i].r.id);
		if (at < db->n_runs && db->runs[at].r.id == items[i].r.id)
			continue;
		run = mem_run_add(db, at);
		*run = (struct mem_run){
			.r = items[i].r,
			.tally = {.claimed = items[i].r.claimed,
			          .sent = items[i].r.sent,
			          .failed = items[i].r.failed,
			          .retried = items[i].r.retried,
			          .lost = items[i].r.lost,
			          .closed = items[i].closed},
		};
		run->r.node = xstrdup(items[i].r.node);
	}
	pthread_mutex_unlock(&db->lock);
	return OK;
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct job_record_page page = {.n = 0};
	struct mem_db *db = session;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	for (i = mem_job_index(db, after + 1); i < db->n_jobs && page.n < limit; i++) {
		struct job_record *r = &page.items[page.n++];

		*r = (struct job_record){
			.j = db->jobs[i].j, .first_run = db->jobs[i].first_run, .last_run = db->jobs[i].last_run};
		r->j.name = arena_strdup(&page.arena, r->j.name);
	}
	page.more = i < db->n_jobs;
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	struct mem_db *db = session;
	struct mem_job *job;
	size_t i, at;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; i < n; i++) {
		at = mem_job_index(db, items[i].j.id);
		if (at < db->n_jobs && db->jobs[at].j.id == items[i].j.id)
			continue;
		job = mem_job_add(db, at);
		*job = (struct mem_job){
			.j = items[i].j, .first_run = items[i].first_run, .last_run = items[i].last_run};
		job->j.name = xstrdup(items[i].j.name);
		job->j.taken = 0;
	}
	pthread_mutex_unlock(&db->lock);
	return OK;
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct mem_db *db = session;
	size_t run;

	(void)err;
	pthread_mutex_lock(&db->lock);
	*ret = (struct state_record){
		.scheduler_set = db->scheduler_set,
		.s = db->scheduler.s,
		.config_interval = db->scheduler.config_interval,
		.config_batch = db->scheduler.config_batch,
		.job = db->scheduler.job,
		.last_id = db->last_id,
		.last_created_at = db->last_created_at,
	};
	ret->s.now = db->clock();
	ret->s.last_run_at = ret->s.pacing.beat_at;
	ret->s.runs_count = ret->s.pacing.epoch;
	run = mem_run_index(db, ret->s.pacing.epoch);
	ret->beat_closed = run < db->n_runs && db->runs[run].tally.closed;
	pthread_mutex_unlock(&db->lock);
	return OK;
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	struct mem_db *db = session;

	(void)err;
	pthread_mutex_lock(&db->lock);
	if (state->scheduler_set) {
		db->scheduler.s = state->s;
		db->scheduler.config_interval = state->config_interval;
		db->scheduler.config_batch = state->config_batch;
		db->scheduler.job = state->job;
		db->scheduler_set = true;
	}
	db->last_id = MAX_OF(db->last_id, state->last_id);
	db->last_created_at = MAX_OF(db->last_created_at, state->last_created_at);
	pthread_mutex_unlock(&db->lock);
	return OK;
}

/* --- notes ------------------------------------------------------------------------------------------------- */

static struct mem_note *find_note(struct mem_db *db, const char *name)
{
	for (size_t i = 0; i < db->n_notes; i++) {
		if (!strcmp(db->notes[i].name, name))
			return &db->notes[i];
	}
	return NULL;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct mem_db *db = session;
	const struct mem_note *note;

	(void)err;
	pthread_mutex_lock(&db->lock);
	note = find_note(db, name);
	*ret = note ? arena_strdup(arena, note->text) : NULL;
	pthread_mutex_unlock(&db->lock);
	return OK;
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	struct mem_db *db = session;
	struct mem_note *note;

	(void)err;
	pthread_mutex_lock(&db->lock);
	note = find_note(db, name);
	if (!note && text) {
		db->notes = xreallocarray(db->notes, db->n_notes + 1, sizeof(*db->notes));
		note = &db->notes[db->n_notes++];
		*note = (struct mem_note){.name = xstrdup(name)};
	}
	if (note) {
		free(note->text);
		note->text = text ? xstrdup(text) : NULL;
	}
	pthread_mutex_unlock(&db->lock);
	return OK;
}

const struct record_verbs mem_record_verbs = {
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
