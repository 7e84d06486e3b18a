/*
 * Parts of the MySQL and MariaDB driver. A session is one connection. Statements travel as text, several
 * per packet (a "batch"), so that a verb costs a few round trips however many messages it is about; with
 * the text protocol there is also nothing to prepare again after a reconnect, and proxies that move
 * a session between servers do no harm.
 *
 * Locks are taken in this order by every transaction, so that no two wait for each other:
 *
 *	the session's row of herald_commits, herald_scheduler, herald_messages (by id, or SKIP LOCKED),
 *	herald_runs (by id), herald_streak, herald_totals
 *
 * What deadlocks remain (unique keys, Galera's certification) end in the transaction being run again.
 */
#ifndef HERALD_STORE_MYSQL_H
#define HERALD_STORE_MYSQL_H

#include <mysql.h>
#include <stdatomic.h>

#include "buf.h"
#include "store_sql.h"

/* --- store_mysql_url.c: mysql://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE?PARAMETERS -------------------- */

enum my_tls {
	MY_TLS_DISABLED,
	MY_TLS_PREFERRED, /* if the server has it; protects from listeners only */
	MY_TLS_REQUIRED,  /* the same, or no connection */
	MY_TLS_VERIFY,    /* and the server's certificate and name are checked */
};

struct my_url {
	char *user, *password, *database;
	char *socket; /* NULL: TCP */
	struct my_host {
		char *name;
		unsigned port;
	} * hosts;
	size_t hosts_n; /* >= 1 */
	enum my_tls tls;
	char *ca, *capath, *cert, *key, *cipher;
};

/* Fills *ret from what follows "mysql:". ERR_CONFIG with a text that holds no part of the password. */
int my_url_parse(struct my_url *ret, const char *rest, struct error *err);
void my_url_release(struct my_url *u);

/* --- store_mysql_batch.c: statements and their answers --------------------------------------------------- */

struct my_session;

/* Statements for one packet, and the answers. */
struct my_batch {
	struct buf sql;
	size_t n;     /* statements */
	bool starts;  /* the first one is START TRANSACTION */
	size_t commit; /* statements up to and with the COMMIT; 0: it has none */
	struct my_reply {
		MYSQL_RES *rows; /* NULL: not a query */
		uint64_t affected, insert_id;
	} * replies;
	size_t replied;
};
#define MY_BATCH_INIT {.sql = BUF_INIT}

/* Begins another statement; the caller writes its text to the buffer returned. Its number is b->n - 1. */
struct buf *my_begin(struct my_batch *b);
/* A whole statement; returns its number. */
size_t my_add(struct my_batch *b, const char *sql);
void my_batch_forget(struct my_batch *b); /* the answers */
void my_batch_clear(struct my_batch *b);  /* the statements, too */
void my_batch_release(struct my_batch *b);

/* The next row of an answer; false: there is none. */
struct my_row {
	MYSQL_ROW values;
	unsigned long *lengths;
};
bool my_row(const struct my_batch *b, size_t reply, struct my_row *ret);
static inline int64_t my_int(const struct my_row *r, unsigned col)
{
	return r->values[col] ? strtoll(r->values[col], NULL, 10) : 0;
}
/* Copies a column into the arena; NULL stays NULL. */
const char *my_text(const struct my_row *r, unsigned col, struct arena *arena);

/* The same, row by row. */
struct my_rows {
	struct sql_rows sql;
	const struct my_batch *b;
	size_t reply;
	struct my_row row;
};
struct my_rows my_rows(const struct my_batch *b, size_t reply);

/* Appends a string literal, or NULL. */
void my_quote(struct my_session *s, struct buf *sql, const char *text, size_t len);
static inline void my_quote_text(struct my_session *s, struct buf *sql, const char *text)
{
	my_quote(s, sql, text, text ? strlen(text) : 0);
}

/* Appends them, with commas in between. */
void my_numbers(struct buf *sql, const int64_t *numbers, size_t n);

