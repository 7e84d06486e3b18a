/*
 * What the SQL drivers have in common. Their tables are the same, so what to ask for and what the answer says
 * stands here once; each driver brings its own statements, and a struct sql_rows over what its client library
 * gives. Pure but for reading rows; one thread at a time per struct sql_rows.
 */
#ifndef HERALD_STORE_SQL_H
#define HERALD_STORE_SQL_H

#include "store_driver.h"
#include "store_rules.h"

/* The answer to a query, of which one row at a time is looked at; the first next() goes to the first one. */
struct sql_rows {
	/* 1: a row is there; 0: none is left; else an error. */
	int (*next)(struct sql_rows *rows, struct error *err);
	/* A column of the row, from 0. NULL is 0. */
	int64_t (*integer)(const struct sql_rows *rows, int col);
	double (*real)(const struct sql_rows *rows, int col);
	/* A copy of it in the arena; NULL stays NULL. */
	const char *(*text)(const struct sql_rows *rows, int col, struct arena *arena);
};

/* --- messages ------------------------------------------------------------------------------------------- */

/* Of herald_messages m. */
#define SQL_MESSAGE_COLUMNS                                                                        \
	"m.id,m.state,m.state_at,m.attempts,m.lost,m.fence,m.due_at,m.started_at,m.created_at,"    \
	"m.updated_at,m.send_at,m.phone,m.content,m.idempotency_key,m.metadata,a.message_id,"      \
	"a.error,o.owner"
#define SQL_MESSAGE_JOINS                                                                          \
	" LEFT JOIN herald_attempts a ON a.message=m.id AND a.seq=m.said"                          \
	" LEFT JOIN herald_owners o ON o.id=m.owner"
/* Reads the only row. ERR_NOT_FOUND: there is no message `id`. */
must_check int sql_message(struct sql_rows *rows, int64_t id, struct arena *arena, struct message *ret,
                           struct error *err);

/*
 * These empty the page, and fill it with at most `limit` rows; page->more: the answer has another one. (So a
 * query asks for limit + 1, and a transaction may be run again.) After an error the page is to be released.
 */

/* SQL_MESSAGE_COLUMNS and what the list is ordered by. The total is not known: -1. */
must_check int sql_message_page(struct sql_rows *rows, uint32_t limit, struct message_page *page,
                                struct error *err);
/* SQL_MESSAGE_COLUMNS, then m.run,m.said. Ends early when the texts are large. */
must_check int sql_message_records(struct sql_rows *rows, uint32_t limit, struct record_page *page,
                                   struct error *err);

/* What an imported message consists of: numbers, texts, and the owner, whom each driver looks up in its way. */
#define SQL_MESSAGE_NUMBERS                                                                        \
	"id,created_at,state,state_at,attempts,lost,fence,run,said,due_at,started_at,updated_at,send_at"
#define SQL_MESSAGE_NUMBERS_N 13
#define SQL_MESSAGE_TEXTS "phone,content,idempotency_key,metadata"
#define SQL_MESSAGE_TEXTS_N 4
void sql_message_numbers(const struct message_record *r, int64_t id, usec_t created_at,
                         int64_t ret[SQL_MESSAGE_NUMBERS_N]);
void sql_message_texts(const struct message_record *r, const char *ret[SQL_MESSAGE_TEXTS_N]);

/* The names of all owners in the records, of messages and of attempts, each once and sorted; returns how many.
 * *ret is the caller's to free(), the names are the records'. */
size_t sql_owners(const struct message_record *items, size_t n, const char ***ret);

/* --- attempts ------------------------------------------------------------------------------------------- */

/* Of herald_attempts a, with the owner's name: FROM SQL_ATTEMPTS. */
#define SQL_ATTEMPT_COLUMNS                                                                        \
	"a.message,a.seq,a.attempt,a.run,a.verdict,a.http_status,a.started_at,a.duration,a.error,o.owner"
#define SQL_ATTEMPTS "herald_attempts a LEFT JOIN herald_owners o ON o.id=a.owner"
#define SQL_ATTEMPTS_SHOWN "1000"
must_check int sql_attempt_page(struct sql_rows *rows, struct attempt_page *page, struct error *err);
/* Adds them to the messages on the page; by message and seq. Those of other messages are passed over. */
must_check int sql_attempt_records(struct sql_rows *rows, struct record_page *page, struct error *err);

