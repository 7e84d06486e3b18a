#include "query.h"

#include <string.h>

#include "text.h"

void query_init(struct query *q)
{
	*q = (struct query){.page = 1, .page_size = PAGE_SIZE_DEFAULT, .status = -1, .cursor = BUF_INIT};
}

void query_release(struct query *q)
{
	buf_release(&q->cursor);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool query_decode(struct buf *out, const char *s, size_t len, bool form)
{
	buf_clear(out);
	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (s[i] != '%') {
			buf_addch(out, form && s[i] == '+' ? ' ' : s[i]);
			continue;
		}
		if (len - i < 3)
			return false;
		high = hex_digit(s[i + 1]);
		low = hex_digit(s[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_addch(out, (char)(high << 4 | low));
		i += 2;
	}
	for (size_t i = 0; i < out->len; i++)
		if ((unsigned char)out->data[i] < 0x20 || out->data[i] == 0x7f)
			return false;
	return utf8_valid(out->data, out->len);
}

static void read_number(const struct buf *value, const char *name, int64_t max, int64_t *ret, struct details *d)
{
	if (!text_to_i64(value->data, value->len, 1, max, ret))
		details_add(d, name, "must be a whole number from 1 to %lld", (long long)max);
}

static void read_status(struct query *q, const struct buf *value, struct details *d)
{
	enum message_status s;

	if (message_status_parse(value->data, &s))
		q->status = (int)s;
	else
		details_add(d, "status", "must be pending, sending, sent, failed, cancelled, unknown or invalid");
}

static void read_phone(struct query *q, const struct buf *value, struct details *d)
{
	/* Not only E.164: what PHONE_PATTERN allows, or what is parked, can be looked for, too. */
	if (!text_is_token(value->data, value->len, MESSAGE_PHONE_MAX)) {
		details_add(d, "phoneNumber", "must be 1 to 20 visible characters, e.g. +905551234567");
		return;
	}
	memcpy(q->phone, value->data, value->len + 1);
}

static void read_time(const struct buf *value, const char *name, usec_t *ret, struct details *d)
{
	if (!clock_parse(value->data, value->len, ret))
		details_add(d, name, "must be a time like 2026-01-02T03:04:05Z");
}

static void read_cursor(struct query *q, const struct buf *value, struct details *d)
{
	if (!value->len)
		details_add(d, "cursor", "must not be empty");
	buf_clear(&q->cursor);
	buf_add(&q->cursor, value->data, value->len);
}

static void read_resolution(struct query *q, const struct buf *value, struct details *d)
{
	if (text_equal(value->data, "minute"))
		q->resolution = HISTORY_MINUTE;
	else if (!text_equal(value->data, "second"))
		details_add(d, "resolution", "must be second or minute");
}

static void read_param(struct query *q, unsigned param, const char *name, const struct buf *value,
                       struct details *d)
{
	int64_t n = 0;

	switch ((enum query_param)param) {
	case QUERY_PAGE:
		read_number(value, name, PAGE_MAX, &n, d);
		q->page = (uint64_t)n;
		break;
	case QUERY_PAGE_SIZE:
		read_number(value, name, PAGE_SIZE_MAX, &n, d);
		q->page_size = (uint32_t)n;
		break;
	case QUERY_STATUS:
		read_status(q, value, d);
		break;
	case QUERY_PHONE:
		read_phone(q, value, d);
		break;
	case QUERY_SINCE:
		read_time(value, name, &q->since, d);
		break;
	case QUERY_UNTIL:
		read_time(value, name, &q->until, d);
		break;
	case QUERY_CURSOR:
		read_cursor(q, value, d);
		break;
	case QUERY_RESOLUTION:
		read_resolution(q, value, d);
		break;
	}
}

static const struct {
	const char *name;
	enum query_param param;
} params[] = {
	{"page", QUERY_PAGE},   {"pageSize", QUERY_PAGE_SIZE}, {"status", QUERY_STATUS}, {"phoneNumber", QUERY_PHONE},
	{"since", QUERY_SINCE}, {"until", QUERY_UNTIL},        {"cursor", QUERY_CURSOR},
	{"resolution", QUERY_RESOLUTION},
};

static void read_pair(struct query *q, const char *text, size_t len, unsigned allowed, struct buf *name,
                      struct buf *value, struct details *d)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;

	if (!query_decode(name, text, name_len, false)) {
		details_add(d, "query", "holds a name that is not percent-encoded UTF-8");
		return;
	}
	if (!query_decode(value, equals ? equals + 1 : "", equals ? len - name_len - 1 : 0, false)) {
		details_add(d, name->data, "is not percent-encoded UTF-8");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
		if (strcmp(name->data, params[i].name) != 0 || !(allowed & params[i].param))
			continue;
		if (q->given & params[i].param)
			details_add(d, name->data, "is given twice");
		else
			read_param(q, params[i].param, name->data, value, d);
		q->given |= params[i].param;
		return;
	}
	details_add(d, name->data, "is not a parameter of this path");
}

bool query_parse(struct query *q, const char *text, size_t len, unsigned allowed, struct details *d)
{
	struct buf name = BUF_INIT, value = BUF_INIT;
	const char *end = text + len;

	while (text < end) {
		const char *amp = memchr(text, '&', (size_t)(end - text));
		const char *stop = amp ? amp : end;

		if (stop > text)
			read_pair(q, text, (size_t)(stop - text), allowed, &name, &value, d);
		text = amp ? amp + 1 : end;
	}
	if ((q->given & QUERY_CURSOR) && (q->given & QUERY_PAGE))
		details_add(d, "page", "cannot be combined with cursor");
	buf_release(&name);
	buf_release(&value);
	return d->n == 0;
}

/* A cursor's bytes. Written field by field: the same on every machine. */
#define CURSOR_BYTES (1 + 8 + 8 + 8 + 4 + 4)
#define CURSOR_VERSION 1

static void put(unsigned char **at, uint64_t v, int bytes)
{
	while (bytes--) {
		*(*at)++ = (unsigned char)v;
		v >>= 8;
	}
}

static uint64_t take(const unsigned char **at, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)*(*at)++ << (8 * i);
	return v;
}

