/* What reads a foreign table, one for each kind of database. Only store/ includes it. */
#ifndef HERALD_FOREIGN_DRIVER_H
#define HERALD_FOREIGN_DRIVER_H

#include <string.h>

#include "foreign.h"

struct foreign_driver {
	/* rest: the URL as a whole. */
	int (*open)(void **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
	            struct error *err);
	int (*next)(void *reader, const struct foreign_table *table, struct foreign_page *page,
	            struct error *err);
	void (*close)(void *reader);
};

/* NULL for a text with a zero byte in it: no message has that, and cut off there it would be another text. */
static inline const char *foreign_text(struct arena *arena, const char *s, size_t len)
{
	return memchr(s, 0, len) ? NULL : arena_strndup(arena, s, len);
}

extern const struct foreign_driver foreign_postgres, foreign_mysql, foreign_mongo;

#endif