/* An attempt to be recorded; twice the same is one. */
struct sql_attempt {
	int64_t message, seq, run, owner; /* owner 0: not known */
	int attempt;
	enum verdict verdict;
	int http_status;
	usec_t started_at, duration;
	const char *message_id, *error;
};
struct sql_attempt sql_attempt_settled(const struct settlement *s, int64_t owner);
/* The i-th of a record whose message has, or gets, that id. */
struct sql_attempt sql_attempt_imported(const struct message_record *r, size_t i, int64_t message,
                                        int64_t owner);
/* But for the owner and the texts (message_id and error). */
#define SQL_ATTEMPT_NUMBERS "message,seq,attempt,run,verdict,http_status,started_at,duration"
#define SQL_ATTEMPT_NUMBERS_N 8
void sql_attempt_numbers(const struct sql_attempt *a, int64_t ret[SQL_ATTEMPT_NUMBERS_N]);

/* A claim whose lease has run out. */
#define SQL_LOST_COLUMNS "id,fence,owner,run,attempts,lost,started_at"
struct sql_lost {
	int64_t id, fence, owner, run;
	int attempts, lost; /* this loss counted */
	usec_t started_at;
	int state; /* what it becomes */
};
struct sql_lost sql_lost_row(const struct sql_rows *rows, const struct recover_request *r);
struct sql_attempt sql_attempt_lost(const struct sql_lost *row, const struct recover_request *r);

/* --- runs and jobs -------------------------------------------------------------------------------------- */

typedef int sql_page_reader(struct sql_rows *rows, uint32_t limit, void *page, struct error *err);
/* The columns of items[i], to be stored: numbers, so many as are returned, and behind them one text. */
#define SQL_VALUES_MAX 10
typedef size_t sql_row_values(const void *items, size_t i, int64_t ret[SQL_VALUES_MAX], const char **ret_text);

#define SQL_RUN_COLUMNS "id,started_at,claimed,sent,failed,retried,lost,last_id,finished,closed,node"
sql_page_reader sql_run_page;    /* struct run_page */
sql_page_reader sql_run_records; /* struct run_record_page */
sql_row_values sql_run_values;   /* struct run_record; the text is the node */

#define SQL_JOB_COLUMNS "id,started_at,finished_at,first_run,last_run,name"
/* Of herald_jobs j: what its runs have claimed. */
#define SQL_JOB_TAKEN                                                                              \
	"(SELECT COALESCE(SUM(r.claimed),0) FROM herald_runs r WHERE r.id>=j.first_run"            \
	" AND (j.finished_at=0 OR r.id<=j.last_run))"
sql_page_reader sql_job_page;    /* struct job_page; SQL_JOB_COLUMNS, then SQL_JOB_TAKEN */
sql_page_reader sql_job_records; /* struct job_record_page */
sql_row_values sql_job_values;   /* struct job_record; the text is the name */

/* Rows of a table by id, for a driver's own function that asks for them. */
struct sql_range {
	const char *select;
	int64_t from; /* not itself; 0: from the beginning */
	uint64_t offset;
	uint32_t limit;
	sql_page_reader *read;
	void *page;
	const char *count;  /* the query for how many there are; NULL: not asked */
	int64_t *ret_total; /* with count */
};

/* --- the scheduler and the nodes ------------------------------------------------------------------------ */

/* Of herald_scheduler; SQL_SCHEDULER_COLUMNS_N: how many. */
#define SQL_SCHEDULER_COLUMNS                                                                      \
	"running,beat_interval,batch,beat_at,epoch,remaining,failure_rate,last_alert_at,"          \
	"config_interval,config_batch,not_before,job"
#define SQL_SCHEDULER_COLUMNS_N 12
/* Reads the only row, without the figures that are kept elsewhere. ERR_NOT_FOUND before store_scheduler_init(). */
must_check int sql_scheduler(struct sql_rows *rows, struct scheduler_row *ret, struct error *err);

#define SQL_NODE_COLUMNS "node,boot,version,role,started_at,last_seen,in_flight,has_left"
/* Empties the page and reads all; page->now is left to the caller. */
must_check int sql_node_page(struct sql_rows *rows, struct node_page *page, struct error *err);

#endif
