#include "csv.h"

#include <string.h>

#include "attr.h"

/* A field as found; joining doubled quotes waits until the whole record is known to be there, because a
 * record that must be read again has to be as it was. */
struct span {
	char *s;
	size_t len;
	bool doubled;
};

static uint64_t count_newlines(const char *s, size_t len)
{
	const char *end = s + len, *at;
	uint64_t n = 0;

	for (at = s; (at = memchr(at, '\n', (size_t)(end - at))); at++)
		n++;
	return n;
}

static size_t join_quotes(char *s, size_t len)
{
	char *in = s, *out = s, *end = s + len;

	while (in < end) {
		*out++ = *in;
		in += *in == '"' ? 2 : 1;
	}
	return (size_t)(out - s);
}

static enum csv_result bad_line(const char *data, size_t len, const char *why, struct csv_record *ret)
{
	const char *newline = memchr(data, '\n', len);

	ret->n = 0;
	ret->used = newline ? (size_t)(newline - data) + 1 : len;
	ret->newlines = newline ? 1 : 0;
	ret->why = why;
	return CSV_BAD;
}

/* As bad_line(), once the line's end is there. */
static enum csv_result bad(const char *data, size_t len, bool at_end, const char *why,
                           struct csv_record *ret)
{
	if (!at_end && !memchr(data, '\n', len))
		return CSV_MORE;
	return bad_line(data, len, why, ret);
}

/* The end of the quoted text that begins at s: its closing quote, or NULL. */
static char *closing_quote(char *s, const char *end, bool at_end, bool *ret_doubled)
{
	*ret_doubled = false;
	while ((s = memchr(s, '"', (size_t)(end - s)))) {
		if (s + 1 == end)
			return at_end ? s : NULL;
		if (s[1] != '"')
			return s;
		*ret_doubled = true;
		s += 2;
	}
	return NULL;
}

enum csv_result csv_split(char *data, size_t len, bool at_end, char separator, struct csv_record *ret)
{
	struct span spans[CSV_FIELDS_MAX];
	char *at = data, *end, *start;
	size_t n = 0;
	uint64_t newlines = 1;

	if (!len)
		return at_end ? CSV_END : CSV_MORE;
	end = data + len;
	for (;;) {
		struct span *f;

		if (n == CSV_FIELDS_MAX)
			return bad(data, len, at_end, "more than 64 columns", ret);
		f = &spans[n++];
		f->doubled = false;
		start = at;
		if (at < end && *at == '"') {
			f->s = at + 1;
			at = closing_quote(at + 1, end, at_end, &f->doubled);
			if (!at)
				return at_end ? bad_line(data, len, "a quote is not closed", ret)
				              : CSV_MORE;
			f->len = (size_t)(at - f->s);
			newlines += count_newlines(f->s, f->len);
			at++;
			if (at < end && *at == '\r') {
				if (at + 1 == end && !at_end)
					return CSV_MORE;
				if (at + 1 == end || at[1] == '\n')
					at++;
			}
			if (at < end && *at != separator && *at != '\n')
				return bad(data, len, at_end, "text behind a closing quote", ret);
		} else {
			while (at < end && *at != separator && *at != '\n' && *at != '"')
				at++;
			if (at < end && *at == '"')
				return bad(data, len, at_end, "a quote inside an unquoted field", ret);
			f->s = start;
			f->len = (size_t)(at - start);
			if (f->len && at[-1] == '\r' && (at == end ? at_end : *at == '\n'))
				f->len--;
		}
		if (at == end || *at == '\n')
			break;
		at++;
	}
	if (at == end) {
		if (!at_end)
			return CSV_MORE;
		newlines--;
	} else {
		at++;
	}
	ret->used = (size_t)(at - data);
	ret->newlines = newlines;
	if (n == 1 && spans[0].len == 0 && spans[0].s == data)
		return CSV_BLANK;
	ret->n = n;
	for (size_t i = 0; i < n; i++) {
		ret->field[i].s = spans[i].s;
		ret->field[i].len = spans[i].doubled ? join_quotes(spans[i].s, spans[i].len) : spans[i].len;
	}
	return CSV_RECORD;
}

char csv_separator(const char *data, size_t len)
{
	bool quoted = false;

	for (size_t i = 0; i < len && data[i] != '\n'; i++) {
		if (data[i] == '"')
			quoted = !quoted;
		else if (!quoted && (data[i] == ',' || data[i] == ';' || data[i] == '\t'))
			return data[i];
	}
	return ',';
}
