/*
 * Parts of the MongoDB driver. MongoDB changes one document atomically; this driver asks for no more, so
 * it uses no multi-document transactions. What each sequence of writes leaves behind when its
 * process dies in the middle, and who puts it right:
 *
 * insert   One new message is one document. Several are stored staged (ROW_STAGED: nobody sees them), then
 *          a record in herald_commits says that they count, then they become pending. Dead before the
 *          record: recovery writes a record that says "aborted" and deletes them. Dead after it:
 *          recovery makes them pending. Whichever record is there first wins, since both have the same
 *          _id; so a slow writer and an impatient recovery cannot disagree.
 * claim    Candidates are read; then the beat's document is advanced by compare-and-set, which also notes
 *          the claim under its token; then each row is taken if it still is as it was read; then the run is
 *          recorded and the note removed. Dead after the compare-and-set: that part of the beat
 *          is skipped, never given twice. Dead after taking rows: their leases run out. A note left
 *          behind keeps its run from ending until recovery removes it.
 * settle   Each row moves if it is still `sending` under its fence; the attempt is part of the row's
 *          document, so the two cannot differ. Repeating it changes nothing.
 * recover  The same, for rows whose lease has run out.
 * runs     While a run is open it has no figures of its own: each attempt names the run that it counts for,
 *          and the figures are counted from the rows when somebody asks, and once more for good when the
 *          run ends. So there are no sums that a crash could falsify. A run whose last outcome was
 *          recorded by a process that died before ending it is ended by recovery. Only the number of
 *          failed runs in a row may miss one then.
 * jobs     A job's document is written before the compare-and-set of the beat's document that begins or ends
 *          it; which job is the last one, and whether it goes on, the beat's document says. So a document of
 *          a change that did not come about is not seen.
 * counts   Counted in the index when asked for, see mg_counts_read().
 */
#ifndef HERALD_STORE_MONGO_H
#define HERALD_STORE_MONGO_H

#include <mongoc/mongoc.h>
#include <pthread.h>

#include "store_driver.h"
#include "store_rules.h"

/* A row's state while its insertion may still be taken back. */
#define ROW_STAGED (-1)

enum mg_collection {
	MG_MESSAGES,
	MG_RUNS,
	MG_SCHEDULER, /* one document, MG_BEAT */
	MG_COUNTERS,  /* one document, MG_IDS: the last id and creation time given out */
	MG_COMMITS,   /* insertions of several messages: committed or aborted */
	MG_NODES,
	MG_JOBS,
	MG_META,      /* one document, MG_SCHEMA_ID: the schema's version */
	MG_COLLECTIONS,
};
#define MG_BEAT "beat"
#define MG_IDS "ids"
#define MG_SCHEMA_ID "schema"

struct mg_db {
	mongoc_uri_t *uri;
	char *name; /* of the database */
	int schema_found;
	/* FerretDB 1: its query for a single update keeps a connection to PostgreSQL until the whole batch is
	 * done, and a batch of more than it has (50) hangs for ever. "All that match", where one does, is
	 * the same without that. It is the exception, since MongoDB repeats only single updates by
	 * itself after a failover. */
	bool update_many;

	pthread_mutex_t lock; /* guards what follows */
	/* The server's clock is ours (clock_mono) plus offset. */
	usec_t offset, sampled_at; /* sampled_at 0: not known */
	struct store_counts counts;
	usec_t counted_at, count_cost;
	usec_t chores_at;
};

/* Begins libmongoc's work, once however often it is called; before any other function of it. */
void mg_init(void);

struct mg_session {
	struct mg_db *db;
	mongoc_client_t *client;
	mongoc_collection_t *c[MG_COLLECTIONS];
};

/* --- store_mongo_conn.c: the connection ----------------------------------------------------------------- */

int mg_uri(const char *url, mongoc_uri_t **ret, char **ret_name, struct error *err);
struct mg_session *mg_connect(struct mg_db *db);
void mg_disconnect(struct mg_session *s);
/* What the server is like, into s->db. */
int mg_examine(struct mg_session *s, struct error *err);

