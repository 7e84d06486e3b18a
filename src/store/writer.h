/*
 * Group commit for creates: many small API calls share one durable transaction. Callers hand over a job
 * and go on; one thread takes all jobs that have come in the meantime, stores them with one
 * store_insert(), and calls each job's `done` after the commit. So the batch grows by itself as the disk
 * gets slower, and a lone job waits for nobody.
 *
 * When the store is away, a job fails; the writer does not hold it back. When too many jobs wait,
 * writer_submit() refuses: the caller answers 503.
 */
#ifndef HERALD_WRITER_H
#define HERALD_WRITER_H

#include "queue.h"
#include "store.h"

struct writer;

struct insert_job {
	struct queue_item item; /* the writer's while it has the job */
	struct insert_group group;
	/* Runs on the writer's thread, after the commit (code OK) or the failure. The job is the callee's
	 * again. Must not block. Jobs of one commit are called in the order they were submitted. */
	void (*done)(struct insert_job *job, int code, const struct error *err);
};

/* max_waiting: drafts. */
must_check int writer_start(struct writer **ret, struct store *s, size_t max_waiting, struct error *err);
/* Any thread. False: full or stopping; the job stays the caller's. */
must_check bool writer_submit(struct writer *w, struct insert_job *job);
/* Stores what waits, then ends the thread. */
void writer_stop(struct writer *w);

#endif
