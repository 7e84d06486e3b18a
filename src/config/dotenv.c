#include "dotenv.h"

#include <stdbool.h>
#include <string.h>

#include "buf.h"

struct reader {
	const char *s, *end;
	size_t line;
	const struct dotenv_handler *h;
	struct buf name, value;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(char c)
{
	return is_name_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static void skip_blanks(struct reader *r)
{
	while (r->s < r->end && is_blank(*r->s))
		r->s++;
}

static bool at_line_end(const struct reader *r)
{
	return r->s == r->end || *r->s == '\n';
}

static void skip_line(struct reader *r)
{
	const char *newline = memchr(r->s, '\n', (size_t)(r->end - r->s));

	r->s = newline ? newline + 1 : r->end;
	r->line++;
}

static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '\\':
	case '"':
	case '$':
		return c;
	default:
		return '\0';
	}
}

/* r->s is behind the opening quote. False: it is never closed. */
static bool read_quoted(struct reader *r, char quote)
{
	for (; r->s < r->end; r->s++) {
		char c = *r->s;

		if (c == quote) {
			r->s++;
			return true;
		}
		if (c == '\\' && r->end - r->s >= 2) {
			char next = r->s[1];
			char plain = quote == '"' ? unescape(next) : next == '\'' ? next : '\0';

			if (plain) {
				buf_addch(&r->value, plain);
				r->s++;
				continue;
			}
		}
		if (c == '\n')
			r->line++;
		if (c == '\r' && r->end - r->s >= 2 && r->s[1] == '\n')
			continue;
		buf_addch(&r->value, c);
	}
	return false;
}

/* To the end of the line, or to a blank with a '#' behind it. */
static void read_unquoted(struct reader *r)
{
	bool after_blank = r->s[-1] != '=';

	for (; !at_line_end(r); r->s++) {
		if (*r->s == '#' && after_blank)
			break;
		after_blank = is_blank(*r->s);
		buf_addch(&r->value, *r->s);
	}
	while (r->value.len > 0 && is_blank(r->value.data[r->value.len - 1]))
		buf_truncate(&r->value, r->value.len - 1);
}

static void read_name(struct reader *r)
{
	buf_clear(&r->name);
	if (r->s < r->end && is_name_start(*r->s))
		for (; r->s < r->end && is_name(*r->s); r->s++)
			buf_addch(&r->name, *r->s);
}

/* One line, or several when a quoted value spans them; false to stop. */
static bool read_line(struct reader *r)
{
	const size_t line = r->line;
	const char *newline = memchr(r->s, '\n', (size_t)(r->end - r->s));
	const char *problem = NULL;

	buf_clear(&r->value);
	if ((newline ? newline : r->end) - r->s > DOTENV_LINE_MAX) {
		r->h->error(r->h->arg, line, "the line is too long");
		skip_line(r);
		return true;
	}
	skip_blanks(r);
	if (at_line_end(r) || *r->s == '#') {
		skip_line(r);
		return true;
	}
	read_name(r);
	if (strcmp(r->name.data, "export") == 0 && r->s < r->end && is_blank(*r->s)) {
		skip_blanks(r);
		if (r->s < r->end && *r->s != '=')
			read_name(r);
	}
	skip_blanks(r);
	if (r->name.len == 0) {
		problem = "not of the form NAME=value";
	} else if (at_line_end(r) || *r->s == '#') {
		r->h->pair(r->h->arg, line, r->name.data, NULL, 0);
	} else if (*r->s != '=') {
		problem = "not of the form NAME=value";
	} else {
		r->s++;
		skip_blanks(r);
		if (r->s < r->end && (*r->s == '"' || *r->s == '\'')) {
			char quote = *r->s++;

			if (!read_quoted(r, quote)) {
				r->h->error(r->h->arg, line, "the quote is never closed");
				return false;
			}
			skip_blanks(r);
			if (!at_line_end(r) && *r->s != '#')
				problem = "unexpected characters behind the closing quote";
		} else {
			read_unquoted(r);
		}
		if (!problem)
			r->h->pair(r->h->arg, line, r->name.data, r->value.data, r->value.len);
	}
	if (problem)
		r->h->error(r->h->arg, line, problem);
	skip_line(r);
	return true;
}

static size_t line_of(const char *text, const char *at)
{
	size_t line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

void dotenv_parse(const char *text, size_t len, const struct dotenv_handler *h)
{
	struct reader r = {.s = text, .end = text + len, .line = 1, .h = h, .name = BUF_INIT, .value = BUF_INIT};
	const char *nul = len > 0 ? memchr(text, '\0', len) : NULL;

	if (nul) {
		h->error(h->arg, line_of(text, nul), "a NUL byte");
		return;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.s += 3;
	while (r.s < r.end && read_line(&r))
		;
	explicit_bzero(r.value.data, r.value.len);
	buf_release(&r.name);
	buf_release(&r.value);
}
