/*
 * The memory driver: what the verbs mean, with a mutex around plain arrays. It is the reference that
 * tests/contract compares the other drivers with, the template for the next one, and a store for trying
 * herald out. Everything is gone when it is closed.
 *
 * This file: opening, taking messages in, looking and steering. Sending is in store_memory_send.c.
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

static void free_row(struct row *row)
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
		free_row(db->rows[i]);
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

/* --- taking messages in -------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->m.idempotency_key,
	              ((const struct row *)b)->m.idempotency_key);
}

struct row *mem_find_key(struct mem_db *db, const char *key)
{
	struct row probe = {.m.idempotency_key = key}, **found;

	if (!key)
		return NULL;
	found = tfind(&probe, &db->keys, compare_keys);
	return found ? *found : NULL;
}

void mem_add_key(struct mem_db *db, struct row *row)
{
	if (!tsearch(row, &db->keys, compare_keys))
		panic("out of memory");
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static void add_row(struct mem_db *db, struct message_draft *d, usec_t at, usec_t created_at)
{
	struct row *row = xcalloc(1, sizeof(*row));

	if (db->n_rows == db->cap_rows) {
		db->cap_rows = db->cap_rows ? 2 * db->cap_rows : 64;
		db->rows = xreallocarray(db->rows, db->cap_rows, sizeof(*db->rows));
	}
	db->rows[db->n_rows++] = row;
	row->m.id = ++db->last_id;
	row->m.phone = xstrdup(d->phone);
	row->m.content = xstrdup(d->content);
	row->m.idempotency_key = d->idempotency_key ? xstrdup(d->idempotency_key) : NULL;
	row->m.metadata = d->metadata ? xstrdup(d->metadata) : NULL;
	row->m.send_at = d->send_at;
	row->m.created_at = row->m.updated_at = created_at;
	row->m.due_at = row->state_at = d->send_at > at ? d->send_at : at;
	order_add(&db->by_state[MESSAGE_PENDING], row->state_at, row->m.id);
	if (row->m.idempotency_key)
		mem_add_key(db, row);
	d->result = INSERT_CREATED;
	d->id = row->m.id;
	d->created_at = created_at;
}

static void drop_last_row(struct mem_db *db)
{
	struct row *row = db->rows[--db->n_rows];

	db->last_id--;
	order_remove(&db->by_state[row->state], row->state_at, row->m.id);
	if (row->m.idempotency_key)
		tdelete(row, &db->keys, compare_keys);
	free_row(row);
}

static void insert_group(struct mem_db *db, struct insert_group *g, usec_t at, usec_t created_at)
{
	int64_t before = db->last_id;
	struct message_draft *d;
	struct row *old;
	size_t i;

	g->stored = true;
	for (i = 0; i < g->n; i++) {
		d = &g->drafts[i];
		old = mem_find_key(db, d->idempotency_key);
		if (!old) {
			add_row(db, d, at, created_at);
		} else if (!same_text(old->m.phone, d->phone) || !same_text(old->m.content, d->content) ||
		           !same_text(old->m.metadata, d->metadata) || old->m.send_at != d->send_at) {
			d->result = INSERT_CONFLICT;
			d->id = d->created_at = 0;
			g->stored = false;
		} else {
			d->result = INSERT_REPEATED;
			d->id = old->m.id;
			d->created_at = old->m.created_at;
		}
	}
	if (g->stored)
		return;
	while (db->last_id > before)
		drop_last_row(db);
	for (i = 0; i < g->n; i++) {
		if (g->drafts[i].id > before)
			g->drafts[i].id = g->drafts[i].created_at = 0;
	}
}

static int insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct mem_db *db = session;
	usec_t at, created_at;
	size_t i, before;

	(void)err;
	pthread_mutex_lock(&db->lock);
	at = db->clock();
	/* Ids and creation times rise together, even when the clock is set back. */
	created_at = MAX_OF(at, db->last_created_at);
	before = db->n_rows;
	for (i = 0; i < n; i++)
		insert_group(db, &groups[i], at, created_at);
	if (db->n_rows > before)
		db->last_created_at = created_at;
	pthread_mutex_unlock(&db->lock);
	return OK;
}

