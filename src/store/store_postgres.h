/*
 * What the files of the PostgreSQL driver share.
 *
 * Any number of nodes share a database, so the server's clock is the only one, and what two nodes could
 * disagree on is decided by a row lock or by comparing what was read. A session is one connection, made
 * when first needed and made again when it breaks.
 *
 * Rows are always locked in this order, so that transactions wait for each other but not in a circle:
 *
 *	the scheduler's row (only by who opens a beat or changes it), messages by id (claims and recovery
 *	skip those that are locked instead of waiting), one row of counts, runs by id, the streak.
 *
 * The last three are touched at the end of a transaction, as the rows that all nodes need.
 */
#ifndef HERALD_STORE_POSTGRES_H
#define HERALD_STORE_POSTGRES_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "buf.h"
#include "store_sql.h"

struct pg_db {
	char *url;
	int schema_found;
	_Atomic usec_t reached_at; /* clock_mono() of the last connection that any session could make */
};

/* Whether, after an error, the whole transaction is worth another try: nothing of it was done. */
enum pg_again {
	PG_AGAIN_NO,
	PG_AGAIN_CONFLICT, /* another transaction was in the way */
	PG_AGAIN_LOST,     /* the connection was lost, before anything was to be committed */
};

#define PG_STATEMENTS_MAX 128
#define PG_CALLS_MAX 16

enum pg_statement_state {
	STATEMENT_NOT,
	STATEMENT_SENT, /* its preparation is on its way */
	STATEMENT_THERE,
};

struct pg_session {
	struct pg_db *db;
	PGconn *handle; /* NULL: not connected */
	struct pg_prepared {
		char *sql;
		enum pg_statement_state state; /* on this connection */
	} statements[PG_STATEMENTS_MAX];
	size_t statements_n;

	bool committing; /* a COMMIT was sent */
	bool warned;     /* the server warned since then */
	int64_t id;      /* by chance; no other session has it */
	int64_t number;  /* of the transaction committed last, or of the one being committed */
	enum pg_again again;
	/* clock_mono() of the last connection that could not be made, and before which none is tried. */
	usec_t failed_at, retry_at;
	unsigned failures; /* connections in a row that could not be made */

	char *owner; /* the last one looked up */
	int64_t owner_id;
};

/* --- store_postgres_args.c: parameters of a statement, in the server's binary form ----------------------- */

#define PG_ARGS_MAX 20

struct pg_args {
	struct buf data;
	size_t n;
	struct {
		size_t at, len;
		bool null;
	} arg[PG_ARGS_MAX];
};
#define PG_ARGS_INIT {.data = BUF_INIT}

void pg_args_release(struct pg_args *a);
void pg_add_i64(struct pg_args *a, int64_t v);
void pg_add_f64(struct pg_args *a, double v);
void pg_add_text(struct pg_args *a, const char *s); /* NULL is null */
/* An array of n >= 1 elements, which must follow at once. */
void pg_add_i64_array(struct pg_args *a, size_t n);
void pg_add_text_array(struct pg_args *a, size_t n);
void pg_item_i64(struct pg_args *a, int64_t v);
void pg_item_text(struct pg_args *a, const char *s, size_t len); /* s NULL: null */

/* Rows of numbers and texts, sent as one array per column: first those of numbers, then those of texts. */
struct pg_table {
	size_t numbers_n, texts_n; /* columns */
	size_t n, cap;             /* rows */
	int64_t *numbers;
	const char **texts;    /* stay the caller's */
	const size_t *longest; /* how much of them is sent, by column, as text_stored(); NULL: all */
};
void pg_table_row(struct pg_table *t, const int64_t *numbers, const char *const *texts);
void pg_add_table(struct pg_args *a, const struct pg_table *t); /* which has at least one row */
void pg_table_release(struct pg_table *t);

/* Columns of a result. An integer of any width, or a boolean; null is 0. */
int64_t pg_i64(const PGresult *res, int row, int col);
double pg_f64(const PGresult *res, int row, int col);
/* Copied into the arena; NULL stays NULL. */
const char *pg_text(const PGresult *res, int row, int col, struct arena *arena);
/* The same, row by row. */
struct pg_rows {
	struct sql_rows sql;
	const PGresult *res;
	int row;
};
struct pg_rows pg_rows(const PGresult *res);

/* --- store_postgres_error.c ------------------------------------------------------------------------------- */

/* Turns a failed result, or with NULL the state of the connection, into our codes; never OK. Drops
 * connections that are of no more use. */
int pg_fail(struct pg_session *s, const PGresult *res, struct error *err);

/* --- store_postgres_conn.c: a connection, statements, transactions ---------------------------------------- */

/* A bare connection, without our settings and outside of pipeline mode. */
int pg_connect(const char *url, PGconn **ret, struct error *err);
void pg_drop(struct pg_session *s);

/* A statement to run, and its result once it has run. */
struct pg_call {
	const char *sql;
	struct pg_args *args; /* NULL: none */
	bool once; /* its text is built anew each time: do not keep it prepared */
	PGresult *res;
};
void pg_calls_clear(struct pg_call *calls, size_t n); /* frees the results */

/* Sends the statements together and collects all results: one round trip. Each is prepared once per
 * connection. On an error there are no results. At most PG_CALLS_MAX. */
