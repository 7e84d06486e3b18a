/*
 * Whole records: everything that a store knows of its messages, runs, jobs and scheduler, read from one and
 * written to another as it is, or taken over from elsewhere. Where store.h has acts (claim, settle), this has
 * rows; nobody who sends messages needs it. Same sessions, same threads and same errors as in store.h, and
 * ERR_CONFIG when the driver keeps no records of its own.
 *
 * What is exported is what counts, not how a driver keeps it: a message that went through five kinds of
 * database is exported by the last one as by the first. Not part of it are the nodes (they report by themselves).
 */
#ifndef HERALD_STORE_RECORDS_H
#define HERALD_STORE_RECORDS_H

#include "buf.h"
#include "store.h"

struct attempt_record {
	int64_t seq; /* unique within the message, and its order: store_rules.h, attempt_seq() */
	struct attempt a;
};

struct message_record {
	/* As store_get() gives it, but for `owner`: whose the last claim was, in any status; NULL: not known. */
	struct message m;
	bool beside;  /* pending: a retry beside the beat (RETRY_PACING=free) */
	int64_t run;  /* sending: for which run it was claimed; 0: beside the beat */
	int64_t said; /* seq of the attempt that message_id or last_error come from; -1: there are none */
	struct attempt_record *attempts; /* all of them, by seq */
	size_t attempts_n;
	/* Filled in by store_import_messages(). */
	enum insert_result result; /* not CONFLICT */
};

/* Appends what the record says, in one form for all drivers: two stores hold the same message if these texts are
 * equal. */
void message_record_print(const struct message_record *r, struct buf *out);

#define RECORDS_MAX 1000 /* per call */

struct record_page {
	struct arena arena;
	struct message_record *items;
	size_t n;
	bool more; /* others follow the last one */
};

/* Messages with ids above `after`, by id: at most `limit` (1 to RECORDS_MAX), and fewer where these are large. */
must_check int store_export_messages(struct store_session *c, int64_t after, uint32_t limit,
                                     struct record_page *ret, struct error *err);
void record_page_release(struct record_page *p);

/*
 * Stores messages as they are, with what the counts need, in one transaction where the driver has them. The
 * ids of a call are either all given or all 0:
 *
 *	id > 0  stored under that id. One whose id is there already is REPEATED, nothing of it is looked at. In
 *	        ascending order. ERR_CONFLICT: another message has the idempotency key.
 *	id == 0 the store gives the next id (filled in). One whose idempotency key is there already is
 *	        REPEATED, and gets that message's id. created_at is raised to that of the message before, if it
 *	        is below: ids and creation times rise together. No key twice in a call.
 *
 * So a call whose end is not known may be made again, unless ids are 0 and keys missing. n <= RECORDS_MAX.
 * ERR_INVALID: a record that no store could hold; nothing is stored then. Later messages get ids and times of
 * creation above these. Those in `sent` count for scheduler.messages_sent if the scheduler has been set
 * up.
 */
must_check int store_import_messages(struct store_session *c, struct message_record *items, size_t n,
                                     struct error *err);

/* For a message that comes from elsewhere and has ended as sent, failed, unknown or invalid: makes the one attempt
 * that its status, message_id, last_error and times tell of, in *space, which the record then refers to. */
void message_record_tell(struct message_record *r, struct attempt_record *space);

struct run_record {
	struct run r;
	bool closed; /* it claims no more */
};
void run_record_print(const struct run_record *r, struct buf *out);
struct run_record_page {
	struct arena arena;
	struct run_record *items;
	size_t n;
	bool more;
};
/* Runs with ids above `after`, by id. */
must_check int store_export_runs(struct store_session *c, int64_t after, uint32_t limit,
                                 struct run_record_page *ret, struct error *err);
void run_record_page_release(struct run_record_page *p);
/* Those whose id is there already are left as they are. In ascending order, n <= RECORDS_MAX. Behind the messages:
 * what an open run has in flight is theirs. */
must_check int store_import_runs(struct store_session *c, const struct run_record *items, size_t n,
                                 struct error *err);

struct job_record {
	struct job j; /* but for `taken`: the runs tell that */
	int64_t first_run, last_run; /* last_run: 0 while the job goes on */
};
void job_record_print(const struct job_record *r, struct buf *out);
struct job_record_page {
	struct arena arena;
	struct job_record *items;
	size_t n;
	bool more;
};
/* As for runs. What an import has stored shows once the state is there, too. */
must_check int store_export_jobs(struct store_session *c, int64_t after, uint32_t limit,
                                 struct job_record_page *ret, struct error *err);
void job_record_page_release(struct job_record_page *p);
must_check int store_import_jobs(struct store_session *c, const struct job_record *items, size_t n,
                                 struct error *err);

/* All that there is once. */
struct state_record {
	bool scheduler_set; /* else only the last two members say something */
	struct scheduler s; /* now: when exported; last_run_at and runs_count go by the pacing */
	usec_t config_interval;
	uint32_t config_batch; /* the configuration last seen, see store_scheduler_init() */
	bool beat_closed;      /* the run of the current beat claims no more */
	int64_t job;           /* the last one's id, which goes on while the scheduler runs; 0: none yet */
	int64_t last_id;       /* no message has a higher id */
	usec_t last_created_at;
};
/* Without `now`, and the last two: one driver may know of ids that were given out and not used. */
void state_record_print(const struct state_record *state, struct buf *out);
must_check int store_export_state(struct store_session *c, struct state_record *ret, struct error *err);
/* Behind messages, runs and jobs. Replaces the scheduler's state; the last id and time of creation are only
 * raised. */
must_check int store_import_state(struct store_session *c, const struct state_record *state,
                                  struct error *err);

/* A short text kept in the store under a name, both of at most NOTE_MAX bytes: what has to be known of the store
 * itself. */
#define NOTE_NAME_MAX 64
#define NOTE_MAX 2000
/* *ret is NULL when there is none, as in any driver that keeps no records. */
must_check int store_note_get(struct store_session *c, const char *name, struct arena *arena,
                              const char **ret, struct error *err);
/* text NULL: forgets it. */
must_check int store_note_set(struct store_session *c, const char *name, const char *text,
                              struct error *err);

#endif
