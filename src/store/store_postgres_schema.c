/*
 * The tables, in the connection's current schema, and how those of an older herald become those of this.
 * Each step is one transaction, under a lock that other nodes wait for. Never change a step that was
 * released: add one.
 */
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"

/*
 * herald_messages
 *   state     as store_rules.h numbers them.
 *   state_at  what orders the rows of a state: due_at (pending), the lease's end (sending), else when it
 *             got there (so for sent it is sent_at). One index (state, state_at, id) therefore serves
 *             claims, lease recovery and every list by status.
 *   said      key (with id) of the attempt that holds the provider's id or the last error; -1: none.
 * There is no index on created_at, as each index is written for each change of a row: herald_allot() sees
 * to it that ids and creation times rise together, so a list by creation is one by id and a bound on time
 * is one on ids, found by bisection (herald_first_since). owner, run and started_at mean nothing while
 * fence is 0. The fill factor leaves room for the next version of a row beside the last one, which keeps
 * the log of changes small.
 *
 * herald_attempts: seq as attempt_seq() makes it. herald_runs: id = epoch.
 *
 * herald_counts: how many messages are in each state, as the sum over all rows. A connection adds to the
 * row of its backend's number, so that transactions seldom wait for each other to end.
 *
 * herald_streak: runs in a row in which every message failed. Apart from herald_scheduler, since it
 * changes when a run ends, and that must not wait for who opens a beat.
 *
 * herald_now(): the time of herald, in microseconds; the planner puts its text in place of the call.
 *
 * herald_allot(n): n ids in a row and the time of creation. Its lock is held for this call and not to the
 * end of the transaction, so that commits need not queue. Sequences are not taken back with a
 * transaction, which is what is wanted here; the second one holds a time. A server that crashes may take
 * them back to the last commit, so an id whose transaction is lost may be given out again.
 */
static const char schema_1[] =
	"CREATE SEQUENCE herald_ids MAXVALUE 9007199254740991;"
	"CREATE SEQUENCE herald_created;"
	"CREATE TABLE herald_messages("
	" id bigint NOT NULL,"
	" state_at bigint NOT NULL,"
	" fence bigint NOT NULL,"
	" owner bigint NOT NULL,"
	" run bigint NOT NULL,"
	" said bigint NOT NULL,"
	" due_at bigint NOT NULL,"
	" started_at bigint NOT NULL,"
	" updated_at bigint NOT NULL,"
	" created_at bigint NOT NULL,"
	" send_at bigint NOT NULL,"
	" attempts integer NOT NULL,"
	" lost integer NOT NULL,"
	" state smallint NOT NULL,"
	" phone text NOT NULL,"
	" content text NOT NULL,"
	" idempotency_key text COLLATE \"C\","
	" metadata text,"
	" CONSTRAINT herald_messages_id PRIMARY KEY(id)"
	") WITH (fillfactor=75, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=5000,"
	" autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0.2);"
	"CREATE INDEX herald_messages_state ON herald_messages(state,state_at,id);"
	"CREATE UNIQUE INDEX herald_messages_key ON herald_messages(idempotency_key)"
	" WHERE idempotency_key IS NOT NULL;"
	"CREATE TABLE herald_attempts("
	" message bigint NOT NULL,"
	" seq bigint NOT NULL,"
	" run bigint NOT NULL,"
	" owner bigint NOT NULL,"
	" started_at bigint NOT NULL,"
	" duration bigint NOT NULL,"
	" attempt integer NOT NULL,"
	" verdict smallint NOT NULL,"
	" http_status smallint NOT NULL,"
	" message_id text,"
	" error text,"
	" CONSTRAINT herald_attempts_id PRIMARY KEY(message,seq));"
	"CREATE TABLE herald_owners("
	" id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
	" owner text COLLATE \"C\" NOT NULL UNIQUE);"
	"CREATE TABLE herald_counts("
	" slot integer PRIMARY KEY,"
	" pending bigint NOT NULL DEFAULT 0,"
	" sending bigint NOT NULL DEFAULT 0,"
	" sent bigint NOT NULL DEFAULT 0,"
	" failed bigint NOT NULL DEFAULT 0,"
	" cancelled bigint NOT NULL DEFAULT 0,"
	" unknown bigint NOT NULL DEFAULT 0,"
	" retrying bigint NOT NULL DEFAULT 0"
	") WITH (fillfactor=20, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_scale_factor=0,"
	" autovacuum_vacuum_cost_delay=0);"
	"INSERT INTO herald_counts(slot) SELECT generate_series(0,63);"
	"CREATE TABLE herald_scheduler("
	" one integer PRIMARY KEY CHECK(one=1),"
	" running boolean NOT NULL,"
	" beat_interval bigint NOT NULL,"
	" batch bigint NOT NULL,"
	" beat_at bigint NOT NULL,"
	" epoch bigint NOT NULL,"
	" remaining bigint NOT NULL,"
	" failure_rate double precision NOT NULL,"
	" last_alert_at bigint NOT NULL,"
	" config_interval bigint NOT NULL,"
	" config_batch bigint NOT NULL"
	") WITH (fillfactor=20);"
	"CREATE TABLE herald_streak("
	" one integer PRIMARY KEY CHECK(one=1),"
	" all_failed bigint NOT NULL"
	") WITH (fillfactor=20);"
	"INSERT INTO herald_streak VALUES(1,0);"
	"CREATE TABLE herald_runs("
	" id bigint PRIMARY KEY,"
	" started_at bigint NOT NULL,"
	" claimed bigint NOT NULL,"
	" sent bigint NOT NULL DEFAULT 0,"
	" failed bigint NOT NULL DEFAULT 0,"
	" retried bigint NOT NULL DEFAULT 0,"
	" lost bigint NOT NULL DEFAULT 0,"
	" last_id bigint NOT NULL,"
	" closed boolean NOT NULL,"
	" finished boolean NOT NULL DEFAULT false,"
	" node text NOT NULL"
	") WITH (fillfactor=50, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_scale_factor=0.02);"
	"CREATE FUNCTION herald_now() RETURNS bigint LANGUAGE sql AS $$"
	" SELECT (extract(epoch FROM clock_timestamp())*1000000)::bigint $$;"
	"CREATE FUNCTION herald_allot(n bigint, OUT first_id bigint, OUT created_at bigint)"
	" LANGUAGE plpgsql AS $$"
	" DECLARE key integer := 'herald_messages'::regclass::oid::bigint::bit(32)::integer;"
	" BEGIN"
	"  PERFORM pg_advisory_lock(1751478881, key);"
	"  first_id := nextval('herald_ids');"
	"  PERFORM setval('herald_ids', first_id + n - 1);"
	"  created_at := greatest(herald_now(), (SELECT last_value FROM herald_created));"
	"  PERFORM setval('herald_created', created_at);"
	"  PERFORM pg_advisory_unlock(1751478881, key);"
	" END $$;"
	"CREATE FUNCTION herald_first_since(t bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$"
	" DECLARE low bigint := 1; high bigint; middle bigint; found_id bigint; found_at bigint;"
	" BEGIN"
	"  SELECT coalesce(max(id),0)+1 INTO high FROM herald_messages;"
	"  WHILE low < high LOOP"
	"   middle := low + (high - low) / 2;"
	"   SELECT id, created_at INTO found_id, found_at FROM herald_messages WHERE id >= middle"
	"    ORDER BY id LIMIT 1;"
	"   IF FOUND AND found_at < t THEN low := found_id + 1; ELSE high := middle; END IF;"
	"  END LOOP;"
	"  RETURN low;"
	" END $$;";

