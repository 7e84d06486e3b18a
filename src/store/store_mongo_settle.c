/*
 * Recording outcomes and prolonging leases. Nearly every outcome is that of a live claim, so all are first
 * written on that assumption, in one batch: a row moves if it is `sending` under the fence and for the
 * run that the outcome names. Only if fewer rows matched than there are outcomes, the rows are read, what has
 * happened is seen from the attempts (each carries a token of this call), and the rest is judged by
 * the shared rule and written if the row still is as it was judged.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"

#define SETTLE_ROUNDS 6

/* A row as it was read for an outcome. */
struct settled_row {
	int64_t id, fence, run;
	usec_t due_at;
	int state;
	bool there;
};

struct settler {
	struct mg_session *s;
	struct settlement *items;
	size_t n;
	usec_t now;
	int64_t token; /* + the item's index */
	bool *done;    /* nothing is left to do for it */
	int64_t *runs; /* whose claims got their outcome */
	size_t n_runs;
	uint32_t applied;
};

/* --- one outcome ----------------------------------------------------------------------------------------- */

static struct mg_attempt attempt_of(const struct settler *se, size_t i, int64_t counts)
{
	const struct settlement *s = &se->items[i];

	return (struct mg_attempt){
		.seq = attempt_seq(s->fence, s->verdict),
		.run = s->run,
		.counts = counts,
		.token = se->token + (int64_t)i,
		.attempt = s->attempt,
		.verdict = s->verdict,
		.http_status = s->http_status,
		.started_at = s->started_at,
		.duration = s->duration,
		.error = s->verdict == VERDICT_SENT ? NULL : s->error,
	};
}

/* The change that an outcome makes of a row like that. */
static bson_t *outcome_update(const struct settler *se, size_t i, const struct settled_row *row)
{
	const struct settlement *s = &se->items[i];
	const int next = settlement_state(s, !row->run);
	const struct mg_attempt attempt =
		attempt_of(se, i, row->state == MESSAGE_SENDING ? row->run : 0);
	bson_t *update = bson_new(), part;
	usec_t at = se->now;

	if (s->verdict == VERDICT_RELEASE)
		at = row->due_at;
	else if (s->verdict == VERDICT_RETRY)
		at = se->now + s->retry_in;
	BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
	BSON_APPEND_INT32(&part, "state", next);
	BSON_APPEND_INT64(&part, "state_at", at);
	BSON_APPEND_INT64(&part, "updated_at", se->now);
	if (s->verdict == VERDICT_RELEASE)
		BSON_APPEND_INT64(&part, "token", se->token + (int64_t)i);
	if (s->verdict == VERDICT_RETRY)
		BSON_APPEND_INT64(&part, "due_at", at);
	if (s->verdict == VERDICT_SENT)
		mg_append_text(&part, "message_id", s->message_id, MESSAGE_PROVIDER_ID_MAX);
	else if (s->verdict != VERDICT_RELEASE)
		mg_append_text(&part, "error", s->error, MESSAGE_ERROR_MAX);
	bson_append_document_end(update, &part);
	if (s->verdict == VERDICT_RELEASE) {
		BSON_APPEND_DOCUMENT_BEGIN(update, "$inc", &part);
		BSON_APPEND_INT32(&part, "attempts", -1);
		bson_append_document_end(update, &part);
		return update;
	}
	/* The attempt has a token of its own. */
	BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &part);
	BSON_APPEND_INT32(&part, "token", 1);
	BSON_APPEND_INT32(&part, "lost", 1);
	if (s->verdict != VERDICT_SENT || !s->message_id)
		BSON_APPEND_INT32(&part, "message_id", 1);
	if (s->verdict == VERDICT_SENT || !s->error)
		BSON_APPEND_INT32(&part, "error", 1);
	bson_append_document_end(update, &part);
	mg_append_attempt(update, &attempt);
	return update;
}

static bson_t *row_filter(const struct settled_row *row)
{
	return BCON_NEW("_id", BCON_INT64(row->id), "state", BCON_INT32(row->state), "fence",
	                BCON_INT64(row->fence), "run", BCON_INT64(row->run));
}

static void mark_applied(struct settler *se, size_t i, int64_t counts)
{
	struct settlement *s = &se->items[i];

	se->done[i] = true;
	s->applied = true;
	s->sent_at = s->verdict == VERDICT_SENT ? se->now : 0;
	se->applied++;
	if (counts)
		se->runs[se->n_runs++] = counts;
}

/* --- the first batch ------------------------------------------------------------------------------------- */

