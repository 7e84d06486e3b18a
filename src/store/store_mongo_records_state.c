/* Records of all but the messages: see store_mongo_records.c. */
#include "alloc.h"
#include "store_mongo.h"

/* --- runs -------------------------------------------------------------------------------------------------- */

/* What is counted from the messages while a run is open. */
static int fill_open(struct mg_session *s, struct run_record_page *page, struct error *err)
{
	int64_t *runs cleanup(free_ptr) = xcalloc(page->n + 1, sizeof(*runs));
	struct run_tally *tallies cleanup(free_ptr) = xcalloc(page->n + 1, sizeof(*tallies));
	size_t i, n = 0;
	int rc;

	for (i = 0; i < page->n; i++) {
		if (!page->items[i].r.finished)
			runs[n++] = page->items[i].r.id;
	}
	rc = mg_runs_tally(s, runs, n, tallies, err);
	for (i = n = 0; !rc && i < page->n; i++) {
		struct run *r = &page->items[i].r;

		if (r->finished)
			continue;
		r->claimed = tallies[n].claimed;
		r->sent = tallies[n].sent;
		r->failed = tallies[n].failed;
		r->retried = tallies[n].retried;
		r->lost = tallies[n++].lost;
	}
	return rc;
}

static int read_runs(struct mg_session *s, int64_t after, uint32_t limit, struct run_record_page *page,
                     struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_RUNS, BCON_NEW("_id", "{", "$gt", BCON_INT64(after), "}"),
	                BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "limit",
	                         BCON_INT64((int64_t)limit + 1)));
	const bson_t *doc;
	struct mg_beat beat = {.closed = 0};
	int rc = mg_beat_read(s, &beat, err);

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		const int64_t id = mg_i64(doc, "_id");

		if (page->n == limit) {
			page->more = true;
			break;
		}
		page->items[page->n++] = (struct run_record){
			.r = {.id = id,
			      .started_at = mg_i64(doc, "started_at"),
			      .node = arena_strdup(&page->arena, mg_utf8(doc, "node")),
			      .claimed = (uint32_t)mg_i64(doc, "claimed"),
			      .sent = (uint32_t)mg_i64(doc, "sent"),
			      .failed = (uint32_t)mg_i64(doc, "failed"),
			      .retried = (uint32_t)mg_i64(doc, "retried"),
			      .lost = (uint32_t)mg_i64(doc, "lost"),
			      .last_id = mg_i64(doc, "last_id"),
			      .finished = mg_i64(doc, "finished") != 0},
			.closed = mg_i64(doc, "finished") || id < beat.row.s.pacing.epoch || id == beat.closed,
		};
	}
	return rc < 0 ? rc : fill_open(s, page, err);
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct run_record_page page = {.n = 0};
	int rc = read_runs(session, after, limit, &page, err);

	if (rc)
		run_record_page_release(&page);
	else
		*ret = page;
	return rc;
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(session, MG_RUNS);
	bson_error_t e;
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		const struct run *r = &items[i].r;
		bson_t *doc cleanup(mg_free_bson) =
			BCON_NEW("_id", BCON_INT64(r->id), "started_at", BCON_INT64(r->started_at), "node",
		                 BCON_UTF8(r->node), "claimed", BCON_INT64(r->claimed), "sent",
		                 BCON_INT64(r->sent), "failed", BCON_INT64(r->failed), "retried",
		                 BCON_INT64(r->retried), "lost", BCON_INT64(r->lost), "finished",
		                 BCON_BOOL(r->finished));

		if (r->last_id)
			BSON_APPEND_INT64(doc, "last_id", r->last_id);
		if (!mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, &e))
			return error_set(err, ERR_INVALID, "MongoDB: %s", e.message);
	}
	rc = mg_bulk_run(session, bulk, NULL, err);
	return rc == ERR_CONFLICT ? OK : rc; /* those that are there */
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

static int read_jobs(struct mg_session *s, int64_t after, uint32_t limit, struct job_record_page *page,
                     struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	const bson_t *doc;
	struct mg_beat beat;
	int rc = mg_beat_read(s, &beat, err);

	if (rc)
		return rc == ERR_NOT_FOUND ? OK : rc;
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	cursor = mg_find(s, MG_JOBS,
	                 BCON_NEW("_id", "{", "$gt", BCON_INT64(after), "$lte", BCON_INT64(beat.row.job), "}"),
	                 BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "limit",
	                          BCON_INT64((int64_t)limit + 1)));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		const int64_t id = mg_i64(doc, "_id");
		const bool goes_on = id == beat.row.job && beat.row.s.pacing.running;

		if (page->n == limit) {
			page->more = true;
			break;
		}
		page->items[page->n++] = (struct job_record){
			.j = {.id = id,
			      .name = arena_strdup(&page->arena, mg_utf8(doc, "name")),
			      .started_at = mg_i64(doc, "started_at"),
			      .finished_at = goes_on ? 0 : mg_i64(doc, "finished_at")},
			.first_run = mg_i64(doc, "first_run"),
			.last_run = goes_on ? 0 : mg_i64(doc, "last_run"),
		};
	}
	return rc < 0 ? rc : OK;
}

