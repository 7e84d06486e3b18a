#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

/*
 * A line is built on the stack, so that logging neither allocates nor locks, and holds at most LINE_SIZE
 * bytes. The last TAIL_SIZE of them are kept free for what must follow whatever was cut: the closing
 * quote, the mark that says so, the brace and the newline.
 */
enum {
	LINE_SIZE = 8192,
	TAIL_SIZE = 32,
	NUMBER_SIZE = 32,
};

struct line {
	size_t len;
	bool json, cut;
	char text[LINE_SIZE];
};

enum log_level log_threshold = LOG_INFO;
static bool log_json;
static int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(enum log_level level, enum log_format format, int fd)
{
	log_threshold = level;
	log_fd = fd;
	log_json = format == LOG_JSON || (format == LOG_AUTO && !isatty(fd));
}

static size_t room(const struct line *l)
{
	return l->cut ? 0 : LINE_SIZE - TAIL_SIZE - l->len;
}

/* For what is known to fit. */
static void put(struct line *l, const char *s, size_t len)
{
	memcpy(l->text + l->len, s, len);
	l->len += len;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/*
 * How s is written inside quotes, in both formats: the n bytes of *ret. Beyond what JSON asks for, DEL and
 * the C1 controls are escaped, since some terminals obey them. Returns how many bytes of s that covers.
 */
static size_t escape(const char *s, size_t len, char ret[8], size_t *ret_n)
{
	unsigned char c = (unsigned char)s[0];
	size_t used = utf8_sequence(s, len);
	unsigned control = 0;

	if (used == 0) {
		memcpy(ret, "\xef\xbf\xbd", 3);
		*ret_n = 3;
		return 1;
	}
	*ret_n = 2;
	if (used == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0) {
		control = (unsigned char)s[1];
	} else if (c == '\n' || c == '\r' || c == '\t') {
		ret[0] = '\\';
		ret[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
		return 1;
	} else if (c < 0x20 || c == 0x7f) {
		control = c;
	} else if (c == '"' || c == '\\') {
		ret[0] = '\\';
		ret[1] = (char)c;
		return 1;
	} else {
		memcpy(ret, s, used);
		*ret_n = used;
		return used;
	}
	*ret_n = (size_t)snprintf(ret, 8, "\\u%04x", control);
	return used;
}

static void put_quoted(struct line *l, const char *s, size_t len)
{
	size_t at = 0, run, n;
	char escaped[8];

	put(l, "\"", 1);
	while (at < len) {
		for (run = 0; at + run < len && is_plain((unsigned char)s[at + run]); run++)
			;
		if (run) {
			n = MIN_OF(run, room(l));
			put(l, s + at, n);
			at += n;
			if (n < run)
				l->cut = true;
		} else {
			run = escape(s + at, len - at, escaped, &n);
			if (n > room(l)) {
				l->cut = true;
			} else {
				put(l, escaped, n);
				at += run;
			}
		}
		if (l->cut)
			break;
	}
	put(l, "\"", 1); /* at worst the first byte of the tail */
}

/* May it stand in logfmt without quotes? */
static bool is_bare(const char *s, size_t len)
{
	size_t n;

	if (len == 0)
		return false;
	for (size_t at = 0; at < len; at += n) {
		if ((unsigned char)s[at] < 0x80) {
			if (!is_plain((unsigned char)s[at]) || s[at] == ' ' || s[at] == '=')
				return false;
			n = 1;
			continue;
		}
		n = utf8_sequence(s + at, len - at);
		if (n == 0 || ((unsigned char)s[at] == 0xc2 && (unsigned char)s[at + 1] < 0xa0))
			return false;
	}
	return true;
}

/* The separator, the key and the sign behind it, if those and any number will fit; else the line is cut. */
static bool put_key(struct line *l, const char *key)
{
	size_t len = strlen(key);

	if (len > LINE_SIZE || len + 4 + NUMBER_SIZE > room(l)) {
		l->cut = true;
		return false;
	}
	if (l->json) {
		put(l, l->len ? ",\"" : "{\"", 2);
		put(l, key, len);
		put(l, "\":", 2);
	} else {
		if (l->len)
			put(l, " ", 1);
		put(l, key, len);
		put(l, "=", 1);
	}
	return true;
}

static void put_str(struct line *l, const char *key, const char *s)
{
	size_t len = strlen(s);

	if (!put_key(l, key))
		return;
	if (!l->json && len <= room(l) && is_bare(s, len))
		put(l, s, len);
	else
		put_quoted(l, s, len);
}

/* For text of at most NUMBER_SIZE bytes that is the same in both formats. */
static void put_number(struct line *l, const char *key, const char *text, int len)
{
	if (put_key(l, key))
		put(l, text, (size_t)len);
}

static void put_field(struct line *l, const struct log_field *f)
{
	char number[NUMBER_SIZE];

	switch (f->type) {
	case LOG_FIELD_STR:
		if (f->str)
			put_str(l, f->key, f->str);
		break;
	case LOG_FIELD_INT:
		put_number(l, f->key, number, snprintf(number, sizeof(number), "%" PRId64, f->i));
		break;
	case LOG_FIELD_UINT:
		put_number(l, f->key, number, snprintf(number, sizeof(number), "%" PRIu64, f->u));
		break;
	case LOG_FIELD_DOUBLE:
		if (isfinite(f->d))
			put_number(l, f->key, number, snprintf(number, sizeof(number), "%.15g", f->d));
		else
			put_number(l, f->key, "null", 4);
		break;
	case LOG_FIELD_BOOL:
		put_number(l, f->key, f->b ? "true" : "false", f->b ? 4 : 5);
		break;
	}
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	char now[CLOCK_TEXT];
	int saved_errno = errno;
	struct line l;

	l.len = 0;
	l.json = log_json;
	l.cut = false;

	put_str(&l, "ts", clock_format(clock_wall(), now));
	put_str(&l, "level", level_names[MIN_OF(level, LOG_ERROR)]);
	put_str(&l, "msg", msg);
	for (; fields && fields->key && !l.cut; fields++)
		put_field(&l, fields);

	if (l.cut)
		put(&l, l.json ? ",\"cut\":true" : " cut=true", l.json ? 11 : 9);
	if (l.json)
		put(&l, "}", 1);
	put(&l, "\n", 1);
	/* A log that cannot be written has nobody to be reported to. */
	while (write(log_fd, l.text, l.len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
