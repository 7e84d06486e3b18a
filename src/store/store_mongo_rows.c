/* Documents that several verbs of the MongoDB driver read and write. */
#include <string.h>

#include "store_mongo.h"

/* --- messages -------------------------------------------------------------------------------------------- */

static const char *text_of(const bson_t *doc, const char *field, struct arena *arena)
{
	return arena_strdup(arena, mg_utf8(doc, field));
}

static const char *last_owner(const bson_t *doc, struct arena *arena)
{
	bson_t owners;
	bson_iter_t it;
	const char *owner = NULL;

	if (mg_embedded(doc, "owners", &owners) && bson_iter_init(&it, &owners)) {
		while (bson_iter_next(&it))
			owner = bson_iter_utf8(&it, NULL);
	}
	return arena_strdup(arena, owner);
}

void mg_message(const bson_t *doc, struct arena *arena, struct message *ret)
{
	usec_t state_at = mg_i64(doc, "state_at");
	struct message m = {
		.id = mg_i64(doc, "_id"),
		.status = row_status((int)mg_i64(doc, "state")),
		.attempts = (int)mg_i64(doc, "attempts"),
		.lost = (int)mg_i64(doc, "lost"),
		.fence = mg_i64(doc, "fence"),
		.due_at = mg_i64(doc, "due_at"),
		.started_at = mg_i64(doc, "started_at"),
		.created_at = mg_i64(doc, "created_at"),
		.updated_at = mg_i64(doc, "updated_at"),
		.send_at = mg_i64(doc, "send_at"),
		.phone = text_of(doc, "phone", arena),
		.content = text_of(doc, "content", arena),
		.idempotency_key = text_of(doc, "key", arena),
		.metadata = text_of(doc, "metadata", arena),
		.message_id = text_of(doc, "message_id", arena),
		.last_error = text_of(doc, "error", arena),
	};

	if (m.status == MESSAGE_SENDING) {
		m.owner = last_owner(doc, arena);
		m.lease_until = state_at;
	} else if (m.status == MESSAGE_SENT) {
		m.sent_at = state_at;
	}
	*ret = m;
}

/* The run is left out where it is the one that the attempt counts for: that is every attempt but those
 * that came too late. */
void mg_fill_attempt(bson_t *entry, const struct mg_attempt *a)
{
	BSON_APPEND_INT64(entry, "seq", a->seq);
	BSON_APPEND_INT32(entry, "attempt", a->attempt);
	if (a->run != a->counts)
		BSON_APPEND_INT64(entry, "run", a->run);
	BSON_APPEND_INT32(entry, "verdict", (int)a->verdict);
	BSON_APPEND_INT32(entry, "status", a->http_status);
	BSON_APPEND_INT64(entry, "started_at", a->started_at);
	BSON_APPEND_INT64(entry, "duration", a->duration);
	mg_append_text(entry, "error", a->error, MESSAGE_ERROR_MAX);
	if (a->counts)
		BSON_APPEND_INT64(entry, "counts", a->counts);
	BSON_APPEND_INT64(entry, "token", a->token);
}

int64_t mg_attempt_run(const bson_t *entry)
{
	return mg_i64(entry, bson_has_field(entry, "run") ? "run" : "counts");
}

void mg_append_attempt(bson_t *update, const struct mg_attempt *a)
{
	bson_t push, entry;

	BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &push);
	BSON_APPEND_DOCUMENT_BEGIN(&push, "tries", &entry);
	mg_fill_attempt(&entry, a);
	bson_append_document_end(&push, &entry);
	bson_append_document_end(update, &push);
}

/* Which insertion they came with is of no more interest. */
bson_t *mg_published(void)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(MESSAGE_PENDING), "}", "$unset", "{", "batch",
	                BCON_INT32(1), "}");
}

/* --- the beat -------------------------------------------------------------------------------------------- */

