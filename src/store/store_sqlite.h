/*
 * Parts of the SQLite driver. One connection writes (and checkpoints) for all sessions, since SQLite
 * has one writer at a time anyway and a single one needs no busy-waiting; its users queue for it in order.
 * Each session has a connection of its own for reading, opened when first needed.
 */
#ifndef HERALD_STORE_SQLITE_H
#define HERALD_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include "store_driver.h"
#include "store_nodes.h"
#include "store_sql.h"
#include "text.h"

/* --- store_sqlite_conn.c: a connection, its statements and transactions ---------------------------------- */

struct sq_conn {
	sqlite3 *handle; /* NULL: not open */
	struct sq_cached {
		char *sql;
		sqlite3_stmt *stmt;
	} * cached;
	size_t n;
	bool no_room;        /* a write found none since this was last looked at */
	usec_t made_room_at; /* clock_mono() */
};

struct sq_db {
	char *path;
	int lock_fd; /* holds the flock; closed after the last connection */
	int schema_found;
	usec_t (*clock)(void);
	struct local_nodes nodes;

	/* The writing connection goes to whoever's turn it is, in order of arrival, so that a busy
	 * stream of inserts cannot starve claims. */
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t next_turn, turn;
	struct sq_conn writer;
};

struct sq_session {
	struct sq_db *db;
	struct sq_conn reader;
};

/* Turns SQLite's result code into ours, with a text; never returns OK. */
int sq_error(struct sq_conn *c, int code, const char *what, struct error *err);

int sq_open(struct sq_conn *c, const char *path, bool writer, struct error *err);
void sq_close(struct sq_conn *c);
int sq_exec(struct sq_conn *c, const char *sql, struct error *err);

/* The prepared statement of that text, compiled once per connection; NULL: see err. Statements are
 * reset by sq_run() and by the last sq_row(); who stops reading earlier resets it himself. */
sqlite3_stmt *sq_stmt(struct sq_conn *c, const char *sql, struct error *err);
void sq_reset(sqlite3_stmt **stmt); /* for cleanup(); NULL is fine */

/* Runs a statement that gives no rows. */
static inline int sq_run(struct sq_conn *c, sqlite3_stmt *st, struct error *err)
{
	sqlite3_step(st);
	/* The code of reset is that of step, in full. */
	int code = sqlite3_reset(st);

	return code ? sq_error(c, code, "write", err) : OK;
}

/* The same for the statement of that text, whose parameters are all numbers: those behind it, in order. */
#define sq_change(c, err, sql, ...)                                                                \
	sq_change_by((c), (sql), (const int64_t[]){__VA_ARGS__},                                   \
	             sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (err))
int sq_change_by(struct sq_conn *c, const char *sql, const int64_t *numbers, size_t n, struct error *err);

/* 1: a row is there; 0: none is left; else an error. */
static inline int sq_row(struct sq_conn *c, sqlite3_stmt *st, struct error *err)
{
	int code = sqlite3_step(st);

	if (code == SQLITE_ROW)
		return 1;
	code = sqlite3_reset(st);
	return code ? sq_error(c, code, "read", err) : 0;
}

/* Binding cannot fail: positions are those of our own statements and texts are bounded. The text must
 * live until the statement has run. */
static inline void sq_bind_numbers(sqlite3_stmt *st, const int64_t *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		sqlite3_bind_int64(st, (int)i + 1, numbers[i]);
}
static inline void sq_bind_text(sqlite3_stmt *st, int at, const char *s)
{
	sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}
static inline void sq_bind_cut(sqlite3_stmt *st, int at, const char *s, size_t max)
{
	sqlite3_bind_text(st, at, s, (int)text_stored(s, max), SQLITE_STATIC);
}
/* Copies a column into the arena; NULL stays NULL. */
static inline const char *sq_text(sqlite3_stmt *st, int col, struct arena *arena)
{
	const unsigned char *s = sqlite3_column_text(st, col);

	return s ? arena_strndup(arena, (const char *)s, (size_t)sqlite3_column_bytes(st, col)) : NULL;
}

/* Waits for the turn and opens a write transaction on db->writer. On OK, sq_end() must follow; it commits
 * when rc is OK, else rolls back and returns rc. After an error of the commit nothing is stored, unless
 * it is ERR_UNCERTAIN. */
int sq_begin(struct sq_db *db, struct error *err);
int sq_end(struct sq_db *db, int rc, struct error *err);
/* Instead of sq_end(): takes everything back. */
void sq_abandon(struct sq_db *db);

