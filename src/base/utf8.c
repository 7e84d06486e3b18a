#include "text.h"

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The ranges of RFC 3629 section 4: the second byte's range excludes overlong forms (E0, F0), surrogates
 * (ED) and what lies above U+10FFFF (F4). */
size_t utf8_sequence(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned char lo = 0x80, hi = 0xbf;

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4 || len < 2)
		return 0;
	if (u[0] < 0xe0)
		return is_tail(u[1]) ? 2 : 0;
	if (u[0] == 0xe0)
		lo = 0xa0;
	else if (u[0] == 0xed)
		hi = 0x9f;
	else if (u[0] == 0xf0)
		lo = 0x90;
	else if (u[0] == 0xf4)
		hi = 0x8f;
	if (u[1] < lo || u[1] > hi || len < 3 || !is_tail(u[2]))
		return 0;
	if (u[0] < 0xf0)
		return 3;
	return len >= 4 && is_tail(u[3]) ? 4 : 0;
}

bool utf8_valid(const char *s, size_t len)
{
	const uint64_t high_bits = 0x8080808080808080u;
	size_t at = 0, n;
	uint64_t word;

	while (at < len) {
		/* Most text is ASCII: eight bytes at a time. */
		if (len - at >= sizeof(word)) {
			memcpy(&word, s + at, sizeof(word));
			if (!(word & high_bits)) {
				at += sizeof(word);
				continue;
			}
		}
		n = utf8_sequence(s + at, len - at);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

size_t utf8_length(const char *s, size_t len)
{
	size_t points = 0;

	for (size_t i = 0; i < len; i++)
		points += !is_tail((unsigned char)s[i]);
	return points;
}

size_t utf8_prefix(const char *s, size_t len, size_t points)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!is_tail((unsigned char)s[i]) && points-- == 0)
			break;
	return i;
}
