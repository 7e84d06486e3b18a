#include "json_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "text.h"

/* Eight bytes of ASCII that need no escape. Each term sets the high bit of a byte below 0x20, equal to
 * '"', equal to '\\', or above 0x7f; a borrow may flag a byte too many next to a true one, never too few. */
static inline bool plain_word(const char *s)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t w, quote, backslash;

	memcpy(&w, s, sizeof(w));
	quote = w ^ ones * '"';
	backslash = w ^ ones * '\\';
	return !(((w - ones * 0x20) | (quote - ones) | (backslash - ones) | w) & ones * 0x80);
}

static void add_escape(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	switch (c) {
	case '"':
		buf_addlit(out, "\\\"");
		break;
	case '\\':
		buf_addlit(out, "\\\\");
		break;
	case '\n':
		buf_addlit(out, "\\n");
		break;
	case '\r':
		buf_addlit(out, "\\r");
		break;
	case '\t':
		buf_addlit(out, "\\t");
		break;
	default:
		buf_add(out, six, sizeof(six));
	}
}

void json_quote(struct buf *out, const char *s, size_t len)
{
	size_t start = 0, at = 0, n;
	unsigned char c;

	buf_reserve(out, len + 2);
	buf_addch(out, '"');
	/* s[start..at) is text to be copied as it is: as few, as long copies as can be. */
	while (at < len) {
		if (len - at >= 8 && plain_word(s + at)) {
			at += 8;
			continue;
		}
		c = (unsigned char)s[at];
		n = c < 0x80 ? 1 : utf8_sequence(s + at, len - at);
		if (n && c >= 0x20 && c != '"' && c != '\\') {
			at += n;
			continue;
		}
		buf_add(out, s + start, at - start);
		if (n)
			add_escape(out, c);
		else
			buf_addlit(out, "\xef\xbf\xbd");
		start = ++at;
	}
	buf_add(out, s + start, at - start);
	buf_addch(out, '"');
}

struct json_out json_begin(struct buf *out)
{
	return (struct json_out){.buf = out};
}

static uint32_t level_bit(const struct json_out *j)
{
	return (uint32_t)1 << (j->depth - 1);
}

/* The comma before an item of the innermost object or array. */
static void separate(struct json_out *j)
{
	if (j->has_items & level_bit(j))
		buf_addch(j->buf, ',');
	j->has_items |= level_bit(j);
}

static void before_value(struct json_out *j)
{
	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->depth == 0)
		return;
	if (unlikely(!(j->is_array & level_bit(j))))
		panic("json: a value without a key in an object");
	separate(j);
}

static void open_level(struct json_out *j, bool is_array)
{
	before_value(j);
	if (unlikely(j->depth == 32))
		panic("json: nested too deeply");
	j->depth++;
	j->has_items &= ~level_bit(j);
	j->is_array = is_array ? j->is_array | level_bit(j) : j->is_array & ~level_bit(j);
	buf_addch(j->buf, is_array ? '[' : '{');
}

void json_open_object(struct json_out *j)
{
	open_level(j, false);
}

void json_open_array(struct json_out *j)
{
	open_level(j, true);
}

void json_end(struct json_out *j)
{
	if (unlikely(j->depth == 0 || j->after_key))
		panic("json: nothing that could be closed");
	buf_addch(j->buf, j->is_array & level_bit(j) ? ']' : '}');
	j->depth--;
}

void json_key(struct json_out *j, const char *key)
{
	if (unlikely(j->depth == 0 || j->after_key || j->is_array & level_bit(j)))
		panic("json: a key (%s) where none can be", key);
	separate(j);
	json_quote(j->buf, key, strlen(key));
	buf_addch(j->buf, ':');
	j->after_key = true;
}

void json_strn(struct json_out *j, const char *s, size_t len)
{
	before_value(j);
	json_quote(j->buf, s, len);
}

void json_str(struct json_out *j, const char *s)
{
	if (s)
		json_strn(j, s, strlen(s));
	else
		json_put_null(j);
}

void json_int(struct json_out *j, int64_t v)
{
	before_value(j);
	buf_addi64(j->buf, v);
}

void json_double(struct json_out *j, double v)
{
	char text[32];

	if (!isfinite(v)) {
		json_put_null(j);
		return;
	}
	before_value(j);
	/* Most doubles in our answers are whole; a negative zero keeps its sign below. */
	if (fabs(v) < 1e15 && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
		buf_addi64(j->buf, (int64_t)v);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_addstr(j->buf, text);
}

void json_bool(struct json_out *j, bool v)
{
	before_value(j);
	if (v)
		buf_addlit(j->buf, "true");
	else
		buf_addlit(j->buf, "false");
}

void json_put_null(struct json_out *j)
{
	before_value(j);
	buf_addlit(j->buf, "null");
}

void json_time(struct json_out *j, usec_t t)
{
	char text[CLOCK_TEXT];

	if (t == 0) {
		json_put_null(j);
		return;
	}
	before_value(j);
	buf_addch(j->buf, '"');
	buf_add(j->buf, clock_format(t, text), CLOCK_TEXT - 1);
	buf_addch(j->buf, '"');
}

void json_raw(struct json_out *j, const char *text, size_t len)
{
	before_value(j);
	buf_add(j->buf, text, len);
}

void json_kv_str(struct json_out *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_kv_int(struct json_out *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

void json_kv_bool(struct json_out *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

void json_kv_double(struct json_out *j, const char *key, double v)
{
	json_key(j, key);
	json_double(j, v);
}

void json_kv_time(struct json_out *j, const char *key, usec_t t)
{
	json_key(j, key);
	json_time(j, t);
}
