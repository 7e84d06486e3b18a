/*
 * Which column of an import file, or which member of an NDJSON row, means what. Pure.
 */
#ifndef HERALD_COLUMNS_H
#define HERALD_COLUMNS_H

#include <stddef.h>

enum column {
	COLUMN_PHONE,
	COLUMN_CONTENT,
	COLUMN_SEND_AT,
	COLUMN_KEY,
	COLUMN_METADATA,
#define COLUMN_USED 5 /* the columns above are imported, those below are not */
	COLUMN_KNOWN,   /* written by export, of no meaning for a new message: passed over */
	COLUMN_UNKNOWN, /* an error, unless told to ignore it */
};

/* Upper and lower case, '_', '-' and spaces make no difference. */
enum column column_parse(const char *name, size_t len);

const char *column_name(enum column c); /* "phoneNumber", …; c < COLUMN_USED */

/* The names accepted for it beside its own, for help: "phone, to, …"; "" when there are none. */
const char *column_aliases(enum column c);

#endif