/* The session's reading connection, opened now if need be. */
int sq_reader(struct sq_session *s, struct sq_conn **ret, struct error *err);
/* The same, with one snapshot for several reads. On OK, sq_read_end() must follow, which returns rc if it is an
 * error. */
int sq_read_begin(struct sq_session *s, struct sq_conn **ret, struct error *err);
int sq_read_end(struct sq_conn *c, int rc, struct error *err);

/* What a statement gives. */
struct sq_rows {
	struct sql_rows sql;
	struct sq_conn *c;
	sqlite3_stmt *st;
};
struct sq_rows sq_rows(struct sq_conn *c, sqlite3_stmt *st);

/* --- store_sqlite_schema.c -------------------------------------------------------------------------------- */

#define SQ_SCHEMA 5
/* Finds the schema's version and, unless read_only, brings it up to SQ_SCHEMA. */
int sq_migrate(struct sq_conn *c, bool read_only, int *ret_found, struct error *err);

/* --- store_sqlite_phones.c: messages by phone number -------------------------------------------------------- */

/* Messages from this id on are not in herald_phones. */
int sq_phones_upto(struct sq_conn *c, int64_t *ret, struct error *err);
/* After inserting: last_id is the highest there is. Within the same transaction. */
int sq_phones_extend(struct sq_conn *c, int64_t last_id, struct error *err);
/* A message was inserted whose id may be lower than that of others. */
int sq_phones_add(struct sq_conn *c, int64_t id, const char *phone, struct error *err);

/* --- rows that several verbs touch (store_sqlite_rows.c) -------------------------------------------------- */

/* Changes of herald_totals within one transaction. */
struct sq_totals {
	int64_t by_state[ROW_STATE_COUNT];
};
int sq_totals_add(struct sq_conn *c, const struct sq_totals *t, struct error *err);

/* Id of the owner's name, or 0, which no row has. */
int sq_owner_find(struct sq_conn *c, const char *owner, int64_t *ret, struct error *err);
/* The same, made when new. Within a write transaction. */
int sq_owner(struct sq_conn *c, const char *owner, int64_t *ret, struct error *err);

/* SQL_SCHEDULER_COLUMNS, as they are called here. */
#define SQ_SCHEDULER_COLUMNS                                                                       \
	"running,interval,batch,beat_at,epoch,remaining,failure_rate,last_alert_at,"               \
	"config_interval,config_batch,not_before,job"
/* The scheduler's row; ERR_NOT_FOUND before store_scheduler_init(). now is left alone. */
int sq_scheduler_read(struct sq_conn *c, struct scheduler_row *ret, struct error *err);
int sq_scheduler_write(struct sq_conn *c, const struct scheduler_row *row, struct error *err);

/* Adds to a run's figures (tally.claimed may be "negative" by wrapping) and finds out whether it has ended
 * now; ret->run is 0 when not. close: it claims no more. A run that is gone is no error. */
int sq_run_add(struct sq_conn *c, int64_t run, const struct run_tally *add, bool close,
               struct run_end *ret, struct error *err);

int sq_attempt_add(struct sq_conn *c, const struct sql_attempt *a, struct error *err);

/* Adds them to the runs; lists in *ret those that end by it. */
int sq_outcomes_apply(struct sq_conn *c, struct run_outcomes *o, struct settle_result *ret,
                      struct error *err);

/* ERR_NOT_FOUND */
int sq_message_get(struct sq_conn *c, int64_t id, struct arena *arena, struct message *ret,
                   struct error *err);

/* --- the verbs, by file: _insert, _claim, _settle, _recover, _read, _steer -------------------------------- */

insert_verb sq_insert;
claim_verb sq_claim;
settle_verb sq_settle;
renew_verb sq_renew;
recover_verb sq_recover;
get_verb sq_get;
list_verb sq_list;
counts_verb sq_counts;
ahead_verb sq_ahead;
attempts_verb sq_attempts;
cancel_verb sq_cancel;
replay_verb sq_replay;
replay_some_verb sq_replay_some;
scheduler_init_verb sq_scheduler_init;
scheduler_get_verb sq_scheduler_get;
scheduler_change_verb sq_scheduler_change;
jobs_verb sq_jobs;
runs_verb sq_runs;

extern const struct record_verbs sq_record_verbs; /* store_sqlite_records.c */

#endif