/* --- store_mysql_conn.c: connections, running batches ----------------------------------------------------- */

struct my_db {
	struct my_url url;
	int schema_found;
	_Atomic usec_t reached_at; /* clock_mono() of the last connection that any session could make */
};

struct my_session {
	struct my_db *db;
	MYSQL *handle; /* NULL: not connected */
	size_t host;   /* the one connected to, or to try first */
	bool galera;   /* the server is one of a Galera cluster */
	int losses;    /* of connections, by the verb that runs */
	bool again;    /* after the last error the transaction may be run anew */
	bool inside;   /* of a transaction that takes several batches */
	int64_t id;     /* by chance; no other session has it */
	int64_t number; /* of the transaction begun last */
	size_t packet; /* bytes that a batch should not exceed by much */
	unsigned slot; /* of herald_totals */
	/* clock_mono() of the last attempt to connect that failed, and before which there is no other, unless
	 * another session has got through. */
	usec_t failed_at, retry_at, backoff;
	struct error refused; /* why the last attempt failed */
	char *owner; /* whose id owner_id is; NULL: none looked up yet */
	int64_t owner_id;
};

/*
 * Sends the statements and reads all answers. With a COMMIT, ERR_UNCERTAIN is possible.
 *
 * A batch that neither belongs to a transaction nor ends one is a transaction of its own.
 *
 * A Galera server may take a transaction back in favour of one from another server, and in a packet of
 * several statements it does not always say so: those that follow would be carried out by themselves and
 * the COMMIT succeed. So sessions do not commit by themselves, my_start() leaves a savepoint, and
 * my_commit() releases it before the COMMIT, which fails in any other transaction; and as even that leaves a
 * moment, it looks afterwards whether the commit is there.
 */
int my_run(struct my_session *s, struct my_batch *b, struct error *err);

/* Connects now. ERR_CONFIG: what the operator must change. */
int my_connect(struct my_session *s, struct error *err);
void my_disconnect(struct my_session *s);
/* Makes sure that there is a connection. ERR_TRANSIENT: it cannot be had; further calls say so at once for
 * a while. */
int my_ready(struct my_session *s, struct error *err);

/* The server's clock as usec_t. SYSDATE(), since NOW() is when the statement began, not when it got its lock. */
#define MY_NOW "CAST(UNIX_TIMESTAMP(SYSDATE(6))*1000000 AS SIGNED)"
/* Ids in one IN (…): MariaDB turns lists of a thousand and more into joins. */
#define MY_LIST_MAX 500

/* --- store_mysql_transact.c ------------------------------------------------------------------------------ */

/* Begins a transaction, which may take several batches. */
void my_start(struct my_session *s, struct my_batch *b);
/*
 * Sends the batch, its last one. When the connection is lost meanwhile, finds out on another one what became of
 * it. OK: it is done; *ret_answered (may be NULL): the batch has its replies. ERR_TRANSIENT: it is not done.
 * ERR_UNCERTAIN: could not find out.
 */
int my_commit(struct my_session *s, struct my_batch *b, bool *ret_answered, struct error *err);
/* Takes the open transaction back. */
void my_abandon(struct my_session *s);

/*
 * Runs fn on a live connection; connects before if need be. fn leaves no transaction open when it returns
 * OK; when it fails, it is rolled back, and if the reason was a deadlock, a lock not had in time, a key
 * that somebody else took at the same moment, or the loss of the connection (for the first time), it is
 * run again from its start, a few times.
 */
typedef int my_verb(struct my_session *s, void *arg, struct error *err);
int my_transact(struct my_session *s, my_verb *fn, void *arg, struct error *err);

/* --- store_mysql_schema.c --------------------------------------------------------------------------------- */

#define MY_SCHEMA 6
/* Finds the schema's version and, unless read_only, brings it up to MY_SCHEMA. */
int my_migrate(struct my_session *s, bool read_only, int *ret_found, struct error *err);

/* --- rows that several verbs touch (store_mysql_rows.c) --------------------------------------------------- */

