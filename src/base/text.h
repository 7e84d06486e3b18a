/* Small text and byte helpers that libc lacks or gets wrong. Pure unless said otherwise; thread-safe. */
#ifndef HERALD_TEXT_H
#define HERALD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "buf.h"

/* The whole text is a decimal number (optional '-'), within [min, max]. No spaces, no '+'. */
must_check bool text_to_i64(const char *s, size_t len, int64_t min, int64_t max, int64_t *ret);
must_check bool text_to_double(const char *s, size_t len, double min, double max, double *ret);
/* true/false, yes/no, on/off, 1/0 (any case) */
must_check bool text_to_bool(const char *s, size_t len, bool *ret);

bool text_equal(const char *a, const char *b);       /* NULL equals NULL only */
bool text_equal_nocase(const char *a, const char *b); /* ASCII */
bool text_starts_with(const char *s, const char *prefix);

/* UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_valid(const char *s, size_t len);
/* Bytes (1 to 4) of the well-formed sequence at s, 0 when there is none; len >= 1. */
size_t utf8_sequence(const char *s, size_t len);
size_t utf8_length(const char *s, size_t len);                /* code points; s must be valid */
size_t text_stored(const char *s, size_t max); /* bytes of s to keep, at most max, cut at a code point; 0 for NULL */
size_t utf8_prefix(const char *s, size_t len, size_t points); /* bytes of the first `points` code points */

/* Visible ASCII 0x21–0x7e only, and 1 <= len <= max. For ids and keys that travel in headers. */
bool text_is_token(const char *s, size_t len, size_t max);

void hex_encode(const void *data, size_t len, char *out /* 2 * len + 1 */);
/* base64url without padding (RFC 4648 section 5) and plain base64 with padding (section 4). Decoding is
 * strict, so that one value has one spelling: no spaces, no unused bits set; on false, out is as it was. */
void base64url_encode(struct buf *out, const void *data, size_t len);
must_check bool base64url_decode(struct buf *out, const char *text, size_t len);
void base64_encode(struct buf *out, const void *data, size_t len);
must_check bool base64_decode(struct buf *out, const char *text, size_t len);

/* For names and values in a query string: all but A-Z a-z 0-9 - . _ ~ becomes %XX. A space becomes %20,
 * which every reader understands, not the '+' that only form readers do. */
void percent_encode(struct buf *out, const char *s, size_t len);

/* From getrandom(2); aborts if the kernel has none. */
void random_bytes(void *out, size_t len);
/* A fast per-thread generator (seeded by getrandom) for jitter, not for secrets. */
uint64_t random_u64(void);
double random_unit(void); /* [0, 1) */

/* 64-bit hash for tables, stable over runs and machines (import keys rely on it). */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif
