/*
 * The table (or collection) of another application, read from its first row to its last as of one moment, and never
 * changed. For `herald adopt`; knows PostgreSQL, MySQL or MariaDB, and MongoDB. One thread at a time.
 */
#ifndef HERALD_FOREIGN_H
#define HERALD_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "clock.h"
#include "error.h"

enum foreign_kind {
	FOREIGN_TEXT, /* whatever it is, as text: numbers in decimal, UUIDs and object ids as usual */
	FOREIGN_TIME, /* a date and time; one without a zone is taken for UTC */
};

struct foreign_column {
	const char *name; /* not from outside: it becomes part of a statement */
	enum foreign_kind kind;
};

#define FOREIGN_COLUMNS_MAX 16

struct foreign_table {
	const char *name; /* not from outside */
	struct foreign_column columns[FOREIGN_COLUMNS_MAX];
	size_t columns_n;
	size_t order[2]; /* the columns that the rows are sorted by: a time, and what tells those of one moment
	                  * apart. Rows whose time is not known (foreign_cell) come last. */
};

struct foreign_cell {
	const char *text; /* FOREIGN_TEXT; NULL: null, no such field, or a zero byte is in it */
	usec_t time;      /* FOREIGN_TIME; 0: null, no such field, or not from 1970 to 9999 */
};

#define FOREIGN_ROWS_MAX 500 /* per page */

struct foreign_page {
	struct arena arena; /* holds the texts */
	struct foreign_cell rows[FOREIGN_ROWS_MAX][FOREIGN_COLUMNS_MAX];
	size_t n; /* 0: there are no more */
};

struct foreign;

/* `table` must outlive it. *ret_total: about how many rows there are, for showing progress. ERR_CONFIG: no database of a
 * kind that can be read, or it is not there, refuses, or has no such table or column: the text says which. */
must_check int foreign_open(struct foreign **ret, const char *url, const struct foreign_table *table,
                            uint64_t *ret_total, struct error *err);
/* The next rows, in place of those in the page; begin with a zeroed page whose arena is initialised. ERR_TRANSIENT: the
 * connection was lost; there is no going on, only a new beginning. */
must_check int foreign_next(struct foreign *f, struct foreign_page *page, struct error *err);
void foreign_close(struct foreign *f); /* NULL is fine */

#endif
