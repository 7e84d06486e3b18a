/* Steering: cancel, replay, the scheduler and its runs. */
#include "alloc.h"
#include "store_mongo.h"

#define CHANGE_TRIES 50

int mg_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct mg_session *s = session;
	bson_t doc;
	bool found = false;
	usec_t now;
	int rc = mg_now(s, &now, err);

	if (!rc)
		rc = mg_modify(s, MG_MESSAGES,
		               BCON_NEW("_id", BCON_INT64(id), "state", "{", "$in", "[",
		                        BCON_INT32(MESSAGE_PENDING), BCON_INT32(ROW_RETRYING), "]", "}"),
		               BCON_NEW("$set", "{", "state", BCON_INT32(MESSAGE_CANCELLED), "state_at",
		                        BCON_INT64(now), "updated_at", BCON_INT64(now), "}"),
		               &doc, &found, err);
	if (rc)
		return rc;
	if (found) {
		mg_message(&doc, arena, ret);
		bson_destroy(&doc);
		return OK;
	}
	rc = mg_get(s, id, arena, ret, err);
	return rc ? rc
	          : error_set(err, ERR_CONFLICT, "message %lld is %s: only pending ones can be cancelled",
	                      (long long)id, message_status_name(ret->status));
}

/* A life of its own begins: what was said of the last one stays with its attempts. The fence goes on, so
 * that a late report of the last life cannot pass for one of this. */
static bson_t *replayed(usec_t now)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(MESSAGE_PENDING), "state_at", BCON_INT64(now),
	                "due_at", BCON_INT64(now), "updated_at", BCON_INT64(now), "attempts",
	                BCON_INT32(0), "lost", BCON_INT32(0), "}", "$unset", "{", "error", BCON_INT32(1),
	                "message_id", BCON_INT32(1), "}");
}

int mg_replay(void *session, int64_t id, struct error *err)
{
	struct mg_session *s = session;
	int64_t matched = 0;
	usec_t now;
	int rc = mg_now(s, &now, err);

	if (!rc)
		rc = mg_update(s, MG_MESSAGES, false,
		               BCON_NEW("_id", BCON_INT64(id), "state", BCON_INT32(MESSAGE_FAILED)),
		               replayed(now), false, &matched, err);
	if (rc || matched)
		return rc;
	return error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
}

static int find_failed(struct mg_session *s, int64_t *ids, size_t limit, size_t *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_MESSAGES, BCON_NEW("state", BCON_INT32(MESSAGE_FAILED)),
	                BCON_NEW("sort", "{", "state_at", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit",
	                         BCON_INT64((int64_t)limit), "projection", "{", "_id", BCON_INT32(1), "}"));
	const bson_t *doc;
	size_t n = 0;
	int rc = 0;

	while (n < limit && (rc = mg_next(s, cursor, &doc, err)) > 0)
		ids[n++] = mg_i64(doc, "_id");
	*ret = n;
	return rc < 0 ? rc : OK;
}

#define REPLAY_MOST 10000

int mg_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct mg_session *s = session;
	size_t most = MIN_OF(limit, REPLAY_MOST), n = 0;
	int64_t *ids = xcalloc(most, sizeof(*ids)), changed = 0;
	bson_t *filter;
	usec_t now;
	int rc = mg_now(s, &now, err);

	/* Again when others have replayed all that was found: 0 says that none is left. */
	do {
		if (!rc)
			rc = find_failed(s, ids, most, &n, err);
		if (rc || !n)
			break;
		filter = BCON_NEW("state", BCON_INT32(MESSAGE_FAILED));
		mg_append_ids(filter, "_id", ids, n);
		rc = mg_update(s, MG_MESSAGES, true, filter, replayed(now), false, &changed, err);
	} while (!rc && !changed);
	free(ids);
	if (!rc)
		*ret = (uint32_t)changed;
	return rc;
}

/* --- the scheduler ----------------------------------------------------------------------------------------- */

