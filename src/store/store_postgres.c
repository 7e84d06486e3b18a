/*
 * The PostgreSQL driver: the store, its sessions, its table of verbs.
 *
 * The URL goes to libpq as it is, so it may name several hosts, certificates and any other parameter of
 * libpq; ours are only added where it says nothing. Of several hosts the one is used that takes writes.
 *
 * What a database must allow: creating tables, sequences and functions in the connection's current schema
 * (to migrate), prepared statements and session-wide settings (so a pooler in between must not pool by
 * transaction).
 *
 * Known limits: a transaction that stays open for long anywhere in the database (a dump, a forgotten
 * session) keeps PostgreSQL from clearing away old versions of rows, and claims get slower meanwhile. A
 * list by phone number and status looks at all messages to that number.
 */
#include <stdlib.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

static void db_close(void *arg)
{
	struct pg_db *db = arg;

	free(db->url);
	free(db);
}

static int db_open(void **ret, const struct driver_options *o, struct error *err)
{
	struct pg_db *db;
	PGconn *handle;
	int found, rc = pg_connect(o->url, &handle, err);

	if (!rc) {
		rc = pg_migrate(handle, o->read_only_schema, &found, err);
		PQfinish(handle);
	}
	if (rc)
		return error_prefix(err, "PostgreSQL");
	db = xcalloc(1, sizeof(*db));
	db->url = xstrdup(o->url);
	db->schema_found = found;
	*ret = db;
	return OK;
}

static int db_schema_found(const void *arg)
{
	return ((const struct pg_db *)arg)->schema_found;
}

static int session_open(void *arg, void **ret, struct error *err)
{
	struct pg_session *s = xcalloc(1, sizeof(*s));

	(void)err;
	s->db = arg;
	s->id = (int64_t)(random_u64() >> 1);
	*ret = s;
	return OK;
}

static void session_close(void *arg)
{
	struct pg_session *s = arg;
	size_t i;

	pg_drop(s);
	for (i = 0; i < s->statements_n; i++)
		free(s->statements[i].sql);
	free(s->owner);
	free(s);
}

static int now_body(struct pg_session *s, void *arg, struct error *err)
{
	usec_t *ret = arg;
	PGresult *res;
	int rc = pg_run1(s, "SELECT " PG_NOW, NULL, &res, err);

	if (rc)
		return rc;
	*ret = pg_i64(res, 0, 0);
	PQclear(res);
	return OK;
}

static int now(void *session, usec_t *ret, struct error *err)
{
	return pg_transact(session, now_body, ret, err);
}

/* Looks at a table of ours, which a mere "SELECT 1" would not. */
static int ping_body(struct pg_session *s, void *arg, struct error *err)
{
	PGresult *res;
	int rc = pg_run1(s, "SELECT 1 FROM herald_counts WHERE slot=0", NULL, &res, err);

	(void)arg;
	if (!rc)
		PQclear(res);
	return rc;
}

static int ping(void *session, struct error *err)
{
	return pg_transact(session, ping_body, NULL, err);
}

const struct store_driver store_driver_postgres = {
	.name = "postgres",
	.capabilities = STORE_DURABLE,
	.schema = PG_SCHEMA,
	.open = db_open,
	.close = db_close,
	.schema_found = db_schema_found,
	.session_open = session_open,
	.session_close = session_close,
	.ping = ping,
	.now = now,
	.insert = pg_insert,
	.claim = pg_claim,
	.settle = pg_settle,
	.renew = pg_renew,
	.recover = pg_recover,
	.get = pg_get,
	.list = pg_list,
	.counts = pg_counts,
	.ahead = pg_ahead,
	.attempts = pg_attempts,
	.cancel = pg_cancel,
	.replay = pg_replay,
	.replay_some = pg_replay_some,
	.scheduler_init = pg_scheduler_init,
	.scheduler_get = pg_scheduler_get,
	.scheduler_change = pg_scheduler_change,
	.runs = pg_runs,
	.jobs = pg_jobs,
	.node_seen = pg_node_seen,
	.nodes = pg_nodes,
	.records = &pg_record_verbs,
};
