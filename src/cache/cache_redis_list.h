/*
 * Reading the entries back, page by page, on a connection of its own: the caller waits for the answer, which
 * must not sit behind the writer's pipeline. Thread-safe; callers take turns.
 */
#ifndef HERALD_CACHE_REDIS_LIST_H
#define HERALD_CACHE_REDIS_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "cache.h"
#include "cache_layout.h"
#include "cache_redis_link.h"

/*
 * Where a walk stands. `at` is the cursor of Redis' SCAN. A reply to it can hold more entries than the page
 * still takes; they are ordered by place (the id, or where the key has none a hash of it), and `after` is then
 * the last that was given out, `next` the cursor that this reply led to. 0 as `after` means that nothing of the
 * step at `at` was given out. Of a list, `at` is the index of the next element.
 */
struct redis_cursor {
	uint64_t at;
	int64_t after;
	uint64_t next;
};

/* "" is the start; false for any text that redis_cursor_format() does not write. */
must_check bool redis_cursor_parse(const char *text, struct redis_cursor *ret);
/* "" at the end of the walk. */
#define REDIS_CURSOR_TEXT 64
void redis_cursor_format(const struct redis_cursor *c, char out[REDIS_CURSOR_TEXT]);

struct redis_list;

struct redis_list *redis_list_new(const struct redis_dial *dial, const struct cache_layout *layout);
void redis_list_free(struct redis_list *r);

/* As cache_list(). peer: where the server was last reached. A page may come out short, even empty, and have
 * a next one. ERR_TRANSIENT after a second at most, and at once for two seconds behind such a failure. */
must_check int redis_list_page(struct redis_list *r, const struct redis_peer *peer, const char *cursor,
                               uint32_t limit, struct cache_page *ret, struct error *err);

#endif
