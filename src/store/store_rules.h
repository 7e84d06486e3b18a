/*
 * The decisions that every driver makes alike, kept out of the drivers so that they cannot differ: which
 * settlement counts, what a lost claim turns into, when a run has ended. Pure; thread-safe.
 */
#ifndef HERALD_STORE_RULES_H
#define HERALD_STORE_RULES_H

#include "store.h"
#include "store_records.h"

/*
 * What a driver stores as a row's state: a message_status up to MESSAGE_UNKNOWN; ROW_RETRYING, which everyone
 * outside sees as pending; and ROW_INVALID, which came after it. ROW_RETRYING keeps retries that run beside
 * the beat (RETRY_PACING=free) apart from what the beat claims, so that neither has to step over the other's
 * rows. Stored in databases: never renumber.
 */
#define ROW_RETRYING 6
#define ROW_INVALID 7
#define ROW_STATE_COUNT 8

enum message_status row_status(int state);
/* The state of rows of that status; of pending ones, that of those which are not retries beside the beat. */
int row_state(enum message_status status);

/* Whether a settlement counts, given the row's state and fence at that moment. */
bool settlement_applies(int state, int64_t fence, const struct settlement *s);
/* The state that an applied settlement leads to. beside_beat: the claim was one of free retries (run 0),
 * for RELEASE. */
int settlement_state(const struct settlement *s, bool beside_beat);

/* What becomes of a row whose lease ran out; attempts and lost as they are with this loss counted. */
int recovered_state(const struct recover_request *r, int attempts, int lost);
/* Counts a row that has become that; by_state: the changes of how many there are in each state. */
void recovered_count(struct recover_result *result, int64_t by_state[ROW_STATE_COUNT], int state);

/* Whether a claim goes beside the beat, and from which rows it may take. */
bool claim_beside_beat(const struct claim_request *r);
bool claim_takes(const struct claim_request *r, int state);
/* Rows of the state to step over. */
uint64_t claim_skips(const struct claim_request *r, int state);

/* What the pacing answers a claimer, and how many messages he may then take. */
enum pacing_answer claim_ask(const struct claim_request *r, const struct pacing *p, usec_t now,
                             uint32_t *ret_grant);
/* Before claiming, without a lock: fills in the answer, which is WAIT as well when nothing is due, and next_at for
 * when it is not to claim. b->now is set. soonest: when the first message that it could take is due (USEC_NEVER:
 * none); asked for only where claims go by that. */
bool claim_by_due(const struct claim_request *r, const struct pacing *p);
void claim_look(const struct claim_request *r, const struct pacing *p, usec_t soonest, struct claim_batch *b);
/* The pacing after b->n messages were taken of `grant`; fills in lateness and more. */
struct pacing claim_advance(const struct pacing *p, uint32_t grant, struct claim_batch *b);

bool owner_outside(const char *owner);

/*
 * Records of attempts have the key (message, seq), seq made of the fence and what kind of record it is. A
 * claim can leave up to three: that it was lost, what its owner reported later, and a success reported
 * after something else. The same report twice (after an uncertain commit) is one record.
 */
int64_t attempt_seq(int64_t fence, enum verdict v);

/* A run's outcomes so far. The outcome of a claim counts when its row leaves `sending`, for the run that
 * the row names; so claimed minus outcomes is the number of rows still in `sending` for the run. */
struct run_tally {
	uint32_t claimed, sent, failed, retried, lost;
	bool closed; /* claims no more */
};
void run_tally_add(struct run_tally *t, enum verdict v); /* RELEASE: claimed - 1 */
bool run_tally_complete(const struct run_tally *t);
/* The outcomes of one transaction, gathered per run. */
struct run_outcomes {
	struct run_outcome {
		int64_t run;
		struct run_tally add;
	} * runs;
	size_t n, cap;
};
void run_outcomes_add(struct run_outcomes *o, int64_t run, enum verdict v); /* run 0: none */
void run_outcomes_sort(struct run_outcomes *o); /* runs end in the order of their beats */
void run_outcomes_release(struct run_outcomes *o);
/* Fills *ret for a run that is complete and moves the scheduler's count of all-failed runs on. */
void run_end_apply(int64_t run, const struct run_tally *t, uint32_t *all_failed_in_a_row,
                   struct run_end *ret);
