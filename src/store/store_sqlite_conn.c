/* Connections, cached statements and transactions of the SQLite driver. */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "store_sqlite.h"

/* Bytes of page cache. The writer's holds the pages that a few batches touch; more only pays when
 * idempotency keys come in random order. */
#define WRITER_CACHE_KIB 8192
#define READER_CACHE_KIB 2048
/* Pages of 4 KiB in the log before its content moves to the database. The commit that does it waits for
 * two more flushes and the copying; from 1000 pages on, more of them made nothing faster, only that wait
 * longer, and a start after a crash, which reads the whole log. */
#define CHECKPOINT_PAGES 2000
#define BUSY_MSEC 2000

int sq_error(struct sq_conn *c, int code, const char *what, struct error *err)
{
	int sys = c->handle ? sqlite3_system_errno(c->handle) : errno;

	switch (code & 0xff) {
	case SQLITE_FULL:
		c->no_room = true;
		return error_set(err, ERR_TRANSIENT, "cannot %s: the disk is full", what);
	case SQLITE_IOERR:
		/* Its errno is lost on the way up; only ENOSPC comes as SQLITE_FULL. */
		if (code == SQLITE_IOERR_WRITE) {
			c->no_room = true;
			return error_set(err, ERR_TRANSIENT,
			                 "cannot %s: writing to the file failed (is a quota or a limit on "
			                 "file sizes reached?)",
			                 what);
		}
		return error_set(err, ERR_TRANSIENT, "cannot %s: input/output error %d", what, code);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return error_set(err, ERR_TRANSIENT, "cannot %s: another program holds the database",
		                 what);
	case SQLITE_NOMEM:
	case SQLITE_INTERRUPT:
		return error_set(err, ERR_TRANSIENT, "cannot %s: %s", what, sqlite3_errstr(code));
	case SQLITE_CANTOPEN:
		return error_errno(err,
		                   sys == EMFILE || sys == ENFILE || sys == ENOSPC ? ERR_TRANSIENT
		                                                                   : ERR_PERMANENT,
		                   sys, "cannot open the database file or create its log beside it");
	case SQLITE_CORRUPT:
		return error_set(err, ERR_PERMANENT, "cannot %s: the database file is damaged (%s)",
		                 what, c->handle ? sqlite3_errmsg(c->handle) : sqlite3_errstr(code));
	case SQLITE_NOTADB:
		return error_set(err, ERR_PERMANENT, "the file is not an SQLite database");
	case SQLITE_READONLY:
		if (code == SQLITE_READONLY_DBMOVED)
			return error_set(err, ERR_PERMANENT,
			                 "cannot %s: the database file was moved or deleted", what);
		if (code == SQLITE_READONLY_DIRECTORY || code == SQLITE_READONLY_CANTINIT)
			return error_set(err, ERR_PERMANENT,
			                 "cannot %s: no permission to create the log beside the file",
			                 what);
		return error_set(err, ERR_PERMANENT, "cannot %s: the database is read-only", what);
	default:
		return error_set(err, ERR_PERMANENT, "cannot %s: %s", what,
		                 c->handle ? sqlite3_errmsg(c->handle) : sqlite3_errstr(code));
	}
}

int sq_exec(struct sq_conn *c, const char *sql, struct error *err)
{
	int code = sqlite3_exec(c->handle, sql, NULL, NULL, NULL);

	return code ? sq_error(c, code, "set up the database", err) : OK;
}

/* SQLite quietly stays with another kind of log where it cannot have this one. */
static int check_wal(struct sq_conn *c, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(c, "PRAGMA journal_mode", err);
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	if (!rc || strcmp((const char *)sqlite3_column_text(st, 0), "wal") != 0)
		return error_set(err, ERR_PERMANENT,
		                 "the file system does not support a write-ahead log (is it a network "
		                 "one?)");
	return OK;
}

static int setup(struct sq_conn *c, bool writer, struct error *err)
{
	char *sql cleanup(free_ptr) = NULL;
	int rc;

	sqlite3_busy_timeout(c->handle, BUSY_MSEC);
	sqlite3_extended_result_codes(c->handle, 1);
	if (!writer) {
		/* It must never checkpoint, not even as the last one to close: see struct sq_db. */
		sqlite3_db_config(c->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		sql = xasprintf("PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0;"
		                "PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY",
		                READER_CACHE_KIB);
		return sq_exec(c, sql, err);
	}
	/* FULL: a commit is on the disk when it returns, as durable as the disk; NORMAL could lose the
	 * last ones with the power. */
	sql = xasprintf("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-%d;"
	                "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"
	                "PRAGMA wal_autocheckpoint=%d; PRAGMA journal_size_limit=67108864",
	                WRITER_CACHE_KIB, CHECKPOINT_PAGES);
	rc = sq_exec(c, sql, err);
	return rc ? rc : check_wal(c, err);
}

int sq_open(struct sq_conn *c, const char *path, bool writer, struct error *err)
{
	/* A name like ":memory:" shall be a file, too. */
	char *name cleanup(free_ptr) = path[0] == '/' ? xstrdup(path) : xasprintf("./%s", path);
	int flags = (writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
	int code = sqlite3_open_v2(name, &c->handle, flags, NULL);
	int rc = code ? sq_error(c, code, "open", err) : setup(c, writer, err);

	if (rc)
		sq_close(c);
	return rc;
}

void sq_close(struct sq_conn *c)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		sqlite3_finalize(c->cached[i].stmt);
		free(c->cached[i].sql);
	}
	free(c->cached);
	sqlite3_close(c->handle);
	*c = (struct sq_conn){.handle = NULL};
}

