/* Looking at messages and steering them one by one. */
#include <stdio.h>

#include "cache.h"
#include "dispatch.h"
#include "handler.h"
#include "http_internal.h"
#include "render.h"
#include "text.h"

#define REPLAY_STEP 1000

static void answer_message(struct request *r, const char *text, const struct message *m)
{
	struct json_out j = answer_begin(&r->answer, 200, text);

	render_message(&j, m, r->http->o.ids);
	answer_end(&j);
}

static void poke(const struct request *r)
{
	if (r->http->o.dispatch)
		dispatch_poke(r->http->o.dispatch);
}

enum handled handle_get(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct message m;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_get(c, r->id, &r->arena, &m, &err);
	if (code == OK)
		answer_message(r, NULL, &m);
	else if (code == ERR_NOT_FOUND)
		answer_error(&r->answer, API_NO_SUCH_MESSAGE);
	else
		handler_store_error(r, "get", code, &err);
	return HANDLED_DONE;
}

enum handled handle_cancel(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct message m;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_cancel(c, r->id, &r->arena, &m, &err);
	if (code == OK)
		answer_message(r, "Message cancelled", &m);
	else if (code == ERR_NOT_FOUND)
		answer_error(&r->answer, API_NO_SUCH_MESSAGE);
	else if (code == ERR_CONFLICT)
		answer_error(&r->answer, API_NOT_PENDING);
	else
		handler_store_error(r, "cancel", code, &err);
	return HANDLED_DONE;
}

enum handled handle_attempts(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct attempt_page page;
	struct json_out j;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_attempts(c, r->id, &page, &err);
	if (code == ERR_NOT_FOUND) {
		answer_error(&r->answer, API_NO_SUCH_MESSAGE);
		return HANDLED_DONE;
	}
	if (code != OK) {
		handler_store_error(r, "attempts", code, &err);
		return HANDLED_DONE;
	}
	j = answer_begin(&r->answer, 200, NULL);
	json_open_array(&j);
	for (size_t i = 0; i < page.n; i++)
		render_attempt(&j, &page.items[i]);
	json_end(&j);
	answer_end(&j);
	attempt_page_release(&page);
	return HANDLED_DONE;
}

/* Where the list starts: at the cursor, or at the page's offset. */
static bool list_start(struct request *r, struct query *q, struct list_query *ret)
{
	struct cursor at;

	if (!(q->given & QUERY_CURSOR)) {
		ret->offset = (q->page - 1) * q->page_size;
		return true;
	}
	if (!cursor_read(q->cursor.data, q->cursor.len, CURSOR_MESSAGES, q, &at)) {
		details_add(&r->answer.details, "cursor", "is not one that this list with these filters gave");
		answer_error(&r->answer, API_INVALID);
		return false;
	}
	ret->after = at.position;
	q->page = at.page;
	return true;
}

static void answer_page(struct request *r, const struct query *q, const struct message_page *page)
{
	struct json_out j = answer_page_begin(&r->answer);
	struct buf next = BUF_INIT;

	for (size_t i = 0; i < page->n; i++)
		render_message(&j, &page->items[i], r->http->o.ids);
	if (page->more)
		cursor_write(&next, CURSOR_MESSAGES, q, &(struct cursor){page->last, q->page + 1});
	answer_page_end(&j, &(struct page_totals){q->page, q->page_size, page->total, next.data, page->total_more});
	buf_release(&next);
}

/* Ten million could be counted, but not while somebody waits for a page of twenty. */
#define COUNT_MOST 100000

static enum handled list(struct request *r, struct store_session *c, unsigned allowed, int status)
{
	struct list_query lq = {.want_total = true, .count_most = COUNT_MOST};
	struct error err = ERROR_INIT;
	struct message_page page;
	struct query q;
	int code;

	if (!handler_query(r, &q, allowed))
		return HANDLED_DONE;
	if (status >= 0)
		q.status = status;
	lq.status = q.status;
	lq.phone = q.given & QUERY_PHONE ? q.phone : NULL;
	lq.since = q.since;
	lq.until = q.until;
	lq.limit = q.page_size;
	if (list_start(r, &q, &lq)) {
		code = store_list(c, &lq, &page, &err);
		if (code == OK) {
			answer_page(r, &q, &page);
			message_page_release(&page);
		} else {
			handler_store_error(r, "list", code, &err);
		}
	}
	query_release(&q);
	return HANDLED_DONE;
}

#define LIST_PARAMS (QUERY_PAGE | QUERY_PAGE_SIZE | QUERY_PHONE | QUERY_SINCE | QUERY_UNTIL | QUERY_CURSOR)

