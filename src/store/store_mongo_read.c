/* Looking at messages. */
#include <stdlib.h>
#include <string.h>

#include "store_mongo.h"

static bson_t *one_message(int64_t id)
{
	return BCON_NEW("_id", BCON_INT64(id), "state", "{", "$gte", BCON_INT32(0), "}");
}

static int not_found(int64_t id, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
}

int mg_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(session, MG_MESSAGES, one_message(id),
	                BCON_NEW("projection", "{", "tries", BCON_INT32(0), "}"));
	const bson_t *doc;
	int rc = mg_next(session, cursor, &doc, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return not_found(id, err);
	mg_message(doc, arena, ret);
	return OK;
}

int mg_counts(void *session, struct store_counts *ret, struct error *err)
{
	return mg_counts_read(session, ret, err);
}

/* --- lists ------------------------------------------------------------------------------------------------- */

static void append_range(bson_t *filter, const char *field, usec_t since, usec_t until)
{
	bson_t range;

	if (!since && !until)
		return;
	BSON_APPEND_DOCUMENT_BEGIN(filter, field, &range);
	if (since)
		BSON_APPEND_INT64(&range, "$gte", since);
	if (until)
		BSON_APPEND_INT64(&range, "$lt", until);
	bson_append_document_end(filter, &range);
}

/* What the query asks for; position: only what comes behind its position. */
static bson_t *list_filter(const struct list_query *q, bool position)
{
	const char *at = q->status < 0 ? "created_at" : "state_at";
	bson_t *filter;

	if (q->status < 0)
		filter = BCON_NEW("state", "{", "$gte", BCON_INT32(0), "}");
	else if (q->status == MESSAGE_PENDING)
		filter = BCON_NEW("state", "{", "$in", "[", BCON_INT32(MESSAGE_PENDING),
		                  BCON_INT32(ROW_RETRYING), "]", "}");
	else
		filter = BCON_NEW("state", BCON_INT32(row_state((enum message_status)q->status)));
	append_range(filter, "created_at", q->since, q->until);
	if (q->phone)
		BSON_APPEND_UTF8(filter, "phone", q->phone);
	if (position && (q->after.at || q->after.id))
		BCON_APPEND(filter, "$or", "[", "{", at, "{", "$lt", BCON_INT64(q->after.at), "}", "}", "{",
		            at, BCON_INT64(q->after.at), "_id", "{", "$lt", BCON_INT64(q->after.id), "}",
		            "}", "]");
	return filter;
}

static int read_page(struct mg_session *s, const struct list_query *q, struct message_page *page,
                     struct error *err)
{
	const char *at = q->status < 0 ? "created_at" : "state_at";
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		s, MG_MESSAGES, list_filter(q, true),
		BCON_NEW("sort", "{", at, BCON_INT32(-1), "_id", BCON_INT32(-1), "}", "skip",
	                 BCON_INT64((int64_t)q->offset), "limit", BCON_INT64((int64_t)q->limit + 1),
	                 "projection", "{", "tries", BCON_INT32(0), "}"));
	const bson_t *doc;
	int rc;

	page->items = arena_calloc(&page->arena, q->limit, sizeof(*page->items));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		if (page->n == q->limit) {
			page->more = true;
			return OK;
		}
		mg_message(doc, &page->arena, &page->items[page->n]);
		page->last = (struct list_position){
			.at = mg_i64(doc, at),
			.id = page->items[page->n].id,
		};
		page->n++;
	}
	return rc;
}

static int count_some(struct mg_session *s, bson_t *filter, uint32_t limit, int64_t *ret, struct error *err)
{
	bson_t *match cleanup(mg_free_bson) = filter;
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_aggregate(
		s, MG_MESSAGES,
		BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(match), "}", "{", "$limit",
	                 BCON_INT64(limit), "}", "{", "$group", "{", "_id", BCON_NULL, "n", "{", "$sum",
	                 BCON_INT32(1), "}", "}", "}", "]"));
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	if (rc < 0)
		return rc;
	*ret = rc ? mg_i64(doc, "n") : 0;
	return OK;
}

/* A page that ends the list says itself how long that is; there is no snapshot over two reads. */
static int read_total(struct mg_session *s, const struct list_query *q, struct message_page *page,
                      struct error *err)
{
	bool whole = !q->after.at && !q->after.id && !page->more && (page->n || !q->offset);

	if (!whole && q->count_most && (q->phone || q->since || q->until)) {
		int rc = count_some(s, list_filter(q, false), q->count_most + 1, &page->total, err);

		if (!rc)
			list_bound_total(q, page);
		return rc;
	}
	if (!whole)
		return mg_count(s, MG_MESSAGES, list_filter(q, false), &page->total, err);
	page->total = (int64_t)(q->offset + page->n);
	return OK;
}

int mg_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct message_page page = {.total = -1};
	int rc = read_page(session, q, &page, err);

	if (!rc && q->want_total)
		rc = read_total(session, q, &page, err);
	if (rc)
		message_page_release(&page);
	else
		*ret = page;
	return rc;
}

/* --- the queue --------------------------------------------------------------------------------------------- */

/* Two questions, so that each is one stretch of the index. */
int mg_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	bson_t *others, *same;
	int64_t before, beside;
	int rc;

	if (q->order == ORDER_LIFO) {
		others = BCON_NEW("state", BCON_INT32(MESSAGE_PENDING), "state_at", "{", "$gt",
		                  BCON_INT64(q->due_at), "$lte", BCON_INT64(q->now), "}");
		same = BCON_NEW("state", BCON_INT32(MESSAGE_PENDING), "state_at", BCON_INT64(q->due_at), "_id",
		                "{", "$gt", BCON_INT64(q->id), "}");
	} else {
		others = BCON_NEW("state", BCON_INT32(MESSAGE_PENDING), "state_at", "{", "$lt",
		                  BCON_INT64(q->due_at), "}");
		same = BCON_NEW("state", BCON_INT32(MESSAGE_PENDING), "state_at", BCON_INT64(q->due_at), "_id",
		                "{", "$lt", BCON_INT64(q->id), "}");
	}
	rc = count_some(session, others, q->limit, &before, err);
	if (rc) {
		bson_destroy(same);
		return rc;
	}
	rc = count_some(session, same, q->limit, &beside, err);
	if (!rc)
		*ret = (uint32_t)MIN_OF(before + beside, (int64_t)q->limit);
	return rc;
}

/* --- attempts ---------------------------------------------------------------------------------------------- */

#define ATTEMPTS_SHOWN 1000

int mg_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(session, MG_MESSAGES, one_message(id),
	                BCON_NEW("projection", "{", "tries", BCON_INT32(1), "owners", BCON_INT32(1), "}"));
	struct attempt_page page = {.n = 0};
	struct attempt_record *attempts;
	const bson_t *doc;
	size_t n, i;
	int rc = mg_next(session, cursor, &doc, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return not_found(id, err);
	mg_attempts_read(doc, &page.arena, &attempts, &n);
	page.n = MIN_OF(n, ATTEMPTS_SHOWN);
	page.items = arena_calloc(&page.arena, page.n, sizeof(*page.items));
	for (i = 0; i < page.n; i++)
		page.items[i] = attempts[i].a;
	*ret = page;
	return OK;
}
