/*
 * Reads messages to create from CSV or NDJSON, one row at a time, in constant memory, and checks each as
 * the server would, so that a file is known to be good before the first row is sent.
 *
 * CSV: the header row names the columns (columns.h); the separator is a comma, a semicolon or a tab, whichever
 * the header uses; a byte order mark is passed over. NDJSON: one object per line. Empty lines do not count
 * as rows. A row that is not well-formed costs that row (CSV: its first line) and no other.
 */
#ifndef HERALD_ROWS_H
#define HERALD_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "csv.h"
#include "columns.h"
#include "error.h"
#include "message_rules.h"
#include "window.h"

enum row_format { ROW_CSV, ROW_NDJSON };

struct row_text {
	const char *s; /* NULL: not given; not NUL-terminated */
	size_t len;
};

/* Texts are valid until the next call. */
struct row {
	uint64_t line; /* in the file, from 1: where the row begins */
	struct row_text phone, content, send_at, key;
	struct row_text metadata; /* compact JSON of an object */
	usec_t send_at_time;      /* 0: not given */
	char why[320];            /* ROW_BAD: column and reason */
};

enum row_result { ROW_OK, ROW_BAD, ROW_END, ROW_ERROR };

struct row_options {
	enum row_format format;
	const struct message_rules *rules;
	bool ignore_unknown;  /* columns and members of no meaning are passed over */
};

struct row_reader {
	struct window window;
	struct row_options options;
	uint64_t line;
	bool begun;
	char separator;
	size_t columns;
	enum column column[CSV_FIELDS_MAX];
	struct csv_record record;
	json_t *json;
	char *metadata;
};

void row_reader_init(struct row_reader *r, const struct row_options *options, window_read_fn *read,
                     void *arg);
void row_reader_release(struct row_reader *r);

/* ROW_ERROR (with *err): reading failed, or the header is not usable; nothing can follow. */
enum row_result row_next(struct row_reader *r, struct row *ret, struct error *err);

/* Bytes of the input read so far. */
uint64_t row_reader_position(const struct row_reader *r);

#endif
