/*
 * Claiming. The candidates are read before the beat is advanced, so that the same write says how much of it
 * was used and whether work ran out; they are taken after it, each only if it is as it was read. A candidate
 * that somebody else took in between is replaced from those that follow, as long as the grant lasts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "store_mongo.h"

#define CLAIM_TRIES 4
#define TAKE_ROUNDS 3
/* How long to look for what became of a write without an answer, before the beat is left out. */
#define FIND_OUT (3 * USEC_PER_SEC)
#define FIND_OUT_PAUSE (50 * USEC_PER_MSEC)
/* The beat is dated before the write that opens it. Where that took long (a slow server, a process that was
 * stopped), the date is corrected, so that the next beat does not come early. */
#define LATE_WRITE (20 * USEC_PER_MSEC)

struct claimer {
	struct mg_session *s;
	const struct claim_request *r;
	struct mg_beat beat; /* as it was looked at */
	struct claim_batch batch;
	int *states; /* of the items, when read */
	size_t cap;
	usec_t began; /* clock_mono() when batch.now was read */
	int64_t token;
	char note[32]; /* where the beat's document says that this claim is under way */
	bool lost_race;
};

/* When the first row that this claim may take is due. */
static int soonest_claimable(struct mg_session *s, const struct claim_request *r, usec_t *ret,
                             struct error *err)
{
	usec_t retrying = USEC_NEVER, pending = USEC_NEVER;
	int rc = OK;

	if (claim_takes(r, ROW_RETRYING))
		rc = mg_soonest(s, ROW_RETRYING, &retrying, err);
	if (!rc && claim_takes(r, MESSAGE_PENDING))
		rc = mg_soonest(s, MESSAGE_PENDING, &pending, err);
	if (!rc)
		*ret = MIN_OF(retrying, pending);
	return rc;
}

/* --- candidates ------------------------------------------------------------------------------------------ */

static struct claimed *add_item(struct claimer *cl, int state)
{
	const size_t cap = cl->cap;
	struct claimed *item = claim_batch_add(&cl->batch, &cl->cap);

	if (cl->cap != cap)
		cl->states = xreallocarray(cl->states, cl->cap, sizeof(*cl->states));
	cl->states[cl->batch.n - 1] = state;
	return item;
}

/* Reads up to `most` due rows of a state. */
static int gather(struct claimer *cl, int state, size_t most, struct error *err)
{
	const int direction = cl->r->order == ORDER_LIFO ? -1 : 1;
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		cl->s, MG_MESSAGES,
		BCON_NEW("state", BCON_INT32(state), "state_at", "{", "$lte", BCON_INT64(cl->batch.now), "}"),
		BCON_NEW("sort", "{", "state_at", BCON_INT32(direction), "_id", BCON_INT32(direction), "}",
	                 "skip", BCON_INT64((int64_t)claim_skips(cl->r, state)), "limit",
	                 BCON_INT64((int64_t)most), "projection", "{", "fence", BCON_INT32(1),
	                 "attempts", BCON_INT32(1), "phone", BCON_INT32(1), "content", BCON_INT32(1),
	                 "created_at", BCON_INT32(1), "}",
	                 /* what others have just taken shall not be seen as it was before */
	                 "readConcern", "{", "level", "local", "}"));
	struct claimed *item;
	const bson_t *doc;
	int rc;

	while ((rc = mg_next(cl->s, cursor, &doc, err)) > 0) {
		item = add_item(cl, state);
		item->id = mg_i64(doc, "_id");
		item->fence = mg_i64(doc, "fence") + 1;
		item->attempt = (int)mg_i64(doc, "attempts") + 1;
		item->created_at = mg_i64(doc, "created_at");
		item->phone = arena_strdup(&cl->batch.arena, mg_utf8(doc, "phone"));
		item->content = arena_strdup(&cl->batch.arena, mg_utf8(doc, "content"));
		if (!item->phone || !item->content)
			return error_set(err, ERR_PERMANENT, "message %lld has no text",
			                 (long long)item->id);
		item->content_len = strlen(item->content);
	}
	return rc;
}

static int gather_all(struct claimer *cl, size_t most, struct error *err)
{
	size_t before = cl->batch.n;
	int rc = OK;

	if (claim_takes(cl->r, ROW_RETRYING))
		rc = gather(cl, ROW_RETRYING, most, err);
	most -= cl->batch.n - before;
	if (!rc && claim_takes(cl->r, MESSAGE_PENDING) && most)
		rc = gather(cl, MESSAGE_PENDING, most, err);
	return rc;
}

/* --- taking ---------------------------------------------------------------------------------------------- */