/* Turns libmongoc's error into ours, with a text; never returns OK. written: it may have happened. */
int mg_error(struct mg_session *s, const bson_error_t *e, bool written, struct error *err);
/* The server's clock, from a sample not older than a second. */
int mg_now(struct mg_session *s, usec_t *ret, struct error *err);

void mg_free_bson(bson_t **b);               /* for cleanup() */
void mg_free_cursor(mongoc_cursor_t **c);    /* for cleanup() */
void mg_free_bulk(mongoc_bulk_operation_t **b); /* for cleanup() */

/* These consume the documents they are given (filter, options, update …); NULL is an empty one. */
mongoc_cursor_t *mg_find(struct mg_session *s, enum mg_collection c, bson_t *filter, bson_t *options);
mongoc_cursor_t *mg_aggregate(struct mg_session *s, enum mg_collection c, bson_t *pipeline);
/* 1: a document is there (it lives until the next call); 0: none is left; else an error. */
int mg_next(struct mg_session *s, mongoc_cursor_t *cursor, const bson_t **ret, struct error *err);
int mg_count(struct mg_session *s, enum mg_collection c, bson_t *filter, int64_t *ret, struct error *err);
/* ERR_CONFLICT: the _id, or another unique field, is taken. */
int mg_insert(struct mg_session *s, enum mg_collection c, bson_t *doc, struct error *err);
/* many: all that match, else one. *ret: how many matched (many: were changed). */
int mg_update(struct mg_session *s, enum mg_collection c, bool many, bson_t *filter, bson_t *update,
              bool upsert, int64_t *ret, struct error *err);
int mg_delete(struct mg_session *s, enum mg_collection c, bson_t *filter, struct error *err);
/* findAndModify: *ret is the document after the change, for the caller to bson_destroy() if
 * *ret_found. */
int mg_modify(struct mg_session *s, enum mg_collection c, bson_t *filter, bson_t *update, bson_t *ret,
              bool *ret_found, struct error *err);
/* Many writes in one round trip, in no promised order. */
mongoc_bulk_operation_t *mg_bulk(struct mg_session *s, enum mg_collection c);
void mg_bulk_update(struct mg_session *s, mongoc_bulk_operation_t *b, bson_t *filter, bson_t *update);
void mg_bulk_update_all(mongoc_bulk_operation_t *b, bson_t *filter, bson_t *update); /* all that match */
/* *ret: how many updates matched. ERR_CONFLICT as mg_insert(); the others were done. */
int mg_bulk_run(struct mg_session *s, mongoc_bulk_operation_t *b, int64_t *ret, struct error *err);

/* Fields of a document; 0 or NULL when they are not there. */
int64_t mg_i64(const bson_t *doc, const char *field);
double mg_double(const bson_t *doc, const char *field);
const char *mg_utf8(const bson_t *doc, const char *field);
/* The embedded document or array; false: there is none. */
bool mg_embedded(const bson_t *doc, const char *field, bson_t *ret);
void mg_append_ids(bson_t *doc, const char *field, const int64_t *ids, size_t n); /* {field: {$in: […]}} */
void mg_append_text(bson_t *doc, const char *field, const char *text, size_t max); /* unless NULL */
/* A number that nobody else has, below 2^53. */
int64_t mg_token(void);

/* --- store_mongo_schema.c ------------------------------------------------------------------------------- */

#define MG_SCHEMA 2
int mg_migrate(struct mg_session *s, bool read_only, int *ret_found, struct error *err);

/* --- documents that several verbs touch (store_mongo_rows.c, _runs.c) ------------------------------------ */

