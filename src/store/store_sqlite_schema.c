/*
 * The tables, and how a file of an older herald becomes one of this. Versions are counted in PRAGMA
 * user_version; each step is one transaction. Never change a step that was released: add one.
 */
#include "alloc.h"
#include "store_sqlite.h"

#define APPLICATION_ID 0x68657261 /* "hera", as file(1) shows it */

/*
 * herald_messages
 *   state     as store_rules.h numbers them.
 *   state_at  what orders the rows of a state: due_at (pending), the lease's end (sending), else when it
 *             got there (so for sent it is sent_at). One index (state, state_at) therefore serves claims,
 *             lease recovery and every list by status.
 *   said      key (with id) of the attempt that holds the provider's id or the last error; -1: none.
 * There is no index on created_at: ids and creation times rise together (sq_insert sees to that), so a
 * list by creation is one by id and a bound on time is one on ids, found by bisection.
 *
 * A row's size shall not change while it lives its usual life, for a row that grows makes its full page
 * split. Hence the texts that come later (provider's id, error) live with the attempt, and columns that
 * are set later have a value of no smaller width before: owner -1, said -1, run 2^24, started_at =
 * created_at. owner, run and started_at mean nothing while fence is 0.
 *
 * herald_attempts: seq as attempt_seq() makes it. herald_totals: one row, kept by the transactions that
 * change messages. herald_runs: id = epoch.
 */
static const char schema_1[] =
	"CREATE TABLE herald_messages("
	" id INTEGER PRIMARY KEY,"
	" state INTEGER NOT NULL,"
	" state_at INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL,"
	" lost INTEGER NOT NULL,"
	" fence INTEGER NOT NULL,"
	" owner INTEGER NOT NULL,"
	" run INTEGER NOT NULL,"
	" said INTEGER NOT NULL,"
	" due_at INTEGER NOT NULL,"
	" started_at INTEGER NOT NULL,"
	" updated_at INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" send_at INTEGER NOT NULL,"
	" phone TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" idempotency_key TEXT,"
	" metadata TEXT);"
	"CREATE INDEX herald_messages_state ON herald_messages(state,state_at);"
	"CREATE UNIQUE INDEX herald_messages_key ON herald_messages(idempotency_key)"
	" WHERE idempotency_key IS NOT NULL;"
	"CREATE TABLE herald_attempts("
	" message INTEGER NOT NULL,"
	" seq INTEGER NOT NULL,"
	" attempt INTEGER NOT NULL,"
	" run INTEGER NOT NULL,"
	" owner INTEGER NOT NULL,"
	" verdict INTEGER NOT NULL,"
	" http_status INTEGER NOT NULL,"
	" started_at INTEGER NOT NULL,"
	" duration INTEGER NOT NULL,"
	" message_id TEXT,"
	" error TEXT,"
	" PRIMARY KEY(message,seq)) WITHOUT ROWID;"
	"CREATE TABLE herald_owners(id INTEGER PRIMARY KEY, owner TEXT NOT NULL UNIQUE);"
	"CREATE TABLE herald_totals("
	" one INTEGER PRIMARY KEY CHECK(one=1),"
	" last_id INTEGER NOT NULL DEFAULT 0,"
	" last_created_at INTEGER NOT NULL DEFAULT 0,"
	" pending INTEGER NOT NULL DEFAULT 0,"
	" sending INTEGER NOT NULL DEFAULT 0,"
	" sent INTEGER NOT NULL DEFAULT 0,"
	" failed INTEGER NOT NULL DEFAULT 0,"
	" cancelled INTEGER NOT NULL DEFAULT 0,"
	" unknown INTEGER NOT NULL DEFAULT 0,"
	" retrying INTEGER NOT NULL DEFAULT 0);"
	"INSERT INTO herald_totals(one) VALUES(1);"
	"CREATE TABLE herald_scheduler("
	" one INTEGER PRIMARY KEY CHECK(one=1),"
	" running INTEGER NOT NULL,"
	" interval INTEGER NOT NULL,"
	" batch INTEGER NOT NULL,"
	" beat_at INTEGER NOT NULL,"
	" epoch INTEGER NOT NULL,"
	" remaining INTEGER NOT NULL,"
	" failure_rate REAL NOT NULL,"
	" messages_sent INTEGER NOT NULL,"
	" all_failed INTEGER NOT NULL,"
	" last_alert_at INTEGER NOT NULL,"
	" config_interval INTEGER NOT NULL,"
	" config_batch INTEGER NOT NULL);"
	"CREATE TABLE herald_runs("
	" id INTEGER PRIMARY KEY,"
	" started_at INTEGER NOT NULL,"
	" node TEXT NOT NULL,"
	" claimed INTEGER NOT NULL,"
	" sent INTEGER NOT NULL DEFAULT 0,"
	" failed INTEGER NOT NULL DEFAULT 0,"
	" retried INTEGER NOT NULL DEFAULT 0,"
	" lost INTEGER NOT NULL DEFAULT 0,"
	" last_id INTEGER NOT NULL,"
	" closed INTEGER NOT NULL,"
	" finished INTEGER NOT NULL DEFAULT 0);";

