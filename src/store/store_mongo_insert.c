/*
 * Taking messages in. Everything is decided before anything is written: which keys are taken, hence which
 * groups stand, hence how many ids are needed. Only then ids are drawn and rows inserted. Whoever meets
 * another's key in between takes his rows back and begins anew; that costs ids only if a third one has drawn
 * some meanwhile.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "store_mongo.h"
#include "text.h"

#define INSERT_TRIES 200
#define PUBLISH_PATIENCE (5 * USEC_PER_SEC)
#define PUBLISH_PAUSE (50 * USEC_PER_MSEC)
#define STAGED_PATIENCE (10 * USEC_PER_SEC) /* an insertion that takes longer is taken for dead */

/* A key of this call and the message that it stands for. */
struct known {
	const char *key;
	const char *phone, *content, *metadata; /* NULL phone: none yet */
	usec_t send_at, created_at;
	int64_t id;   /* below 0: the -id-th of those that this call creates */
	size_t group; /* that creates it */
};

struct inserter {
	struct mg_session *s;
	struct insert_group *groups;
	size_t n;
	struct arena arena; /* texts of stored messages */
	struct known *keys;
	size_t n_keys;
	int64_t creates; /* how many messages to create */
	int64_t last_id; /* the last id before ours */
	usec_t now, created_at;
	int64_t batch;
	bool again; /* somebody was faster: decide anew */
};

/* --- deciding -------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->key, ((const struct known *)b)->key);
}

static struct known *find_key(struct inserter *in, const char *key)
{
	const struct known probe = {.key = key};

	if (!key || !in->n_keys)
		return NULL;
	return bsearch(&probe, in->keys, in->n_keys, sizeof(*in->keys), by_key);
}

static void gather_keys(struct inserter *in)
{
	size_t i, j, n = 0, kept = 0;

	for (i = 0; i < in->n; i++)
		n += in->groups[i].n;
	in->keys = xcalloc(n + 1, sizeof(*in->keys));
	for (i = n = 0; i < in->n; i++) {
		for (j = 0; j < in->groups[i].n; j++) {
			if (in->groups[i].drafts[j].idempotency_key)
				in->keys[n++].key = in->groups[i].drafts[j].idempotency_key;
		}
	}
	if (n)
		qsort(in->keys, n, sizeof(*in->keys), by_key);
	for (i = 0; i < n; i++) {
		if (!kept || strcmp(in->keys[kept - 1].key, in->keys[i].key))
			in->keys[kept++] = in->keys[i];
	}
	in->n_keys = kept;
}

/* A message under one of our keys. One that is still staged has to be waited for. */
static int note_stored(struct inserter *in, const bson_t *doc, struct error *err)
{
	struct known *k = find_key(in, mg_utf8(doc, "key"));

	if (!k)
		return OK;
	if (mg_i64(doc, "state") == ROW_STAGED) {
		in->again = true;
		return mg_batch_resolve(in->s, mg_i64(doc, "batch"),
		                        in->now - mg_i64(doc, "created_at") > STAGED_PATIENCE, err);
	}
	k->phone = arena_strdup(&in->arena, mg_utf8(doc, "phone"));
	k->content = arena_strdup(&in->arena, mg_utf8(doc, "content"));
	k->metadata = arena_strdup(&in->arena, mg_utf8(doc, "metadata"));
	k->send_at = mg_i64(doc, "send_at");
	k->created_at = mg_i64(doc, "created_at");
	k->id = mg_i64(doc, "_id");
	return OK;
}

static int look_up_keys(struct inserter *in, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	bson_t *filter, list, values;
	const bson_t *doc;
	char space[16];
	const char *at;
	size_t i;
	int rc;

	if (!in->n_keys)
		return OK;
	filter = bson_new();
	BSON_APPEND_DOCUMENT_BEGIN(filter, "key", &list);
	BSON_APPEND_ARRAY_BEGIN(&list, "$in", &values);
	for (i = 0; i < in->n_keys; i++) {
		bson_uint32_to_string((uint32_t)i, &at, space, sizeof(space));
		BSON_APPEND_UTF8(&values, at, in->keys[i].key);
	}
	bson_append_array_end(&list, &values);
	bson_append_document_end(filter, &list);
	cursor = mg_find(in->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "key", BCON_INT32(1), "phone", BCON_INT32(1),
	                          "content", BCON_INT32(1), "metadata", BCON_INT32(1), "send_at",
	                          BCON_INT32(1), "created_at", BCON_INT32(1), "state", BCON_INT32(1),
	                          "batch", BCON_INT32(1), "}"));
	while ((rc = mg_next(in->s, cursor, &doc, err)) > 0) {
		rc = note_stored(in, doc, err);
		if (rc)
			return rc;
	}
	return rc;
}

