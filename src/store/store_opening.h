/*
 * How the front door comes to its driver's store; private to this folder. A store that is not there yet is
 * stood in for: whoever calls a verb tries to open it, one caller at a time and not more often than a
 * backoff allows, and until that succeeds every verb fails with ERR_TRANSIENT. Thread-safe.
 */
#ifndef HERALD_STORE_OPENING_H
#define HERALD_STORE_OPENING_H

#include <pthread.h>
#include <stdatomic.h>

#include "store_driver.h"

struct opening {
	const struct store_driver *driver;
	struct driver_options options;
	char *url;
	_Atomic(void *) db; /* NULL: not there yet; written once */

	/* Under the lock, which nobody holds while he waits for a database. */
	pthread_mutex_t lock;
	bool trying;
	unsigned failures;
	usec_t began, retry_at;
	char why[sizeof(((struct error *)NULL)->text)];
};

/* What to do with a database that was just opened and that nobody else sees yet. */
typedef int opening_welcome(void *db, void *arg, struct error *err);

/* Finds the driver and tries for the first time. wait: a passing failure is none, see above. */
must_check int opening_begin(struct opening *o, const struct store_options *options,
                             opening_welcome *welcome, void *arg, struct error *err);
/* The driver's store, tried for if need be. ERR_TRANSIENT: not there yet. */
must_check int opening_get(struct opening *o, opening_welcome *welcome, void *arg, void **ret,
                           struct error *err);
void opening_end(struct opening *o);

#endif
