/*
 * Splits CSV (RFC 4180) into fields, in place, without copying: one call, one record. Pure; the caller
 * owns the bytes and decides where they come from.
 *
 * Taken: a record ends with LF or CRLF, or with the data; a field may be quoted, then a quote is doubled
 * and separators and line ends are text. Refused: a quote inside an unquoted field and text behind a
 * closing quote, since guessing there means sending somebody a text that nobody wrote.
 */
#ifndef HERALD_CSV_H
#define HERALD_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_FIELDS_MAX 64

struct csv_field {
	char *s; /* into the data, not NUL-terminated */
	size_t len;
};

struct csv_record {
	size_t n;
	struct csv_field field[CSV_FIELDS_MAX];
	size_t used;       /* bytes of the record, its line end included */
	uint64_t newlines; /* how many of them are in it: its line end, and those within quotes */
	const char *why;   /* CSV_BAD: what is wrong */
};

enum csv_result {
	CSV_RECORD, /* a record (n >= 1) */
	CSV_BLANK,  /* an empty line: no record; used and newlines are set */
	CSV_MORE,   /* the record does not end within the data, which is as it was: come back with more */
	CSV_END,    /* no data left */
	CSV_BAD,    /* not CSV: used covers its first line only, so that one stray quote costs one line
	             * and not all the lines up to the next quote */
};

/* at_end: nothing follows the data. The bytes of a record may be changed (doubled quotes are joined). */
enum csv_result csv_split(char *data, size_t len, bool at_end, char separator, struct csv_record *ret);

/* The separator that a header uses: in its first line (the data up to a line end, quoted or not, so that it does
 * not matter how much more is at hand), the first comma, semicolon or tab outside of quotes; a comma when there
 * is none. */
char csv_separator(const char *data, size_t len);

#endif
