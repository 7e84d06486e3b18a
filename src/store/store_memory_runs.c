/* The memory driver: runs and jobs. The oldest are forgotten, as many as the other drivers forget. */
#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "store_memory.h"

/* --- runs -------------------------------------------------------------------------------------------------- */

size_t mem_run_index(const struct mem_db *db, int64_t id)
{
	size_t low = 0, high = db->n_runs, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (db->runs[middle].r.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct mem_run *mem_run_add(struct mem_db *db, size_t at)
{
	if (db->n_runs == db->cap_runs) {
		db->cap_runs = db->cap_runs ? 2 * db->cap_runs : 16;
		db->runs = xreallocarray(db->runs, db->cap_runs, sizeof(*db->runs));
	}
	memmove(db->runs + at + 1, db->runs + at, (db->n_runs++ - at) * sizeof(*db->runs));
	return &db->runs[at];
}

struct mem_run *mem_run_open(struct mem_db *db, int64_t id, const char *node, usec_t now)
{
	struct mem_run *run;
	size_t i, drop = 1000; /* so that not every one moves all others */

	if (db->n_runs >= RUNS_KEPT + drop) {
		for (i = 0; i < drop; i++)
			free((char *)db->runs[i].r.node);
		db->n_runs -= drop;
		memmove(db->runs, db->runs + drop, db->n_runs * sizeof(*db->runs));
	}
	run = mem_run_add(db, db->n_runs);
	*run = (struct mem_run){.r = {.id = id, .started_at = now, .node = xstrdup(node)}};
	return run;
}

int mem_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
             struct error *err)
{
	struct mem_db *db = session;
	struct run_page page = {.n = 0};
	size_t end;

	(void)err;
	pthread_mutex_lock(&db->lock);
	end = before ? mem_run_index(db, before) : db->n_runs;
	end -= MIN_OF(offset, end);
	page.total = (int64_t)db->n_runs;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	while (end && page.n < limit) {
		const struct mem_run *run = &db->runs[--end];
		struct run *r = &page.items[page.n++];

		*r = run->r;
		r->node = arena_strdup(&page.arena, r->node);
		r->claimed = run->tally.claimed;
		r->sent = run->tally.sent;
		r->failed = run->tally.failed;
		r->retried = run->tally.retried;
		r->lost = run->tally.lost;
	}
	page.more = end > 0;
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

/* --- jobs -------------------------------------------------------------------------------------------------- */

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

/* Drops all before it. */
static void forget_jobs(struct mem_db *db, size_t first)
{
	for (size_t i = 0; i < first; i++)
		free((char *)db->jobs[i].j.name);
	db->n_jobs -= first;
	memmove(db->jobs, db->jobs + first, db->n_jobs * sizeof(*db->jobs));
}

void mem_job_record(struct mem_db *db)
{
	struct scheduler_row *row = &db->scheduler;
	const size_t closed = mem_job_index(db, row->job_closed);

	if (row->job_closed && closed < db->n_jobs && db->jobs[closed].j.id == row->job_closed) {
		db->jobs[closed].j.finished_at = db->clock();
		db->jobs[closed].last_run = row->s.pacing.epoch;
	}
	if (row->job_opened) {
		*mem_job_add(db, db->n_jobs) = (struct mem_job){
			.j = {.id = row->job_opened, .name = xstrdup(row->job_name), .started_at = db->clock()},
			.first_run = row->s.pacing.epoch + 1,
		};
		forget_jobs(db, mem_job_index(db, row->job_opened - JOBS_KEPT + 1));
	}
	row->job_opened = row->job_closed = 0;
}

int mem_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
             struct error *err)
{
	struct mem_db *db = session;
	struct job_page page = {.n = 0};
	size_t end;

	(void)err;
	pthread_mutex_lock(&db->lock);
	end = before ? mem_job_index(db, before) : db->n_jobs;
	end -= MIN_OF(offset, end);
	page.total = (int64_t)db->n_jobs;
	page.items = arena_calloc(&page.arena, limit, sizeof(*page.items));
	while (end && page.n < limit) {
		const struct mem_job *job = &db->jobs[--end];
		struct job *j = &page.items[page.n++];

		*j = job->j;
		j->name = arena_strdup(&page.arena, j->name);
		for (size_t i = mem_run_index(db, job->first_run); i < db->n_runs; i++) {
			if (!job->j.finished_at || db->runs[i].r.id <= job->last_run)
				j->taken += db->runs[i].tally.claimed;
		}
	}
	page.more = end > 0;
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}
