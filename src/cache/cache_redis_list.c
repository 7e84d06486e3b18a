/*
 * A page of a list is one LRANGE: elements only ever come at its end. Of keys, a page is made of steps: SCAN for
 * some keys, MGET for their values, until the page is full, the walk ends, or its share of time is used (a database
 * full of other keys can take many steps for few entries).
 *
 * SCAN promises that a key that lives through the whole walk is seen, perhaps twice, and takes a COUNT only
 * as a hint. Two things are ours: no entry comes twice within a page, and a page is never larger than asked.
 * For the latter, a step whose reply does not fit is repeated by the next page, which skips what this one
 * gave out. See continue_at() for why no entry is lost when keys came or went in between.
 */
#include "cache_redis_list.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cache_driver.h"
#include "message.h"
#include "text.h"

#define TIME_LIMIT USEC_PER_SEC           /* for a page, waiting for one's turn included */
#define TIME_ENOUGH (300 * USEC_PER_MSEC) /* no new step after this */
/* After a page that failed, the next callers are told so at once: a frozen server must not hold up one of the
 * API's workers after the other until the writer has found out. */
#define REST_AFTER_FAILURE (2 * USEC_PER_SEC)
/* Keys per step at least, or a page of few entries among many other keys would take too many round trips. The
 * same for all steps of a walk, so that a repeated step ends where it did before. */
#define COUNT_MIN 100u
#define LIST_END (UINT64_C(1) << 32) /* more elements than a list can have */

struct redis_list {
	const struct redis_dial *dial;
	const struct cache_layout *layout;
	pthread_mutex_t lock;
	struct redis_link *link; /* NULL: none */
	usec_t rest_until;
};

/* A key of an entry. Text and entry live in the page's arena. */
struct found {
	int64_t place; /* what orders them; >= 1 */
	const char *key;
	size_t len;
	struct cache_entry entry; /* what the key tells */
};

struct walk {
	struct redis_list *r;
	struct cache_page *page;
	uint32_t limit;
	usec_t deadline;
	struct redis_cursor cursor;
	bool ended;
	struct found *found; /* in the step's reply */
	size_t n;
	int64_t *given; /* places of the page's items; as many as the limit, in its arena */
};

struct redis_list *redis_list_new(const struct redis_dial *dial, const struct cache_layout *layout)
{
	struct redis_list *r = xcalloc(1, sizeof(*r));

	r->dial = dial;
	r->layout = layout;
	if (pthread_mutex_init(&r->lock, NULL))
		panic("redis: no lock to be had");
	return r;
}

