/*
 * The cache of what was sent: message id -> the provider's id and the time. A hint for readers, never a
 * reason to send or not to send: losing it loses and delays nothing. Thread-safe. Calls do not block on
 * the network, but for cache_list(): a driver that has one keeps its own thread and drops what does not fit.
 */
#ifndef HERALD_CACHE_H
#define HERALD_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "error.h"

struct cache;
struct metrics;

struct cache_options {
	const char *url;    /* "memory:", "none:", "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]", "rediss://…" */
	usec_t ttl;         /* how long an entry stays; 0: for ever */
	size_t max_entries; /* memory: the oldest leave first */

	/* How entries lie there, for others that read them: cache_layout.h. */
	bool list;         /* one list instead of a key for each message; the TTL must be 0 */
	const char *key;   /* NULL or "": "sent_message:{id}", of a list "sent_messages" */
	const char *value; /* NULL or "": CACHE_VALUE_DEFAULT (cache_template.h) */
	struct metrics *metrics; /* may be NULL */
};

/* To put, all but message_id are known. What the layout does not hold, cache_list() cannot tell. */
struct cache_entry {
	int64_t id;             /* 0: unknown */
	const char *message_id; /* NULL: unknown */
	usec_t sent_at;         /* 0: unknown */
};

enum cache_health { CACHE_UP, CACHE_DOWN, CACHE_DISABLED };

/* ERR_CONFIG: no such driver in this build, bad URL, bad key or value. */
must_check int cache_open(struct cache **ret, const struct cache_options *options, struct error *err);
void cache_close(struct cache *c);

void cache_put(struct cache *c, const struct cache_entry *entries, size_t n); /* copies */

struct cache_page {
	struct arena arena;
	struct cache_entry *items;
	size_t n;
	char next[64]; /* opaque cursor of the next page; "" when this is the last */
};

/* cursor: "" for the first page, else the `next` of the one before (ERR_INVALID for any other text). Entries
 * that live through a whole walk are seen at least once; of a list, the oldest first. limit 1–1000. A page may hold
 * fewer, even none, and have a next one. redis: may wait for a second; ERR_TRANSIENT when the server is away. */
must_check int cache_list(struct cache *c, const char *cursor, uint32_t limit, struct cache_page *ret,
                          struct error *err);
void cache_page_release(struct cache_page *p);

enum cache_health cache_health(struct cache *c);

#endif