/* A release puts the row back to where it was due, which only the row knows. */
static int read_due(struct settler *se, struct settled_row *rows, struct error *err)
{
	int64_t *ids = xcalloc(se->n, sizeof(*ids));
	mongoc_cursor_t *cursor;
	bson_t *filter = bson_new();
	const bson_t *doc;
	size_t i, n = 0;
	int rc;

	for (i = 0; i < se->n; i++) {
		if (se->items[i].verdict == VERDICT_RELEASE)
			ids[n++] = se->items[i].id;
	}
	mg_append_ids(filter, "_id", ids, n);
	free(ids);
	if (!n) {
		bson_destroy(filter);
		return OK;
	}
	cursor = mg_find(se->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "due_at", BCON_INT32(1), "}"));
	while ((rc = mg_next(se->s, cursor, &doc, err)) > 0) {
		for (i = 0; i < se->n; i++) {
			if (rows[i].id == mg_i64(doc, "_id"))
				rows[i].due_at = mg_i64(doc, "due_at");
		}
	}
	mongoc_cursor_destroy(cursor);
	return rc;
}

struct position {
	int64_t id;
	size_t at;
};

static int by_position(const void *a, const void *b)
{
	const struct position *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/* Of several outcomes for one row, those behind the first have to wait for it. Returns how many there are. */
static size_t find_later(const struct settler *se, bool *later)
{
	struct position *p = xcalloc(se->n, sizeof(*p));
	size_t i, n = 0;

	for (i = 0; i < se->n; i++)
		p[i] = (struct position){se->items[i].id, i};
	qsort(p, se->n, sizeof(*p), by_position);
	for (i = 1; i < se->n; i++) {
		if (p[i].id == p[i - 1].id) {
			later[p[i].at] = true;
			n++;
		}
	}
	free(p);
	return n;
}

/* *ret_all: every row was as expected. */
static int write_expected(struct settler *se, bool *ret_all, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(se->s, MG_MESSAGES);
	struct settled_row *rows = xcalloc(se->n, sizeof(*rows));
	bool *later = xcalloc(se->n, sizeof(*later));
	size_t i, waiting = find_later(se, later);
	int64_t matched = 0;
	int rc;

	for (i = 0; i < se->n; i++)
		rows[i] = (struct settled_row){.id = se->items[i].id,
		                               .fence = se->items[i].fence,
		                               .run = se->items[i].run,
		                               .state = MESSAGE_SENDING};
	rc = read_due(se, rows, err);
	for (i = 0; !rc && i < se->n; i++) {
		if (!later[i])
			mg_bulk_update(se->s, bulk, row_filter(&rows[i]), outcome_update(se, i, &rows[i]));
	}
	free(rows);
	free(later);
	if (!rc)
		rc = mg_bulk_run(se->s, bulk, &matched, err);
	if (rc)
		return rc;
	*ret_all = !waiting && matched == (int64_t)se->n;
	for (i = 0; *ret_all && i < se->n; i++)
		mark_applied(se, i, se->items[i].run);
	return OK;
}

/* --- the others ------------------------------------------------------------------------------------------ */

/* What the row's attempts tell of item i: applied by this call, or recorded (by whomever). */
static void find_attempt(const struct settler *se, size_t i, const bson_t *doc, int64_t *ret_counts,
                         bool *ret_mine, bool *ret_recorded)
{
	const int64_t seq = attempt_seq(se->items[i].fence, se->items[i].verdict);
	bson_t tries, entry;
	bson_iter_t it;

	*ret_mine = *ret_recorded = false;
	*ret_counts = 0;
	if (!mg_embedded(doc, "tries", &tries) || !bson_iter_init(&it, &tries))
		return;
	while (bson_iter_next(&it)) {
		const uint8_t *data;
		uint32_t len;

		if (!BSON_ITER_HOLDS_DOCUMENT(&it))
			continue;
		bson_iter_document(&it, &len, &data);
		if (!bson_init_static(&entry, data, len) || mg_i64(&entry, "seq") != seq)
			continue;
		*ret_recorded = true;
		if (mg_i64(&entry, "token") == se->token + (int64_t)i) {
			*ret_mine = true;
			*ret_counts = mg_i64(&entry, "counts");
		}
	}
}

/* Judges item i by its row; adds what is to be written. */
static void judge(struct settler *se, size_t i, const bson_t *doc, mongoc_bulk_operation_t *bulk,
                  size_t *writes, bool *record_only)
{
	const struct settled_row row = {
		.id = mg_i64(doc, "_id"),
		.fence = mg_i64(doc, "fence"),
		.run = mg_i64(doc, "run"),
		.due_at = mg_i64(doc, "due_at"),
		.state = (int)mg_i64(doc, "state"),
		.there = true,
	};
	const struct settlement *s = &se->items[i];
	bool mine, recorded;
	int64_t counts;

	find_attempt(se, i, doc, &counts, &mine, &recorded);
	if (s->verdict == VERDICT_RELEASE)
		mine = mg_i64(doc, "token") == se->token + (int64_t)i;
	if (mine && record_only[i]) {
		se->done[i] = true;
	} else if (mine) {
		mark_applied(se, i, s->verdict == VERDICT_RELEASE ? s->run : counts);
	} else if (settlement_applies(row.state, row.fence, s)) {
		mg_bulk_update(se->s, bulk, row_filter(&row), outcome_update(se, i, &row));
		++*writes;
	} else if (recorded || s->verdict == VERDICT_RELEASE) {
		se->done[i] = true;
	} else {
		const struct mg_attempt attempt = attempt_of(se, i, 0);
		bson_t *update = bson_new();

		mg_append_attempt(update, &attempt);
		/* A row that moves on in between is judged anew; one that only got another record is not
		 * worth it: a record that is there twice is shown once. */
		mg_bulk_update(se->s, bulk, row_filter(&row), update);
		record_only[i] = true;
		++*writes;
	}
}

static int settle_round(struct settler *se, bool *record_only, size_t *ret_writes, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(se->s, MG_MESSAGES);
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	bool *there = xcalloc(se->n, sizeof(*there));
	int64_t *ids = xcalloc(se->n, sizeof(*ids)), id, last;
	bson_t *filter = BCON_NEW("state", "{", "$gte", BCON_INT32(0), "}");
	const bson_t *doc;
	size_t i, n = 0;
	int rc;

	for (i = 0; i < se->n; i++) {
		if (!se->done[i])
			ids[n++] = se->items[i].id;
	}
	mg_append_ids(filter, "_id", ids, n);
	cursor = mg_find(se->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "state", BCON_INT32(1), "fence", BCON_INT32(1),
	                          "run", BCON_INT32(1), "due_at", BCON_INT32(1), "token", BCON_INT32(1),
	                          "tries", BCON_INT32(1), "}"));
	*ret_writes = 0;
	while ((rc = mg_next(se->s, cursor, &doc, err)) > 0) {
		id = mg_i64(doc, "_id");
		/* Of several outcomes for one row only the first is written in a round. */
		for (i = 0, last = 0; i < se->n; i++) {
			size_t before = *ret_writes;

			if (se->items[i].id != id)
				continue;
			there[i] = true;
			if (se->done[i] || last)
				continue;
			judge(se, i, doc, bulk, ret_writes, record_only);
			last = *ret_writes > before;
		}
	}
	for (i = 0; !rc && i < se->n; i++)
		se->done[i] |= !there[i];
	if (!rc && *ret_writes)
		rc = mg_bulk_run(se->s, bulk, NULL, err);
	free(there);
	free(ids);
	return rc;
}

