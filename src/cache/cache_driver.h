/*
 * What a cache driver provides. Only cache.c and the drivers include this. The front door has checked
 * the arguments: n >= 1, ids positive, each entry fits the
 * layout, limit in range, *ret zeroed; afterwards it blanks what the layout does not hold. A driver does its own
 * locking.
 */
#ifndef HERALD_CACHE_DRIVER_H
#define HERALD_CACHE_DRIVER_H

#include "cache.h"
#include "cache_layout.h"

struct cache_driver {
	const char *name;
	const char *const *schemes; /* of URLs, without the colon; NULL ends */
	/* The layout outlives the state. */
	int (*open)(void **ret, const struct cache_options *options, const struct cache_layout *layout,
	            struct error *err);
	void (*close)(void *state);
	void (*put)(void *state, const struct cache_entry *entries, size_t n);
	int (*list)(void *state, const char *cursor, uint32_t limit, struct cache_page *ret,
	            struct error *err);
	enum cache_health (*health)(void *state);
};

extern const struct cache_driver cache_driver_memory;
extern const struct cache_driver cache_driver_none;
extern const struct cache_driver cache_driver_redis; /* in builds with the feature `redis` */

/* What every driver says to a cursor it did not hand out. */
int cache_bad_cursor(struct error *err);

#endif
