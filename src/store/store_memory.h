/* Parts of the memory driver: what it holds. */
#ifndef HERALD_STORE_MEMORY_H
#define HERALD_STORE_MEMORY_H

#include <pthread.h>

#include "store_driver.h"
#include "store_nodes.h"
#include "store_rules.h"

/* --- store_memory_order.c: the rows of one state, sorted by time and id ------------------------------------ */

struct order_key {
	usec_t at;
	int64_t id;
};
/* A sorted array with room at both ends: rows come and go near the ends, so little has to move. */
struct order {
	struct order_key *keys;
	size_t start, n, cap;
};
void order_add(struct order *o, usec_t at, int64_t id);
void order_remove(struct order *o, usec_t at, int64_t id); /* it must be there */
/* How many keys are smaller than (at, id). */
size_t order_before(const struct order *o, usec_t at, int64_t id);
static inline struct order_key order_at(const struct order *o, size_t i)
{
	return o->keys[o->start + i];
}

/* --- what is stored ---------------------------------------------------------------------------------------- */

struct record {
	int64_t seq;
	struct attempt attempt; /* owns error; node points into mem_db.owners */
};

struct row {
	struct message m; /* owns its texts, but for owner */
	int state;
	usec_t state_at;
	int64_t run;
	struct record *records; /* by seq */
	size_t n_records;
};

struct mem_run {
	struct run r; /* owns node */
	struct run_tally tally;
};

struct mem_db {
	struct local_nodes nodes;
	pthread_mutex_t lock; /* for everything below */
	usec_t (*clock)(void);
	usec_t last_created_at;
	int64_t last_id;
	struct row **rows; /* by id */
	size_t n_rows, cap_rows;
	struct order by_state[ROW_STATE_COUNT];
	void *keys; /* tsearch() tree of the rows with an idempotency key */
	bool scheduler_set;
	struct scheduler_row scheduler;
	struct mem_run *runs; /* oldest first */
	size_t n_runs, cap_runs;
	struct mem_job {
		struct job j; /* owns name */
		int64_t first_run, last_run; /* last_run 0: it goes on */
	} * jobs; /* oldest first */
	size_t n_jobs;
	char **owners;
	size_t n_owners;
	struct mem_note {
		char *name, *text; /* text NULL: forgotten */
	} * notes;
	size_t n_notes;
};

/* --- store_memory.c: the rows and their states ------------------------------------------------------------- */

/* Where the row of that id is, or would be, among the rows. */
size_t mem_row_index(const struct mem_db *db, int64_t id);
/* Row by id, NULL when there is none. */
struct row *mem_row(struct mem_db *db, int64_t id);
/* The i-th row of a state, in the order of its time. */
struct row *mem_row_at(struct mem_db *db, int state, size_t i) __attribute__((returns_nonnull));
/* The only way a row changes its state: orders and counts follow. */
void mem_move(struct mem_db *db, struct row *row, int state, usec_t at);
void mem_free_row(struct row *row);

/* --- store_memory_insert.c: taking messages in ------------------------------------------------------------- */

/* The row with that idempotency key, NULL when there is none; adds a row that has one. */
struct row *mem_find_key(struct mem_db *db, const char *key);
void mem_add_key(struct mem_db *db, struct row *row);

int mem_insert(void *session, struct insert_group *groups, size_t n, struct error *err);

/* --- store_memory_read.c: looking at messages -------------------------------------------------------------- */

void mem_copy_message(const struct row *row, struct arena *arena, struct message *ret);
int mem_not_found(int64_t id, struct error *err);

int mem_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
int mem_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err);
int mem_counts(void *session, struct store_counts *ret, struct error *err);
int mem_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err);
int mem_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err);

/* --- store_memory_runs.c: runs and jobs -------------------------------------------------------------------- */

/* Where a run is, or would be, among the runs. */
size_t mem_run_index(const struct mem_db *db, int64_t id);
/* Makes room for a run at that place. */
struct mem_run *mem_run_add(struct mem_db *db, size_t at);
/* A run that begins; the oldest are forgotten. */
struct mem_run *mem_run_open(struct mem_db *db, int64_t id, const char *node, usec_t now);
/* As for runs. */
size_t mem_job_index(const struct mem_db *db, int64_t id);
struct mem_job *mem_job_add(struct mem_db *db, size_t at);
/* What a change of the scheduler has begun or ended; the oldest are forgotten. */
void mem_job_record(struct mem_db *db);

int mem_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
             struct error *err);
int mem_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
             struct error *err);

/* --- store_memory_steer.c ---------------------------------------------------------------------------------- */

int mem_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
int mem_replay(void *session, int64_t id, struct error *err);
int mem_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err);
int mem_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                       struct error *err);
int mem_scheduler_get(void *session, struct scheduler *ret, struct error *err);
int mem_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                         bool *ret_changed, struct error *err);

/* --- store_memory_send.c ----------------------------------------------------------------------------------- */

/* Keeps the records sorted. NULL: there is one of that seq already. */
struct record *mem_record_add(struct row *row, int64_t seq);
/* Owners are few and live as long as the store, so that rows and records may point at them. NULL stays so. */
const char *mem_owner(struct mem_db *db, const char *owner);

int mem_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err);
int mem_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret, struct error *err);
int mem_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease, size_t *ret_renewed,
              struct error *err);
int mem_recover(void *session, const struct recover_request *r, struct recover_result *ret, struct error *err);

extern const struct record_verbs mem_record_verbs; /* store_memory_records.c */

#endif
