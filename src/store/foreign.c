#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "foreign_driver.h"

struct foreign {
	const struct foreign_driver *driver;
	const struct foreign_table *table;
	void *reader;
};

static const struct {
	const char *prefix;
	const struct foreign_driver *driver;
} drivers[] = {
#ifdef HAVE_POSTGRES
	{"postgres:", &foreign_postgres},
	{"postgresql:", &foreign_postgres},
#endif
#ifdef HAVE_MYSQL
	{"mysql:", &foreign_mysql},
	{"mariadb:", &foreign_mysql},
#endif
#ifdef HAVE_MONGODB
	{"mongodb:", &foreign_mongo},
	{"mongodb+srv:", &foreign_mongo},
#endif
	{NULL, NULL},
};

int foreign_open(struct foreign **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
                 struct error *err)
{
	struct foreign *f;
	void *reader;
	size_t i;
	int rc;

	for (i = 0; drivers[i].prefix; i++) {
		if (strncmp(url, drivers[i].prefix, strlen(drivers[i].prefix)) == 0)
			break;
	}
	/* The URL may hold a password, so it is not shown. */
	if (!drivers[i].prefix)
		return error_set(err, ERR_CONFIG,
		                 "rows can be read from a database at postgres://, mysql:// or mongodb://, as far "
		                 "as this build has them");
	rc = drivers[i].driver->open(&reader, url, table, ret_total, err);
	if (rc)
		return rc;
	f = xcalloc(1, sizeof(*f));
	f->driver = drivers[i].driver;
	f->table = table;
	f->reader = reader;
	*ret = f;
	return OK;
}

/* Nothing behind here is made for other times. */
static void check_times(const struct foreign_table *t, struct foreign_page *page)
{
	const usec_t end = 253402300800 * USEC_PER_SEC; /* of the year 9999 */

	for (size_t row = 0; row < page->n; row++) {
		for (size_t i = 0; i < t->columns_n; i++) {
			if (page->rows[row][i].time < 0 || page->rows[row][i].time >= end)
				page->rows[row][i].time = 0;
		}
	}
}

int foreign_next(struct foreign *f, struct foreign_page *page, struct error *err)
{
	int rc;

	arena_clear(&page->arena);
	page->n = 0;
	rc = f->driver->next(f->reader, f->table, page, err);
	check_times(f->table, page);
	return rc;
}

void foreign_close(struct foreign *f)
{
	if (!f)
		return;
	f->driver->close(f->reader);
	free(f);
}
