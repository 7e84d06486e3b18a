/*
 * The store: messages, their attempts, the beat, runs and counts, in a database. This is the front
 * door; it checks arguments, times and counts each call, then asks the driver named by the URL. Nothing
 * here is shaped like SQL: each verb is one thing that herald wants done, whole, in a constant number
 * of round trips.
 *
 * A struct store is shared by all threads. A struct store_session is one connection: one thread at a time.
 * All times come from the store's own clock (the database's where several nodes share it).
 *
 * Errors of every verb: ERR_TRANSIENT (nothing was done; the database is away, busy or full),
 * ERR_UNCERTAIN (the commit's answer was lost: look before repeating), ERR_PERMANENT (the database
 * refuses for good, e.g. it is corrupt or read-only). Others are named where they occur. Outputs named ret
 * are written on success only.
 */
#ifndef HERALD_STORE_H
#define HERALD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "delivery.h"
#include "error.h"
#include "message.h"
#include "pacing.h"

struct store;
struct store_session;
struct metrics;

struct store_options {
	const char *url;         /* "sqlite:PATH", "http://HOST", "memory:", … */
	struct metrics *metrics; /* may be NULL */
	bool read_only_schema;   /* fail on a missing or old schema instead of migrating */
	/* STORE_REMOTE: keys of the other herald's API; may be NULL. They must outlive the store. */
	const char *messages_key, *scheduler_key;
	/* Tests: the time to go by instead of clock_wall_steady(); ignored without STORE_LOCAL_CLOCK. Called from
	 * any thread. NULL otherwise. */
	usec_t (*clock)(void);

	/* A database that is away (ERR_TRANSIENT) is no error of store_open(): until it is there, every verb
	 * fails with ERR_TRANSIENT, and the callers of verbs try to open it, one at a time, with a backoff of
	 * 100 ms to 5 s. Logged once per outage. Sessions may be opened meanwhile and then begin to work. */
	bool wait;
	/* Called with the first session of an opened database, before anyone else may use it; may be NULL.
	 * Usually by store_open(), else on the thread of a verb's caller. An error counts as one of opening, so
	 * what it does must bear repetition. The session is closed by the front door. */
	int (*on_open)(struct store *s, struct store_session *c, void *arg, struct error *err);
	void *on_open_arg;
};

/* What a driver can do beyond the common; callers ask these instead of for a driver's name. */
enum store_capability {
	STORE_EXCLUSIVE = 1 << 0, /* one process owns the store, so any other owner's lease is dead */
	STORE_DURABLE = 1 << 1,   /* survives the process */
	STORE_LOCAL_CLOCK = 1 << 2, /* its clock is this process's */
	/* Reached through another herald's API: for a worker. It claims, settles, renews, steers the scheduler,
	 * counts and knows the nodes; whatever else needs the database is refused with ERR_CONFIG. */
	STORE_REMOTE = 1 << 3,
};

/* Opens the database, creates or migrates its schema. ERR_CONFIG: no such driver in this build, no
 * database there, not a database, a newer schema, in use by another process: the text says which. */
must_check int store_open(struct store **ret, const struct store_options *options, struct error *err);
void store_close(struct store *s); /* all sessions must be closed */
unsigned store_capabilities(const struct store *s);
/* Schema version found when opened (before migrating; 0 for a new database, and until it is there) and the
 * one this binary needs. */
void store_schema(const struct store *s, int *ret_found, int *ret_current);

/* It gets over outages of the database by itself: calls fail meanwhile, and work again afterwards. */
must_check int store_session_open(struct store *s, struct store_session **ret, struct error *err);
void store_session_close(struct store_session *c);
must_check int store_ping(struct store_session *c, struct error *err);
must_check int store_now(struct store_session *c, usec_t *ret, struct error *err);

/* --- taking messages in ---------------------------------------------------------------------------- */

enum insert_result {
	INSERT_CREATED,
	INSERT_REPEATED, /* the idempotency key was used before for the same content: that message's id */
	INSERT_CONFLICT, /* the key was used before for another content: nothing stored */
};

struct message_draft {
	const char *phone;
	const char *content;
	const char *idempotency_key; /* may be NULL */
	const char *metadata;        /* may be NULL; compared as text with an earlier one's */
	usec_t send_at;              /* 0: at once */
	/* filled in */
	enum insert_result result;
	int64_t id;        /* not for CONFLICT */
	usec_t created_at; /* of the first creation */
};

/* Drafts that stand or fall together: one API call. */
struct insert_group {
	struct message_draft *drafts;
	size_t n;
	bool stored; /* filled in: false when any draft was a CONFLICT, then none of the group is stored */
};