static void decide_draft(struct inserter *in, struct message_draft *d, size_t group)
{
	struct known *k = find_key(in, d->idempotency_key);

	if (!k || !k->phone) {
		d->result = INSERT_CREATED;
		d->id = -++in->creates;
		if (k)
			*k = (struct known){d->idempotency_key, d->phone, d->content, d->metadata,
			                    d->send_at,         0,        d->id,      group};
	} else if (!text_equal(k->phone, d->phone) || !text_equal(k->content, d->content) ||
	           !text_equal(k->metadata, d->metadata) || k->send_at != d->send_at) {
		d->result = INSERT_CONFLICT;
		d->id = d->created_at = 0;
	} else {
		d->result = INSERT_REPEATED;
		d->id = k->id;
		d->created_at = k->created_at;
	}
}

static void decide_group(struct inserter *in, size_t g)
{
	struct insert_group *group = &in->groups[g];
	int64_t before = in->creates;
	size_t i;

	group->stored = true;
	for (i = 0; i < group->n; i++) {
		decide_draft(in, &group->drafts[i], g);
		group->stored &= group->drafts[i].result != INSERT_CONFLICT;
	}
	if (group->stored)
		return;
	in->creates = before;
	for (i = 0; i < group->n; i++) {
		if (group->drafts[i].id < -before)
			group->drafts[i].id = group->drafts[i].created_at = 0;
	}
	/* Keys that it would have used are free again. */
	for (i = 0; i < in->n_keys; i++) {
		if (in->keys[i].id < 0 && in->keys[i].group == g)
			in->keys[i] = (struct known){.key = in->keys[i].key};
	}
}

/* --- writing --------------------------------------------------------------------------------------------- */

/* Ids and creation times rise together, also over a server whose clock is behind the last one's. */
static int draw_ids(struct inserter *in, struct error *err)
{
	bson_t doc;
	bool found;
	int rc = mg_modify(in->s, MG_COUNTERS, BCON_NEW("_id", BCON_UTF8(MG_IDS)),
	                   BCON_NEW("$inc", "{", "last", BCON_INT64(in->creates), "}", "$max", "{",
	                            "created_at", BCON_INT64(in->now), "}"),
	                   &doc, &found, err);

	if (rc == ERR_UNCERTAIN) /* ids are lost at most */
		return err->code = ERR_TRANSIENT;
	if (rc)
		return rc;
	if (!found)
		return error_set(err, ERR_PERMANENT, "MongoDB: the document of the last id is gone");
	in->last_id = mg_i64(&doc, "last") - in->creates;
	in->created_at = mg_i64(&doc, "created_at");
	bson_destroy(&doc);
	if (in->last_id + in->creates > MESSAGE_ID_MAX)
		return error_set(err, ERR_PERMANENT, "the store has given out all its ids");
	return OK;
}

/* Ids of rows that were taken back, unless others have drawn meanwhile. */
static int give_back_ids(struct inserter *in, struct error *err)
{
	return mg_update(in->s, MG_COUNTERS, false,
	                 BCON_NEW("_id", BCON_UTF8(MG_IDS), "last",
	                          BCON_INT64(in->last_id + in->creates)),
	                 BCON_NEW("$inc", "{", "last", BCON_INT64(-in->creates), "}"), false, NULL, err);
}

static bson_t *new_message(const struct inserter *in, const struct message_draft *d, int state)
{
	bson_t *doc = bson_new();

	/* What is 0 or empty at first is left out, except what claims compare. */
	BSON_APPEND_INT64(doc, "_id", in->last_id - d->id);
	BSON_APPEND_INT32(doc, "state", state);
	BSON_APPEND_INT64(doc, "state_at", MAX_OF(d->send_at, in->now));
	BSON_APPEND_INT64(doc, "due_at", MAX_OF(d->send_at, in->now));
	BSON_APPEND_INT64(doc, "created_at", in->created_at);
	BSON_APPEND_INT64(doc, "updated_at", in->created_at);
	BSON_APPEND_INT64(doc, "fence", 0);
	BSON_APPEND_INT64(doc, "run", 0);
	BSON_APPEND_INT64(doc, "batch", in->batch);
	if (d->send_at)
		BSON_APPEND_INT64(doc, "send_at", d->send_at);
	BSON_APPEND_UTF8(doc, "phone", d->phone);
	BSON_APPEND_UTF8(doc, "content", d->content);
	if (d->idempotency_key)
		BSON_APPEND_UTF8(doc, "key", d->idempotency_key);
	if (d->metadata)
		BSON_APPEND_UTF8(doc, "metadata", d->metadata);
	return doc;
}

