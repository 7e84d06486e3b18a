/* Where the Redis server is and who we are to it: redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for
 * TLS. Pure; thread-safe. */
#ifndef HERALD_CACHE_REDIS_ADDRESS_H
#define HERALD_CACHE_REDIS_ADDRESS_H

#include <stdbool.h>

#include "error.h"

#define REDIS_PORT 6379
#define REDIS_DB_MAX 65535

struct redis_address {
	char *host;
	char *user;     /* NULL: the default user */
	char *password; /* NULL: none is sent */
	char *shown;    /* host:port/db, for logs */
	int port;
	int db;
	bool tls;
};

/* ERR_CONFIG with a text that quotes nothing of the URL. On OK the caller releases *ret. */
must_check int redis_address_parse(struct redis_address *ret, const char *url, struct error *err);
void redis_address_release(struct redis_address *a);

#endif