/* --- looking ------------------------------------------------------------------------------------------- */

void mem_copy_message(const struct row *row, struct arena *arena, struct message *ret)
{
	struct message m = row->m;

	m.phone = arena_strdup(arena, m.phone);
	m.content = arena_strdup(arena, m.content);
	m.message_id = arena_strdup(arena, m.message_id);
	m.last_error = arena_strdup(arena, m.last_error);
	m.idempotency_key = arena_strdup(arena, m.idempotency_key);
	m.metadata = arena_strdup(arena, m.metadata);
	m.owner = m.status == MESSAGE_SENDING ? arena_strdup(arena, m.owner) : NULL;
	m.lease_until = m.status == MESSAGE_SENDING ? row->state_at : 0;
	*ret = m;
}

static int not_found(int64_t id, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
}

static int get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row)
		mem_copy_message(row, arena, ret);
	pthread_mutex_unlock(&db->lock);
	return row ? OK : not_found(id, err);
}

static bool matches(const struct row *row, const struct list_query *q)
{
	return (q->status < 0 || (int)row->m.status == q->status) &&
	       (!q->phone || !strcmp(row->m.phone, q->phone)) &&
	       (!q->since || row->m.created_at >= q->since) &&
	       (!q->until || row->m.created_at < q->until);
}

/* When a row got to where the list looks for it. */
static usec_t list_time(const struct row *row, const struct list_query *q)
{
	return q->status < 0 ? row->m.created_at : row->state_at;
}

static bool newer(const struct row *a, const struct row *b, const struct list_query *q)
{
	usec_t at = list_time(a, q), bt = list_time(b, q);

	return at != bt ? at > bt : a->m.id > b->m.id;
}

/* Whether the row comes behind the position. */
static bool is_after(const struct row *row, const struct list_query *q)
{
	usec_t at = list_time(row, q);

	if (!q->after.at && !q->after.id)
		return true;
	return at != q->after.at ? at < q->after.at : row->m.id < q->after.id;
}

/* The newest row that matches and is older than `last` (NULL: any). Looking at all rows for each is slow,
 * and as plain a statement of the order as there can be. */
static struct row *next_row(struct mem_db *db, const struct list_query *q, const struct row *last)
{
	struct row *best = NULL, *row;
	size_t i;

	for (i = 0; i < db->n_rows; i++) {
		row = db->rows[i];
		if (matches(row, q) && is_after(row, q) && (!last || newer(last, row, q)) &&
		    (!best || newer(row, best, q)))
			best = row;
	}
	return best;
}

static int list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct message_page page = {.total = q->want_total ? 0 : -1};
	struct mem_db *db = session;
	struct row *row = NULL;
	uint64_t skip = q->offset;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; q->want_total && !page.total_more && i < db->n_rows; i++) {
		page.total += matches(db->rows[i], q);
		if (q->phone || q->since || q->until)
			list_bound_total(q, &page);
	}
	page.items = arena_calloc(&page.arena, q->limit, sizeof(*page.items));
	while ((row = next_row(db, q, row))) {
		if (skip) {
			skip--;
			continue;
		}
		if (page.n == q->limit) {
			page.more = true;
			break;
		}
		mem_copy_message(row, &page.arena, &page.items[page.n++]);
		page.last = (struct list_position){.at = list_time(row, q), .id = row->m.id};
	}
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

static int counts(void *session, struct store_counts *ret, struct error *err)
{
	struct mem_db *db = session;
	struct store_counts c = {.by_status[0] = 0};
	int i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; i < ROW_STATE_COUNT; i++)
		c.by_status[row_status(i)] += (int64_t)db->by_state[i].n;
	pthread_mutex_unlock(&db->lock);
	*ret = c;
	return OK;
}