int pg_run(struct pg_session *s, struct pg_call *calls, size_t n, struct error *err);
/* The same for one statement; the caller clears *ret. */
int pg_run1(struct pg_session *s, const char *sql, struct pg_args *args, PGresult **ret,
            struct error *err);

/* Makes sure that there is a connection. ERR_TRANSIENT: it cannot be had; further calls say so at once for
 * a while. */
int pg_ready(struct pg_session *s, struct error *err);

/* --- store_postgres_transact.c ------------------------------------------------------------------------------ */

/* Around the statements of one snapshot that only read, in one pg_run(). */
#define PG_BEGIN_READ "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
#define PG_END_READ "END"

/* Begins a transaction that writes, with its first statements, at most PG_CALLS_MAX - 2. */
int pg_begin(struct pg_session *s, struct pg_call *calls, size_t n, struct error *err);
/* Always on its own, so that all that the transaction gave is known by then. When the connection is lost
 * meanwhile, finds out on another one. ERR_UNCERTAIN: could not find out; ERR_TRANSIENT: it is not done. */
int pg_commit(struct pg_session *s, struct error *err);
extern const char pg_commit_sql[];

/* Runs a transaction: body() from pg_begin() to pg_commit() (or without, if it found nothing to do). When it was in
 * vain through no fault of its own, it is taken back and run again, so it must start afresh each time. An
 * open transaction is taken back. */
int pg_transact(struct pg_session *s, int (*body)(struct pg_session *s, void *arg, struct error *err),
                void *arg, struct error *err);

/* Microseconds since the epoch, at this moment and not as now() of the transaction's start. */
#define PG_NOW "herald_now()"

/* --- store_postgres_schema.c -------------------------------------------------------------------------------- */

#define PG_SCHEMA 6
/* On a bare connection: finds the schema's version and, unless read_only, brings it up to PG_SCHEMA. */
int pg_migrate(PGconn *handle, bool read_only, int *ret_found, struct error *err);

/* --- rows that several verbs touch (store_postgres_rows.c) ------------------------------------------------ */

/* Fills in the statement that adds to this connection's row of counts. */
void pg_counts_call(struct pg_call *call, struct pg_args *args, const struct pg_session *s,
                    const int64_t by_state[ROW_STATE_COUNT]);

/* Id of the owner's name, made when new. Outside of a transaction. */
int pg_owner(struct pg_session *s, const char *owner, int64_t *ret, struct error *err);

/* ERR_NOT_FOUND before store_scheduler_init(). */
int pg_scheduler(const PGresult *res, struct scheduler_row *ret, struct error *err);
/* SQL_SCHEDULER_COLUMNS as parameters: $1 to $12. */
void pg_add_scheduler(struct pg_args *args, const struct scheduler_row *row);
#define PG_SCHEDULER_INSERT                                                                        \
	"INSERT INTO herald_scheduler(one," SQL_SCHEDULER_COLUMNS ")"                              \
	" VALUES(1,$1::bigint<>0,$2::bigint,$3::bigint,$4::bigint,$5::bigint,$6::bigint,"          \
	"$7::float8,$8::bigint,$9::bigint,$10::bigint,$11::bigint,$12::bigint)"

/* The columns of a run that say how far it is, and whether it has ended with that. */
#define PG_TALLY_COLUMNS "id,claimed,sent,failed,retried,lost,closed,finished"
/* Marks the run of that row of a result as finished, if it is complete and was not yet; ret->run is 0 when
 * not. */
int pg_run_finish(struct pg_session *s, const PGresult *res, int row, struct run_end *ret,
                  struct error *err);

/* Adds counts and outcomes in one round trip and finishes runs that are complete with that. Calls
 * ended() for each, if given. */
int pg_account(struct pg_session *s, const int64_t by_state[ROW_STATE_COUNT], struct run_outcomes *o,
               void (*ended)(void *arg, const struct run_end *end), void *arg, struct error *err);

#define PG_MESSAGE_BY_ID                                                                           \
	"SELECT " SQL_MESSAGE_COLUMNS " FROM herald_messages m" SQL_MESSAGE_JOINS                  \
	" WHERE m.id=$1::bigint"

/* --- the verbs, by file: _insert, _claim, _settle, _recover, _read, _list, _steer ------------------------- */

insert_verb pg_insert;
claim_verb pg_claim;
settle_verb pg_settle;
renew_verb pg_renew;
recover_verb pg_recover;
get_verb pg_get;
list_verb pg_list;
counts_verb pg_counts;
ahead_verb pg_ahead;
attempts_verb pg_attempts;
cancel_verb pg_cancel;
replay_verb pg_replay;
replay_some_verb pg_replay_some;
scheduler_init_verb pg_scheduler_init;
scheduler_get_verb pg_scheduler_get;
scheduler_change_verb pg_scheduler_change;
jobs_verb pg_jobs;
runs_verb pg_runs;
node_seen_verb pg_node_seen;
nodes_verb pg_nodes;

int pg_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err);
int pg_import_messages(void *session, struct message_record *items, size_t n, struct error *err);
/* Sequences are not taken back with a transaction, so they must not say what it has not stored; too high is
 * harmless. */
#define PG_RAISE(sequence)                                                                            \
	"SELECT setval('" sequence "',$1::bigint) WHERE $1::bigint>=(SELECT last_value FROM " sequence \
	")"
extern const struct record_verbs pg_record_verbs; /* store_postgres_records_state.c */

#endif