/* A string of its own, since C promises no longer ones than 4095 characters. */
static const char schema_1_nodes[] =
	"CREATE TABLE herald_nodes("
	" node text,"
	" boot text,"
	" version text NOT NULL,"
	" role text NOT NULL,"
	" started_at bigint NOT NULL,"
	" last_seen bigint NOT NULL,"
	" in_flight bigint NOT NULL,"
	" has_left boolean NOT NULL,"
	" PRIMARY KEY(node,boot)"
	") WITH (fillfactor=20, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_scale_factor=0);";

static const char schema_2[] =
	"ALTER TABLE herald_counts ADD COLUMN invalid bigint NOT NULL DEFAULT 0;"
	"CREATE TABLE IF NOT EXISTS herald_notes(name text COLLATE \"C\" PRIMARY KEY, said text NOT NULL);";

static const char schema_3[] = "ALTER TABLE herald_scheduler ADD COLUMN not_before bigint NOT NULL DEFAULT 0;";

/* last_run 0: the job goes on. */
static const char schema_4[] =
	"ALTER TABLE herald_scheduler ADD COLUMN job bigint NOT NULL DEFAULT 0;"
	"CREATE TABLE herald_jobs("
	" id bigint PRIMARY KEY,"
	" started_at bigint NOT NULL,"
	" finished_at bigint NOT NULL DEFAULT 0,"
	" first_run bigint NOT NULL,"
	" last_run bigint NOT NULL DEFAULT 0,"
	" name text NOT NULL);";

/*
 * Which messages go to a phone number. An index of herald_messages would be written by each claim and each
 * outcome: measured, two thirds more processor time for those. This costs 4 us when a message is created, and
 * nothing later. By a trigger, so that what an older herald creates is in it, too; that is there before the
 * rows are copied, and keeps writers out meanwhile.
 */