/* Stores all groups in one durable transaction. On success the result of each draft is filled in, and
 * what is said to be stored survives a crash. On an error no group is stored (UNCERTAIN: perhaps all). A
 * key repeated within one call is treated as if the first had been stored before. */
must_check int store_insert(struct store_session *c, struct insert_group *groups, size_t n, struct error *err);

/* --- sending ------------------------------------------------------------------------------------------ */

enum message_order { ORDER_FIFO, ORDER_LIFO };

struct claim_request {
	const char *node;  /* for the run record */
	const char *owner; /* "node/boot": who holds the lease */
	uint32_t want;     /* free slots of the caller, >= 1 */
	usec_t lease;      /* from the store's now */
	enum message_order order;
	bool forced;       /* "run now": also when stopped */
	bool free_retries; /* take due retries that run beside the beat, instead of asking the beat */
	/* Retries run beside the beat (delivery_policy.retry_free), so the beat leaves them to free_retries.
	 * Without it the beat takes due ones first: those left over from when that was configured. */
	bool retry_free;
	/* Take due messages that are `pending` beside the beat: whether or not the scheduler runs, under no run,
	 * leaving the pace as it is. For consumers that fetch at their own speed; excludes free_retries. */
	bool unpaced;
	uint64_t skip; /* unpaced: step over that many of them in the claim's order */
};

/* A claim that was handed to somebody outside this process has an owner that ends in this, where others have
 * their boot id. It lives until its lease ends, also where one process owns the store (STORE_EXCLUSIVE). */
#define STORE_OWNER_OUTSIDE "/lease"

struct claimed {
	int64_t id;
	int64_t fence;
	int attempt; /* 1 for the first */
	usec_t created_at;
	const char *phone;
	const char *content;
	size_t content_len;
};

/* A run (one beat) that has ended: all it claimed has an outcome. */
struct run_end {
	int64_t run;
	uint32_t claimed, sent, failed, retried;
	uint32_t all_failed_in_a_row; /* runs in a row, this one included, in which nothing was sent */
	bool all_failed;
};

struct claim_batch {
	struct arena arena; /* holds the items and their texts */
	struct claimed *items;
	size_t n;
	enum pacing_answer answer;
	int64_t run; /* the run of these claims; 0 for free retries and unpaced ones */
	usec_t now;  /* the store's clock */
	usec_t lease_until;
	usec_t lateness; /* OPEN: how long after it was due (0 for the first beat) */
	usec_t next_at;  /* when to ask again: the next beat, or when the soonest waiting message is due
	                  * (continuous mode and free retries); USEC_NEVER: nothing known, ask when poked */
	double failure_rate;
	bool more; /* this beat, or continuous mode, has more to give right now */
	struct run_end ended; /* the run that this claim closed and found finished; .run == 0: none */
};

/* Claims due messages for `owner` if the beat allows (pacing.h): advances the beat by compare-and-set
 * and takes the rows in the same transaction; each row gets fence + 1, attempts + 1 and a lease. Losing the
 * race for a beat is PACING_WAIT, not an error. An open beat without work is a run, too (n == 0);
 * continuous mode writes nothing when there is no work. *ret is initialised by the call; release it. */
must_check int store_claim(struct store_session *c, const struct claim_request *r, struct claim_batch *ret,
                           struct error *err);
void claim_batch_release(struct claim_batch *b);

/* What became of one claimed message. */
struct settlement {
	int64_t id;
	int64_t fence;
	int64_t run;
	int attempt;
	enum verdict verdict; /* not LOST */
	bool retry_free;      /* RETRY: beside the beat */
	usec_t retry_in;      /* RETRY: from the store's now */
	int http_status;      /* 0: none */
	usec_t started_at;    /* store's clock, as near as the caller knows */
	usec_t duration;
	const char *message_id; /* SENT; may be NULL */
	const char *error;      /* otherwise; may be NULL for RELEASE */
	/* filled in */
	bool applied;    /* false: another fence or a terminal state came first; an ordinary lost race */
	usec_t sent_at;  /* SENT and applied */
};

struct settle_result {
	struct run_end ended[8]; /* runs that this batch finished */
	size_t ended_n;          /* further ones of the same batch are counted, not listed */
	uint32_t applied;
};

/* Records outcomes in one durable transaction. SENT is accepted from any fence while the row is pending,
 * sending or unknown; the others only with the current fence and in `sending`. An attempt is recorded
 * for each, applied or not (not for RELEASE). */
must_check int store_settle(struct store_session *c, struct settlement *s, size_t n, struct settle_result *ret,
                            struct error *err);

struct lease_ref {
	int64_t id;
	int64_t fence;
};