void redis_list_free(struct redis_list *r)
{
	redis_link_close(r->link);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void reply_free(redisReply **r)
{
	if (*r)
		freeReplyObject(*r);
}

static int ask(struct walk *w, size_t argc, const char *const argv[], const size_t len[], redisReply **ret,
               struct error *err)
{
	int rc;

	redis_link_add(w->r->link, argc, argv, len);
	rc = redis_link_flush(w->r->link, w->deadline, err);
	if (rc == OK)
		rc = redis_link_reply(w->r->link, ret, w->deadline, err);
	if (rc == OK && (*ret)->type == REDIS_REPLY_ERROR)
		rc = error_set(err, ERR_TRANSIENT, "%s: %s", argv[0], (*ret)->str);
	return rc;
}

/* The order in which SCAN walks: by the cursor with its bits reversed; 0, the end, comes last. */
static uint64_t place_of(uint64_t cursor)
{
	uint64_t v = 0;

	if (!cursor)
		return UINT64_MAX;
	for (int i = 0; i < 64; i++)
		v |= (cursor >> i & 1) << (63 - i);
	return v;
}

/*
 * The walk has given out the places up to `after` of the buckets from `at` to `next`. The repeated step may
 * have come to another place, since it ends when it has found enough keys. Up to the nearer of the two
 * places its entries above `after` are all that is missing; beyond, nothing is known, so go on from there.
 */
static uint64_t continue_at(const struct redis_cursor *before, uint64_t reached)
{
	if (!before->after || place_of(reached) <= place_of(before->next))
		return reached;
	return before->next;
}

static int by_place(const void *a, const void *b)
{
	int64_t x = ((const struct found *)a)->place, y = ((const struct found *)b)->place;

	return (x > y) - (x < y);
}

static bool in_page(const struct walk *w, int64_t place)
{
	for (size_t i = 0; i < w->page->n; i++)
		if (w->given[i] == place)
			return true;
	return false;
}

/* Two keys of one hash would pass for one: with a million keys, in one of 18,000 caches. */
static int64_t place_of_key(const struct cache_entry *e, const char *key, size_t len)
{
	return e->id ? e->id : (int64_t)(hash_bytes(key, len, 0) % (uint64_t)MESSAGE_ID_MAX) + 1;
}

/* The keys that are ours and not yet given out, in order, each once. */
static void collect(struct walk *w, redisReply *const *keys, size_t n)
{
	struct arena *a = &w->page->arena;
	size_t kept = 0;

	w->n = 0;
	w->found = xreallocarray(w->found, n + 1, sizeof(*w->found));
	for (size_t i = 0; i < n; i++) {
		struct found f = {0};

		if (keys[i]->type != REDIS_REPLY_STRING ||
		    !cache_layout_read_key(w->r->layout, keys[i]->str, keys[i]->len, a, &f.entry))
			continue;
		f.place = place_of_key(&f.entry, keys[i]->str, keys[i]->len);
		if (f.place <= w->cursor.after || in_page(w, f.place))
			continue;
		f.key = arena_strndup(a, keys[i]->str, keys[i]->len);
		f.len = keys[i]->len;
		w->found[w->n++] = f;
	}
	qsort(w->found, w->n, sizeof(*w->found), by_place);
	for (size_t i = 0; i < w->n; i++)
		if (!kept || w->found[kept - 1].place != w->found[i].place)
			w->found[kept++] = w->found[i];
	w->n = kept;
}

static int scan(struct walk *w, struct error *err)
{
	struct redis_cursor reached;
	struct buf at = BUF_INIT, hint = BUF_INIT;
	cleanup(reply_free) redisReply *r = NULL;
	const char *pattern = w->r->layout->pattern;
	size_t room = w->limit - w->page->n;
	uint64_t next;
	int rc;

	buf_addu64(&at, w->cursor.at);
	buf_addu64(&hint, MAX_OF(w->limit, COUNT_MIN));
	rc = ask(w, 6, (const char *const[]){"SCAN", at.data, "MATCH", pattern, "COUNT", hint.data},
	         (const size_t[]){4, at.len, 5, strlen(pattern), 5, hint.len}, &r, err);
	buf_release(&at);
	buf_release(&hint);
	if (rc)
		return rc;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
	    r->element[1]->type != REDIS_REPLY_ARRAY)
		return error_set(err, ERR_TRANSIENT, "SCAN: not the reply it should give");
	/* "0" ends the walk; all else is a cursor as ours without the second half. */
	if (!strcmp(r->element[0]->str, "0"))
		reached = (struct redis_cursor){0};
	else if (!redis_cursor_parse(r->element[0]->str, &reached) || reached.after || !reached.at)
		return error_set(err, ERR_TRANSIENT, "SCAN: not the reply it should give");

	collect(w, r->element[1]->element, r->element[1]->elements);
	next = continue_at(&w->cursor, reached.at);
	if (w->n > room) {
		w->n = room;
		w->cursor.after = w->found[room - 1].place;
		w->cursor.next = next;
	} else {
		w->cursor = (struct redis_cursor){.at = next};
		w->ended = !next;
	}
	return OK;
}

static int get(struct walk *w, struct error *err)
{
	const struct cache_layout *layout = w->r->layout;
	cleanup(reply_free) redisReply *r = NULL;
	const char **argv = xreallocarray(NULL, w->n + 1, sizeof(*argv));
	size_t *len = xreallocarray(NULL, w->n + 1, sizeof(*len));
	int rc;

	argv[0] = "MGET";
	len[0] = strlen(argv[0]);
	for (size_t i = 0; i < w->n; i++) {
		argv[i + 1] = w->found[i].key;
		len[i + 1] = w->found[i].len;
	}
	rc = ask(w, w->n + 1, argv, len, &r, err);
	free(argv);
	free(len);
	if (rc)
		return rc;
	if (r->type != REDIS_REPLY_ARRAY || r->elements != w->n)
		return error_set(err, ERR_TRANSIENT, "MGET: not the reply it should give");

	for (size_t i = 0; i < w->n; i++) {
		const redisReply *value = r->element[i];
		struct cache_entry e = w->found[i].entry;

		/* NULL when it expired meanwhile or is no string. */
		if (value->type != REDIS_REPLY_STRING ||
		    !cache_layout_read_value(layout, value->str, value->len, &w->page->arena, &e))
			continue;
		w->given[w->page->n] = w->found[i].place;
		w->page->items[w->page->n++] = e;
	}
	return OK;
}