/* Whether this call's only row is there. */
static int look_again(struct inserter *in, struct error *err)
{
	struct error spare = ERROR_INIT;
	int64_t n = 0;
	int rc = mg_count(in->s, MG_MESSAGES,
	                  BCON_NEW("_id", BCON_INT64(in->last_id + 1), "batch", BCON_INT64(in->batch)),
	                  &n, &spare);

	/* When it is not, the write may still be on its way. */
	return !rc && n == 1 ? OK : err->code;
}

static int insert_one(struct inserter *in, const struct message_draft *d, struct error *err)
{
	int rc = mg_insert(in->s, MG_MESSAGES, new_message(in, d, MESSAGE_PENDING), err);

	if (rc == ERR_UNCERTAIN)
		return look_again(in, err);
	if (rc != ERR_CONFLICT)
		return rc;
	in->again = true;
	return give_back_ids(in, err);
}

/* Rows of this call's ids, which nobody else is given unless it gives them back. */
static bson_t *my_ids(const struct inserter *in)
{
	return BCON_NEW("_id", "{", "$gt", BCON_INT64(in->last_id), "$lte",
	                BCON_INT64(in->last_id + in->creates), "}");
}

/* Those of them that are not published yet. */
static bson_t *my_rows(const struct inserter *in)
{
	bson_t *rows = my_ids(in);

	BSON_APPEND_INT64(rows, "batch", in->batch);
	return rows;
}

/* What is to be created, once each. */
static int stage(struct inserter *in, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(in->s, MG_MESSAGES);
	const struct message_draft *d;
	bson_error_t e;
	size_t g, i;
	bool added = true;

	for (g = 0; g < in->n; g++) {
		for (i = 0; i < in->groups[g].n; i++) {
			d = &in->groups[g].drafts[i];
			if (d->result == INSERT_CREATED && d->id < 0) {
				bson_t *doc cleanup(mg_free_bson) = new_message(in, d, ROW_STAGED);

				added &= mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, &e);
			}
		}
	}
	return added ? mg_bulk_run(in->s, bulk, NULL, err)
	             : error_set(err, ERR_INVALID, "MongoDB: %s", e.message);
}

/* The rows count from the moment when this is there. */
static int commit(struct inserter *in, struct error *err)
{
	struct error spare = ERROR_INIT;
	int64_t n = 0;
	int rc = mg_insert(in->s, MG_COMMITS,
	                   BCON_NEW("_id", BCON_INT64(in->batch), "committed", BCON_BOOL(true), "at",
	                            BCON_INT64(in->now)),
	                   err);

	if (rc == ERR_CONFLICT)
		return error_set(err, ERR_TRANSIENT,
		                 "the insertion took so long that another node has aborted it");
	if (rc != ERR_UNCERTAIN)
		return rc;
	rc = mg_count(in->s, MG_COMMITS,
	              BCON_NEW("_id", BCON_INT64(in->batch), "committed", BCON_BOOL(true)), &n, &spare);
	return !rc && n == 1 ? OK : err->code;
}

/* Makes the rows of a committed batch visible. Whoever was told that they are stored wants to see them, so a
 * server that is away is waited for; what then still fails is left to recovery. */
static int publish(struct inserter *in, struct error *err)
{
	struct error spare = ERROR_INIT;
	int64_t changed = 0, there = 0;
	const usec_t deadline = clock_mono() + PUBLISH_PATIENCE;
	bson_t *staged;

	for (;;) {
		staged = my_rows(in);
		BSON_APPEND_INT32(staged, "state", ROW_STAGED);
		if (!mg_update(in->s, MG_MESSAGES, true, staged, mg_published(), false, &changed, &spare))
			break;
		if (clock_mono() > deadline)
			return OK;
		usleep(PUBLISH_PAUSE);
	}
	if (changed != in->creates) {
		/* Recovery was at it, too, or an update without an answer. Did it publish them, or abort before our
		 * record was there (and its own has been cleared away since)? */
		if (mg_count(in->s, MG_MESSAGES, my_ids(in), &there, &spare))
			return error_set(err, ERR_UNCERTAIN, "whether an insertion counts is not known: %s",
			                 spare.text);
		if (there != in->creates)
			return error_set(err, ERR_TRANSIENT,
			                 "the insertion took so long that another node has aborted it");
	}
	/* One that stays is cleared away by recovery. */
	mg_delete(in->s, MG_COMMITS, BCON_NEW("_id", BCON_INT64(in->batch)), &spare);
	return OK;
}

