/* What the sink writes down of a request: the line of the ledger, and the line for the terminal. */
#ifndef HERALD_SINK_RECORD_H
#define HERALD_SINK_RECORD_H

#include "buf.h"
#include "clock.h"

struct sink_record {
	usec_t at;
	const char *key; /* may be NULL */
	const char *body;
	size_t body_len;
	int status;
	const char *message_id; /* NULL when not accepted */
};

/* Each appends one line with its newline. */
void sink_record_json(struct buf *out, const struct sink_record *r);
void sink_record_text(struct buf *out, const struct sink_record *r);

#endif