/* A page of a list. What does not read as an entry takes its place, but is not given out. */
static int range(struct walk *w, struct error *err)
{
	const struct cache_layout *layout = w->r->layout;
	cleanup(reply_free) redisReply *r = NULL;
	struct buf key = BUF_INIT, from = BUF_INIT, to = BUF_INIT;
	int rc;

	cache_layout_key(layout, &(struct cache_entry){0}, &key);
	buf_addu64(&from, w->cursor.at);
	buf_addu64(&to, w->cursor.at + w->limit); /* one more tells whether any follow */
	rc = ask(w, 4, (const char *const[]){"LRANGE", key.data, from.data, to.data},
	         (const size_t[]){6, key.len, from.len, to.len}, &r, err);
	buf_release(&key);
	buf_release(&from);
	buf_release(&to);
	if (rc)
		return rc;
	if (r->type != REDIS_REPLY_ARRAY || r->elements > w->limit + (size_t)1)
		return error_set(err, ERR_TRANSIENT, "LRANGE: not the reply it should give");

	w->ended = r->elements <= w->limit;
	for (size_t i = 0; i < MIN_OF(r->elements, w->limit); i++) {
		const redisReply *value = r->element[i];
		struct cache_entry e = {0};

		if (value->type == REDIS_REPLY_STRING &&
		    cache_layout_read_value(layout, value->str, value->len, &w->page->arena, &e))
			w->page->items[w->page->n++] = e;
	}
	w->cursor.at += w->limit;
	return OK;
}

static int walk(struct walk *w, struct error *err)
{
	usec_t enough = clock_mono() + TIME_ENOUGH;
	bool list = w->r->layout->list;

	arena_clear(&w->page->arena);
	w->page->items = arena_calloc(&w->page->arena, w->limit, sizeof(*w->page->items));
	w->given = arena_calloc(&w->page->arena, w->limit, sizeof(*w->given));
	w->page->n = 0;
	do {
		int rc = list ? range(w, err) : scan(w, err);

		if (rc == OK && w->n)
			rc = get(w, err);
		if (rc)
			return rc;
	} while (!list && !w->ended && w->page->n < w->limit && !w->cursor.after && clock_mono() < enough);

	if (w->ended)
		w->page->next[0] = '\0';
	else
		redis_cursor_format(&w->cursor, w->page->next);
	return OK;
}

static int lock_in_time(struct redis_list *r, struct error *err)
{
	usec_t until = clock_wall() + TIME_LIMIT;
	struct timespec t = {.tv_sec = until / USEC_PER_SEC,
	                     .tv_nsec = until % USEC_PER_SEC * 1000};

	if (pthread_mutex_timedlock(&r->lock, &t) == 0)
		return OK;
	return error_set(err, ERR_TRANSIENT, "redis: others wait for its answer already");
}

int redis_list_page(struct redis_list *r, const struct redis_peer *peer, const char *cursor, uint32_t limit,
                    struct cache_page *ret, struct error *err)
{
	struct walk w = {.r = r, .page = ret, .limit = limit, .deadline = clock_mono() + TIME_LIMIT};
	struct redis_cursor start;
	bool fresh;
	int rc;

	if (!redis_cursor_parse(cursor, &start) || (r->layout->list && (start.after || start.at > LIST_END)))
		return cache_bad_cursor(err);
	rc = lock_in_time(r, err);
	if (rc)
		return rc;
	if (clock_mono() < r->rest_until) {
		pthread_mutex_unlock(&r->lock);
		return error_set(err, ERR_TRANSIENT, "redis has just failed to answer");
	}
	/* A connection that was kept may have ended since; one that is new deserves belief. */
	do {
		fresh = !r->link;
		rc = fresh ? redis_link_open(&r->link, r->dial, peer, w.deadline, err) : OK;
		if (rc)
			break;
		w.cursor = start;
		w.ended = false;
		rc = walk(&w, err);
		if (rc) {
			redis_link_close(r->link);
			r->link = NULL;
		}
	} while (rc && !fresh && clock_mono() < w.deadline);
	if (rc)
		r->rest_until = clock_mono() + REST_AFTER_FAILURE;
	pthread_mutex_unlock(&r->lock);

	free(w.found);
	if (rc && err) {
		/* What the operator must change is for the writer to say; the caller may come again. */
		error_prefix(err, "redis");
		err->code = ERR_TRANSIENT;
	}
	return rc ? ERR_TRANSIENT : OK;
}