static uint64_t cursor_mark(enum cursor_kind kind, const struct query *f, const unsigned char *rest, size_t len)
{
	unsigned char filters[1 + 1 + 8 + 8], *at = filters;
	uint64_t mark;

	put(&at, kind, 1);
	put(&at, (uint64_t)f->status, 1);
	put(&at, (uint64_t)f->since, 8);
	put(&at, (uint64_t)f->until, 8);
	mark = hash_bytes(filters, sizeof(filters), 0);
	mark = hash_bytes(f->phone, strlen(f->phone), mark);
	return hash_bytes(rest, len, mark);
}

void cursor_write(struct buf *out, enum cursor_kind kind, const struct query *filters, const struct cursor *c)
{
	unsigned char bytes[CURSOR_BYTES], *at = bytes + 9;

	put(&at, (uint64_t)c->position.at, 8);
	put(&at, (uint64_t)c->position.id, 8);
	put(&at, (uint64_t)c->position.lane, 4);
	put(&at, c->page, 4);
	at = bytes;
	put(&at, CURSOR_VERSION, 1);
	put(&at, cursor_mark(kind, filters, bytes + 9, CURSOR_BYTES - 9), 8);
	base64url_encode(out, bytes, sizeof(bytes));
}

bool cursor_read(const char *text, size_t len, enum cursor_kind kind, const struct query *filters,
                 struct cursor *ret)
{
	struct buf bytes = BUF_INIT;
	const unsigned char *at;
	bool ok = false;

	if (len <= 2 * CURSOR_BYTES && base64url_decode(&bytes, text, len) && bytes.len == CURSOR_BYTES) {
		uint64_t mark;

		at = (const unsigned char *)bytes.data;
		ok = take(&at, 1) == CURSOR_VERSION;
		mark = take(&at, 8);
		ok = ok && mark == cursor_mark(kind, filters, at, CURSOR_BYTES - 9);
	}
	if (ok) {
		ret->position.at = (usec_t)take(&at, 8);
		ret->position.id = (int64_t)take(&at, 8);
		ret->position.lane = (int)(int32_t)take(&at, 4);
		ret->page = take(&at, 4);
		ok = ret->page >= 1;
	}
	buf_release(&bytes);
	return ok;
}
