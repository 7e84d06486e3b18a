/* Runs: counting their figures from the rows, and ending them. */
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"

static size_t index_of(const int64_t *runs, size_t n, int64_t run)
{
	size_t i;

	for (i = 0; i < n && runs[i] != run; i++)
		;
	return i;
}

static bson_t *runs_in(const char *field, const int64_t *runs, size_t n)
{
	bson_t *doc = bson_new();

	mg_append_ids(doc, field, runs, n);
	return doc;
}

/* How many rows each of the runs has in flight. */
static int count_sending(struct mg_session *s, const int64_t *runs, size_t n, uint32_t *ret,
                         struct error *err)
{
	bson_t *match cleanup(mg_free_bson) = BCON_NEW("state", BCON_INT32(MESSAGE_SENDING));
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	const bson_t *doc;
	size_t i;
	int rc;

	mg_append_ids(match, "run", runs, n);
	cursor = mg_aggregate(s, MG_MESSAGES,
	                      BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(match), "}", "{",
	                               "$group", "{", "_id", "$run", "n", "{", "$sum", BCON_INT32(1),
	                               "}", "}", "}", "]"));
	memset(ret, 0, n * sizeof(*ret));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		i = index_of(runs, n, mg_i64(doc, "_id"));
		if (i < n)
			ret[i] = (uint32_t)mg_i64(doc, "n");
	}
	return rc;
}

/* Whether they have any: not 0 in *ret. Nearly always it is one run, and then the first row says so, which is
 * found in the index without counting the others. */
static int find_sending(struct mg_session *s, const int64_t *runs, size_t n, uint32_t *ret,
                        struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	const bson_t *doc;
	int rc;

	if (n != 1)
		return count_sending(s, runs, n, ret, err);
	cursor = mg_find(s, MG_MESSAGES,
	                 BCON_NEW("state", BCON_INT32(MESSAGE_SENDING), "run", BCON_INT64(runs[0])),
	                 BCON_NEW("limit", BCON_INT64(1), "projection", "{", "_id", BCON_INT32(1), "}"));
	rc = mg_next(s, cursor, &doc, err);
	*ret = rc > 0;
	return rc < 0 ? rc : OK;
}

static void tally_add(struct run_tally *t, int64_t verdict, uint32_t n)
{
	t->claimed += n;
	switch (verdict) {
	case VERDICT_SENT:
		t->sent += n;
		return;
	case VERDICT_RETRY:
		t->retried += n;
		return;
	case VERDICT_FAILED:
	case VERDICT_INVALID:
		t->failed += n;
		return;
	default:
		t->lost += n;
	}
}

/* The outcomes that count for each run; claimed is their sum. */
static int count_outcomes(struct mg_session *s, const int64_t *runs, size_t n,
                          struct run_tally *tallies, struct error *err)
{
	bson_t *match cleanup(mg_free_bson) = runs_in("tries.counts", runs, n);
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_aggregate(
		s, MG_MESSAGES,
		BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(match), "}", "{", "$project", "{",
	                 "tries", BCON_INT32(1), "}", "}", "{", "$unwind", "$tries", "}", "{", "$match",
	                 BCON_DOCUMENT(match), "}", "{", "$group", "{", "_id", "{", "run",
	                 "$tries.counts", "verdict", "$tries.verdict", "}", "n", "{", "$sum",
	                 BCON_INT32(1), "}", "}", "}", "]"));
	const bson_t *doc;
	bson_t id;
	size_t i;
	int rc;

	memset(tallies, 0, n * sizeof(*tallies));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		i = mg_embedded(doc, "_id", &id) ? index_of(runs, n, mg_i64(&id, "run")) : n;
		if (i < n)
			tally_add(&tallies[i], mg_i64(&id, "verdict"), (uint32_t)mg_i64(doc, "n"));
	}
	return rc;
}

int mg_runs_tally(struct mg_session *s, const int64_t *runs, size_t n, struct run_tally *tallies,
                  struct error *err)
{
	uint32_t *sending;
	size_t i;
	int rc;

	if (!n)
		return OK;
	sending = xcalloc(n, sizeof(*sending));
	/* In this order: a row that gets its outcome in between is counted twice as claimed rather
	 * than as an outcome of something never claimed. */
	rc = count_sending(s, runs, n, sending, err);
	if (!rc)
		rc = count_outcomes(s, runs, n, tallies, err);
	for (i = 0; !rc && i < n; i++)
		tallies[i].claimed += sending[i];
	free(sending);
	return rc;
}

