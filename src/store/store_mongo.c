/*
 * The MongoDB driver: opening and closing. Any number of nodes may share a database; one server or a replica
 * set. Every write waits for a majority and its journal.
 *
 * Known limits: a clock of milliseconds, which each node follows within the time that an answer travels; a
 * list by phone number reads all messages of the status asked for.
 */
#include "alloc.h"
#include "store_mongo.h"

static void db_close(void *arg)
{
	struct mg_db *db = arg;

	mongoc_uri_destroy(db->uri);
	pthread_mutex_destroy(&db->lock);
	free(db->name);
	free(db);
}

static int db_open(void **ret, const struct driver_options *o, struct error *err)
{
	struct mg_db *db;
	struct mg_session *s;
	int rc;

	mg_init();
	db = xcalloc(1, sizeof(*db));
	pthread_mutex_init(&db->lock, NULL);
	rc = mg_uri(o->url, &db->uri, &db->name, err);
	if (!rc) {
		s = mg_connect(db);
		rc = mg_examine(s, err);
		if (!rc)
			rc = mg_migrate(s, o->read_only_schema, &db->schema_found, err);
		if (rc == ERR_UNCERTAIN) /* migrating again does no harm */
			rc = err->code = ERR_TRANSIENT;
		else if (rc == ERR_PERMANENT)
			rc = err->code = ERR_CONFIG;
		if (rc)
			error_prefix(err, "database %s", db->name);
		mg_disconnect(s);
	}
	if (rc)
		db_close(db);
	else
		*ret = db;
	return rc;
}

static int db_schema_found(const void *arg)
{
	return ((const struct mg_db *)arg)->schema_found;
}

/* Connects when it is first used. */
static int session_open(void *arg, void **ret, struct error *err)
{
	(void)err;
	*ret = mg_connect(arg);
	return OK;
}

static void session_close(void *arg)
{
	mg_disconnect(arg);
}

static int ping(void *arg, struct error *err)
{
	struct mg_session *s = arg;
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_META, BCON_NEW("_id", BCON_UTF8(MG_SCHEMA_ID)), NULL);
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	return rc < 0 ? rc : OK;
}

static int now(void *arg, usec_t *ret, struct error *err)
{
	return mg_now(arg, ret, err);
}

const struct store_driver store_driver_mongo = {
	.name = "mongodb",
	.capabilities = STORE_DURABLE,
	.schema = MG_SCHEMA,
	.open = db_open,
	.close = db_close,
	.schema_found = db_schema_found,
	.session_open = session_open,
	.session_close = session_close,
	.ping = ping,
	.now = now,
	.insert = mg_store_insert,
	.claim = mg_claim,
	.settle = mg_settle,
	.renew = mg_renew,
	.recover = mg_recover,
	.get = mg_get,
	.list = mg_list,
	.counts = mg_counts,
	.ahead = mg_ahead,
	.attempts = mg_attempts,
	.cancel = mg_cancel,
	.replay = mg_replay,
	.replay_some = mg_replay_some,
	.scheduler_init = mg_scheduler_init,
	.scheduler_get = mg_scheduler_get,
	.scheduler_change = mg_scheduler_change,
	.runs = mg_runs,
	.jobs = mg_jobs,
	.node_seen = mg_node_seen,
	.nodes = mg_nodes,
	.records = &mg_record_verbs,
};