/* Moves the lease end of those rows that are still `sending` under the given fence to now + lease. */
must_check int store_renew(struct store_session *c, const struct lease_ref *refs, size_t n, usec_t lease,
                           size_t *ret_renewed, struct error *err);

struct recover_request {
	const char *owner;    /* the caller: its own live claims are left alone until their lease ends */
	const char *last_error; /* recorded as reason */
	bool strict;          /* park as unknown instead of pending */
	bool retry_free;
	int max_lost;         /* this many claims in a row without an outcome: failed */
	int max_attempts;     /* no attempt left: failed (unless strict: unknown) */
	uint32_t limit;       /* rows per call, >= 1 */
};

struct recover_result {
	uint32_t pending, unknown, failed;
	usec_t next_expiry; /* the soonest lease end among what is still sending; USEC_NEVER: none */
	bool more;
};

/* Takes back rows whose lease has run out (with STORE_EXCLUSIVE: also at once any row of another owner that is
 * not outside), records a LOST attempt for each. */
must_check int store_recover(struct store_session *c, const struct recover_request *r,
                             struct recover_result *ret, struct error *err);

/* --- looking and steering ----------------------------------------------------------------------------- */

/* ERR_NOT_FOUND. Texts live in the arena. */
must_check int store_get(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                         struct error *err);

/* A keyset position: the last row of the page before. at == 0 and id == 0: the beginning. */
struct list_position {
	usec_t at;
	int64_t id;
	int lane; /* the driver's own; carry it along */
};

struct list_query {
	int status;        /* enum message_status, or -1 for all */
	const char *phone; /* NULL: all */
	usec_t since;      /* created at or after; 0: no bound */
	usec_t until;      /* created before; 0: no bound */
	uint32_t limit;    /* 1–1000 */
	uint64_t offset;   /* rows to skip after `after`: for page numbers; costs its length */
	struct list_position after;
	bool want_total;
	uint32_t count_most; /* where it takes counting to know the total, no further than this; 0: to the end */
};

struct message_page {
	struct arena arena;
	struct message *items;
	size_t n;
	int64_t total;   /* with want_total: all that match; else -1 */
	bool total_more; /* more match than `total`, which is count_most */
	bool more;     /* rows follow; `last` is where */
	struct list_position last;
};

/* Newest first: by creation without a status; with one, by the time the row got there (sent: sent_at;
 * pending: due_at). */
must_check int store_list(struct store_session *c, const struct list_query *q, struct message_page *ret,
                          struct error *err);
void message_page_release(struct message_page *p);

struct store_counts {
	int64_t by_status[MESSAGE_STATUS_COUNT];
};
must_check int store_counts(struct store_session *c, struct store_counts *ret, struct error *err);

struct ahead_query {
	enum message_order order;
	usec_t due_at; /* of the message in question */
	int64_t id;
	usec_t now;     /* LIFO: what is due later does not count, unless it is so before this one */
	uint32_t limit; /* 1–100000 */
};
/* How many pending messages a beat takes before one that is (or were) pending since due_at under the id; counts
 * up to the limit, at a cost that is bounded by it. */
must_check int store_ahead(struct store_session *c, const struct ahead_query *q, uint32_t *ret, struct error *err);

struct attempt {
	int attempt;
	int64_t run;
	enum verdict verdict;
	int http_status;
	usec_t started_at, duration;
	const char *error;
	const char *node; /* owner that made it, as known */
};
struct attempt_page {
	struct arena arena;
	struct attempt *items; /* oldest first, at most 1000 */
	size_t n;
};
/* ERR_NOT_FOUND when there is no such message. Attempts of before a replay stay listed. */
must_check int store_attempts(struct store_session *c, int64_t id, struct attempt_page *ret, struct error *err);
void attempt_page_release(struct attempt_page *p);

/* pending -> cancelled. ERR_NOT_FOUND; ERR_CONFLICT in any other state (the text names it). */
must_check int store_cancel(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                            struct error *err);

/* failed -> pending (what is invalid stays so), due now: attempts, lost, message_id, sent_at and last_error
 * cleared, the fence kept. ERR_NOT_FOUND when it is not there or not failed. */
must_check int store_replay(struct store_session *c, int64_t id, struct error *err);
/* Replays up to limit failed messages; *ret is how many. Call until 0. */
must_check int store_replay_some(struct store_session *c, uint32_t limit, uint32_t *ret, struct error *err);

/* --- the scheduler --------------------------------------------------------------------------------------- */

struct scheduler {
	struct pacing pacing;
	double failure_rate;
	usec_t now; /* the store's clock when read */
	usec_t last_run_at;
	int64_t runs_count;
	int64_t messages_sent;
	uint32_t all_failed_in_a_row;
	usec_t last_alert_at;
};

