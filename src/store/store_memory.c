/*
 * The memory driver: what the verbs mean, with a mutex around plain arrays. It is the reference that
 * tests/contract compares the other drivers with, the template for the next one, and a store for trying
 * herald out. Everything is gone when it is closed.
 *
 * This file: opening, and the rows in their states.
 */
#include "store_memory.h"

#include <search.h>
#include <string.h>

#include "alloc.h"

static int db_open(void **ret, const struct driver_options *o, struct error *err)
{
	struct mem_db *db;

	if (o->rest[0])
		return error_set(err, ERR_CONFIG, "nothing may follow memory: in the database URL");
	db = xcalloc(1, sizeof(*db));
	pthread_mutex_init(&db->lock, NULL);
	db->clock = o->clock;
	local_nodes_init(&db->nodes);
	*ret = db;
	return OK;
}

void mem_free_row(struct row *row)
{
	size_t i;

	for (i = 0; i < row->n_records; i++)
		free((char *)row->records[i].attempt.error);
	free(row->records);
	free((char *)row->m.phone);
	free((char *)row->m.content);
	free((char *)row->m.message_id);
	free((char *)row->m.last_error);
	free((char *)row->m.idempotency_key);
	free((char *)row->m.metadata);
	free(row);
}

static void no_free(void *row)
{
	(void)row;
}

static void db_close(void *arg)
{
	struct mem_db *db = arg;
	size_t i;

	tdestroy(db->keys, no_free);
	for (i = 0; i < db->n_rows; i++)
		mem_free_row(db->rows[i]);
	for (i = 0; i < ROW_STATE_COUNT; i++)
		free(db->by_state[i].keys);
	for (i = 0; i < db->n_runs; i++)
		free((char *)db->runs[i].r.node);
	for (i = 0; i < db->n_jobs; i++)
		free((char *)db->jobs[i].j.name);
	free(db->jobs);
	for (i = 0; i < db->n_owners; i++)
		free(db->owners[i]);
	for (i = 0; i < db->n_notes; i++) {
		free(db->notes[i].name);
		free(db->notes[i].text);
	}
	free(db->notes);
	free(db->rows);
	free(db->runs);
	free(db->owners);
	local_nodes_release(&db->nodes);
	pthread_mutex_destroy(&db->lock);
	free(db);
}

static int schema_found(const void *db)
{
	(void)db;
	return 0;
}

/* A session has nothing of its own. */
static int session_open(void *db, void **ret, struct error *err)
{
	(void)err;
	*ret = db;
	return OK;
}

static void session_close(void *session)
{
	(void)session;
}

static int ping(void *session, struct error *err)
{
	(void)session;
	(void)err;
	return OK;
}

static int now(void *session, usec_t *ret, struct error *err)
{
	(void)err;
	*ret = ((struct mem_db *)session)->clock();
	return OK;
}

size_t mem_row_index(const struct mem_db *db, int64_t id)
{
	size_t low = 0, high = db->n_rows, middle;

	/* There are gaps only when messages were imported with some. */
	if (id >= 1 && (uint64_t)id <= db->n_rows && db->rows[id - 1]->m.id == id)
		return (size_t)id - 1;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (db->rows[middle]->m.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct row *mem_row(struct mem_db *db, int64_t id)
{
	size_t at = mem_row_index(db, id);

	return at < db->n_rows && db->rows[at]->m.id == id ? db->rows[at] : NULL;
}

struct row *mem_row_at(struct mem_db *db, int state, size_t i)
{
	struct row *row = mem_row(db, order_at(&db->by_state[state], i).id);

	if (!row)
		panic("state %d lists a message that is not there", state);
	return row;
}

void mem_move(struct mem_db *db, struct row *row, int state, usec_t at)
{
	order_remove(&db->by_state[row->state], row->state_at, row->m.id);
	row->state = state;
	row->state_at = at;
	row->m.status = row_status(state);
	order_add(&db->by_state[state], at, row->m.id);
}

/* --- nodes ------------------------------------------------------------------------------------------------- */

static int node_seen(void *session, const struct node_report *r, struct error *err)
{
	struct mem_db *db = session;

	(void)err;
	local_nodes_seen(&db->nodes, r, db->clock());
	return OK;
}

static int nodes(void *session, struct node_page *ret, struct error *err)
{
	struct mem_db *db = session;

	(void)err;
	local_nodes_list(&db->nodes, db->clock(), ret);
	return OK;
}

const struct store_driver store_driver_memory = {
	.name = "memory",
	.capabilities = STORE_EXCLUSIVE | STORE_LOCAL_CLOCK,
	.schema = 0,
	.open = db_open,
	.close = db_close,
	.schema_found = schema_found,
	.session_open = session_open,
	.session_close = session_close,
	.ping = ping,
	.now = now,
	.insert = mem_insert,
	.claim = mem_claim,
	.settle = mem_settle,
	.renew = mem_renew,
	.recover = mem_recover,
	.get = mem_get,
	.list = mem_list,
	.counts = mem_counts,
	.ahead = mem_ahead,
	.attempts = mem_attempts,
	.cancel = mem_cancel,
	.replay = mem_replay,
	.replay_some = mem_replay_some,
	.scheduler_init = mem_scheduler_init,
	.scheduler_get = mem_scheduler_get,
	.scheduler_change = mem_scheduler_change,
	.runs = mem_runs,
	.jobs = mem_jobs,
	.node_seen = node_seen,
	.nodes = nodes,
	.records = &mem_record_verbs,
};
