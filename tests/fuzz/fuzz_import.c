/*
 * Import files: CSV and NDJSON rows, arriving in pieces of any size. The first byte chooses the format and
 * how unknown columns are taken, the second the size of the pieces.
 *
 * Beside not crashing: lines ascend, an accepted row is what the server will accept, and the outcome does not
 * depend on how the bytes arrive.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "message.h"
#include "row_key.h"
#include "rows.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pieces {
	const uint8_t *data;
	size_t len, at, step;
};

static ssize_t read_piece(void *arg, void *buf, size_t size)
{
	struct pieces *p = arg;
	size_t n = MIN_OF(p->len - p->at, MIN_OF(size, p->step));

	memcpy(buf, p->data + p->at, n);
	p->at += n;
	return (ssize_t)n;
}

static void check_row(const struct row *row)
{
	char phone[MESSAGE_PHONE_MAX + 1], key[ROW_KEY_TAIL + 1];

	if (!row->phone.len || row->phone.len > MESSAGE_PHONE_MAX)
		abort();
	memcpy(phone, row->phone.s, row->phone.len);
	phone[row->phone.len] = '\0';
	if (!phone_valid(phone))
		abort();
	if (!row->content.len || !utf8_valid(row->content.s, row->content.len) ||
	    utf8_length(row->content.s, row->content.len) > 1000)
		abort();
	if (row->metadata.len > MESSAGE_METADATA_MAX || memchr(row->metadata.s ? row->metadata.s : "", '\n',
	                                                       row->metadata.len))
		abort();
	row_key_tail(row, key);
	if (!text_is_token(key, strlen(key), ROW_KEY_TAIL))
		abort();
}

static const struct message_rules rules = {.max_content = 1000};

/* A hash over all that came out. */
static uint64_t read_all(const uint8_t *data, size_t size, uint8_t mode, size_t step)
{
	const struct row_options options = {
		.format = mode & 1 ? ROW_NDJSON : ROW_CSV, .rules = &rules, .ignore_unknown = mode & 2,
	};
	struct pieces pieces = {.data = data, .len = size, .step = step};
	struct row_reader reader;
	struct row row;
	struct error err = ERROR_INIT;
	enum row_result result;
	uint64_t h = 0, last = 0;

	row_reader_init(&reader, &options, read_piece, &pieces);
	while ((result = row_next(&reader, &row, &err)) == ROW_OK || result == ROW_BAD) {
		if (row.line <= last)
			abort();
		last = row.line;
		h = hash_bytes(&row.line, sizeof(row.line), h);
		if (result == ROW_BAD) {
			if (!row.why[0])
				abort();
			h = hash_bytes(row.why, strlen(row.why), h);
			continue;
		}
		check_row(&row);
		h = hash_bytes(row.phone.s, row.phone.len, h);
		h = hash_bytes(row.content.s, row.content.len, h);
		h = hash_bytes(row.metadata.s, row.metadata.len, h);
	}
	if (result == ROW_ERROR)
		h = hash_bytes(err.text, strlen(err.text), h);
	else if (row_reader_position(&reader) != size)
		abort();
	row_reader_release(&reader);
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (read_all(data + 2, size - 2, data[0], (size_t)data[1] + 1) !=
	    read_all(data + 2, size - 2, data[0], SIZE_MAX))
		abort();
	return 0;
}