/* Some forty texts at most; a search among them per batch, not per row, costs nothing. */
sqlite3_stmt *sq_stmt(struct sq_conn *c, const char *sql, struct error *err)
{
	struct sq_cached *entry;
	sqlite3_stmt *st;
	size_t i;
	int code;

	for (i = 0; i < c->n; i++) {
		if (!strcmp(c->cached[i].sql, sql))
			return c->cached[i].stmt;
	}
	code = sqlite3_prepare_v3(c->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
	if (code) {
		sq_error(c, code, "prepare a statement", err);
		return NULL;
	}
	c->cached = xreallocarray(c->cached, c->n + 1, sizeof(*c->cached));
	entry = &c->cached[c->n++];
	entry->sql = xstrdup(sql);
	entry->stmt = st;
	return st;
}

void sq_reset(sqlite3_stmt **stmt)
{
	if (*stmt)
		sqlite3_reset(*stmt);
}

static void take_turn(struct sq_db *db)
{
	uint64_t mine;

	pthread_mutex_lock(&db->lock);
	mine = db->next_turn++;
	while (db->turn != mine)
		pthread_cond_wait(&db->moved, &db->lock);
	pthread_mutex_unlock(&db->lock);
}

static void end_turn(struct sq_db *db)
{
	pthread_mutex_lock(&db->lock);
	db->turn++;
	pthread_cond_broadcast(&db->moved);
	pthread_mutex_unlock(&db->lock);
}

static void roll_back(struct sq_conn *c)
{
	/* Some errors have rolled back already. */
	if (!sqlite3_get_autocommit(c->handle))
		sqlite3_exec(c->handle, "ROLLBACK", NULL, NULL, NULL);
}

/*
 * The log itself may be what fills the disk: it shrinks only when its content has moved to the database, which
 * the commits do that no longer fit. So after a write without room this is tried by itself; most of the
 * content goes to pages that the database has already. Not for every failure of a busy time, since each try
 * may copy the whole log.
 */
#define MAKE_ROOM_EVERY USEC_PER_SEC

static void make_room(struct sq_conn *c)
{
	usec_t now = clock_mono();

	if (!c->no_room || (c->made_room_at && now - c->made_room_at < MAKE_ROOM_EVERY))
		return;
	c->no_room = false;
	c->made_room_at = now;
	sqlite3_wal_checkpoint_v2(c->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

int sq_begin(struct sq_db *db, struct error *err)
{
	struct sq_conn *c = &db->writer;
	sqlite3_stmt *st;
	int rc;

	take_turn(db);
	roll_back(c); /* one that could not be rolled back when it failed */
	st = sq_stmt(c, "BEGIN IMMEDIATE", err);
	rc = st ? sq_run(c, st, err) : err->code;
	if (rc)
		end_turn(db);
	return rc;
}

int sq_end(struct sq_db *db, int rc, struct error *err)
{
	struct sq_conn *c = &db->writer;
	sqlite3_stmt *st;
	int code;

	if (!rc) {
		st = sq_stmt(c, "COMMIT", err);
		rc = st ? OK : err->code;
	}
	if (!rc) {
		sqlite3_step(st);
		code = sqlite3_reset(st);
		if (code)
			rc = sq_error(c, code, "commit", err);
		/* The log's last record may be on the disk, though the flush failed: rolling back
		 * undoes it for us, but if the process dies before the next write, a start would find
		 * it whole. A failed *write* leaves no whole record. */
		if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
			err->code = rc = ERR_UNCERTAIN;
	}
	if (rc) {
		roll_back(c);
		make_room(c);
	}
	end_turn(db);
	return rc;
}

void sq_abandon(struct sq_db *db)
{
	roll_back(&db->writer);
	end_turn(db);
}

int sq_change_by(struct sq_conn *c, const char *sql, const int64_t *numbers, size_t n, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c, sql, err);

	if (!st)
		return err->code;
	sq_bind_numbers(st, numbers, n);
	return sq_run(c, st, err);
}

int sq_reader(struct sq_session *s, struct sq_conn **ret, struct error *err)
{
	int rc = s->reader.handle ? OK : sq_open(&s->reader, s->db->path, false, err);

	if (!rc)
		*ret = &s->reader;
	return rc;
}

int sq_read_begin(struct sq_session *s, struct sq_conn **ret, struct error *err)
{
	sqlite3_stmt *st;
	int rc = sq_reader(s, ret, err);

	if (rc)
		return rc;
	st = sq_stmt(*ret, "BEGIN", err);
	return st ? sq_run(*ret, st, err) : err->code;
}

int sq_read_end(struct sq_conn *c, int rc, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c, "COMMIT", err);

	if (st && !rc)
		rc = sq_run(c, st, err);
	roll_back(c);
	return rc ? rc : st ? OK : err->code;
}