struct scheduler_defaults {
	bool auto_start;
	usec_t interval;
	uint32_t batch;
	/* When the store is used for the first time, or no beat is left to wait for (none was due within the last
	 * interval), the next one comes an interval from now. */
	bool first_after_interval;
	/* Of the job that begins with it, at most JOB_NAME_MAX bytes; NULL or "": "messages". */
	const char *job_name;
};

/* Creates the scheduler's row (running when auto_start), or, when there is one, takes over the configured
 * interval and batch if the *configuration* changed since it was last seen; a change made by an operator over
 * the API otherwise stays. An operator's stop always stays. */
must_check int store_scheduler_init(struct store_session *c, const struct scheduler_defaults *d,
                                    struct scheduler *ret, struct error *err);
must_check int store_scheduler_get(struct store_session *c, struct scheduler *ret, struct error *err);

struct scheduler_change {
	int running;         /* 1, 0, or -1: leave */
	usec_t interval;     /* -1: leave */
	int64_t batch;       /* -1: leave */
	double failure_rate; /* < 0: leave */
	usec_t alerted_at;   /* -1: leave */
	bool first_after_interval; /* with a start: no beat before an interval from now */
	const char *job_name;      /* with a start: of the job that begins, as in scheduler_defaults */
};
#define SCHEDULER_CHANGE_NONE {.running = -1, .interval = -1, .batch = -1, .failure_rate = -1, .alerted_at = -1}

/* *ret_changed: whether `running` changed by this call (two callers: one of them sees true). */
must_check int store_scheduler_change(struct store_session *c, const struct scheduler_change *change,
                                      struct scheduler *ret, bool *ret_changed, struct error *err);

struct run {
	int64_t id; /* = epoch */
	usec_t started_at;
	const char *node;
	uint32_t claimed, sent, failed, retried, lost; /* failed: or found invalid */
	int64_t last_id; /* the last message it claimed; 0: none */
	bool finished;
};
struct run_page {
	struct arena arena;
	struct run *items; /* newest first */
	size_t n;
	int64_t total;
	bool more;
};
/* before: only runs with a smaller id (0: from the newest); offset skips. The newest 100,000 runs are kept. */
must_check int store_runs(struct store_session *c, int64_t before, uint64_t offset, uint32_t limit,
                          struct run_page *ret, struct error *err);
void run_page_release(struct run_page *p);

/* From a start of the scheduler to its stop: one record each, kept by the transaction that starts or stops it. */
struct job {
	int64_t id; /* counts from 1 */
	const char *name;
	usec_t started_at;
	usec_t finished_at; /* 0: it goes on */
	int64_t taken;      /* messages claimed by the runs that began with it, as far as those are kept */
};
struct job_page {
	struct arena arena;
	struct job *items; /* newest first */
	size_t n;
	int64_t total;
	bool more;
};
#define JOB_NAME_MAX 64
/* As store_runs(). The newest 10,000 jobs are kept. */
must_check int store_jobs(struct store_session *c, int64_t before, uint64_t offset, uint32_t limit,
                          struct job_page *ret, struct error *err);
void job_page_release(struct job_page *p);

/* --- the nodes on this store ----------------------------------------------------------------------------- */

#define NODE_REPORT_EVERY (2 * USEC_PER_SEC)
#define NODE_SILENT_AFTER (10 * USEC_PER_SEC) /* not heard of for so long, a node is taken to be down */

#define NODE_ID_MAX 64
#define NODE_BOOT_MAX 32
#define NODE_TEXT_MAX 32 /* version, role */

/* One life of a node says that it is there. None of the texts is NULL or empty. */
struct node_report {
	const char *node; /* as configured */
	const char *boot; /* another for each start */
	const char *version, *role;
	uint32_t in_flight; /* requests to the webhook */
	bool leaving;       /* its last report, of an orderly stop */
};

/* Version and role count as they were in the first report of a boot. Forgets who was not seen for a day, and
 * earlier lives of the same node once they have left or been silent for a minute (before that, two
 * processes may run under one name by mistake, and both are shown). */
must_check int store_node_seen(struct store_session *c, const struct node_report *r, struct error *err);

struct node {
	const char *id, *boot, *version, *role;
	usec_t started_at; /* first report */
	usec_t last_seen;
	uint32_t in_flight;
	bool left;
};
struct node_page {
	struct arena arena;
	struct node *items; /* by id, then the time of the start; of more than 1000 the last seen ones */
	size_t n;
	usec_t now; /* the store's clock when read */
};
/* With STORE_EXCLUSIVE: those seen since the store was opened. */
must_check int store_nodes(struct store_session *c, struct node_page *ret, struct error *err);
void node_page_release(struct node_page *p);

#endif
