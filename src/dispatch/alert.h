/*
 * Alerts: one small POST to the operator's URL. Runs on the dispatch thread but shares nothing with
 * delivery: its own connection, one request at a time, a few tries each, a short queue that drops what
 * does not fit.
 */
#ifndef HERALD_ALERT_H
#define HERALD_ALERT_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "error.h"

struct metrics;

struct alert {
	int64_t run;
	uint32_t failures; /* runs in a row in which every message failed */
	uint32_t messages; /* in the run */
	usec_t at;         /* the store's clock */
	bool gone;         /* raised because of a 410 */
};

struct alerter_options {
	const char *url;
	const char *ca_file;
	struct metrics *metrics;
	/* The receiver took it. */
	void (*sent)(void *arg, const struct alert *alert);
	void *arg;
};

struct alerter;

must_check int alerter_open(struct alerter **ret, const struct alerter_options *options, struct error *err);
void alerter_close(struct alerter *a); /* drops what waits; may be NULL */

void alerter_raise(struct alerter *a, const struct alert *alert);
/* Does what is due; `readable` tells whether alerter_fd() is. */
void alerter_run(struct alerter *a, usec_t now, bool readable);
int alerter_fd(const struct alerter *a);
/* Monotonic; USEC_NEVER: nothing to do. */
usec_t alerter_next(const struct alerter *a, usec_t now);

#endif
