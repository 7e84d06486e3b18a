/*
 * The tables, and how a database of an older herald becomes one of this. MySQL commits with every CREATE and
 * ALTER, so a step may be cut short anywhere: each of its statements must do nothing when it has been done
 * before, and the version is written after the last. Never change a step that was released: add one.
 *
 * Several nodes may start at once: GET_LOCK() lets them migrate one after the other. In a Galera cluster
 * that lock is each server's own, but there DDL is carried out in one order everywhere: whoever comes second
 * changes nothing, or is told that the column or the index is there.
 */
#include <mysqld_error.h>

#include "alloc.h"
#include "store_mysql.h"

#define LOCK_SECONDS 60
#define TABLE_OPTIONS " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

/*
 * herald_messages
 *   state     as store_rules.h numbers them.
 *   state_at  what orders the rows of a state: due_at (pending), the lease's end (sending), else when it
 *             got there (so for sent it is sent_at). One index (state, state_at, id) therefore serves
 *             claims, lease recovery and every list by status, in the very order that they ask for:
 *             whatever had to be sorted would have to be locked, too.
 *   said      key (with id) of the attempt that holds the provider's id or the last error; -1: none. With the
 *             texts that come later elsewhere, a row keeps its size and is updated in place.
 * owner, run and started_at mean nothing while fence is 0.
 *
 * herald_attempts: seq as attempt_seq() makes it. herald_runs: id = epoch. herald_totals: the sums over all
 * slots count; a session uses one slot, so that few transactions wait for the same row. herald_streak stands
 * apart from herald_scheduler because of the order of locks (store_mysql.h).
 */
