/*
 * Whole records, out of the MongoDB driver and into it. A message is one document, so each is stored whole
 * or not at all; a call that is cut short leaves some of its messages stored, and finds them when it is repeated.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "store_mongo.h"
#include "text.h"

/* Pages end early when their texts are this large. */
#define PAGE_BYTES (8 << 20)
#define IMPORT_TRIES 20

/* --- messages out ------------------------------------------------------------------------------------------ */

static int by_seq(const void *a, const void *b)
{
	const struct attempt_record *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Who made the claim of that fence. */
static const char *owner_of(const bson_t *doc, int64_t fence, struct arena *arena)
{
	bson_t owners;
	char index[24];

	if (!mg_embedded(doc, "owners", &owners))
		return NULL;
	snprintf(index, sizeof(index), "%lld", (long long)fence - 1);
	return arena_strdup(arena, mg_utf8(&owners, index));
}

void mg_attempts_read(const bson_t *doc, struct arena *arena, struct attempt_record **ret, size_t *ret_n)
{
	struct attempt_record *items;
	bson_t tries, entry;
	bson_iter_t it;
	size_t n = 0, kept = 0, i;

	*ret = NULL;
	*ret_n = 0;
	if (!mg_embedded(doc, "tries", &tries) || !bson_iter_init(&it, &tries))
		return;
	items = arena_calloc(arena, bson_count_keys(&tries) + 1, sizeof(*items));
	while (bson_iter_next(&it)) {
		const uint8_t *data;
		uint32_t len;

		if (!BSON_ITER_HOLDS_DOCUMENT(&it))
			continue;
		bson_iter_document(&it, &len, &data);
		if (!bson_init_static(&entry, data, len))
			continue;
		items[n++] = (struct attempt_record){
			.seq = mg_i64(&entry, "seq"),
			.a = {.attempt = (int)mg_i64(&entry, "attempt"),
			      .run = mg_attempt_run(&entry),
			      .verdict = (enum verdict)mg_i64(&entry, "verdict"),
			      .http_status = (int)mg_i64(&entry, "status"),
			      .started_at = mg_i64(&entry, "started_at"),
			      .duration = mg_i64(&entry, "duration"),
			      .error = arena_strdup(arena, mg_utf8(&entry, "error"))},
		};
	}
	qsort(items, n, sizeof(*items), by_seq);
	for (i = 0; i < n; i++) {
		/* The same report twice is one. */
		if (kept && items[i].seq == items[kept - 1].seq)
			continue;
		items[kept] = items[i];
		items[kept].a.node = owner_of(doc, items[i].seq / attempt_seq(1, VERDICT_LOST), arena);
		kept++;
	}
	*ret = items;
	*ret_n = kept;
}

static void read_record(const bson_t *doc, struct arena *arena, struct message_record *r)
{
	mg_message(doc, arena, &r->m);
	r->m.owner = r->m.fence ? owner_of(doc, r->m.fence, arena) : NULL;
	mg_attempts_read(doc, arena, &r->attempts, &r->attempts_n);
	record_complete(r, (int)mg_i64(doc, "state"), mg_i64(doc, "run"), record_said(r));
}

/* Insertions that were committed by a process that died before it made them visible: they count. */
static int publish_staged(struct mg_session *s, struct error *err)
{
	int64_t batches[50];
	size_t i, n = 0;
	const bson_t *doc;
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_COMMITS, BCON_NEW("committed", BCON_BOOL(true)),
	                BCON_NEW("sort", "{", "at", BCON_INT32(-1), "}", "limit",
	                         BCON_INT64(ARRAY_SIZE(batches))));
	int rc;

	while ((rc = mg_next(s, cursor, &doc, err)) > 0 && n < ARRAY_SIZE(batches))
		batches[n++] = mg_i64(doc, "_id");
	for (i = 0; rc >= 0 && i < n; i++)
		rc = mg_batch_resolve(s, batches[i], false, err);
	return rc;
}