static const char schema_5[] =
	"CREATE TABLE herald_phones("
	" phone text COLLATE \"C\","
	" id bigint,"
	" CONSTRAINT herald_phones_id PRIMARY KEY(phone,id));"
	"CREATE FUNCTION herald_phones_add() RETURNS trigger LANGUAGE plpgsql AS $$"
	" BEGIN INSERT INTO herald_phones(phone,id) SELECT phone,id FROM fresh; RETURN NULL; END $$;"
	"CREATE TRIGGER herald_phones AFTER INSERT ON herald_messages REFERENCING NEW TABLE AS fresh"
	" FOR EACH STATEMENT EXECUTE FUNCTION herald_phones_add();"
	"INSERT INTO herald_phones(phone,id) SELECT phone,id FROM herald_messages ORDER BY phone COLLATE \"C\",id;";

/* The number of the last transaction that each session has committed: store_postgres_transact.c says why. */
static const char schema_6[] =
	"CREATE TABLE herald_commits("
	" session bigint PRIMARY KEY,"
	" number bigint NOT NULL,"
	" at bigint NOT NULL"
	") WITH (fillfactor=20, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_scale_factor=0,"
	" autovacuum_vacuum_cost_delay=0);";

static const char *const steps[PG_SCHEMA][2] = {{schema_1, schema_1_nodes}, {schema_2}, {schema_3},
                                                {schema_4}, {schema_5}, {schema_6}};

static int run(PGconn *handle, const char *sql, int64_t *ret /* may be NULL */, struct error *err)
{
	PGresult *res = PQexec(handle, sql);
	ExecStatusType status = PQresultStatus(res);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *said = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	int rc = OK;

	if (status == PGRES_TUPLES_OK && ret)
		*ret = PQntuples(res) ? strtoll(PQgetvalue(res, 0, 0), NULL, 10) : 0;
	else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		rc = error_set(err,
		               !state || !strncmp(state, "08", 2) || !strncmp(state, "57", 2) ||
		                               !strncmp(state, "40", 2) || !strncmp(state, "53", 2) ||
		                               !strncmp(state, "55", 2) || !strcmp(state, "25006")
		                       ? ERR_TRANSIENT
		                       : ERR_CONFIG,
		               "cannot set up the schema: %s", said ? said : "the connection was lost");
	PQclear(res);
	return rc;
}

/* The table is looked for where its unqualified name would be; by a query and not by to_regclass(), which
 * would repeat from memory what it found before another node has made it. */
static int find_version(PGconn *handle, int64_t *ret, struct error *err)
{
	int64_t there;
	int rc = run(handle,
	             "SELECT count(*) FROM pg_class WHERE relname='herald_schema' AND relkind='r'"
	             " AND pg_table_is_visible(oid)",
	             &there, err);

	*ret = 0;
	if (!rc && there)
		rc = run(handle, "SELECT max(version) FROM herald_schema", ret, err);
	return rc;
}

/* 1751478881: "hera" as a number. The lock goes with the transaction, however that ends. */
static int step_up(PGconn *handle, struct error *err)
{
	char *done cleanup(free_ptr) = NULL;
	int64_t version;
	int rc = run(handle,
	             "BEGIN; SET LOCAL statement_timeout=0; SET LOCAL lock_timeout=0;"
	             "SELECT pg_advisory_xact_lock(1751478881)",
	             NULL, err);

	/* Read again, since another node may have done it while we waited. */
	if (!rc)
		rc = find_version(handle, &version, err);
	if (!rc && !version)
		rc = run(handle, "CREATE TABLE herald_schema(version integer PRIMARY KEY)", NULL, err);
	for (; !rc && version < PG_SCHEMA; version++) {
		free_ptr(&done);
		done = xasprintf("INSERT INTO herald_schema VALUES(%d)", (int)version + 1);
		for (size_t i = 0; !rc && i < ARRAY_SIZE(steps[0]) && steps[version][i]; i++)
			rc = run(handle, steps[version][i], NULL, err);
		if (!rc)
			rc = run(handle, done, NULL, err);
	}
	if (!rc)
		return run(handle, "COMMIT", NULL, err);
	PQclear(PQexec(handle, "ROLLBACK"));
	return rc;
}

int pg_migrate(PGconn *handle, bool read_only, int *ret_found, struct error *err)
{
	int64_t found;
	int rc = find_version(handle, &found, err);

	if (rc)
		return rc;
	if (found > PG_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 "its schema has version %d, this herald knows %d: it was written by a "
		                 "newer herald",
		                 (int)found, PG_SCHEMA);
	if (read_only && found < PG_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 found ? "its schema has version %d, this herald needs %d: run "
		                         "`herald migrate`"
		                       : "it has no herald tables (version %d of %d): run "
		                         "`herald migrate`",
		                 (int)found, PG_SCHEMA);
	if (found < PG_SCHEMA)
		rc = step_up(handle, err);
	if (!rc)
		*ret_found = (int)found;
	return rc;
}