static const char *const schema_1[] = {
	"CREATE TABLE IF NOT EXISTS herald_messages("
	" id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" state TINYINT NOT NULL,"
	" state_at BIGINT NOT NULL,"
	" attempts INT NOT NULL,"
	" lost INT NOT NULL,"
	" fence BIGINT NOT NULL,"
	" owner INT NOT NULL,"
	" run BIGINT NOT NULL,"
	" said BIGINT NOT NULL,"
	" due_at BIGINT NOT NULL,"
	" started_at BIGINT NOT NULL,"
	" updated_at BIGINT NOT NULL,"
	" created_at BIGINT NOT NULL,"
	" send_at BIGINT NOT NULL,"
	" phone VARCHAR(20) NOT NULL,"
	" content MEDIUMTEXT NOT NULL,"
	" idempotency_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin,"
	" metadata TEXT,"
	" UNIQUE KEY herald_messages_key(idempotency_key),"
	" KEY herald_messages_state(state,state_at,id),"
	" KEY herald_messages_created(created_at,id))" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_attempts("
	" message BIGINT NOT NULL,"
	" seq BIGINT NOT NULL,"
	" attempt INT NOT NULL,"
	" run BIGINT NOT NULL,"
	" owner INT NOT NULL,"
	" verdict TINYINT NOT NULL,"
	" http_status SMALLINT NOT NULL,"
	" started_at BIGINT NOT NULL,"
	" duration BIGINT NOT NULL,"
	" message_id VARCHAR(255),"
	" error VARCHAR(500),"
	" PRIMARY KEY(message,seq))" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_owners("
	" id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
	" owner VARCHAR(255) NOT NULL,"
	" UNIQUE KEY herald_owners_owner(owner))" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_totals("
	" slot INT NOT NULL PRIMARY KEY,"
	" n_pending BIGINT NOT NULL,"
	" n_sending BIGINT NOT NULL,"
	" n_sent BIGINT NOT NULL,"
	" n_failed BIGINT NOT NULL,"
	" n_cancelled BIGINT NOT NULL,"
	" n_unknown BIGINT NOT NULL,"
	" n_retrying BIGINT NOT NULL,"
	" delivered BIGINT NOT NULL)" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_scheduler("
	" one TINYINT NOT NULL PRIMARY KEY,"
	" running TINYINT NOT NULL,"
	" beat_interval BIGINT NOT NULL,"
	" batch INT NOT NULL,"
	" beat_at BIGINT NOT NULL,"
	" epoch BIGINT NOT NULL,"
	" remaining INT NOT NULL,"
	" failure_rate DOUBLE NOT NULL,"
	" last_alert_at BIGINT NOT NULL,"
	" config_interval BIGINT NOT NULL,"
	" config_batch INT NOT NULL)" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_streak("
	" one TINYINT NOT NULL PRIMARY KEY,"
	" all_failed INT NOT NULL)" TABLE_OPTIONS,
	"INSERT INTO herald_streak(one,all_failed) VALUES(1,0) ON DUPLICATE KEY UPDATE one=1",
	"CREATE TABLE IF NOT EXISTS herald_runs("
	" id BIGINT NOT NULL PRIMARY KEY,"
	" started_at BIGINT NOT NULL,"
	" node VARCHAR(255) NOT NULL,"
	" claimed INT NOT NULL,"
	" sent INT NOT NULL,"
	" failed INT NOT NULL,"
	" retried INT NOT NULL,"
	" lost INT NOT NULL,"
	" last_id BIGINT NOT NULL,"
	" closed TINYINT NOT NULL,"
	" finished TINYINT NOT NULL)" TABLE_OPTIONS,
	"CREATE TABLE IF NOT EXISTS herald_nodes("
	" node VARCHAR(64) NOT NULL,"
	" boot VARCHAR(32) NOT NULL,"
	" version VARCHAR(32) NOT NULL,"
	" role VARCHAR(32) NOT NULL,"
	" started_at BIGINT NOT NULL,"
	" last_seen BIGINT NOT NULL,"
	" in_flight BIGINT NOT NULL,"
	" has_left TINYINT NOT NULL,"
	" PRIMARY KEY(node,boot))" TABLE_OPTIONS,
	NULL,
};

/* MySQL knows no ADD COLUMN IF NOT EXISTS, only MariaDB does. */
#define ADD_COLUMN(table, column, type)                                                            \
	"SET @herald=IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema=DATABASE()" \
	" AND table_name='" table "' AND column_name='" column "'),'DO 0',"                        \
	"'ALTER TABLE " table " ADD COLUMN " column " " type "')",                                 \
		"PREPARE herald FROM @herald", "EXECUTE herald", "DEALLOCATE PREPARE herald"

#define ADD_INDEX(table, index, columns)                                                            \
	"SET @herald=IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema=DATABASE()" \
	" AND table_name='" table "' AND index_name='" index "'),'DO 0',"                          \
	"'ALTER TABLE " table " ADD INDEX " index "(" columns ")')",                               \
		"PREPARE herald FROM @herald", "EXECUTE herald", "DEALLOCATE PREPARE herald"

static const char *const schema_2[] = {
	ADD_COLUMN("herald_totals", "n_invalid", "BIGINT NOT NULL DEFAULT 0"),
	"CREATE TABLE IF NOT EXISTS herald_notes("
	" name VARCHAR(64) NOT NULL PRIMARY KEY,"
	" said VARCHAR(2000) NOT NULL)" TABLE_OPTIONS,
	NULL,
};

static const char *const schema_3[] = {
	ADD_COLUMN("herald_scheduler", "not_before", "BIGINT NOT NULL DEFAULT 0"),
	NULL,
};

/* last_run 0: the job goes on. */
static const char *const schema_4[] = {
	ADD_COLUMN("herald_scheduler", "job", "BIGINT NOT NULL DEFAULT 0"),
	"CREATE TABLE IF NOT EXISTS herald_jobs("
	" id BIGINT NOT NULL PRIMARY KEY,"
	" name VARCHAR(64) NOT NULL,"
	" started_at BIGINT NOT NULL,"
	" finished_at BIGINT NOT NULL,"
	" first_run BIGINT NOT NULL,"
	" last_run BIGINT NOT NULL)" TABLE_OPTIONS,
	NULL,
};

/* In the order of lists by creation. It is written when a message is created and not again. */
static const char *const schema_5[] = {
	ADD_INDEX("herald_messages", "herald_messages_phone", "phone,created_at,id"),
	NULL,
};

/* The number of the last transaction that each session has committed: store_mysql_transact.c says why. */
static const char *const schema_6[] = {
	"CREATE TABLE IF NOT EXISTS herald_commits("
	" session BIGINT NOT NULL PRIMARY KEY,"
	" number BIGINT NOT NULL,"
	" asked BIGINT NOT NULL,"
	" at BIGINT NOT NULL)" TABLE_OPTIONS,
	NULL,
};

static const char *const *const steps[MY_SCHEMA] = {schema_1, schema_2, schema_3,
                                                    schema_4, schema_5, schema_6};

/* One statement by itself. */
static int exec(struct my_session *s, const char *sql, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;

	my_add(&b, sql);
	return my_run(s, &b, err);
}

static int read_number(struct my_session *s, const char *sql, int64_t *ret, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row row;
	int rc;

	my_add(&b, sql);
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	*ret = my_row(&b, 0, &row) ? my_int(&row, 0) : 0;
	return OK;
}

/* -1: nothing of herald's is there. */
static int find_version(struct my_session *s, int64_t *ret, struct error *err)
{
	int64_t schema, messages, version;
	int rc;

	rc = read_number(s,
	                 "SELECT COUNT(*) FROM information_schema.tables"
	                 " WHERE table_schema=DATABASE() AND table_name='herald_schema'",
	                 &schema, err);
	if (rc)
		return rc;
	if (!schema) {
		rc = read_number(s,
		                 "SELECT COUNT(*) FROM information_schema.tables"
		                 " WHERE table_schema=DATABASE() AND table_name='herald_messages'",
		                 &messages, err);
		if (!rc && messages)
			rc = error_set(err, ERR_CONFIG,
			               "there is a table herald_messages that is not herald's");
		*ret = -1;
		return rc;
	}
	rc = read_number(s, "SELECT version FROM herald_schema WHERE one=1", &version, err);
	if (rc)
		return rc;
	if (version > MY_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 "its schema has version %d, this herald knows %d: it was written by a "
		                 "newer herald",
		                 (int)version, MY_SCHEMA);
	*ret = version;
	return OK;
}

/* Part of a step; it may have been done before, or by another server's herald at this moment. */
static int change(struct my_session *s, const char *sql, struct error *err)
{
	int rc = exec(s, sql, err);
	unsigned nr = rc && s->handle ? mysql_errno(s->handle) : 0;

	return nr == ER_DUP_FIELDNAME || nr == ER_DUP_KEYNAME ? OK : rc;
}

static int step_up(struct my_session *s, int version, struct error *err)
{
	const char *const *sql;
	char *mark cleanup(free_ptr) =
		xasprintf("INSERT INTO herald_schema(one,version) VALUES(1,%d)"
	                  " ON DUPLICATE KEY UPDATE version=GREATEST(version,%d)",
	                  version, version);
	int rc = OK;

	for (sql = steps[version - 1]; !rc && *sql; sql++)
		rc = change(s, *sql, err);
	return rc ? rc : exec(s, mark, err);
}

static int migrate_locked(struct my_session *s, struct error *err)
{
	int64_t found;
	int version, rc = find_version(s, &found, err);

	if (!rc && found < 0) {
		/* Before all others, as the sign that they are ours. */
		rc = exec(s,
		          "CREATE TABLE IF NOT EXISTS herald_schema("
		          " one TINYINT NOT NULL PRIMARY KEY,"
		          " version INT NOT NULL)" TABLE_OPTIONS,
		          err);
		found = 0;
	}
	for (version = (int)found + 1; !rc && version <= MY_SCHEMA; version++)
		rc = step_up(s, version, err);
	return rc;
}

#define LOCK_NAME "CONCAT('herald.',MD5(DATABASE()))"

static int migrate(struct my_session *s, struct error *err)
{
	struct error ignored;
	char *lock cleanup(free_ptr) = xasprintf("SELECT GET_LOCK(" LOCK_NAME ",%d)", LOCK_SECONDS);
	/* It may have to wait for others, and for a change of a large table. */
	const unsigned patience = 24 * 3600;
	int64_t got = 0;
	int rc;

	mysql_options(s->handle, MYSQL_OPT_READ_TIMEOUT, &patience);
	rc = read_number(s, lock, &got, err);
	if (!rc && got != 1)
		return error_set(err, ERR_TRANSIENT, "another herald migrates it, for over a minute");
	if (!rc)
		rc = migrate_locked(s, err);
	if (s->handle)
		(void)read_number(s, "SELECT RELEASE_LOCK(" LOCK_NAME ")", &got, &ignored);
	return rc;
}

int my_migrate(struct my_session *s, bool read_only, int *ret_found, struct error *err)
{
	int64_t found;
	int rc = find_version(s, &found, err);

	if (rc)
		return rc;
	found = MAX_OF(found, 0);
	if (read_only && found < MY_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 found ? "its schema has version %d, this herald needs %d: run "
		                         "`herald migrate`"
		                       : "it has no herald tables (version %d of %d): run "
		                         "`herald migrate`",
		                 (int)found, MY_SCHEMA);
	if (found < MY_SCHEMA)
		rc = migrate(s, err);
	if (!rc)
		*ret_found = (int)found;
	return rc;
}
