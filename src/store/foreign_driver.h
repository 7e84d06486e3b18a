/* What reads a foreign table, one for each kind of database. Only store/ includes it. */
#ifndef HERALD_FOREIGN_DRIVER_H
#define HERALD_FOREIGN_DRIVER_H

#include "foreign.h"

struct foreign_driver {
	/* rest: the URL as a whole. */
	int (*open)(void **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
	            struct error *err);
	int (*next)(void *reader, const struct foreign_table *table, struct foreign_page *page,
	            struct error *err);
	void (*close)(void *reader);
};

extern const struct foreign_driver foreign_postgres, foreign_mysql, foreign_mongo;

#endif