static bson_t *new_beat(const struct scheduler_row *row)
{
	const struct pacing *p = &row->s.pacing;

	return BCON_NEW("_id", BCON_UTF8(MG_BEAT), "running", BCON_BOOL(p->running), "interval",
	                BCON_INT64(p->interval), "batch", BCON_INT64(p->batch), "beat_at",
	                BCON_INT64(p->beat_at), "epoch", BCON_INT64(p->epoch), "remaining",
	                BCON_INT64(p->left), "failure_rate", BCON_DOUBLE(row->s.failure_rate),
	                "all_failed", BCON_INT64(row->s.all_failed_in_a_row), "last_alert_at",
	                BCON_INT64(row->s.last_alert_at), "config_interval",
	                BCON_INT64(row->config_interval), "config_batch", BCON_INT64(row->config_batch),
	                "not_before", BCON_INT64(p->not_before), "job", BCON_INT64(row->job));
}

/* Writes what steering may change, if the beat is as it was seen. */
static int write_beat(struct mg_session *s, const struct mg_beat *seen, const struct scheduler_row *row,
                      usec_t now, int64_t *ret_matched, struct error *err)
{
	const struct pacing *p = &row->s.pacing;
	bson_t *filter;
	int rc = mg_job_prepare(s, row, now, err);

	if (rc)
		return rc;
	filter = mg_beat_filter(&seen->row.s.pacing);
	if (seen->row.job)
		BSON_APPEND_INT64(filter, "job", seen->row.job);
	else /* or not there, in a document of the first schema */
		BCON_APPEND(filter, "job", "{", "$in", "[", BCON_INT64(0), BCON_NULL, "]", "}");
	return mg_update(s, MG_SCHEDULER, false, filter,
	                 BCON_NEW("$set", "{", "running", BCON_BOOL(p->running), "interval",
	                          BCON_INT64(p->interval), "batch", BCON_INT64(p->batch), "remaining",
	                          BCON_INT64(p->left), "failure_rate", BCON_DOUBLE(row->s.failure_rate),
	                          "last_alert_at", BCON_INT64(row->s.last_alert_at), "config_interval",
	                          BCON_INT64(row->config_interval), "config_batch",
	                          BCON_INT64(row->config_batch), "not_before", BCON_INT64(p->not_before), "job",
	                          BCON_INT64(row->job), "}"),
	                 false, ret_matched, err);
}

/* Fills in what is not in the beat's document. now: by which the row was looked at or changed. */
static int complete(struct mg_session *s, struct scheduler_row *row, usec_t now, struct error *err)
{
	struct store_counts counts;
	int rc = mg_counts_read(s, &counts, err);

	row->s.now = now;
	if (!rc) /* a message that was sent stays so */
		row->s.messages_sent = counts.by_status[MESSAGE_SENT];
	return rc;
}

static int busy(struct error *err)
{
	return error_set(err, ERR_TRANSIENT, "the scheduler changes faster than it can be changed");
}

int mg_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                      struct error *err)
{
	struct mg_session *s = session;
	struct mg_beat beat, seen;
	int64_t matched = 0;
	usec_t now;
	int tries, rc = mg_now(s, &now, err);

	for (tries = 0; !rc && !matched; tries++) {
		if (tries == CHANGE_TRIES)
			return busy(err);
		rc = mg_beat_read(s, &beat, err);
		if (rc == ERR_NOT_FOUND) {
			beat.row = scheduler_row_new(d);
			scheduler_row_configure(&beat.row, d, now);
			rc = mg_job_prepare(s, &beat.row, now, err);
			if (!rc)
				rc = mg_insert(s, MG_SCHEDULER, new_beat(&beat.row), err);
			matched = !rc;
			if (rc == ERR_CONFLICT) /* another node did */
				rc = OK;
		} else if (!rc) {
			seen = beat;
			scheduler_row_configure(&beat.row, d, now);
			rc = write_beat(s, &seen, &beat.row, now, &matched, err);
		}
	}
	if (!rc)
		rc = complete(s, &beat.row, now, err);
	if (!rc)
		*ret = beat.row.s;
	return rc;
}