static int ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	struct mem_db *db = session;
	const struct order *o = &db->by_state[MESSAGE_PENDING];
	size_t n;

	(void)err;
	pthread_mutex_lock(&db->lock);
	n = order_before(o, q->due_at, q->id);
	if (q->order == ORDER_LIFO)
		n = order_before(o, MAX_OF(q->now, q->due_at), INT64_MAX) - order_before(o, q->due_at, q->id + 1);
	pthread_mutex_unlock(&db->lock);
	*ret = (uint32_t)MIN_OF(n, (size_t)q->limit);
	return OK;
}

static int attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct attempt_page page = {.n = 0};
	struct mem_db *db = session;
	struct row *row;
	size_t i;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row) {
		page.n = MIN_OF(row->n_records, 1000);
		page.items = arena_calloc(&page.arena, page.n, sizeof(*page.items));
		for (i = 0; i < page.n; i++) {
			page.items[i] = row->records[i].attempt;
			page.items[i].error = arena_strdup(&page.arena, page.items[i].error);
			page.items[i].node = arena_strdup(&page.arena, page.items[i].node);
		}
	}
	pthread_mutex_unlock(&db->lock);
	if (!row)
		return not_found(id, err);
	*ret = page;
	return OK;
}

/* --- steering ------------------------------------------------------------------------------------------ */

static int cancel(void *session, int64_t id, struct arena *arena, struct message *ret,
                  struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	int rc = OK;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (!row) {
		rc = not_found(id, err);
	} else if (!message_may(row->m.status, EVENT_CANCEL)) {
		rc = error_set(err, ERR_CONFLICT, "message %lld is %s: only pending ones can be cancelled",
		               (long long)id, message_status_name(row->m.status));
	} else {
		row->m.updated_at = db->clock();
		mem_move(db, row, MESSAGE_CANCELLED, row->m.updated_at);
		mem_copy_message(row, arena, ret);
	}
	pthread_mutex_unlock(&db->lock);
	return rc;
}

static void replay_row(struct mem_db *db, struct row *row)
{
	usec_t at = db->clock();

	free((char *)row->m.message_id);
	free((char *)row->m.last_error);
	row->m.message_id = row->m.last_error = NULL;
	row->m.attempts = row->m.lost = 0;
	row->m.sent_at = 0;
	row->m.due_at = row->m.updated_at = at;
	mem_move(db, row, MESSAGE_PENDING, at);
}

static int replay(void *session, int64_t id, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	int rc = OK;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row && message_may(row->m.status, EVENT_REPLAY))
		replay_row(db, row);
	else
		rc = error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
	pthread_mutex_unlock(&db->lock);
	return rc;
}

static int replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct mem_db *db = session;
	const struct order *failed = &db->by_state[MESSAGE_FAILED];
	uint32_t n;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (n = 0; n < limit && failed->n; n++)
		replay_row(db, mem_row_at(db, MESSAGE_FAILED, 0));
	pthread_mutex_unlock(&db->lock);
	*ret = n;
	return OK;
}

static struct scheduler scheduler_now(const struct mem_db *db)
{
	struct scheduler s = db->scheduler.s;

	s.now = db->clock();
	s.last_run_at = s.pacing.beat_at;
	s.runs_count = s.pacing.epoch;
	return s;
}

size_t mem_job_index(const struct mem_db *db, int64_t id)
{
	size_t i = db->n_jobs;

	while (i && db->jobs[i - 1].j.id >= id)
		i--;
	return i;
}

struct mem_job *mem_job_add(struct mem_db *db, size_t at)
{
	db->jobs = xreallocarray(db->jobs, db->n_jobs + 1, sizeof(*db->jobs));
	memmove(db->jobs + at + 1, db->jobs + at, (db->n_jobs++ - at) * sizeof(*db->jobs));
	return &db->jobs[at];
}

/* What a change of the scheduler has begun or ended. */
static void record_job(struct mem_db *db)
{
	struct scheduler_row *row = &db->scheduler;
	struct mem_job *job;
	size_t at;

	at = mem_job_index(db, row->job_closed);
	if (row->job_closed && at < db->n_jobs && db->jobs[at].j.id == row->job_closed) {
		job = &db->jobs[at];
		job->j.finished_at = db->clock();
		job->last_run = row->s.pacing.epoch;
	}
	if (row->job_opened) {
		job = mem_job_add(db, db->n_jobs);
		*job = (struct mem_job){
			.j = {.id = row->job_opened, .name = xstrdup(row->job_name), .started_at = db->clock()},
			.first_run = row->s.pacing.epoch + 1,
		};
	}
	row->job_opened = row->job_closed = 0;
}