int mg_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err)
{
	int rc = after ? OK : publish_staged(session, err);
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	struct record_page page = {.n = 0};
	const bson_t *doc;

	if (rc)
		return rc;
	cursor = mg_find(session, MG_MESSAGES,
	                 BCON_NEW("_id", "{", "$gt", BCON_INT64(after), "}", "state", "{", "$gte",
	                          BCON_INT32(0), "}"),
	                 BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "limit",
	                          BCON_INT64((int64_t)limit + 1)));
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	while ((rc = mg_next(session, cursor, &doc, err)) > 0) {
		if (page.n == limit || page.arena.used > PAGE_BYTES) {
			page.more = true;
			break;
		}
		read_record(doc, &page.arena, &page.items[page.n++]);
	}
	if (rc < 0) {
		record_page_release(&page);
		return rc;
	}
	*ret = page;
	return OK;
}

/* --- messages in ------------------------------------------------------------------------------------------- */

struct importer {
	struct mg_session *s;
	struct message_record *items;
	size_t n;
	bool given;    /* ids are */
	int64_t batch; /* ours; marks what this call has stored */
	struct place {
		int64_t id; /* 0: not decided yet */
		usec_t created_at;
		bool stored, repeated;
	} * places;
};

/* Fields as an insertion, claims and outcomes would have left them. */
static void append_owners(bson_t *doc, const struct message_record *r)
{
	const int64_t step = attempt_seq(1, VERDICT_LOST);
	const char *key, *owner;
	size_t next = 0;
	char space[24];
	bson_t list;
	int64_t f;

	BSON_APPEND_ARRAY_BEGIN(doc, "owners", &list);
	for (f = 1; f <= r->m.fence; f++) {
		owner = f == r->m.fence ? r->m.owner : NULL;
		for (; next < r->attempts_n && r->attempts[next].seq / step <= f; next++) {
			if (!owner && r->attempts[next].seq / step == f)
				owner = r->attempts[next].a.node;
		}
		bson_uint32_to_string((uint32_t)f - 1, &key, space, sizeof(space));
		if (owner)
			BSON_APPEND_UTF8(&list, key, owner);
		else
			BSON_APPEND_NULL(&list, key);
	}
	bson_append_array_end(doc, &list);
}

static void append_tries(bson_t *doc, const struct message_record *r)
{
	bson_t list, entry;
	const char *key;
	char space[24];
	size_t i;

	BSON_APPEND_ARRAY_BEGIN(doc, "tries", &list);
	for (i = 0; i < r->attempts_n; i++) {
		const struct attempt_record *a = &r->attempts[i];
		struct mg_attempt to = {
			.seq = a->seq,
			.run = a->a.run,
			.counts = record_counted(r, i) == a ? a->a.run : 0,
			.attempt = a->a.attempt,
			.verdict = a->a.verdict,
			.http_status = a->a.http_status,
			.started_at = a->a.started_at,
			.duration = a->a.duration,
			.error = a->a.error,
		};

		bson_uint32_to_string((uint32_t)i, &key, space, sizeof(space));
		BSON_APPEND_DOCUMENT_BEGIN(&list, key, &entry);
		mg_fill_attempt(&entry, &to);
		bson_append_document_end(&list, &entry);
	}
	bson_append_array_end(doc, &list);
}

