/* The one place that names the drivers. */
#include <string.h>

#include "attr.h"
#include "store_driver.h"

/* In the order in which people shall read them. */
#ifdef HAVE_SQLITE
#define SQLITE_DRIVER &store_driver_sqlite
#define SQLITE_NAME "sqlite, "
#else
#define SQLITE_DRIVER NULL
#define SQLITE_NAME ""
#endif

#ifdef HAVE_POSTGRES
#define POSTGRES_DRIVER &store_driver_postgres
#define POSTGRES_NAME "postgres, "
#else
#define POSTGRES_DRIVER NULL
#define POSTGRES_NAME ""
#endif

#ifdef HAVE_MYSQL
#define MYSQL_DRIVER &store_driver_mysql
#define MYSQL_NAME "mysql, "
#else
#define MYSQL_DRIVER NULL
#define MYSQL_NAME ""
#endif

#ifdef HAVE_MONGODB
#define MONGODB_DRIVER &store_driver_mongo
#define MONGODB_NAME "mongodb, "
#else
#define MONGODB_DRIVER NULL
#define MONGODB_NAME ""
#endif

static const char drivers_text[] = SQLITE_NAME POSTGRES_NAME MYSQL_NAME MONGODB_NAME "http, memory";

static const struct {
	const char *scheme;
	const struct store_driver *driver; /* NULL: not in this build */
} drivers[] = {
	{"sqlite", SQLITE_DRIVER},
	{"postgres", POSTGRES_DRIVER},
	{"postgresql", POSTGRES_DRIVER},
	{"mysql", MYSQL_DRIVER},
	{"mariadb", MYSQL_DRIVER},
	{"mongodb", MONGODB_DRIVER},
	{"mongodb+srv", MONGODB_DRIVER},
	{"http", &store_driver_http},
	{"https", &store_driver_http},
	{"memory", &store_driver_memory},
};

/* The message shows the scheme alone: what follows may hold a password. */
int store_driver_find(const char *url, const struct store_driver **ret, const char **ret_rest,
                      struct error *err)
{
	const char *colon = url ? strchr(url, ':') : NULL;
	size_t i, len;

	if (!colon || colon == url || colon - url > 20)
		return error_set(err, ERR_CONFIG,
		                 "the database URL does not begin with the name of a driver and a colon "
		                 "(this build has: %s)",
		                 drivers_text);
	len = (size_t)(colon - url);
	for (i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (strncmp(drivers[i].scheme, url, len) || drivers[i].scheme[len])
			continue;
		if (!drivers[i].driver)
			return error_set(err, ERR_CONFIG,
			                 "the database driver %s is not part of this build (it has: %s)",
			                 drivers[i].scheme, drivers_text);
		*ret = drivers[i].driver;
		*ret_rest = colon + 1;
		return OK;
	}
	return error_set(err, ERR_CONFIG, "there is no database driver \"%.*s\" (this build has: %s)",
	                 (int)len, url, drivers_text);
}