static bson_t *taken_row(const struct claimer *cl)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(MESSAGE_SENDING), "state_at",
	                BCON_INT64(cl->batch.lease_until), "run", BCON_INT64(cl->batch.run), "started_at",
	                BCON_INT64(cl->batch.now), "updated_at", BCON_INT64(cl->batch.now), "token",
	                BCON_INT64(cl->token), "}", "$inc", "{", "fence", BCON_INT64(1), "attempts",
	                BCON_INT32(1), "}", "$push", "{", "owners", BCON_UTF8(cl->r->owner), "}");
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Keeps those items from `from` on that this claim has got. */
static int keep_taken(struct claimer *cl, size_t from, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	int64_t *ids = xcalloc(b->n - from + 1, sizeof(*ids));
	bson_t *filter = BCON_NEW("token", BCON_INT64(cl->token));
	mongoc_cursor_t *cursor;
	const bson_t *doc;
	size_t i, n = 0, kept = from;
	int rc;

	for (i = from; i < b->n; i++)
		ids[i - from] = b->items[i].id;
	mg_append_ids(filter, "_id", ids, b->n - from);
	cursor = mg_find(cl->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}"));
	while ((rc = mg_next(cl->s, cursor, &doc, err)) > 0 && n < b->n - from)
		ids[n++] = mg_i64(doc, "_id");
	mongoc_cursor_destroy(cursor);
	qsort(ids, n, sizeof(*ids), by_id);
	for (i = from; !rc && i < b->n; i++) {
		if (!bsearch(&b->items[i].id, ids, n, sizeof(*ids), by_id))
			continue;
		cl->states[kept] = cl->states[i];
		b->items[kept++] = b->items[i];
	}
	if (!rc)
		b->n = kept;
	free(ids);
	return rc;
}

/* Whether an item was read as the first of them was: then one update with a list of ids takes both. */
static bool reads_like(const struct claimer *cl, size_t i, size_t first)
{
	return cl->states[i] == cl->states[first] &&
	       cl->batch.items[i].fence == cl->batch.items[first].fence;
}

/* The update of those like the first: nearly always all, so that a claim costs the server one search and
 * not one for each row. */
static void add_alike(struct claimer *cl, size_t first, mongoc_bulk_operation_t *bulk)
{
	const struct claim_batch *b = &cl->batch;
	int64_t *ids = xcalloc(b->n - first, sizeof(*ids));
	bson_t *filter = BCON_NEW("state", BCON_INT32(cl->states[first]), "fence",
	                          BCON_INT64(b->items[first].fence - 1));
	size_t i, n = 0;

	for (i = first; i < b->n; i++) {
		if (reads_like(cl, i, first))
			ids[n++] = b->items[i].id;
	}
	mg_append_ids(filter, "_id", ids, n);
	mg_bulk_update_all(bulk, filter, taken_row(cl));
	free(ids);
}

/* Takes the items from `from` on. */
static int take_from(struct claimer *cl, size_t from, struct error *err)
{
	usec_t deadline;
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(cl->s, MG_MESSAGES);
	struct claim_batch *b = &cl->batch;
	int64_t matched = 0;
	size_t i;
	int rc;

	add_alike(cl, from, bulk);
	for (i = from + 1; i < b->n; i++) {
		if (reads_like(cl, i, from))
			continue;
		mg_bulk_update(cl->s, bulk,
		               BCON_NEW("_id", BCON_INT64(b->items[i].id), "state",
		                        BCON_INT32(cl->states[i]), "fence",
		                        BCON_INT64(b->items[i].fence - 1)),
		               taken_row(cl));
	}
	rc = mg_bulk_run(cl->s, bulk, &matched, err);
	if (rc == ERR_UNCERTAIN) {
		/* What cannot be found out in time comes back with its lease. */
		for (deadline = clock_mono() + FIND_OUT; (rc = keep_taken(cl, from, err)) != OK;) {
			if (clock_mono() > deadline)
				return error_set(err, ERR_UNCERTAIN, "what a claim took is not known");
			usleep(FIND_OUT_PAUSE);
		}
		return OK;
	}
	if (rc || matched == (int64_t)(b->n - from))
		return rc;
	return keep_taken(cl, from, err);
}

/* Turns candidates into claims, up to grant. */
static int take(struct claimer *cl, uint32_t grant, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	size_t wanted = b->n, from = 0;
	int round, rc = OK;

	for (round = 0; !rc && b->n > from; round++) {
		rc = take_from(cl, from, err);
		from = b->n;
		if (!rc && b->n < wanted && round < TAKE_ROUNDS)
			rc = gather_all(cl, MIN_OF(wanted, grant) - b->n, err);
	}
	if (rc)
		b->n = from;
	return rc;
}

/* --- the beat -------------------------------------------------------------------------------------------- */