void mg_message(const bson_t *doc, struct arena *arena, struct message *ret);
/* An attempt as part of its message. counts: the run that its outcome counts for, 0: none. */
struct mg_attempt {
	int64_t seq, run, counts, token;
	int attempt;
	enum verdict verdict;
	int http_status;
	usec_t started_at, duration;
	const char *error;
};
void mg_fill_attempt(bson_t *entry, const struct mg_attempt *a);
void mg_append_attempt(bson_t *update, const struct mg_attempt *a); /* adds {$push: …} */
int64_t mg_attempt_run(const bson_t *entry);
/* {$set: {state: pending}, …} for rows that were staged. */
bson_t *mg_published(void);

/* The beat's document; ERR_NOT_FOUND before store_scheduler_init(). now and messages_sent are left alone. */
struct mg_beat {
	struct scheduler_row row;
	int64_t closed;       /* the last beat that was used up */
	int64_t claiming[64]; /* the runs of claims that are under way, the first of them */
	size_t claiming_n;
};
int mg_beat_read(struct mg_session *s, struct mg_beat *ret, struct error *err);
void mg_beat_parse(const bson_t *doc, struct mg_beat *ret);
/* {_id, and the pacing as it was seen}: the filter of a compare-and-set. */
bson_t *mg_beat_filter(const struct pacing *seen);

int mg_counts_read(struct mg_session *s, struct store_counts *ret, struct error *err);

/* The lowest state_at of a state's messages; USEC_NEVER: it has none. */
int mg_soonest(struct mg_session *s, int state, usec_t *ret, struct error *err);

/* Figures of runs that have not ended, counted from the rows. tallies[i] for runs[i]. */
int mg_runs_tally(struct mg_session *s, const int64_t *runs, size_t n, struct run_tally *tallies,
                  struct error *err);
/* Ends those of the given runs that claim no more and have all their outcomes, in the order of their
 * beats; lists them in *ret. beat: the document as of after the caller's last write. */
int mg_runs_end(struct mg_session *s, const struct mg_beat *beat, int64_t *runs, size_t n,
                struct settle_result *ret, struct error *err);

/* Brings an insertion of several messages to its end: pending if it was committed; deleted if aborted, or
 * if may_abort. */
int mg_batch_resolve(struct mg_session *s, int64_t batch, bool may_abort, struct error *err);

/* --- the verbs, by file: _insert, _claim, _settle, _recover, _read, _steer, _nodes---------------------------- */

int mg_store_insert(void *session, struct insert_group *groups, size_t n, struct error *err);
int mg_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err);
int mg_settle(void *session, struct settlement *items, size_t n, struct settle_result *ret,
              struct error *err);
int mg_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
             size_t *ret_renewed, struct error *err);
int mg_recover(void *session, const struct recover_request *r, struct recover_result *ret,
               struct error *err);
int mg_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
int mg_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err);
int mg_counts(void *session, struct store_counts *ret, struct error *err);
int mg_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err);
int mg_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err);
int mg_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
int mg_replay(void *session, int64_t id, struct error *err);
int mg_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err);
int mg_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                      struct error *err);
int mg_scheduler_get(void *session, struct scheduler *ret, struct error *err);
int mg_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                        bool *ret_changed, struct error *err);
int mg_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err);
/* Records what a change of the scheduler is about to begin or end; now: the server's time. */
int mg_job_prepare(struct mg_session *s, const struct scheduler_row *row, usec_t now, struct error *err);
int mg_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
            struct error *err);
int mg_node_seen(void *session, const struct node_report *r, struct error *err);
int mg_nodes(void *session, struct node_page *ret, struct error *err);

/* The attempts in a message's document, by seq, each once. */
void mg_attempts_read(const bson_t *doc, struct arena *arena, struct attempt_record **ret, size_t *ret_n);
int mg_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err);
int mg_import_messages(void *session, struct message_record *items, size_t n, struct error *err);
/* Later messages come after these. Before they are stored, so that nobody is given one of the ids. */
int mg_raise_last(struct mg_session *s, int64_t id, usec_t created_at, struct error *err);
extern const struct record_verbs mg_record_verbs; /* store_mongo_records_state.c */

#endif
