#include "clock.h"

#include <string.h>

/*
 * A cursor over the text: each reader moves on and answers true, or answers false; the first false ends the
 * parse, so a text is accepted only as a whole. No strptime(): it obeys the locale, skips spaces and
 * accepts a good deal more than the grammars do.
 */
struct cursor {
	const char *at, *end;
};

struct civil {
	int year, month, day, hour, minute, second;
	usec_t fraction;
};

static bool read_char(struct cursor *c, const char *one_of)
{
	if (c->at == c->end || *c->at == '\0' || !strchr(one_of, *c->at))
		return false;
	c->at++;
	return true;
}

static bool read_text(struct cursor *c, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
		return false;
	c->at += len;
	return true;
}

static bool read_digits(struct cursor *c, int count, int min, int max, int *ret)
{
	int v = 0;

	for (; count; count--, c->at++) {
		if (c->at == c->end || *c->at < '0' || *c->at > '9')
			return false;
		v = v * 10 + (*c->at - '0');
	}
	*ret = v;
	return v >= min && v <= max;
}

/* One of the words; *ret is its index from 1. */
static bool read_word(struct cursor *c, const char *const *words, int count, int *ret)
{
	for (int i = 0; i < count; i++)
		if (read_text(c, words[i])) {
			*ret = i + 1;
			return true;
		}
	return false;
}

/* "hh:mm:ss" */
static bool read_time(struct cursor *c, struct civil *t)
{
	return read_digits(c, 2, 0, 23, &t->hour) && read_char(c, ":") &&
	       read_digits(c, 2, 0, 59, &t->minute) && read_char(c, ":") &&
	       read_digits(c, 2, 0, 60, &t->second);
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01; the year begins in March, so that a leap day is its last. */
static int64_t civil_days(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* offset: minutes that the civil time is ahead of UTC. Refuses days that do not exist, and what is, in
 * UTC, outside 1970 to 9999. */
static bool civil_to_usec(const struct civil *t, int offset, usec_t *ret)
{
	int64_t minutes;
	usec_t v;

	if (t->day > days_in_month(t->year, t->month))
		return false;
	minutes = civil_days(t->year, t->month, t->day) * 1440 + t->hour * 60 + t->minute - offset;
	/* A leap second is inserted before midnight UTC only. */
	if (t->second == 60 && minutes % 1440 != 1439)
		return false;
	v = minutes * USEC_PER_MINUTE + t->second * USEC_PER_SEC + t->fraction;
	if (v < 0 || v >= 253402300800 * USEC_PER_SEC)
		return false;
	*ret = v;
	return true;
}

static bool read_fraction(struct cursor *c, usec_t *ret)
{
	usec_t unit = USEC_PER_SEC, v = 0;
	int digit, count = 0;

	if (!read_char(c, "."))
		return true;
	while (read_digits(c, 1, 0, 9, &digit)) {
		unit /= 10; /* 0 from the seventh digit on: cut */
		v += digit * unit;
		count++;
	}
	*ret = v;
	return count >= 1 && count <= 9;
}

static bool read_offset(struct cursor *c, int *ret)
{
	int hours, minutes, sign;

	*ret = 0;
	if (read_char(c, "Zz"))
		return true;
	sign = read_char(c, "-") ? -1 : 1;
	if (sign > 0 && !read_char(c, "+"))
		return false;
	if (!read_digits(c, 2, 0, 23, &hours) || !read_char(c, ":") || !read_digits(c, 2, 0, 59, &minutes))
		return false;
	*ret = sign * (hours * 60 + minutes);
	return true;
}

bool clock_parse(const char *text, size_t len, usec_t *ret)
{
	struct cursor c = {text, text + len};
	struct civil t = {0};
	int offset;

	return read_digits(&c, 4, 1970, 9999, &t.year) && read_char(&c, "-") &&
	       read_digits(&c, 2, 1, 12, &t.month) && read_char(&c, "-") &&
	       read_digits(&c, 2, 1, 31, &t.day) && read_char(&c, "Tt ") && read_time(&c, &t) &&
	       read_fraction(&c, &t.fraction) && read_offset(&c, &offset) && c.at == c.end &&
	       civil_to_usec(&t, offset, ret);
}

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
/* The weekday must be one, but need not be right: a peer that miscounts still names a moment. */
static const char *const weekdays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const long_weekdays[] = {"Monday", "Tuesday", "Wednesday", "Thursday",
                                            "Friday", "Saturday", "Sunday"};

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_imf_fixdate(struct cursor c, struct civil *t)
{
	int weekday;

	return read_word(&c, weekdays, 7, &weekday) && read_text(&c, ", ") &&
	       read_digits(&c, 2, 1, 31, &t->day) && read_char(&c, " ") &&
	       read_word(&c, months, 12, &t->month) && read_char(&c, " ") &&
	       read_digits(&c, 4, 1970, 9999, &t->year) && read_char(&c, " ") && read_time(&c, t) &&
	       read_text(&c, " GMT") && c.at == c.end;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool read_rfc850(struct cursor c, struct civil *t)
{
	int weekday;

	return read_word(&c, long_weekdays, 7, &weekday) && read_text(&c, ", ") &&
	       read_digits(&c, 2, 1, 31, &t->day) && read_char(&c, "-") &&
	       read_word(&c, months, 12, &t->month) && read_char(&c, "-") &&
	       read_digits(&c, 2, 0, 99, &t->year) && read_char(&c, " ") && read_time(&c, t) &&
	       read_text(&c, " GMT") && c.at == c.end;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(struct cursor c, struct civil *t)
{
	int weekday;

	return read_word(&c, weekdays, 7, &weekday) && read_char(&c, " ") &&
	       read_word(&c, months, 12, &t->month) && read_char(&c, " ") &&
	       (read_char(&c, " ") ? read_digits(&c, 1, 1, 9, &t->day)
	                           : read_digits(&c, 2, 1, 31, &t->day)) &&
	       read_char(&c, " ") && read_time(&c, t) && read_char(&c, " ") &&
	       read_digits(&c, 4, 1970, 9999, &t->year) && c.at == c.end;
}

/*
 * A year of two digits: of this century, unless that is more than 50 years ahead; then the latest
 * past year with these digits. The comparison is by moment, not by year, as RFC 9110 has it.
 */
static bool two_digit_year(struct civil *t, usec_t *ret)
{
	const usec_t fifty_years = (50 * 365 + 12) * USEC_PER_DAY;
	const usec_t wall = clock_wall();
	int this_year = 1970, digits = t->year;
	usec_t v;

	while (civil_days(this_year + 1, 1, 1) * USEC_PER_DAY <= wall)
		this_year++;
	t->year = this_year - this_year % 100 + digits;
	if (!civil_to_usec(t, 0, &v) || v - wall > fifty_years) {
		t->year -= 100;
		if (t->year < 1970 || !civil_to_usec(t, 0, &v))
			return false;
	}
	*ret = v;
	return true;
}

bool clock_parse_http_date(const char *text, size_t len, usec_t *ret)
{
	struct cursor c = {text, text + len};
	struct civil t = {0};

	if (read_imf_fixdate(c, &t) || read_asctime(c, &t))
		return civil_to_usec(&t, 0, ret);
	return read_rfc850(c, &t) && two_digit_year(&t, ret);
}