static int export_jobs(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
                       struct error *err)
{
	struct job_record_page page = {.n = 0};
	int rc = read_jobs(session, after, limit, &page, err);

	if (rc)
		job_record_page_release(&page);
	else
		*ret = page;
	return rc;
}

static int import_jobs(void *session, const struct job_record *items, size_t n, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(session, MG_JOBS);
	bson_error_t e;
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		const struct job_record *r = &items[i];
		bson_t *doc cleanup(mg_free_bson) = BCON_NEW(
			"_id", BCON_INT64(r->j.id), "name", BCON_UTF8(r->j.name), "started_at",
			BCON_INT64(r->j.started_at), "finished_at", BCON_INT64(r->j.finished_at), "first_run",
			BCON_INT64(r->first_run), "last_run", BCON_INT64(r->last_run));

		if (!mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, &e))
			return error_set(err, ERR_INVALID, "MongoDB: %s", e.message);
	}
	rc = mg_bulk_run(session, bulk, NULL, err);
	return rc == ERR_CONFLICT ? OK : rc; /* those that are there */
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int read_last(struct mg_session *s, struct state_record *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_COUNTERS, BCON_NEW("_id", BCON_UTF8(MG_IDS)), NULL);
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	if (rc < 0)
		return rc;
	ret->last_id = rc ? mg_i64(doc, "last") : 0;
	ret->last_created_at = rc ? mg_i64(doc, "created_at") : 0;
	return OK;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct state_record state = {.scheduler_set = true};
	struct store_counts counts;
	struct mg_beat beat;
	int rc = mg_beat_read(session, &beat, err);

	if (rc == ERR_NOT_FOUND) {
		state.scheduler_set = false;
		rc = OK;
	} else if (!rc) {
		rc = mg_counts_read(session, &counts, err);
		state.s = beat.row.s;
		state.s.messages_sent = counts.by_status[MESSAGE_SENT];
		state.config_interval = beat.row.config_interval;
		state.config_batch = beat.row.config_batch;
		state.job = beat.row.job;
		state.beat_closed = beat.closed && beat.closed == beat.row.s.pacing.epoch;
	}
	if (!rc)
		rc = read_last(session, &state, err);
	if (!rc)
		rc = mg_now(session, &state.s.now, err);
	if (!rc)
		*ret = state;
	return rc;
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	const struct pacing *p = &state->s.pacing;
	int rc = mg_raise_last(session, state->last_id, state->last_created_at, err);

	if (rc || !state->scheduler_set)
		return rc;
	rc = mg_update(session, MG_SCHEDULER, false, BCON_NEW("_id", BCON_UTF8(MG_BEAT)),
	               BCON_NEW("$set", "{", "running", BCON_BOOL(p->running), "interval",
	                        BCON_INT64(p->interval), "batch", BCON_INT64(p->batch), "beat_at",
	                        BCON_INT64(p->beat_at), "epoch", BCON_INT64(p->epoch), "remaining",
	                        BCON_INT64(p->left), "failure_rate", BCON_DOUBLE(state->s.failure_rate),
	                        "all_failed", BCON_INT64(state->s.all_failed_in_a_row), "last_alert_at",
	                        BCON_INT64(state->s.last_alert_at), "config_interval",
	                        BCON_INT64(state->config_interval), "config_batch",
	                        BCON_INT64(state->config_batch), "not_before",
	                        BCON_INT64(p->not_before), "job", BCON_INT64(state->job), "closed",
	                        BCON_INT64(state->beat_closed ? p->epoch : 0), "}", "$unset", "{",
	                        "claims", BCON_INT32(1), "}"),
	               true, NULL, err);
	return rc == ERR_UNCERTAIN ? (err->code = ERR_TRANSIENT) : rc;
}

/* --- notes: beside the schema's version -------------------------------------------------------------------- */

static bson_t *note_filter(const char *name)
{
	char *id cleanup(free_ptr) = xasprintf("note:%s", name);

	return BCON_NEW("_id", BCON_UTF8(id));
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(session, MG_META, note_filter(name), NULL);
	const bson_t *doc;
	int rc = mg_next(session, cursor, &doc, err);

	if (rc < 0)
		return rc;
	*ret = rc ? arena_strdup(arena, mg_utf8(doc, "text")) : NULL;
	return OK;
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	int rc;

	if (text)
		rc = mg_update(session, MG_META, false, note_filter(name),
		               BCON_NEW("$set", "{", "text", BCON_UTF8(text), "}"), true, NULL, err);
	else
		rc = mg_delete(session, MG_META, note_filter(name), err);
	return rc == ERR_UNCERTAIN ? (err->code = ERR_TRANSIENT) : rc;
}

const struct record_verbs mg_record_verbs = {
	.export_messages = mg_export_messages,
	.import_messages = mg_import_messages,
	.export_runs = export_runs,
	.import_runs = import_runs,
	.export_jobs = export_jobs,
	.import_jobs = import_jobs,
	.export_state = export_state,
	.import_state = import_state,
	.note_get = note_get,
	.note_set = note_set,
};
