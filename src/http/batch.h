/*
 * Cuts the body of a batch into its rows without building a tree of the whole: a body of 16 MiB may hold
 * millions of tiny values, whose tree would be a hundred times as large. Each row is then parsed, checked and
 * forgotten by itself. Pure; thread-safe.
 */
#ifndef HERALD_BATCH_H
#define HERALD_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "answer.h"
#include "arena.h"
#include "message_rules.h"
#include "store.h"

#define BATCH_ROWS_MAX 10000

enum batch_format { BATCH_ARRAY, BATCH_LINES };

struct batch_cutter {
	enum batch_format format;
	const char *at, *end;
	size_t rows;    /* cut so far */
	bool malformed; /* the text around the rows is wrong */
	bool closed;    /* the array's ']' has been seen */
};
void batch_cut_begin(struct batch_cutter *c, enum batch_format format, const char *text, size_t len);
/* The next row, not yet parsed; false at the end or when malformed. Blank lines are skipped. */
must_check bool batch_cut(struct batch_cutter *c, const char **ret_row, size_t *ret_len);

/* OK: *ret (in the arena) holds *ret_n drafts. Else what to answer, with details by row index:
 * API_MALFORMED_JSON, API_INVALID (in *ret_error, returning ERR_INVALID). */
must_check int batch_parse(enum batch_format format, const char *text, size_t len,
                           const struct message_rules *rules, struct arena *a,
                           struct message_draft **ret, size_t *ret_n, struct details *d,
                           enum api_error *ret_error);

#endif