static int settle_others(struct settler *se, struct error *err)
{
	bool *record_only = xcalloc(se->n, sizeof(*record_only));
	size_t writes = 1, i, left = 1;
	int round, rc = OK;

	for (round = 0; !rc && left && round < SETTLE_ROUNDS + (int)se->n; round++) {
		rc = settle_round(se, record_only, &writes, err);
		for (i = left = 0; i < se->n; i++)
			left += !se->done[i];
	}
	free(record_only);
	if (!rc && left)
		return error_set(err, ERR_TRANSIENT, "messages change faster than they can be settled");
	return rc;
}

/* --- the verbs ------------------------------------------------------------------------------------------- */

/* Runs that this may have ended. They would be found by recovery, so it is no error of the settlement if
 * this fails. */
static void end_runs(struct settler *se, struct settle_result *ret)
{
	struct settle_result ended = {.ended_n = 0};
	struct error spare = ERROR_INIT;
	struct mg_beat beat;

	if (!se->n_runs || mg_beat_read(se->s, &beat, &spare))
		return;
	if (mg_runs_end(se->s, &beat, se->runs, se->n_runs, &ended, &spare))
		return;
	*ret = ended;
}

int mg_settle(void *session, struct settlement *items, size_t n, struct settle_result *ret,
              struct error *err)
{
	struct settler se = {.s = session, .items = items, .n = n, .token = mg_token() / 2};
	struct settle_result result = {.applied = 0};
	bool all = false;
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		items[i].applied = false;
		items[i].sent_at = 0;
	}
	if (!n) {
		*ret = result;
		return OK;
	}
	rc = mg_now(se.s, &se.now, err);
	if (rc)
		return rc;
	se.done = xcalloc(n, sizeof(*se.done));
	se.runs = xcalloc(n, sizeof(*se.runs));
	rc = write_expected(&se, &all, err);
	if (!rc && !all)
		rc = settle_others(&se, err);
	if (!rc) {
		end_runs(&se, &result);
		result.applied = se.applied;
		*ret = result;
	}
	free(se.done);
	free(se.runs);
	return rc;
}

int mg_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
             size_t *ret_renewed, struct error *err)
{
	struct mg_session *s = session;
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(s, MG_MESSAGES);
	int64_t matched = 0;
	usec_t now;
	size_t i;
	int rc = mg_now(s, &now, err);

	for (i = 0; !rc && i < n; i++)
		mg_bulk_update(s, bulk,
		               BCON_NEW("_id", BCON_INT64(refs[i].id), "state",
		                        BCON_INT32(MESSAGE_SENDING), "fence", BCON_INT64(refs[i].fence)),
		               BCON_NEW("$set", "{", "state_at", BCON_INT64(now + lease), "}"));
	if (!rc && n)
		rc = mg_bulk_run(s, bulk, &matched, err);
	/* Prolonging twice does no harm. */
	if (rc == ERR_UNCERTAIN)
		rc = err->code = ERR_TRANSIENT;
	if (!rc)
		*ret_renewed = (size_t)matched;
	return rc;
}