static const char schema_2[] =
	"ALTER TABLE herald_totals ADD COLUMN invalid INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE IF NOT EXISTS herald_notes(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;";

static const char schema_3[] = "ALTER TABLE herald_scheduler ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;";

/* last_run 0: the job goes on. */
static const char schema_4[] =
	"ALTER TABLE herald_scheduler ADD COLUMN job INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE herald_jobs("
	" id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL,"
	" started_at INTEGER NOT NULL,"
	" finished_at INTEGER NOT NULL DEFAULT 0,"
	" first_run INTEGER NOT NULL,"
	" last_run INTEGER NOT NULL DEFAULT 0);";

/* herald_phones: store_sqlite_phones.c. Segments are named by their first id. */
static const char schema_5[] =
	"CREATE TABLE herald_phones("
	" segment INTEGER NOT NULL,"
	" phone TEXT NOT NULL,"
	" id INTEGER NOT NULL,"
	" PRIMARY KEY(segment,phone,id)) WITHOUT ROWID;"
	"ALTER TABLE herald_totals ADD COLUMN phones_upto INTEGER NOT NULL DEFAULT 1;"
	"INSERT INTO herald_phones SELECT id-id%32768,phone,id FROM herald_messages ORDER BY 1,2,3;"
	"UPDATE herald_totals SET phones_upto=last_id+1;";

static const char *const steps[SQ_SCHEMA] = {schema_1, schema_2, schema_3, schema_4, schema_5};

static int read_number(struct sq_conn *c, const char *sql, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(c, sql, err);
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	*ret = rc ? sqlite3_column_int64(st, 0) : 0;
	return OK;
}

/* herald's tables may live beside an application's own, but its version number must then be unused. */
static int find_version(struct sq_conn *c, int *ret, struct error *err)
{
	int64_t app, version, tables;
	int rc;

	if ((rc = read_number(c, "PRAGMA application_id", &app, err)) ||
	    (rc = read_number(c, "PRAGMA user_version", &version, err)) ||
	    (rc = read_number(c, "SELECT count(*) FROM sqlite_schema WHERE name='herald_messages'",
	                      &tables, err)))
		return rc;
	if (app == APPLICATION_ID && version > SQ_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 "its schema has version %d, this herald knows %d: it was written by a "
		                 "newer herald",
		                 (int)version, SQ_SCHEMA);
	if (app == APPLICATION_ID && version > 0 && tables) {
		*ret = (int)version;
		return OK;
	}
	if (app || version || tables)
		return error_set(err, ERR_CONFIG, "it is the database of another application");
	*ret = 0;
	return OK;
}

static int step_up(struct sq_conn *c, int version, struct error *err)
{
	char *sql cleanup(free_ptr) =
		xasprintf("BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
	                  steps[version - 1], APPLICATION_ID, version);
	int rc = sq_exec(c, sql, err);

	if (rc && !sqlite3_get_autocommit(c->handle))
		sqlite3_exec(c->handle, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int sq_migrate(struct sq_conn *c, bool read_only, int *ret_found, struct error *err)
{
	int found = 0, version;
	int rc = find_version(c, &found, err);

	if (rc)
		return rc;
	if (read_only && found < SQ_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 found ? "its schema has version %d, this herald needs %d: run "
		                         "`herald migrate`"
		                       : "it has no herald tables (version %d of %d): run "
		                         "`herald migrate`",
		                 found, SQ_SCHEMA);
	for (version = found + 1; !rc && version <= SQ_SCHEMA; version++)
		rc = step_up(c, version, err);
	if (!rc)
		*ret_found = found;
	return rc;
}
