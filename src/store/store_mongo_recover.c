/* Taking back claims whose owner is gone, and bringing to an end what a dead process left half done. */
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"

#define CHORES_EVERY (5 * USEC_PER_SEC)
/* Older than this, a step that takes milliseconds is taken for abandoned. Being wrong costs no message: see
 * mg_batch_resolve(), and a claim's note only keeps its run from ending. */
#define ABANDONED USEC_PER_MINUTE
#define UNPUBLISHED (8 * USEC_PER_SEC) /* no writer takes longer from its commit to making it seen */
#define COMMITS_KEPT USEC_PER_DAY
#define CHORES_LIMIT 50

struct lost_row {
	int64_t id, fence, run;
	usec_t started_at, state_at;
	int attempts, lost;
};

struct recoverer {
	struct mg_session *s;
	const struct recover_request *r;
	usec_t now;
	int64_t token;
	struct lost_row *rows;
	size_t n;
	int64_t *runs;
	size_t n_runs;
	struct recover_result result;
};

static int gather(struct recoverer *re, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		re->s, MG_MESSAGES,
		BCON_NEW("state", BCON_INT32(MESSAGE_SENDING), "state_at", "{", "$lte",
	                 BCON_INT64(re->now), "}"),
		BCON_NEW("sort", "{", "state_at", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit",
	                 BCON_INT64((int64_t)re->r->limit + 1), "projection", "{", "fence", BCON_INT32(1),
	                 "run", BCON_INT32(1), "attempts", BCON_INT32(1), "lost", BCON_INT32(1),
	                 "started_at", BCON_INT32(1), "state_at", BCON_INT32(1), "}"));
	const bson_t *doc;
	size_t cap = 0;
	int rc;

	while ((rc = mg_next(re->s, cursor, &doc, err)) > 0) {
		if (re->n == re->r->limit) {
			re->result.more = true;
			return OK;
		}
		if (re->n == cap) {
			cap = cap ? 2 * cap : 64;
			re->rows = xreallocarray(re->rows, cap, sizeof(*re->rows));
		}
		re->rows[re->n++] = (struct lost_row){
			.id = mg_i64(doc, "_id"),
			.fence = mg_i64(doc, "fence"),
			.run = mg_i64(doc, "run"),
			.started_at = mg_i64(doc, "started_at"),
			.state_at = mg_i64(doc, "state_at"),
			.attempts = (int)mg_i64(doc, "attempts"),
			.lost = (int)mg_i64(doc, "lost") + 1,
		};
	}
	return rc;
}

static bson_t *lost_update(const struct recoverer *re, const struct lost_row *row, int state)
{
	const struct mg_attempt attempt = {
		.seq = attempt_seq(row->fence, VERDICT_LOST),
		.run = row->run,
		.counts = row->run,
		.token = re->token,
		.attempt = row->attempts,
		.verdict = VERDICT_LOST,
		.started_at = row->started_at,
		.error = re->r->last_error,
	};
	bson_t *update = bson_new(), part;

	BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
	BSON_APPEND_INT32(&part, "state", state);
	BSON_APPEND_INT64(&part, "state_at", re->now);
	BSON_APPEND_INT64(&part, "updated_at", re->now);
	if (row_status(state) == MESSAGE_PENDING)
		BSON_APPEND_INT64(&part, "due_at", re->now);
	BSON_APPEND_INT32(&part, "lost", row->lost);
	BSON_APPEND_INT64(&part, "token", re->token);
	mg_append_text(&part, "error", re->r->last_error, MESSAGE_ERROR_MAX);
	bson_append_document_end(update, &part);
	BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &part);
	BSON_APPEND_INT32(&part, "message_id", 1);
	if (!re->r->last_error)
		BSON_APPEND_INT32(&part, "error", 1);
	bson_append_document_end(update, &part);
	mg_append_attempt(update, &attempt);
	return update;
}

