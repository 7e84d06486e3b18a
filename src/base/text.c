#include "text.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "alloc.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool text_to_i64(const char *s, size_t len, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = len && s[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t v = 0;

	if (i == len)
		return false;
	/* Gathered on the negative side, which reaches one further than the positive one. */
	for (; i < len; i++)
		if (!is_digit(s[i]) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, s[i] - '0', &v))
			return false;
	if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
		return false;
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static size_t skip_digits(const char *s, size_t len, size_t at)
{
	while (at < len && is_digit(s[at]))
		at++;
	return at;
}

/* -?digits(.digits)?([eE][+-]?digits)?, the numbers of JSON with leading zeros allowed */
static bool looks_like_double(const char *s, size_t len)
{
	size_t at = len && s[0] == '-' ? 1 : 0, end;

	end = skip_digits(s, len, at);
	if (end == at)
		return false;
	if (end < len && s[end] == '.') {
		at = end + 1;
		end = skip_digits(s, len, at);
		if (end == at)
			return false;
	}
	if (end < len && (s[end] == 'e' || s[end] == 'E')) {
		at = end + 1;
		if (at < len && (s[at] == '+' || s[at] == '-'))
			at++;
		end = skip_digits(s, len, at);
		if (end == at)
			return false;
	}
	return end == len;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!c_locale)
		panic("no C locale");
}

bool text_to_double(const char *s, size_t len, double min, double max, double *ret)
{
	char copy[64];
	double v;

	if (len >= sizeof(copy) || !looks_like_double(s, len))
		return false;
	memcpy(copy, s, len);
	copy[len] = '\0';
	pthread_once(&c_locale_once, make_c_locale);
	v = strtod_l(copy, NULL, c_locale);
	/* An overflow is an infinity, which no number written in digits means. */
	if (__builtin_isinf(v) || !(v >= min && v <= max))
		return false;
	*ret = v;
	return true;
}

bool text_to_bool(const char *s, size_t len, bool *ret)
{
	static const char *const words[][2] = {
		{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t v = 0; v < 2; v++)
			if (strlen(words[i][v]) == len && strncasecmp(words[i][v], s, len) == 0) {
				*ret = v;
				return true;
			}
	return false;
}

bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool text_equal_nocase(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	for (; ascii_lower(*a) == ascii_lower(*b); a++, b++)
		if (!*a)
			return true;
	return false;
}

bool text_starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_is_token(const char *s, size_t len, size_t max)
{
	if (len < 1 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	return true;
}

size_t text_stored(const char *s, size_t max)
{
	size_t len = s ? strnlen(s, max + 1) : 0;

	if (len <= max)
		return len;
	/* Step back over the bytes of a code point that the cut went through. */
	for (len = max; len && ((unsigned char)s[len] & 0xc0) == 0x80;)
		len--;
	return len;
}