void mg_beat_parse(const bson_t *doc, struct mg_beat *ret)
{
	struct scheduler_row row = {.config_batch = (uint32_t)mg_i64(doc, "config_batch")};
	struct mg_beat beat = {.closed = mg_i64(doc, "closed")};
	bson_t claims, claim;
	bson_iter_t it;

	row.s.pacing.running = mg_i64(doc, "running") != 0;
	row.s.pacing.interval = mg_i64(doc, "interval");
	row.s.pacing.batch = (uint32_t)mg_i64(doc, "batch");
	row.s.pacing.beat_at = mg_i64(doc, "beat_at");
	row.s.pacing.epoch = mg_i64(doc, "epoch");
	row.s.pacing.left = (uint32_t)mg_i64(doc, "remaining");
	row.s.pacing.not_before = mg_i64(doc, "not_before"); /* not in documents of schema 1 */
	row.s.failure_rate = mg_double(doc, "failure_rate");
	row.s.all_failed_in_a_row = (uint32_t)mg_i64(doc, "all_failed");
	row.s.last_alert_at = mg_i64(doc, "last_alert_at");
	row.config_interval = mg_i64(doc, "config_interval");
	row.job = mg_i64(doc, "job");
	/* Every beat is a run, and runs are numbered by beats. */
	row.s.last_run_at = row.s.pacing.beat_at;
	row.s.runs_count = row.s.pacing.epoch;
	beat.row = row;
	if (mg_embedded(doc, "claims", &claims) && bson_iter_init(&it, &claims)) {
		while (beat.claiming_n < ARRAY_SIZE(beat.claiming) && bson_iter_next(&it)) {
			const uint8_t *data;
			uint32_t len;

			if (!BSON_ITER_HOLDS_DOCUMENT(&it))
				continue;
			bson_iter_document(&it, &len, &data);
			if (bson_init_static(&claim, data, len))
				beat.claiming[beat.claiming_n++] = mg_i64(&claim, "run");
		}
	}
	*ret = beat;
}

int mg_beat_read(struct mg_session *s, struct mg_beat *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_SCHEDULER, BCON_NEW("_id", BCON_UTF8(MG_BEAT)), NULL);
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
	mg_beat_parse(doc, ret);
	return OK;
}

bson_t *mg_beat_filter(const struct pacing *seen)
{
	return BCON_NEW("_id", BCON_UTF8(MG_BEAT), "running", BCON_BOOL(seen->running), "interval",
	                BCON_INT64(seen->interval), "batch", BCON_INT64(seen->batch), "beat_at",
	                BCON_INT64(seen->beat_at), "epoch", BCON_INT64(seen->epoch), "remaining",
	                BCON_INT64(seen->left));
}

int mg_soonest(struct mg_session *s, int state, usec_t *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_MESSAGES, BCON_NEW("state", BCON_INT32(state)),
	                BCON_NEW("sort", "{", "state_at", BCON_INT32(1), "}", "limit", BCON_INT64(1),
	                         "projection", "{", "_id", BCON_INT32(0), "state_at", BCON_INT32(1), "}"));
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	if (rc < 0)
		return rc;
	*ret = rc ? mg_i64(doc, "state_at") : USEC_NEVER;
	return OK;
}

/* --- counts ---------------------------------------------------------------------------------------------- */

static int count_states(struct mg_session *s, struct store_counts *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_aggregate(
		s, MG_MESSAGES,
		BCON_NEW("pipeline", "[", "{", "$match", "{", "state", "{", "$gte", BCON_INT32(0), "}",
	                 "}", "}", "{", "$group", "{", "_id", "$state", "n", "{", "$sum", BCON_INT32(1),
	                 "}", "}", "}", "]"));
	struct store_counts counts = {.by_status[0] = 0};
	const bson_t *doc;
	int64_t state;
	int rc;

	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		state = mg_i64(doc, "_id");
		if (state >= 0 && state < ROW_STATE_COUNT)
			counts.by_status[row_status((int)state)] += mg_i64(doc, "n");
	}
	if (!rc)
		*ret = counts;
	return rc;
}

#define CHEAP_COUNT USEC_PER_SEC

/*
 * Counts per status. Sums kept beside the rows would have to be changed together with them, which needs
 * transactions; so they are counted, in the index alone, at one or two million a second. Where that
 * takes longer than a second the answer may be as old as ten times what it cost, so that a dashboard that
 * asks every second costs a tenth of a core at most.
 */
int mg_counts_read(struct mg_session *s, struct store_counts *ret, struct error *err)
{
	struct mg_db *db = s->db;
	usec_t start = clock_mono();
	struct store_counts counts;
	bool known;
	int rc;

	pthread_mutex_lock(&db->lock);
	known = db->count_cost > CHEAP_COUNT && start - db->counted_at < 10 * db->count_cost;
	counts = db->counts;
	pthread_mutex_unlock(&db->lock);
	if (!known) {
		rc = count_states(s, &counts, err);
		if (rc)
			return rc;
		pthread_mutex_lock(&db->lock);
		db->counts = counts;
		db->counted_at = clock_mono();
		db->count_cost = db->counted_at - start;
		pthread_mutex_unlock(&db->lock);
	}
	*ret = counts;
	return OK;
}