/* After a write without an answer: whether the beat has this claim's note. */
static int look_for_note(struct claimer *cl, bool *ret, struct error *err)
{
	const usec_t deadline = clock_mono() + FIND_OUT;
	struct error spare = ERROR_INIT;
	int64_t n = 0;

	while (mg_count(cl->s, MG_SCHEDULER,
	                BCON_NEW("_id", BCON_UTF8(MG_BEAT), cl->note, "{", "$exists", BCON_BOOL(true), "}"),
	                &n, &spare)) {
		if (clock_mono() > deadline)
			return err->code;
		usleep(FIND_OUT_PAUSE);
	}
	*ret = n == 1;
	/* When it is not there, the write may still be on its way. */
	return n == 1 ? OK : err->code;
}

/* Puts the beat's new state in place of the one looked at; false in *ret: somebody else was first. */
static int swap_pacing(struct claimer *cl, const struct pacing *next, bool *ret, struct error *err)
{
	const int64_t closed = next->interval && !next->left ? next->epoch : 0;
	int64_t matched = 0;
	int rc;

	cl->token = mg_token();
	snprintf(cl->note, sizeof(cl->note), "claims.t%llx", (unsigned long long)cl->token);
	rc = mg_update(cl->s, MG_SCHEDULER, false, mg_beat_filter(&cl->beat.row.s.pacing),
	               BCON_NEW("$set", "{", "beat_at", BCON_INT64(next->beat_at), "epoch",
	                        BCON_INT64(next->epoch), "remaining", BCON_INT64(next->left),
	                        cl->note, "{", "run", BCON_INT64(next->epoch), "at",
	                        BCON_INT64(cl->batch.now), "}", "}", "$max", "{", "closed",
	                        BCON_INT64(closed), "}"),
	               false, &matched, err);
	*ret = !rc && matched == 1;
	return rc == ERR_UNCERTAIN ? look_for_note(cl, ret, err) : rc;
}

/* Every claim makes the record if it is not there yet; of a beat that two take from, the one that
 * opened it may be the later to come here. */
static int record_run(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	bson_t *update = bson_new(), part;
	const bool opened = b->answer == PACING_OPEN;
	int rc, tries = 0;

	if (opened || b->n) {
		BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
		if (opened) {
			BSON_APPEND_INT64(&part, "started_at", b->now);
			BSON_APPEND_UTF8(&part, "node", cl->r->node);
		}
		if (b->n)
			BSON_APPEND_INT64(&part, "last_id", b->items[b->n - 1].id);
		bson_append_document_end(update, &part);
	}
	BSON_APPEND_DOCUMENT_BEGIN(update, "$setOnInsert", &part);
	if (!opened) {
		BSON_APPEND_INT64(&part, "started_at", cl->beat.row.s.pacing.beat_at);
		BSON_APPEND_UTF8(&part, "node", cl->r->node);
	}
	BSON_APPEND_BOOL(&part, "finished", false);
	bson_append_document_end(update, &part);
	do
		rc = mg_update(cl->s, MG_RUNS, false, BCON_NEW("_id", BCON_INT64(b->run)),
		               bson_copy(update), true, NULL, err);
	while (rc == ERR_CONFLICT && !tries++); /* two upserts at once: now it is there */
	bson_destroy(update);
	if (!rc && opened && b->run % 1000 == 0)
		rc = mg_delete(cl->s, MG_RUNS,
		               BCON_NEW("_id", "{", "$lte", BCON_INT64(b->run - RUNS_KEPT), "}"), err);
	return rc;
}

/* The claim is over: its note goes, the beat is dated right, and runs that end by this do. What fails here
 * is for recovery: the rows are claimed. */
static void end_claim(struct claimer *cl, struct pacing *next, usec_t spent)
{
	struct claim_batch *b = &cl->batch;
	struct settle_result ended = {.ended_n = 0};
	struct error spare = ERROR_INIT;
	struct mg_beat beat;
	int64_t runs[2] = {b->run, b->run - 1};
	bson_t *update = BCON_NEW("$unset", "{", cl->note, BCON_INT32(1), "}");
	bson_t doc, max;
	bool found = false;

	if (b->answer == PACING_OPEN && spent > LATE_WRITE) {
		next->beat_at += spent;
		BSON_APPEND_DOCUMENT_BEGIN(update, "$max", &max);
		BSON_APPEND_INT64(&max, "beat_at", next->beat_at);
		bson_append_document_end(update, &max);
	}
	if (mg_modify(cl->s, MG_SCHEDULER, BCON_NEW("_id", BCON_UTF8(MG_BEAT)), update, &doc, &found,
	              &spare) ||
	    !found)
		return;
	mg_beat_parse(&doc, &beat);
	bson_destroy(&doc);
	if (!mg_runs_end(cl->s, &beat, runs, b->answer == PACING_OPEN ? 2 : 1, &ended, &spare) &&
	    ended.ended_n)
		b->ended = ended.ended[0];
}

