/*
 * How entries lie in Redis: the one place that knows keys, values and the commands that write them, so that
 * another layout (a list to push to, say) is another row and no other code. Values come from a server that
 * others may write to: whatever does not read as an entry is none. Pure; thread-safe.
 */
#ifndef HERALD_CACHE_REDIS_LAYOUT_H
#define HERALD_CACHE_REDIS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "buf.h"
#include "cache.h"
#include "cache_redis_link.h"

#define REDIS_VALUE_MAX 4096 /* bytes; ours are below 2 KB, escapes included */

struct redis_layout {
	const char *pattern; /* for SCAN MATCH: all keys of entries, perhaps others */

	/* Each adds exactly one command. ttl 0: for ever. */
	void (*put)(struct redis_link *l, const struct cache_entry *e, usec_t ttl);
	void (*drop)(struct redis_link *l, int64_t id);

	void (*key)(struct buf *out, int64_t id);
	bool (*id_of_key)(const char *key, size_t len, int64_t *ret);
	/* Fills all but the id; the text is copied into the arena. */
	bool (*decode)(const char *value, size_t len, struct arena *a, struct cache_entry *ret);
	void (*encode)(struct buf *out, const struct cache_entry *e);
};

/* "sent_message:<id>" = {"messageId":"…","sentAt":"…"} with a TTL; an unknown messageId is null. */
extern const struct redis_layout redis_layout_sent_message;

#endif
