/*
 * How entries lie in a cache that others read: the one place that knows keys and values. Two kinds:
 *
 *	strings	one key per message, e.g. "sent_message:{id}" = {"messageId":"{messageId}","sentAt":"{sentAt}"}
 *	a list	one key, to which each message's value is pushed at the end
 *
 * Keys and values are templates. {id} is herald's id, {uuid} its spelling as a UUID, {messageId} the
 * provider's id and {sentAt} the time in RFC 3339. A key of strings holds exactly one of the first three, a
 * list's key none. A value is either a JSON object, in which a member that is one placeholder takes its value
 * (escaped; {id} as a number, what is unknown as null), or any other text with at most one placeholder.
 *
 * What a layout does not hold cannot be read back: entries come without it. Values come from a server that
 * others may write to: whatever does not read as an entry is none. Pure; immutable once made, thread-safe.
 */
#ifndef HERALD_CACHE_LAYOUT_H
#define HERALD_CACHE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "buf.h"
#include "cache.h"
#include "cache_template.h"

#define CACHE_VALUE_MAX 4096 /* bytes of a value that is read; ours are shorter, escapes included */

/* Text with at most one placeholder. */
struct cache_template {
	char *before, *after; /* never NULL */
	enum cache_field field;
};

struct cache_member {
	char *name;
	char *literal; /* JSON text; NULL: the field */
	enum cache_field field;
};

struct cache_layout {
	bool list;
	bool json;
	struct cache_template key, value; /* value: unless json */
	struct cache_member members[CACHE_VALUE_MEMBERS];
	size_t members_n;
	unsigned holds;  /* bit per cache_field that can be read back */
	char *pattern;   /* for SCAN MATCH: all keys of entries, perhaps others */
};

/* key, value: as in cache_template_check(), which this calls. The caller releases. */
must_check int cache_layout_init(struct cache_layout *ret, bool list, const char *key, const char *value,
                                 struct error *err);
void cache_layout_release(struct cache_layout *l);

/* False when the entry has no place: the key asks for a provider's id that is not known. */
bool cache_layout_takes(const struct cache_layout *l, const struct cache_entry *e);
/* Blanks what the layout does not hold: id and sent_at 0, message_id NULL. */
void cache_layout_blank(const struct cache_layout *l, struct cache_entry *e);

void cache_layout_key(const struct cache_layout *l, const struct cache_entry *e, struct buf *out);
void cache_layout_value(const struct cache_layout *l, const struct cache_entry *e, struct buf *out);

/* Each fills what it finds and leaves the rest; texts are copied into the arena. */
must_check bool cache_layout_read_key(const struct cache_layout *l, const char *key, size_t len,
                                      struct arena *a, struct cache_entry *ret);
must_check bool cache_layout_read_value(const struct cache_layout *l, const char *value, size_t len,
                                        struct arena *a, struct cache_entry *ret);

#endif
