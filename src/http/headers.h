/* Reading a request's headers: one pass that keeps what herald cares for. */
#ifndef HERALD_HEADERS_H
#define HERALD_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "request.h"

struct MHD_Connection;

/* Pointers into the connection's memory, valid until the first call for the request returns. */
struct headers {
	size_t count, bytes;
	const char *api_key, *authorization, *content_type;
	uint64_t content_length; /* 0 when chunked */
	bool has_content_length, chunked;
	bool has_body; /* or may have one, when malformed */
	const char *host, *origin, *referer, *fetch_site; /* NULL: none */
	size_t hosts;
	bool encodings; /* Accept-Encoding is there */
	bool expects_continue;
	bool malformed; /* it can be read in two ways, or not at all */
	struct request_headers *keep;
};

/* libmicrohttpd 0.9.75's own strict mode is not used: it sends the head of its refusals twice, misses a blank
 * before the colon, and lets Content-Length pass beside Transfer-Encoding. */
void headers_read(struct MHD_Connection *mhd, const char *version, struct headers *ret,
                  struct request_headers *keep);

/* One header; what headers_read() does for each. */
void headers_take(struct headers *h, const char *name, size_t name_len, const char *value, size_t value_len);

/* application/json, charset UTF-8 if any; with `lines` also application/x-ndjson. text may be NULL. */
must_check bool media_type_json(const char *text, bool lines, bool *ret_lines);

void headers_new_correlation_id(char out[CORRELATION_MAX + 1]);

#endif