/* Of two nodes that recover at once each row goes to one; the other's figures count it, too, unless they are
 * looked up. */
static int count_taken(struct recoverer *re, struct error *err)
{
	bson_t *filter = BCON_NEW("token", BCON_INT64(re->token));
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	int64_t *ids = xcalloc(re->n, sizeof(*ids));
	const bson_t *doc;
	size_t i;
	int rc, state;

	for (i = 0; i < re->n; i++)
		ids[i] = re->rows[i].id;
	mg_append_ids(filter, "_id", ids, re->n);
	free(ids);
	cursor = mg_find(re->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "state", BCON_INT32(1), "}"));
	re->result.pending = re->result.unknown = re->result.failed = 0;
	while ((rc = mg_next(re->s, cursor, &doc, err)) > 0) {
		state = (int)mg_i64(doc, "state");
		re->result.pending += row_status(state) == MESSAGE_PENDING;
		re->result.unknown += state == MESSAGE_UNKNOWN;
		re->result.failed += state == MESSAGE_FAILED;
	}
	return rc;
}

static int recover_rows(struct recoverer *re, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(re->s, MG_MESSAGES);
	const struct lost_row *row;
	int64_t matched = 0;
	size_t i;
	int rc, state;

	re->runs = xcalloc(re->n, sizeof(*re->runs));
	for (i = 0; i < re->n; i++) {
		row = &re->rows[i];
		state = recovered_state(re->r, row->attempts, row->lost);
		re->result.pending += row_status(state) == MESSAGE_PENDING;
		re->result.unknown += state == MESSAGE_UNKNOWN;
		re->result.failed += state == MESSAGE_FAILED;
		if (row->run)
			re->runs[re->n_runs++] = row->run;
		/* Not if it was renewed, settled or claimed again in between. */
		mg_bulk_update(re->s, bulk,
		               BCON_NEW("_id", BCON_INT64(row->id), "state",
		                        BCON_INT32(MESSAGE_SENDING), "fence", BCON_INT64(row->fence),
		                        "state_at", BCON_INT64(row->state_at)),
		               lost_update(re, row, state));
	}
	rc = mg_bulk_run(re->s, bulk, &matched, err);
	if (rc || matched == (int64_t)re->n)
		return rc;
	return count_taken(re, err);
}

/* --- chores ---------------------------------------------------------------------------------------------- */

static bool chores_are_due(struct mg_db *db)
{
	usec_t now = clock_mono();
	bool due;

	pthread_mutex_lock(&db->lock);
	due = !db->chores_at || now - db->chores_at >= CHORES_EVERY;
	if (due)
		db->chores_at = now;
	pthread_mutex_unlock(&db->lock);
	return due;
}

/* Insertions that were given up between staging and committing, or between committing and publishing. */
static int end_insertions(struct recoverer *re, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		re->s, MG_MESSAGES,
		BCON_NEW("state", BCON_INT32(ROW_STAGED), "created_at", "{", "$lt",
	                 BCON_INT64(re->now - UNPUBLISHED), "}"),
		BCON_NEW("limit", BCON_INT64(CHORES_LIMIT), "projection", "{", "batch", BCON_INT32(1),
	                 "created_at", BCON_INT32(1), "}"));
	int64_t last = 0, batch;
	const bson_t *doc;
	int rc;

	while ((rc = mg_next(re->s, cursor, &doc, err)) > 0) {
		batch = mg_i64(doc, "batch");
		if (batch != last &&
		    (rc = mg_batch_resolve(re->s, batch, mg_i64(doc, "created_at") < re->now - ABANDONED,
		                           err)))
			return rc;
		last = batch;
	}
	if (rc)
		return rc;
	return mg_delete(re->s, MG_COMMITS,
	                 BCON_NEW("at", "{", "$lt", BCON_INT64(re->now - COMMITS_KEPT), "}"), err);
}