/* Lists it, if there is room, unless .run is 0. */
void settle_result_add(struct settle_result *r, const struct run_end *end);

/* The scheduler's row: what is stored of struct scheduler, and the configuration last seen. */
struct scheduler_row {
	struct scheduler s;
	usec_t config_interval;
	uint32_t config_batch;
	int64_t job; /* the last one's id, which goes on while the scheduler runs; 0: none yet */
	/* Not stored: what the two functions below have begun and ended, for the driver to record; 0: none. */
	int64_t job_opened, job_closed;
	const char *job_name;
};
struct scheduler_row scheduler_row_new(const struct scheduler_defaults *d);
/* Also for a new row. now: the store's clock, read under the row's lock. */
void scheduler_row_configure(struct scheduler_row *row, const struct scheduler_defaults *d, usec_t now);
/* Returns whether `running` changed. */
bool scheduler_row_change(struct scheduler_row *row, const struct scheduler_change *change, usec_t now);

/* One change of the scheduler's row: by the configuration (store_scheduler_init()) or, without, by a caller
 * (store_scheduler_change()). */
struct steering {
	const struct scheduler_defaults *defaults;
	const struct scheduler_change *change;
	struct scheduler_row row;
	bool changed; /* whether `running` did, by a caller */
};
/* row as it is stored, or new, and row.s.now as above. */
void steering_apply(struct steering *st);

/* Room for one more item; *cap is for how many there is, 0 at first. */
struct claimed *claim_batch_add(struct claim_batch *b, size_t *cap);

/* When a claimer shall ask again, given the scheduler's state after the answer. soonest: when the next
 * message that it could take is due (USEC_NEVER: none); used in continuous mode. */
usec_t claim_next_at(const struct pacing *p, enum pacing_answer answer, usec_t soonest);

/* Of a list whose total was counted no further than count_most + 1: the total as it is to be told. */
static inline void list_bound_total(const struct list_query *q, struct message_page *page)
{
	page->total_more = q->count_most && page->total > (int64_t)q->count_most;
	if (page->total_more)
		page->total = q->count_most;
}

/* --- records (store_records.c) ------------------------------------------------------------------------------ */

/* The row's state, and what orders it there. */
int record_state(const struct message_record *r);
usec_t record_state_at(const struct message_record *r);
/* Fills in what goes by the row's state, message and attempts having been read. owner as it stands in the row. */
void record_complete(struct message_record *r, int state, int64_t run, int64_t said);
/* `said`, for drivers that keep the texts with the message. */
int64_t record_said(const struct message_record *r);
/* Of the attempts of the same claim as the i-th, the one whose outcome counted for its run. */
const struct attempt_record *record_counted(const struct message_record *r, size_t i);
/* The scheduler's row, as a state's and out of it; sets scheduler_set, and beat_closed is left alone. */
void state_set_scheduler(struct state_record *state, const struct scheduler_row *row);
struct scheduler_row state_scheduler(const struct state_record *state);
/* Room for the next attempt of message `id` on the page, NULL when it is not there. Attempts come by message;
 * *at is 0 at first. */
struct attempt_record *record_attempt(struct record_page *page, int64_t id, size_t *at);

#define RUNS_KEPT 100000
#define JOBS_KEPT 10000

/* Of nodes: how long a silent one is listed; how long an earlier life of the one that reports. */
#define NODE_FORGET_AFTER USEC_PER_DAY
#define NODE_REPLACE_AFTER USEC_PER_MINUTE
#define NODES_LISTED 1000

/* Of herald_commits, by which sessions learn what became of a commit whose answer was lost: how long to ask, since a
 * server that crashed needs a moment to come back, and how often; after which silence a session is taken for gone. */
#define COMMIT_ASK_FOR (3 * USEC_PER_SEC)
#define COMMIT_ASK_EVERY (50 * USEC_PER_MSEC)
#define COMMITS_FORGET_AFTER (7 * USEC_PER_DAY)

#endif
