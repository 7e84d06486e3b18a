/*
 * The MySQL and MariaDB driver: opening, sessions, closing.
 *
 * Needs MariaDB 10.6 or MySQL 8 (SKIP LOCKED), InnoDB, and a database that exists; herald makes its
 * tables there. Any number of nodes share it. Time is the server's.
 *
 * With several hosts in the URL (Galera, or a primary and its replicas) all nodes should name them in the
 * same order: they then write to the same server, which spares Galera conflicts between servers. A server
 * that is read-only or not part of the cluster is passed over.
 *
 * Known limits: a list by phone number and status looks at all messages to that number. Read statements that
 * take longer than half a minute fail.
 */
#include <pthread.h>

#include "alloc.h"
#include "store_mysql.h"
#include "text.h"

/* Slots of herald_totals: enough that sessions seldom share one, few enough to add up. */
#define SLOTS 1024

static void session_init(struct my_session *s, struct my_db *db)
{
	*s = (struct my_session){.db = db,
	                         .slot = (unsigned)(random_u64() % SLOTS),
	                         .id = (int64_t)(random_u64() >> 1)};
}

static void init_once(void)
{
	if (mysql_library_init(0, NULL, NULL))
		panic("the MySQL client library does not start");
}

static void db_close(void *arg)
{
	struct my_db *db = arg;

	my_url_release(&db->url);
	free(db);
}

static int open_schema(struct my_db *db, bool read_only, struct error *err)
{
	struct my_session s;
	int rc;

	session_init(&s, db);
	rc = my_connect(&s, err);
	if (!rc) {
		rc = my_migrate(&s, read_only, &db->schema_found, err);
		/* Nothing that fails here for good will work without somebody's doing. */
		if (rc == ERR_PERMANENT)
			rc = err->code = ERR_CONFIG;
		if (rc)
			error_prefix(err, "database %.64s", db->url.database);
	}
	my_disconnect(&s);
	return rc;
}

static int db_open(void **ret, const struct driver_options *o, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct my_db *db;
	struct my_url url;
	int rc = my_url_parse(&url, o->rest, err);

	if (rc)
		return rc;
	pthread_once(&once, init_once);
	db = xcalloc(1, sizeof(*db));
	db->url = url;
	rc = open_schema(db, o->read_only_schema, err);
	if (rc)
		db_close(db);
	else
		*ret = db;
	return rc;
}

static int db_schema_found(const void *arg)
{
	return ((const struct my_db *)arg)->schema_found;
}

/* The connection is made when first needed, and again whenever it is lost. */
static int session_open(void *arg, void **ret, struct error *err)
{
	struct my_session *s = xmalloc(sizeof(*s));

	(void)err;
	session_init(s, arg);
	*ret = s;
	return OK;
}

static void session_close(void *arg)
{
	struct my_session *s = arg;

	my_disconnect(s);
	free(s);
}

static int read_clock(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row row;
	int rc;

	/* Of a table, so that a server which may not serve any says so. */
	my_add(&b, "SELECT " MY_NOW " FROM herald_streak");
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	if (!my_row(&b, 0, &row))
		return error_set(err, ERR_PERMANENT, "the table herald_streak is empty");
	*(usec_t *)arg = my_int(&row, 0);
	return OK;
}

static int ping(void *session, struct error *err)
{
	usec_t now;

	return my_transact(session, read_clock, &now, err);
}

static int now(void *session, usec_t *ret, struct error *err)
{
	return my_transact(session, read_clock, ret, err);
}

const struct store_driver store_driver_mysql = {
	.name = "mysql",
	.capabilities = STORE_DURABLE,
	.schema = MY_SCHEMA,
	.open = db_open,
	.close = db_close,
	.schema_found = db_schema_found,
	.session_open = session_open,
	.session_close = session_close,
	.ping = ping,
	.now = now,
	.insert = my_insert,
	.claim = my_claim,
	.settle = my_settle,
	.renew = my_renew,
	.recover = my_recover,
	.get = my_get,
	.list = my_list,
	.counts = my_counts,
	.ahead = my_ahead,
	.attempts = my_attempts,
	.cancel = my_cancel,
	.replay = my_replay,
	.replay_some = my_replay_some,
	.scheduler_init = my_scheduler_init,
	.scheduler_get = my_scheduler_get,
	.scheduler_change = my_scheduler_change,
	.runs = my_runs_list,
	.jobs = my_jobs,
	.node_seen = my_node_seen,
	.nodes = my_nodes,
	.records = &my_record_verbs,
};
