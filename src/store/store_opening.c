#include "store_opening.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "text.h"

#define BACKOFF_FIRST (100 * USEC_PER_MSEC)
#define BACKOFF_MAX (5 * USEC_PER_SEC)
#define BACKOFF_DOUBLINGS 6

static int try_open(struct opening *o, opening_welcome *welcome, void *arg, struct error *err)
{
	void *db;
	int rc = o->driver->open(&db, &o->options, err);

	if (rc)
		return rc;
	rc = welcome(db, arg, err);
	if (rc)
		o->driver->close(db);
	else
		atomic_store(&o->db, db);
	return rc;
}

/* Under the lock. One line when the outage begins, and one when what is in the way becomes something else
 * (the server is up again, but its schema is a newer one). */
static void note_failure(struct opening *o, const struct error *err)
{
	usec_t wait = BACKOFF_FIRST << MIN_OF(o->failures, BACKOFF_DOUBLINGS);
	usec_t now = clock_mono();

	if (!o->failures)
		o->began = now;
	if (strcmp(o->why, err->text) != 0)
		log_at(err->code == ERR_TRANSIENT ? LOG_WARN : LOG_ERROR,
		       "the database is not there yet; herald goes on trying",
		       kv_str("driver", o->driver->name), kv_str("kind", error_name(err->code)),
		       kv_str("error", err->text));
	snprintf(o->why, sizeof(o->why), "%s", err->text);
	o->failures++;
	/* Nodes that lost the same database shall not come back as one. */
	o->retry_at = now + (usec_t)((double)MIN_OF(wait, BACKOFF_MAX) * (0.5 + random_unit() / 2));
}

static int absent(struct opening *o, struct error *err)
{
	return error_set(err, ERR_TRANSIENT, "the database is not there yet: %s", o->why);
}

int opening_get(struct opening *o, opening_welcome *welcome, void *arg, void **ret, struct error *err)
{
	struct error own = ERROR_INIT;
	int rc = OK;

	pthread_mutex_lock(&o->lock);
	if (!atomic_load(&o->db) && (o->trying || clock_mono() < o->retry_at)) {
		rc = absent(o, err);
	} else if (!atomic_load(&o->db)) {
		o->trying = true;
		pthread_mutex_unlock(&o->lock);
		rc = try_open(o, welcome, arg, &own);
		pthread_mutex_lock(&o->lock);
		o->trying = false;
		if (rc) {
			note_failure(o, &own);
			rc = absent(o, err);
		} else {
			log_info("the database is there", kv_str("driver", o->driver->name),
			         kv_uint("failures", o->failures),
			         kv_int("absentMs", (clock_mono() - o->began) / USEC_PER_MSEC));
		}
	}
	pthread_mutex_unlock(&o->lock);
	if (!rc)
		*ret = atomic_load(&o->db);
	return rc;
}

int opening_begin(struct opening *o, const struct store_options *options, opening_welcome *welcome,
                  void *arg, struct error *err)
{
	const char *rest;
	int rc = store_driver_find(options->url, &o->driver, &rest, err);

	if (rc)
		return rc;
	o->url = xstrdup(options->url);
	o->options = (struct driver_options){
		.url = o->url,
		.rest = o->url + (rest - options->url),
		.read_only_schema = options->read_only_schema,
		.messages_key = options->messages_key,
		.scheduler_key = options->scheduler_key,
		.clock = options->clock ? options->clock : clock_wall_steady,
	};
	pthread_mutex_init(&o->lock, NULL);
	rc = try_open(o, welcome, arg, err);
	/* What to do on opening can be done again, so it does not matter whether it was done. */
	if (options->wait && (rc == ERR_TRANSIENT || rc == ERR_UNCERTAIN)) {
		note_failure(o, err);
		return OK;
	}
	if (rc)
		opening_end(o);
	return rc;
}

void opening_end(struct opening *o)
{
	void *db = atomic_load(&o->db);

	if (db)
		o->driver->close(db);
	pthread_mutex_destroy(&o->lock);
	free(o->url);
}
