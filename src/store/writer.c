/*
 * The group commit thread. Strategy: take what has come, store it in one transaction, answer, look
 * again. There is no timer: while a commit waits for the disk, the next batch gathers by itself.
 *
 * Limits: a transaction takes jobs until it has BATCH_DRAFTS drafts, so that one caller's wait is
 * bounded; a larger job goes alone. What waits is bounded in drafts, not jobs.
 */
#include "writer.h"

#include <stdatomic.h>

#include "alloc.h"
#include "thread.h"

#define BATCH_DRAFTS 512

struct writer {
	struct store_session *session;
	struct queue jobs;
	_Atomic size_t waiting; /* drafts submitted and not answered */
	size_t max_waiting;
	pthread_t thread;
	/* of the batch in hand; the thread's own */
	struct insert_job *batch[BATCH_DRAFTS];
	struct insert_group groups[BATCH_DRAFTS];
};

static struct insert_job *job_of(struct queue_item *item)
{
	return container_of(item, struct insert_job, item);
}

static void answer(struct writer *w, size_t i, int code, const struct error *err)
{
	struct insert_job *job = w->batch[i];

	job->group = w->groups[i];
	/* Before done(): afterwards the job is not ours to look at. */
	atomic_fetch_sub(&w->waiting, MAX_OF(job->group.n, 1));
	job->done(job, code, code ? err : NULL);
}

/* Stores batch[from..from + n). */
static void store_batch(struct writer *w, size_t from, size_t n)
{
	struct error err = ERROR_INIT;
	int rc = store_insert(w->session, &w->groups[from], n, &err);
	size_t i;

	if (rc == ERR_INVALID && n > 1) {
		/* One caller's mistake is not to be the others'. */
		for (i = 0; i < n; i++)
			store_batch(w, from + i, 1);
		return;
	}
	for (i = 0; i < n; i++)
		answer(w, from + i, rc, &err);
}

/* Takes jobs off the chain until the batch is full; returns the rest. */
static struct queue_item *fill_batch(struct writer *w, struct queue_item *item, size_t *ret_n)
{
	size_t n = 0, drafts = 0;
	struct insert_job *job;

	for (; item && n < BATCH_DRAFTS; item = item->next) {
		job = job_of(item);
		if (n && drafts + job->group.n > BATCH_DRAFTS)
			break;
		w->batch[n] = job;
		w->groups[n++] = job->group;
		drafts += job->group.n;
	}
	*ret_n = n;
	return item;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	struct queue_item *item;
	size_t n;

	while ((item = queue_wait(&w->jobs, 0, USEC_NEVER, NULL)) || !queue_closed(&w->jobs)) {
		while (item) {
			item = fill_batch(w, item, &n);
			store_batch(w, 0, n);
		}
	}
	return NULL;
}

int writer_start(struct writer **ret, struct store *s, size_t max_waiting, struct error *err)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	int rc = store_session_open(s, &w->session, err);

	if (rc) {
		free(w);
		return rc;
	}
	w->max_waiting = max_waiting;
	queue_init(&w->jobs, 0, false);
	rc = thread_start(&w->thread, "writer", writer_main, w, err);
	if (rc) {
		queue_destroy(&w->jobs);
		store_session_close(w->session);
		free(w);
		return rc;
	}
	*ret = w;
	return OK;
}

bool writer_submit(struct writer *w, struct insert_job *job)
{
	/* A job without drafts counts, too, or its number would be unbounded. */
	size_t n = MAX_OF(job->group.n, 1);

	if (atomic_fetch_add(&w->waiting, n) + n > w->max_waiting ||
	    !queue_push(&w->jobs, &job->item)) {
		atomic_fetch_sub(&w->waiting, n);
		return false;
	}
	return true;
}

void writer_stop(struct writer *w)
{
	if (!w)
		return;
	queue_close(&w->jobs);
	thread_join(w->thread);
	queue_destroy(&w->jobs);
	store_session_close(w->session);
	free(w);
}
