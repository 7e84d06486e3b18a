#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
	char name[3];
	usec_t usecs;
} units[] = {
	{"d", USEC_PER_DAY}, {"h", USEC_PER_HOUR},  {"m", USEC_PER_MINUTE},
	{"s", USEC_PER_SEC}, {"ms", USEC_PER_MSEC}, {"us", 1},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

/* The unit spelt by the letters from `at`; NULL when there is none. */
static const struct unit *find_unit(const char *at, const char *end)
{
	size_t len = 0;

	while (at + len < end && is_letter(at[len]))
		len++;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, at, len) == 0)
			return &units[i];
	return NULL;
}

bool duration_parse(const char *text, size_t len, usec_t *ret)
{
	const char *at = text, *end = text + len;
	const struct unit *last = NULL, *unit;
	usec_t total = 0, whole, part, scale;
	bool fraction = false;

	if (len == 1 && text[0] == '0') {
		*ret = 0;
		return true;
	}
	if (len == 0)
		return false;
	while (at < end) {
		if (fraction || !is_digit(*at))
			return false;
		for (whole = 0; at < end && is_digit(*at); at++)
			if ((whole = whole * 10 + (*at - '0')) > DURATION_MAX)
				return false;
		part = 0;
		scale = 1;
		if (at < end && *at == '.') {
			fraction = true;
			at++;
			if (at == end || !is_digit(*at))
				return false;
			/* Seven digits times the length of a day still fit into 64 bits; only a day
			 * could use more, and nobody means that. */
			for (; at < end && is_digit(*at); at++, scale *= 10) {
				if (scale == 10000000)
					return false;
				part = part * 10 + (*at - '0');
			}
		}
		unit = find_unit(at, end);
		if (!unit || (last && unit <= last))
			return false;
		last = unit;
		at += strlen(unit->name);
		if (__builtin_mul_overflow(whole, unit->usecs, &whole) || part * unit->usecs % scale)
			return false;
		part = part * unit->usecs / scale;
		if (whole > DURATION_MAX || (total += whole + part) > DURATION_MAX)
			return false;
	}
	*ret = total;
	return true;
}

char *duration_format(usec_t d, char out[DURATION_TEXT])
{
	const struct unit *u = units;
	size_t len = 0;
	usec_t rest;
	int digits;

	if (d <= 0) {
		memcpy(out, "0", 2);
		return out;
	}
	out[0] = '\0';
	for (; u->usecs > USEC_PER_SEC; u++) {
		if (d >= u->usecs)
			len += (size_t)snprintf(out + len, DURATION_TEXT - len, "%" PRId64 "%s",
			                        d / u->usecs, u->name);
		d %= u->usecs;
	}
	if (d == 0)
		return out;
	/* Behind larger units, less than a second stays in seconds: "1m0.5s". */
	while (len == 0 && d < u->usecs)
		u++;
	len += (size_t)snprintf(out + len, DURATION_TEXT - len, "%" PRId64, d / u->usecs);
	rest = d % u->usecs;
	if (rest) {
		digits = u->usecs == USEC_PER_SEC ? 6 : 3;
		len += (size_t)snprintf(out + len, DURATION_TEXT - len, ".%0*" PRId64, digits, rest);
		while (out[len - 1] == '0')
			len--;
	}
	snprintf(out + len, DURATION_TEXT - len, "%s", u->name);
	return out;
}
