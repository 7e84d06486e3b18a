/*
 * How far long work is: a bar that redraws itself on a terminal, a plain line every few seconds elsewhere
 * (so that a log of a short job stays empty). The caller passes the time, nothing here looks at a clock.
 */
#ifndef HERALD_PROGRESS_H
#define HERALD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "clock.h"

#define PROGRESS_REDRAW (USEC_PER_SEC / 10)
#define PROGRESS_LINE (5 * USEC_PER_SEC)

struct progress {
	FILE *out;         /* NULL: silent */
	bool terminal;
	int width;         /* of the terminal, in columns */
	const char *verb;  /* "importing" */
	const char *unit;  /* "rows"; "bytes" are shown as MB */
	uint64_t total;    /* 0: not known */
	usec_t start, next;
	bool drawn;
};

/* out: usually stderr; NULL shows nothing. Finds out whether it is a terminal. */
void progress_begin(struct progress *p, FILE *out, const char *verb, const char *unit, uint64_t total,
                    usec_t now);
/* Cheap; draws when it is time. */
void progress_update(struct progress *p, uint64_t done, usec_t now);
/* Takes the bar off the terminal, e.g. before another line; it comes back with the next update. */
void progress_hide(struct progress *p);

/* The line as text, at most width columns: pure, for progress_update() and tests. */
void progress_render(const struct progress *p, uint64_t done, usec_t now, struct buf *out);

/* "1,234,567" */
void progress_number(struct buf *out, uint64_t n);

#endif
