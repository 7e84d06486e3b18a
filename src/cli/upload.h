/*
 * Sends many new messages in batches, a few of them in flight at once, so that this side prepares a batch
 * while the server stores another. Every row must carry an idempotency key: that is what makes it safe to
 * repeat a batch of which no answer came. Private to cli/. One thread.
 *
 *	while (rows) {
 *		if (upload_take(u, &batch, &err) != OK) fail;
 *		...append lines and line numbers with upload_add()...
 *		upload_submit(u, batch);
 *	}
 *	upload_finish(u, &err);
 */
#ifndef HERALD_UPLOAD_H
#define HERALD_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"

#define UPLOAD_IN_FLIGHT 2
#define UPLOAD_BATCH_BYTES ((size_t)4 << 20) /* a batch is full at this size, too */

struct upload;

struct upload_batch {
	struct buf body; /* NDJSON: one line per row */
	uint64_t *line;  /* where each row came from */
	size_t rows;
	size_t max; /* rows it may hold */
};

struct upload_options {
	size_t batch_rows;
	bool skip_refused; /* leave out rows that the server refuses and send the rest of their batch */

	/* A row that the server refuses, though it looked right from here. */
	void (*refused)(void *arg, uint64_t line, const char *why);
	/* Something worth a line, not too often: a busy server is waited for. */
	void (*notice)(void *arg, const char *text);
	/* Called often; for progress. False: stop. */
	bool (*tick)(void *arg);
	void *arg;
};

/* Counts rows that are settled. */
struct upload_counts {
	uint64_t done;     /* all of these */
	uint64_t created;
	uint64_t repeated; /* were there already */
	uint64_t refused;  /* and left out */
};

struct upload *upload_open(struct api *a, const struct upload_options *options);
void upload_close(struct upload *u);
const struct upload_counts *upload_counts(const struct upload *u);

/* An empty batch to fill; waits for one. ERR_INVALID: the server refuses rows, and all that was in the air
 * has been answered; ERR_TRANSIENT and others: it cannot be reached or does not work; ERR_CONFLICT: tick()
 * said stop. After an error only upload_close() may follow. */
must_check int upload_take(struct upload *u, struct upload_batch **ret, struct error *err);
bool upload_full(const struct upload_batch *b);
/* The row's line must have been appended to b->body, its line end too. */
void upload_add(struct upload_batch *b, uint64_t line);
/* Gives the batch away (an empty one, too) and lets transfers move on; errors show in the next take. */
void upload_submit(struct upload *u, struct upload_batch *b);
/* Waits for all that was submitted. */
must_check int upload_finish(struct upload *u, struct error *err);

#endif