int mg_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	struct mg_beat beat;
	usec_t now;
	int rc = mg_beat_read(session, &beat, err);

	if (!rc)
		rc = mg_now(session, &now, err);
	if (!rc)
		rc = complete(session, &beat.row, now, err);
	if (!rc)
		*ret = beat.row.s;
	return rc;
}

int mg_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                        bool *ret_changed, struct error *err)
{
	struct mg_session *s = session;
	struct mg_beat beat, seen;
	int64_t matched = 0;
	bool changed = false;
	usec_t now;
	int tries, rc = mg_now(s, &now, err);

	for (tries = 0; !rc && !matched; tries++) {
		if (tries == CHANGE_TRIES)
			return busy(err);
		rc = mg_beat_read(s, &beat, err);
		if (rc)
			return rc;
		seen = beat;
		changed = scheduler_row_change(&beat.row, change, now);
		rc = write_beat(s, &seen, &beat.row, now, &matched, err);
	}
	if (!rc)
		rc = complete(s, &beat.row, now, err);
	if (rc)
		return rc;
	*ret = beat.row.s;
	*ret_changed = changed;
	return OK;
}

/* --- runs -------------------------------------------------------------------------------------------------- */

/* The figures of runs on the page that have not ended. */
static int fill_open_runs(struct mg_session *s, struct run_page *page, struct error *err)
{
	int64_t *runs = xcalloc(page->n + 1, sizeof(*runs));
	struct run_tally *tallies = xcalloc(page->n + 1, sizeof(*tallies));
	size_t i, n = 0;
	int rc;

	for (i = 0; i < page->n; i++) {
		if (!page->items[i].finished)
			runs[n++] = page->items[i].id;
	}
	rc = mg_runs_tally(s, runs, n, tallies, err);
	for (i = n = 0; !rc && i < page->n; i++) {
		struct run *r = &page->items[i];

		if (r->finished)
			continue;
		r->claimed = tallies[n].claimed;
		r->sent = tallies[n].sent;
		r->failed = tallies[n].failed;
		r->retried = tallies[n].retried;
		r->lost = tallies[n++].lost;
	}
	free(runs);
	free(tallies);
	return rc;
}

static int read_runs(struct mg_session *s, int64_t before, uint64_t offset, uint32_t limit,
                     struct run_page *page, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		s, MG_RUNS,
		BCON_NEW("_id", "{", "$lt", BCON_INT64(before ? before : INT64_MAX), "}"),
		BCON_NEW("sort", "{", "_id", BCON_INT32(-1), "}", "skip", BCON_INT64((int64_t)offset),
	                 "limit", BCON_INT64((int64_t)limit + 1)));
	const bson_t *doc;
	int rc;

	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		if (page->n == limit) {
			page->more = true;
			break;
		}
		page->items[page->n++] = (struct run){
			.id = mg_i64(doc, "_id"),
			.started_at = mg_i64(doc, "started_at"),
			.node = arena_strdup(&page->arena, mg_utf8(doc, "node")),
			.claimed = (uint32_t)mg_i64(doc, "claimed"),
			.sent = (uint32_t)mg_i64(doc, "sent"),
			.failed = (uint32_t)mg_i64(doc, "failed"),
			.retried = (uint32_t)mg_i64(doc, "retried"),
			.lost = (uint32_t)mg_i64(doc, "lost"),
			.last_id = mg_i64(doc, "last_id"),
			.finished = mg_i64(doc, "finished") != 0,
		};
	}
	if (rc >= 0)
		rc = fill_open_runs(s, page, err);
	return rc ? rc : mg_count(s, MG_RUNS, bson_new(), &page->total, err);
}

int mg_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
            struct error *err)
{
	struct run_page page = {.n = 0};
	int rc = read_runs(session, before, offset, limit, &page, err);

	if (rc)
		run_page_release(&page);
	else
		*ret = page;
	return rc;
}