static bson_t *document(const struct importer *im, size_t i)
{
	const struct message_record *r = &im->items[i];
	const struct message *m = &r->m;
	bson_t *doc = bson_new();

	BSON_APPEND_INT64(doc, "_id", im->places[i].id);
	BSON_APPEND_INT32(doc, "state", record_state(r));
	BSON_APPEND_INT64(doc, "state_at", record_state_at(r));
	BSON_APPEND_INT64(doc, "due_at", m->due_at);
	BSON_APPEND_INT64(doc, "created_at", im->places[i].created_at);
	BSON_APPEND_INT64(doc, "updated_at", m->updated_at);
	BSON_APPEND_INT64(doc, "fence", m->fence);
	BSON_APPEND_INT64(doc, "run", r->run);
	BSON_APPEND_INT64(doc, "batch", im->batch);
	if (m->send_at)
		BSON_APPEND_INT64(doc, "send_at", m->send_at);
	if (m->started_at)
		BSON_APPEND_INT64(doc, "started_at", m->started_at);
	if (m->attempts)
		BSON_APPEND_INT32(doc, "attempts", m->attempts);
	if (m->lost)
		BSON_APPEND_INT32(doc, "lost", m->lost);
	BSON_APPEND_UTF8(doc, "phone", m->phone);
	BSON_APPEND_UTF8(doc, "content", m->content);
	mg_append_text(doc, "key", m->idempotency_key, MESSAGE_KEY_MAX);
	mg_append_text(doc, "metadata", m->metadata, MESSAGE_METADATA_MAX);
	mg_append_text(doc, "message_id", m->message_id, MESSAGE_PROVIDER_ID_MAX);
	mg_append_text(doc, "error", m->last_error, MESSAGE_ERROR_MAX);
	if (m->fence)
		append_owners(doc, r);
	if (r->attempts_n)
		append_tries(doc, r);
	return doc;
}

/* The i-th item that a stored document stands for, n when there is none. */
static size_t item_of(const struct importer *im, const bson_t *doc)
{
	const int64_t id = mg_i64(doc, "_id");
	const char *key = mg_utf8(doc, "key");
	size_t i;

	for (i = 0; i < im->n; i++) {
		if (im->given ? im->items[i].m.id == id
		              : key && im->items[i].m.idempotency_key &&
		                        !strcmp(im->items[i].m.idempotency_key, key))
			return i;
	}
	return i;
}

static bson_t *keys_filter(const struct importer *im)
{
	bson_t *filter = bson_new(), in, list;
	uint32_t n = 0;
	const char *at;
	char space[16];
	size_t i;

	BSON_APPEND_DOCUMENT_BEGIN(filter, "key", &in);
	BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
	for (i = 0; i < im->n; i++) {
		if (!im->items[i].m.idempotency_key)
			continue;
		bson_uint32_to_string(n++, &at, space, sizeof(space));
		BSON_APPEND_UTF8(&list, at, im->items[i].m.idempotency_key);
	}
	bson_append_array_end(&in, &list);
	bson_append_document_end(filter, &in);
	if (n)
		return filter;
	bson_destroy(filter);
	return NULL;
}

/* What is there already: by id, or by key. */
static int look(struct importer *im, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	bson_t *filter;
	const bson_t *doc;
	size_t i;
	int rc;

	if (im->given)
		filter = BCON_NEW("_id", "{", "$gte", BCON_INT64(im->items[0].m.id), "$lte",
		                  BCON_INT64(im->items[im->n - 1].m.id), "}");
	else
		filter = keys_filter(im);
	if (!filter)
		return OK;
	cursor = mg_find(im->s, MG_MESSAGES, filter,
	                 BCON_NEW("projection", "{", "key", BCON_INT32(1), "created_at", BCON_INT32(1),
	                          "batch", BCON_INT32(1), "}"));
	while ((rc = mg_next(im->s, cursor, &doc, err)) > 0) {
		i = item_of(im, doc);
		if (i == im->n)
			continue;
		im->places[i].id = mg_i64(doc, "_id");
		im->places[i].created_at = mg_i64(doc, "created_at");
		im->places[i].stored = true;
		im->places[i].repeated = mg_i64(doc, "batch") != im->batch;
	}
	return rc;
}

/* Finds ids for `n` that have none. Numbers drawn in vain are lost, which is harmless. */
static int draw(struct importer *im, int64_t n, struct error *err)
{
	bool found = false;
	usec_t created_at;
	int64_t id;
	size_t i;
	bson_t doc;
	int rc = mg_modify(im->s, MG_COUNTERS, BCON_NEW("_id", BCON_UTF8(MG_IDS)),
	                   BCON_NEW("$inc", "{", "last", BCON_INT64(n), "}"), &doc, &found, err);

	if (rc == ERR_UNCERTAIN)
		return err->code = ERR_TRANSIENT;
	if (rc)
		return rc;
	if (!found)
		return error_set(err, ERR_PERMANENT, "MongoDB: the document of the last id is gone");
	id = mg_i64(&doc, "last") - n;
	created_at = mg_i64(&doc, "created_at");
	bson_destroy(&doc);
	if (id + n > MESSAGE_ID_MAX)
		return error_set(err, ERR_PERMANENT, "the store has given out all its ids");
	for (i = 0; i < im->n; i++) {
		if (im->places[i].stored)
			continue;
		created_at = MAX_OF(created_at, im->items[i].m.created_at);
		im->places[i].id = ++id;
		im->places[i].created_at = created_at;
	}
	return OK;
}

