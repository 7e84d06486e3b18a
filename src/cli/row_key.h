/*
 * Idempotency keys of imported rows that bring none of their own, so that an import can be run again, after an
 * interruption or with rows corrected, and creates only what is not there yet:
 *
 *	PREFIX:LINE:HASH	e.g. customers.csv:000000001f:9a0c…
 *
 * LINE is where the row begins, 10 hex digits, so keys ascend through the file and the store's unique index is
 * appended to instead of being written all over. HASH is 16 hex digits over what the row says: a corrected
 * row becomes a new message, and it alone. PREFIX, by default the file's name, keeps apart two files
 * that hold the same row in the same line.
 *
 * Rows are therefore to be corrected in place: lines inserted or removed above a row give it another key.
 * Keys by content and count of its repetitions would not mind, but need memory that grows with the
 * file. Pure; stable over versions and machines (tests/unit/test_cli_rows.c holds golden values).
 */
#ifndef HERALD_ROW_KEY_H
#define HERALD_ROW_KEY_H

#include <stddef.h>

#include "buf.h"
#include "message.h"
#include "rows.h"

#define ROW_KEY_TAIL 28 /* ":LINE:HASH" */
#define ROW_KEY_PREFIX_MAX (MESSAGE_KEY_MAX - ROW_KEY_TAIL)

/* The file's name without its folders, bytes that a key cannot hold percent-encoded, cut to the maximum. */
void row_key_prefix(struct buf *out, const char *path);

/* Writes ROW_KEY_TAIL bytes and a NUL. */
void row_key_tail(const struct row *row, char out[ROW_KEY_TAIL + 1]);

#endif