/* Changes of herald_totals within one transaction. */
struct my_totals {
	int64_t by_state[ROW_STATE_COUNT];
	int64_t delivered;
};
void my_totals_add(struct my_session *s, struct my_batch *b, const struct my_totals *t);

/* Id of the owner's name, made when new. Not within a transaction. */
int my_owner(struct my_session *s, const char *owner, int64_t *ret, struct error *err);

#define MY_SCHEDULER_ROW " WHERE one=1"
#define MY_SCHEDULER "SELECT " SQL_SCHEDULER_COLUMNS " FROM herald_scheduler" MY_SCHEDULER_ROW
/* ERR_NOT_FOUND before store_scheduler_init(). */
int my_scheduler_row(const struct my_batch *b, size_t reply, struct scheduler_row *ret,
                     struct error *err);
/* how: "UPDATE", "INSERT INTO" or "REPLACE INTO"; where: MY_SCHEDULER_ROW for an UPDATE, else "". */
void my_scheduler_write(struct my_batch *b, const char *how, const struct scheduler_row *row, const char *where);

/* Runs that a transaction has to do with. */
struct my_runs {
	struct my_run {
		int64_t id;
		struct run_tally add; /* claimed may be "negative" by wrapping */
		bool close;           /* it claims no more */
		int64_t last_id;      /* 0: leave */
		/* filled in by my_runs_judge() */
		bool there, finished, ends;
		struct run_tally now;
	} * items;
	size_t n, cap;
	bool streak_moved;
	uint32_t streak; /* runs in a row in which all failed */
};
struct my_run *my_runs_get(struct my_runs *runs, int64_t id); /* made when new */
void my_runs_count(struct my_runs *runs, int64_t id, enum verdict v); /* id 0: no run */
/* Adds the statement that locks and reads them; returns its number. None: nothing is added. */
size_t my_runs_lock(struct my_runs *runs, struct my_batch *b);
/* Reads its answer and finds out which runs end by it, in the order of their beats; those are listed. */
int my_runs_judge(struct my_session *s, struct my_runs *runs, const struct my_batch *b, size_t reply,
                  struct settle_result *ret, struct error *err);
void my_runs_write(const struct my_runs *runs, struct my_batch *b);
void my_runs_release(struct my_runs *runs);

/* Records of attempts, as one statement per so many. */
void my_attempt_add(struct my_session *s, struct my_batch *b, const struct sql_attempt *a, bool first);
void my_attempts_end(struct my_batch *b);

/* Adds the query for one message; its number is returned. */
size_t my_message_query(struct my_batch *b, int64_t id);
/* ERR_NOT_FOUND */
int my_message_read(const struct my_batch *b, size_t reply, int64_t id, struct arena *arena,
                    struct message *ret, struct error *err);

/* --- the verbs, by file: _insert, _claim, _settle, _recover, _read, _steer -------------------------------- */

insert_verb my_insert;
claim_verb my_claim;
settle_verb my_settle;
renew_verb my_renew;
recover_verb my_recover;
get_verb my_get;
list_verb my_list;
counts_verb my_counts;
ahead_verb my_ahead;
attempts_verb my_attempts;
cancel_verb my_cancel;
replay_verb my_replay;
replay_some_verb my_replay_some;
scheduler_init_verb my_scheduler_init;
scheduler_get_verb my_scheduler_get;
scheduler_change_verb my_scheduler_change;
jobs_verb my_jobs;
runs_verb my_runs_list;
node_seen_verb my_node_seen;
nodes_verb my_nodes;

int my_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err);
int my_import_messages(void *session, struct message_record *items, size_t n, struct error *err);
/* The last id and time of creation. */
#define MY_LAST                                                                                    \
	"SELECT (SELECT COALESCE(MAX(id),0) FROM herald_messages),"                                \
	"(SELECT COALESCE(MAX(created_at),0) FROM herald_messages)"
extern const struct record_verbs my_record_verbs; /* store_mysql_records_state.c */

#endif