/* There is nothing to take, and no beat that would have to be recorded nevertheless. */
static int wait_for_work(struct claimer *cl, struct error *err)
{
	cl->batch.answer = PACING_WAIT;
	return soonest_claimable(cl->s, cl->r, &cl->batch.next_at, err);
}

static int claim_from_beat(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pacing *seen = &cl->beat.row.s.pacing, next;
	usec_t soonest = USEC_NEVER, spent;
	struct error spare = ERROR_INIT;
	size_t candidates;
	bool swapped = false;
	uint32_t grant;
	int rc;

	b->answer = pacing_ask(seen, b->now, cl->r->want, cl->r->forced, &grant);
	rc = gather_all(cl, grant, err);
	if (rc)
		return rc;
	candidates = b->n;
	if (!b->n && !seen->interval)
		return wait_for_work(cl, err);
	next = pacing_after(seen, b->answer, b->now, (uint32_t)b->n, b->n < grant);
	rc = swap_pacing(cl, &next, &swapped, err);
	if (rc || !swapped) {
		cl->lost_race = !rc;
		return rc;
	}
	spent = clock_mono() - cl->began;
	if (b->answer == PACING_OPEN && seen->interval && seen->beat_at)
		b->lateness = b->now - pacing_next_at(seen);
	b->run = next.epoch;
	/* A process that was stopped in between has lost its grant: its claims would be stale. */
	if (spent > cl->r->lease / 2)
		b->n = 0;
	rc = take(cl, grant, err);
	if (rc)
		return rc;
	/* A run without a record is a smaller loss than claims that nobody knows of. */
	record_run(cl, &spare);
	end_claim(cl, &next, spent);
	b->more = next.interval ? next.left > 0 : candidates == grant;
	if (!next.interval && !b->more && soonest_claimable(cl->s, cl->r, &soonest, &spare))
		soonest = b->now; /* what is claimed is claimed; ask again */
	b->next_at = b->more && !next.interval ? b->now : claim_next_at(&next, b->answer, soonest);
	return OK;
}

static int claim_beside(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct error spare = ERROR_INIT;
	size_t candidates;
	int rc = gather_all(cl, cl->r->want, err);

	if (rc)
		return rc;
	if (!b->n)
		return wait_for_work(cl, err);
	candidates = b->n;
	cl->token = mg_token();
	rc = take(cl, cl->r->want, err);
	if (rc)
		return rc;
	b->answer = b->n ? PACING_JOIN : PACING_WAIT;
	b->more = candidates == cl->r->want;
	b->next_at = b->now;
	if (!b->more && soonest_claimable(cl->s, cl->r, &b->next_at, &spare))
		b->next_at = b->now;
	return OK;
}

/* Looks at what there is to do; fills in the batch's answer, and next_at when that is not to claim. */
static int look(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pacing *seen = &cl->beat.row.s.pacing;
	uint32_t grant;
	int rc = mg_beat_read(cl->s, &cl->beat, err);

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc) {
		b->answer = PACING_STOPPED;
		b->next_at = USEC_NEVER;
		return mg_now(cl->s, &b->now, err);
	}
	rc = mg_now(cl->s, &b->now, err);
	if (rc)
		return rc;
	cl->began = clock_mono();
	b->lease_until = b->now + cl->r->lease;
	b->failure_rate = cl->beat.row.s.failure_rate;
	b->answer = pacing_ask(seen, b->now, cl->r->want, cl->r->forced, &grant);
	if (cl->r->unpaced || (cl->r->free_retries && b->answer != PACING_STOPPED))
		b->answer = PACING_JOIN;
	b->next_at = claim_next_at(seen, b->answer, USEC_NEVER);
	return OK;
}

static int claim_once(struct claimer *cl, struct error *err)
{
	int rc = look(cl, err);

	if (rc || (cl->batch.answer != PACING_OPEN && cl->batch.answer != PACING_JOIN))
		return rc;
	return claim_beside_beat(cl->r) ? claim_beside(cl, err) : claim_from_beat(cl, err);
}

int mg_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct claimer cl;
	int tries, rc;

	for (tries = 0;; tries++) {
		cl = (struct claimer){.s = session, .r = r};
		rc = claim_once(&cl, err);
		free(cl.states);
		if (rc || !cl.lost_race)
			break;
		arena_release(&cl.batch.arena);
		if (tries == CLAIM_TRIES) {
			/* A store this busy: let the others go on. */
			cl.batch = (struct claim_batch){.answer = PACING_WAIT,
			                                .now = cl.batch.now,
			                                .next_at = cl.batch.now};
			break;
		}
	}
	if (rc)
		claim_batch_release(&cl.batch);
	else
		*ret = cl.batch;
	return rc;
}