/* Notes of claims that were never ended. */
static int remove_notes(struct recoverer *re, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(re->s, MG_SCHEDULER, BCON_NEW("_id", BCON_UTF8(MG_BEAT)), NULL);
	bson_t *update cleanup(mg_free_bson) = bson_new();
	bson_t claims, claim, unset;
	bson_iter_t it;
	const bson_t *doc;
	char name[64];
	size_t old = 0;
	int rc = mg_next(re->s, cursor, &doc, err);

	if (rc <= 0 || !mg_embedded(doc, "claims", &claims) || !bson_iter_init(&it, &claims))
		return rc < 0 ? rc : OK;
	BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &unset);
	while (bson_iter_next(&it)) {
		const uint8_t *data;
		uint32_t len;

		if (!BSON_ITER_HOLDS_DOCUMENT(&it))
			continue;
		bson_iter_document(&it, &len, &data);
		if (!bson_init_static(&claim, data, len) ||
		    mg_i64(&claim, "at") > re->now - ABANDONED)
			continue;
		snprintf(name, sizeof(name), "claims.%s", bson_iter_key(&it));
		BSON_APPEND_INT32(&unset, name, 1);
		old++;
	}
	bson_append_document_end(update, &unset);
	return old ? mg_update(re->s, MG_SCHEDULER, false, BCON_NEW("_id", BCON_UTF8(MG_BEAT)),
	                       bson_copy(update), false, NULL, err)
	           : OK;
}

/* Runs whose last outcome was recorded by a process that died before ending them. */
static int end_runs(struct recoverer *re, struct error *err)
{
	struct settle_result unlisted = {.ended_n = 0};
	int64_t runs[CHORES_LIMIT];
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	struct mg_beat beat;
	const bson_t *doc;
	size_t n = 0;
	int rc = mg_beat_read(re->s, &beat, err);

	if (rc)
		return rc == ERR_NOT_FOUND ? OK : rc;
	cursor = mg_find(re->s, MG_RUNS, BCON_NEW("finished", BCON_BOOL(false)),
	                 BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "limit",
	                          BCON_INT64(CHORES_LIMIT), "projection", "{", "_id", BCON_INT32(1),
	                          "}"));
	while (n < CHORES_LIMIT && (rc = mg_next(re->s, cursor, &doc, err)) > 0)
		runs[n++] = mg_i64(doc, "_id");
	return rc < 0 ? rc : mg_runs_end(re->s, &beat, runs, n, &unlisted, err);
}

static int do_chores(struct recoverer *re, struct error *err)
{
	int rc = end_insertions(re, err);

	if (!rc)
		rc = remove_notes(re, err);
	return rc ? rc : end_runs(re, err);
}

/* --- the verb -------------------------------------------------------------------------------------------- */

static int recover(struct recoverer *re, struct error *err)
{
	struct settle_result unlisted = {.ended_n = 0};
	struct error spare = ERROR_INIT;
	struct mg_beat beat;
	int rc = mg_now(re->s, &re->now, err);

	if (!rc)
		rc = gather(re, err);
	if (!rc && re->n)
		rc = recover_rows(re, err);
	if (!rc && re->n_runs && !mg_beat_read(re->s, &beat, &spare))
		/* If this fails it is a chore for later. */
		mg_runs_end(re->s, &beat, re->runs, re->n_runs, &unlisted, &spare);
	if (!rc && chores_are_due(re->s->db))
		rc = do_chores(re, err);
	return rc ? rc : mg_soonest(re->s, MESSAGE_SENDING, &re->result.next_expiry, err);
}

int mg_recover(void *session, const struct recover_request *r, struct recover_result *ret,
               struct error *err)
{
	struct recoverer re = {.s = session, .r = r, .token = mg_token()};
	int rc = recover(&re, err);

	/* Whatever it was: recovering again does no harm. */
	if (rc == ERR_UNCERTAIN)
		rc = err->code = ERR_TRANSIENT;
	free(re.rows);
	free(re.runs);
	if (!rc)
		*ret = re.result;
	return rc;
}