int mg_raise_last(struct mg_session *s, int64_t id, usec_t created_at, struct error *err)
{
	int rc = mg_update(s, MG_COUNTERS, false, BCON_NEW("_id", BCON_UTF8(MG_IDS)),
	                   BCON_NEW("$max", "{", "last", BCON_INT64(id), "created_at",
	                            BCON_INT64(created_at), "}"),
	                   false, NULL, err);

	return rc == ERR_UNCERTAIN ? (err->code = ERR_TRANSIENT) : rc;
}

/* *ret_taken: somebody has one of the ids or keys. */
static int store_rest(struct importer *im, bool *ret_taken, struct error *err)
{
	mongoc_bulk_operation_t *bulk cleanup(mg_free_bulk) = mg_bulk(im->s, MG_MESSAGES);
	usec_t created_at = 0;
	int64_t last_id = 0;
	bson_error_t e;
	size_t i;
	int rc;

	for (i = 0; i < im->n; i++) {
		bson_t *doc cleanup(mg_free_bson) = NULL;

		if (im->places[i].stored)
			continue;
		last_id = MAX_OF(last_id, im->places[i].id);
		created_at = MAX_OF(created_at, im->places[i].created_at);
		doc = document(im, i);
		if (!mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, &e))
			return error_set(err, ERR_INVALID, "MongoDB: %s", e.message);
	}
	rc = mg_raise_last(im->s, last_id, created_at, err);
	if (!rc)
		rc = mg_bulk_run(im->s, bulk, NULL, err);
	*ret_taken = rc == ERR_CONFLICT;
	return rc == ERR_CONFLICT ? OK : rc;
}

static int import_once(struct importer *im, bool *ret_again, struct error *err)
{
	int64_t missing = 0;
	size_t i;
	int rc = look(im, err);

	*ret_again = false;
	for (i = 0; i < im->n; i++) {
		missing += !im->places[i].stored;
		if (!im->places[i].stored && im->given) {
			im->places[i].id = im->items[i].m.id;
			im->places[i].created_at = im->items[i].m.created_at;
		}
	}
	if (!rc && missing && !im->given)
		rc = draw(im, missing, err);
	return rc || !missing ? rc : store_rest(im, ret_again, err);
}

int mg_import_messages(void *session, struct message_record *items, size_t n, struct error *err)
{
	struct importer im = {.s = session,
	                      .items = items,
	                      .n = n,
	                      .given = items[0].m.id != 0,
	                      .batch = mg_token(),
	                      .places = xcalloc(n, sizeof(*im.places))};
	bool again = true;
	int tries, rc = OK;
	size_t i;

	for (tries = 0; !rc && again && tries < IMPORT_TRIES; tries++) {
		if (tries)
			usleep((useconds_t)(random_u64() % 1000 * (uint64_t)tries));
		rc = import_once(&im, &again, err);
	}
	/* With given ids, whoever is in the way stays there. */
	if (!rc && again)
		rc = im.given ? error_set(err, ERR_CONFLICT,
		                          "messages %lld to %lld: another one has an idempotency key of "
		                          "theirs already",
		                          (long long)items[0].m.id, (long long)items[n - 1].m.id)
		              : error_set(err, ERR_TRANSIENT, "others are storing messages under the same keys");
	for (i = 0; !rc && i < n; i++) {
		items[i].result = im.places[i].repeated ? INSERT_REPEATED : INSERT_CREATED;
		items[i].m.id = im.places[i].id;
		items[i].m.created_at = im.places[i].created_at;
	}
	free(im.places);
	return rc;
}
