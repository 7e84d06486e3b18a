/*
 * The value types that configuration knows beyond numbers and strings, with their parsers. Pure;
 * thread-safe. Parsers write *ret only on success and say in err what is wrong; they never quote the
 * text, which may be a secret.
 */
#ifndef HERALD_VALUES_H
#define HERALD_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "clock.h"
#include "error.h"

/* A set of HTTP status codes, 0 to 639: bit number = code, as delivery_policy.success has it. */
#define STATUS_SET_WORDS 10
struct status_set {
	uint64_t bits[STATUS_SET_WORDS];
};

static inline bool status_set_has(const struct status_set *s, int code)
{
	unsigned bit = (unsigned)code;

	return bit < STATUS_SET_WORDS * 64 && (s->bits[bit / 64] >> (bit % 64) & 1);
}

/* "200-299,304": codes and ranges, spaces around them allowed, all within [lowest, highest], which
 * must themselves lie within 0 to 639. */
must_check int status_set_parse(const char *text, size_t len, int lowest, int highest,
                                struct status_set *ret, struct error *err);
/* The shortest such text. */
void status_set_format(const struct status_set *s, struct buf *out);

/* A list of 1 to 32 durations. */
#define DURATION_LIST_MAX 32
struct duration_list {
	size_t n;
	usec_t at[DURATION_LIST_MAX];
};

/* "5s,1m,5m", spaces around each allowed, each within [min, max]. */
must_check int duration_list_parse(const char *text, size_t len, usec_t min, usec_t max,
                                   struct duration_list *ret, struct error *err);
void duration_list_format(const struct duration_list *l, struct buf *out);

/* Keys: an owned list of byte strings, each with a NUL behind it (not counted). */
#define CONFIG_LIST_MAX 16
struct config_bytes {
	char *data;
	size_t len;
};
struct config_list {
	size_t n;
	struct config_bytes at[CONFIG_LIST_MAX];
};

void config_list_release(struct config_list *l); /* wipes the bytes before it frees them */

/* API keys: separated by commas, spaces around each ignored, each 8 to 256 visible ASCII characters. */
must_check int api_keys_parse(const char *text, size_t len, struct config_list *ret, struct error *err);

/*
 * Standard Webhooks signing keys, separated by spaces or commas: each "whsec_" and the base64 of 24 to
 * 64 bytes, at most CONFIG_LIST_MAX of them. Appends them to out, separated by one space.
 */
must_check int signing_keys_parse(const char *text, size_t len, struct buf *out, struct error *err);

/* Where the receiver's answer holds its message id: "json:" and a JSON pointer (RFC 6901; "" is the
 * whole document) or "header:" and the name of a header. */
must_check int message_id_check(const char *text, size_t len, struct error *err);

/* A byte count: a whole number, or one with the unit KiB, MiB or GiB. */
must_check bool size_parse(const char *text, size_t len, int64_t *ret);
void size_format(int64_t bytes, struct buf *out); /* in the largest unit that leaves no rest */

#endif