enum handled handle_list(struct request *r, struct store_session *c)
{
	return list(r, c, LIST_PARAMS | QUERY_STATUS, -1);
}

enum handled handle_sent(struct request *r, struct store_session *c)
{
	return list(r, c, LIST_PARAMS, MESSAGE_SENT);
}

enum handled handle_stats(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct json_out j;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_counts(c, &counts, &err);
	if (code != OK) {
		handler_store_error(r, "counts", code, &err);
		return HANDLED_DONE;
	}
	j = answer_begin(&r->answer, 200, NULL);
	render_counts(&j, &counts);
	answer_end(&j);
	return HANDLED_DONE;
}

/* Under which name an entry is shown: its id or, where the cache's layout holds none, the provider's. NULL:
 * it has neither. */
static const char *cached_name(const struct cache_entry *e, enum id_format ids, char id[MESSAGE_UUID_TEXT])
{
	if (!e->id)
		return e->message_id;
	if (ids == ID_UUID)
		message_uuid_format(e->id, id);
	else
		snprintf(id, MESSAGE_UUID_TEXT, "%lld", (long long)e->id);
	return id;
}

/* A list may hold an entry twice; an object has each name once. */
static bool shown_before(const struct cache_page *page, size_t n)
{
	const struct cache_entry *e = &page->items[n];

	for (size_t i = 0; i < n; i++)
		if (page->items[i].id == e->id && (e->id || text_equal(page->items[i].message_id, e->message_id)))
			return true;
	return false;
}

static void answer_cached(struct request *r, const struct cache_page *page)
{
	struct json_out j = answer_begin(&r->answer, 200, NULL);
	char id[MESSAGE_UUID_TEXT];

	json_open_object(&j);
	for (size_t i = 0; i < page->n; i++) {
		const struct cache_entry *e = &page->items[i];
		const char *name = cached_name(e, r->http->o.ids, id);

		if (!name || shown_before(page, i))
			continue;
		json_key(&j, name);
		json_open_object(&j);
		json_kv_str(&j, "messageId", e->message_id);
		if (e->sent_at)
			json_kv_time(&j, "sentAt", e->sent_at);
		json_end(&j);
	}
	json_end(&j);
	if (*page->next)
		json_kv_str(&j, "nextCursor", page->next);
	answer_end(&j);
}

enum handled handle_cached(struct request *r, struct store_session *c)
{
	struct cache_page page = {.arena = ARENA_INIT};
	struct error err = ERROR_INIT;
	struct query q;
	int code = OK;

	(void)c;
	if (!handler_query(r, &q, QUERY_PAGE_SIZE | QUERY_CURSOR))
		return HANDLED_DONE;
	if (r->http->o.cache)
		code = cache_list(r->http->o.cache, q.cursor.data, q.page_size, &page, &err);
	if (code == ERR_INVALID) {
		details_add(&r->answer.details, "cursor", "is not one that this list gave");
		answer_error(&r->answer, API_INVALID);
	} else if (code != OK) {
		handler_store_error(r, "cache list", code, &err);
	} else {
		answer_cached(r, &page);
		cache_page_release(&page);
	}
	query_release(&q);
	return HANDLED_DONE;
}

static void answer_replayed(struct request *r, uint64_t n)
{
	struct json_out j = answer_begin(&r->answer, 200, NULL);

	json_open_object(&j);
	json_kv_int(&j, "replayed", (int64_t)n);
	json_end(&j);
	answer_end(&j);
	if (n)
		poke(r);
}

enum handled handle_replay(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_replay(c, r->id, &err);
	if (code == OK)
		answer_replayed(r, 1);
	else if (code == ERR_NOT_FOUND)
		answer_error(&r->answer, API_NOT_REPLAYABLE);
	else
		handler_store_error(r, "replay", code, &err);
	return HANDLED_DONE;
}

enum handled handle_replay_all(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	uint64_t total = 0;
	uint32_t n;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	/* In steps, so that no transaction holds up the beat. */
	do {
		n = 0;
		code = store_replay_some(c, REPLAY_STEP, &n, &err);
		total += n;
	} while (code == OK && n);
	if (code == OK) {
		answer_replayed(r, total);
		return HANDLED_DONE;
	}
	if (total) {
		details_add(&r->answer.details, "replayed", "%llu before the failure", (unsigned long long)total);
		poke(r);
	}
	handler_store_error(r, "replay", code, &err);
	return HANDLED_DONE;
}