/* --- ending ---------------------------------------------------------------------------------------------- */

static bool claims_no_more(const struct mg_beat *beat, int64_t run)
{
	/* Not what the interval of now says of the beat: it may be another one by the next claim. */
	if (run >= beat->row.s.pacing.epoch && run != beat->closed)
		return false;
	/* More claims under way than we could list: leave it to a quieter moment. */
	if (beat->claiming_n == ARRAY_SIZE(beat->claiming))
		return false;
	return index_of(beat->claiming, beat->claiming_n, run) == beat->claiming_n;
}

static int by_run(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Keeps those that are recorded and have not ended yet. */
static int keep_open(struct mg_session *s, int64_t *runs, size_t *n, struct error *err)
{
	bson_t *filter = runs_in("_id", runs, *n);
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	const bson_t *doc;
	size_t kept = 0;
	int rc;

	BSON_APPEND_BOOL(filter, "finished", false);
	cursor = mg_find(s, MG_RUNS, filter, BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}"));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0 && kept < *n)
		runs[kept++] = mg_i64(doc, "_id");
	*n = kept;
	return rc < 0 ? rc : OK;
}

/* Ends one. Of several who try, one gets it: *ret is filled for that one. */
static int end_one(struct mg_session *s, int64_t run, const struct run_tally *t, struct run_end *ret,
                   struct error *err)
{
	bson_t doc;
	int64_t mine = 0;
	uint32_t in_a_row;
	bool found;
	int rc = mg_update(s, MG_RUNS, false,
	                   BCON_NEW("_id", BCON_INT64(run), "finished", BCON_BOOL(false)),
	                   BCON_NEW("$set", "{", "finished", BCON_BOOL(true), "claimed",
	                            BCON_INT64(t->claimed), "sent", BCON_INT64(t->sent), "failed",
	                            BCON_INT64(t->failed), "retried", BCON_INT64(t->retried), "lost",
	                            BCON_INT64(t->lost), "}"),
	                   false, &mine, err);

	*ret = (struct run_end){.run = 0};
	if (rc || !mine)
		return rc;
	/* run_end_apply() says what becomes of the count; here it is told to the database: nothing was
	 * claimed: as it is; something was sent: 0; else one more. */
	rc = mg_modify(s, MG_SCHEDULER, BCON_NEW("_id", BCON_UTF8(MG_BEAT)),
	               t->sent ? BCON_NEW("$set", "{", "all_failed", BCON_INT64(0), "}")
	                       : BCON_NEW("$inc", "{", "all_failed", BCON_INT64(t->claimed ? 1 : 0), "}"),
	               &doc, &found, err);
	if (rc || !found)
		return rc;
	in_a_row = (uint32_t)mg_i64(&doc, "all_failed") - (t->claimed && !t->sent);
	bson_destroy(&doc);
	run_end_apply(run, t, &in_a_row, ret);
	return OK;
}

int mg_runs_end(struct mg_session *s, const struct mg_beat *beat, int64_t *runs, size_t n,
                struct settle_result *ret, struct error *err)
{
	struct run_tally *tallies;
	uint32_t *sending;
	struct run_end end;
	size_t i, kept;
	int rc;

	for (i = kept = 0; i < n; i++) {
		if (claims_no_more(beat, runs[i]) && index_of(runs, kept, runs[i]) == kept)
			runs[kept++] = runs[i];
	}
	n = kept;
	if (!n)
		return OK;
	sending = xcalloc(n, sizeof(*sending));
	tallies = xcalloc(n, sizeof(*tallies));
	rc = find_sending(s, runs, n, sending, err);
	for (i = kept = 0; !rc && i < n; i++) {
		if (!sending[i])
			runs[kept++] = runs[i];
	}
	n = kept;
	if (!rc && n)
		rc = keep_open(s, runs, &n, err);
	if (!rc && n) {
		qsort(runs, n, sizeof(*runs), by_run);
		rc = count_outcomes(s, runs, n, tallies, err);
	}
	for (i = 0; !rc && i < n; i++) {
		rc = end_one(s, runs[i], &tallies[i], &end, err);
		if (!rc && end.run && ret->ended_n < ARRAY_SIZE(ret->ended))
			ret->ended[ret->ended_n] = end;
		ret->ended_n += !rc && end.run != 0;
	}
	free(sending);
	free(tallies);
	return rc;
}