static int insert_several(struct inserter *in, struct error *err)
{
	int rc = stage(in, err);

	if (rc == ERR_UNCERTAIN) /* whatever is there is staged */
		return err->code = ERR_TRANSIENT;
	if (rc == ERR_CONFLICT) {
		rc = mg_delete(in->s, MG_MESSAGES, my_rows(in), err);
		in->again = !rc;
		return rc ? rc : give_back_ids(in, err);
	}
	if (!rc)
		rc = commit(in, err);
	return rc ? rc : publish(in, err);
}

/* --- the verb -------------------------------------------------------------------------------------------- */

static void finish(struct inserter *in)
{
	struct message_draft *d;
	size_t g, i;

	for (g = 0; g < in->n; g++) {
		for (i = 0; i < in->groups[g].n; i++) {
			d = &in->groups[g].drafts[i];
			if (d->id >= 0)
				continue;
			d->id = in->last_id - d->id;
			d->created_at = in->created_at;
		}
	}
}

static const struct message_draft *only_draft(const struct inserter *in)
{
	size_t g, i;

	for (g = 0; g < in->n; g++) {
		for (i = 0; i < in->groups[g].n; i++) {
			if (in->groups[g].drafts[i].id == -1)
				return &in->groups[g].drafts[i];
		}
	}
	panic("a message to create is in no group");
}

static int insert_once(struct inserter *in, struct error *err)
{
	size_t g;
	int rc;

	gather_keys(in);
	if ((rc = mg_now(in->s, &in->now, err)) || (rc = look_up_keys(in, err)) || in->again)
		return rc;
	for (g = 0; g < in->n; g++)
		decide_group(in, g);
	if (!in->creates)
		return OK;
	rc = draw_ids(in, err);
	if (rc)
		return rc;
	in->batch = mg_token();
	rc = in->creates == 1 ? insert_one(in, only_draft(in), err) : insert_several(in, err);
	if (!rc && !in->again)
		finish(in);
	return rc;
}

int mg_store_insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct inserter in;
	int tries, rc;

	for (tries = 0; tries < INSERT_TRIES; tries++) {
		in = (struct inserter){.s = session, .groups = groups, .n = n};
		rc = insert_once(&in, err);
		free(in.keys);
		arena_release(&in.arena);
		if (rc || !in.again)
			return rc;
		/* The other one will be done in a moment. */
		usleep((useconds_t)(1000 + random_u64() % 1000 * (uint64_t)MIN_OF(tries + 1, 20)));
	}
	return error_set(err, ERR_TRANSIENT, "others are storing messages under the same keys");
}

int mg_batch_resolve(struct mg_session *s, int64_t batch, bool may_abort, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_COMMITS, BCON_NEW("_id", BCON_INT64(batch)), NULL);
	const bson_t *doc;
	bool committed;
	int rc = mg_next(s, cursor, &doc, err);
	bson_t *rows;
	usec_t now;

	if (rc < 0 || (!rc && !may_abort))
		return rc;
	committed = rc && mg_i64(doc, "committed");
	if (!rc) {
		rc = mg_now(s, &now, err);
		if (!rc)
			rc = mg_insert(s, MG_COMMITS,
			               BCON_NEW("_id", BCON_INT64(batch), "committed", BCON_BOOL(false),
			                        "at", BCON_INT64(now)),
			               err);
		/* The record came just now: next time. */
		if (rc)
			return rc == ERR_CONFLICT ? OK : rc;
	}
	rows = BCON_NEW("state", BCON_INT32(ROW_STAGED), "batch", BCON_INT64(batch));
	if (committed)
		return mg_update(s, MG_MESSAGES, true, rows, mg_published(), false, NULL, err);
	return mg_delete(s, MG_MESSAGES, rows, err);
}
