/*
 * Writes JSON (RFC 8259) straight into a buf, for answers and logs on the hot path; reading JSON is
 * jansson's job. Commas are put by the writer. Nesting up to 32 levels; a deeper one, or a call that
 * breaks the grammar (a value in an object without its key), aborts. A key or string should be valid
 * UTF-8; each invalid byte is written as U+FFFD, so that the output is always valid. Where jansson has
 * taken the plain name (json_object, json_array, json_null), ours is another, since programs link both.
 *
 *	struct json_out j = json_begin(&buf);
 *	json_open_object(&j); json_key(&j, "id"); json_int(&j, 7); json_end(&j);
 */
#ifndef HERALD_JSON_OUT_H
#define HERALD_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "clock.h"

struct json_out {
	struct buf *buf;
	uint32_t depth;
	uint32_t is_array;  /* bit per level */
	uint32_t has_items; /* bit per level */
	bool after_key;
};

struct json_out json_begin(struct buf *out);
void json_open_object(struct json_out *j);
void json_open_array(struct json_out *j);
void json_end(struct json_out *j); /* closes the innermost object or array */
void json_key(struct json_out *j, const char *key);
void json_str(struct json_out *j, const char *s); /* NULL writes null */
void json_strn(struct json_out *j, const char *s, size_t len);
void json_int(struct json_out *j, int64_t v);
void json_double(struct json_out *j, double v); /* shortest form that round-trips; NaN/Inf write null */
void json_bool(struct json_out *j, bool v);
void json_put_null(struct json_out *j);
void json_time(struct json_out *j, usec_t t); /* RFC 3339 string; 0 writes null */
void json_raw(struct json_out *j, const char *text, size_t len); /* text that is already JSON */

/* "key": value in one call */
void json_kv_str(struct json_out *j, const char *key, const char *s);
void json_kv_int(struct json_out *j, const char *key, int64_t v);
void json_kv_bool(struct json_out *j, const char *key, bool v);
void json_kv_double(struct json_out *j, const char *key, double v);
void json_kv_time(struct json_out *j, const char *key, usec_t t);

/* Appends the string with quotes and escapes to a plain buf. */
void json_quote(struct buf *out, const char *s, size_t len);

#endif