static int scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                          struct error *err)
{
	struct mem_db *db = session;

	(void)err;
	pthread_mutex_lock(&db->lock);
	if (!db->scheduler_set)
		db->scheduler = scheduler_row_new(d);
	scheduler_row_configure(&db->scheduler, d, db->clock());
	record_job(db);
	db->scheduler_set = true;
	*ret = scheduler_now(db);
	pthread_mutex_unlock(&db->lock);
	return OK;
}

static int no_scheduler(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
}

static int scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	struct mem_db *db = session;
	bool there;

	pthread_mutex_lock(&db->lock);
	there = db->scheduler_set;
	if (there)
		*ret = scheduler_now(db);
	pthread_mutex_unlock(&db->lock);
	return there ? OK : no_scheduler(err);
}

static int scheduler_change(void *session, const struct scheduler_change *change,
                            struct scheduler *ret, bool *ret_changed, struct error *err)
{
	struct mem_db *db = session;
	bool there;

	pthread_mutex_lock(&db->lock);
	there = db->scheduler_set;
	if (there) {
		*ret_changed = scheduler_row_change(&db->scheduler, change, db->clock());
		record_job(db);
		*ret = scheduler_now(db);
	}
	pthread_mutex_unlock(&db->lock);
	return there ? OK : no_scheduler(err);
}

static int runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
                struct error *err)
{
	struct mem_db *db = session;
	struct run_page page = {.n = 0};
	struct run *r;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	page.total = (int64_t)db->n_runs;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	for (i = db->n_runs; i-- > 0 && !page.more;) {
		if (before && db->runs[i].r.id >= before)
			continue;
		if (offset) {
			offset--;
			continue;
		}
		if (page.n == limit) {
			page.more = true;
			continue;
		}
		r = &page.items[page.n++];
		*r = db->runs[i].r;
		r->node = arena_strdup(&page.arena, r->node);
		r->claimed = db->runs[i].tally.claimed;
		r->sent = db->runs[i].tally.sent;
		r->failed = db->runs[i].tally.failed;
		r->retried = db->runs[i].tally.retried;
		r->lost = db->runs[i].tally.lost;
	}
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

static int jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
                struct error *err)
{
	struct mem_db *db = session;
	struct job_page page = {.n = 0};
	size_t i, r;

	(void)err;
	pthread_mutex_lock(&db->lock);
	page.total = (int64_t)db->n_jobs;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	for (i = db->n_jobs; i-- > 0 && !page.more;) {
		const struct mem_job *job = &db->jobs[i];
		struct job *shown;

		if (before && job->j.id >= before)
			continue;
		if (offset) {
			offset--;
			continue;
		}
		if (page.n == limit) {
			page.more = true;
			continue;
		}
		shown = &page.items[page.n++];
		*shown = job->j;
		shown->name = arena_strdup(&page.arena, job->j.name);
		for (r = 0; r < db->n_runs; r++) {
			if (db->runs[r].r.id >= job->first_run &&
			    (!job->j.finished_at || db->runs[r].r.id <= job->last_run))
				shown->taken += db->runs[r].tally.claimed;
		}
	}
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

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
	.insert = insert,
	.claim = mem_claim,
	.settle = mem_settle,
	.renew = mem_renew,
	.recover = mem_recover,
	.get = get,
	.list = list,
	.counts = counts,
	.ahead = ahead,
	.attempts = attempts,
	.cancel = cancel,
	.replay = replay,
	.replay_some = replay_some,
	.scheduler_init = scheduler_init,
	.scheduler_get = scheduler_get,
	.scheduler_change = scheduler_change,
	.runs = runs,
	.jobs = jobs,
	.node_seen = node_seen,
	.nodes = nodes,
	.records = &mem_record_verbs,
};
