#include "clean.h"

#include <stdbool.h>

#include "text.h"

static bool is_space(unsigned char c)
{
	return c == '\n' || c == '\r' || c == '\t';
}

/* s begins a well-formed sequence of n bytes. */
static bool is_harmful(const unsigned char *s, size_t n)
{
	if (n == 1)
		return s[0] < 0x20 || s[0] == 0x7f;
	if (n == 2)
		return s[0] == 0xc2 && s[1] < 0xa0; /* C1 */
	/* U+202A to U+202E, U+2066 to U+2069: embeddings, overrides and isolates */
	return n == 3 && s[0] == 0xe2 &&
	       ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) ||
	        (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

void clean_text(struct buf *out, const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t at = 0, n;

	while (at < len) {
		n = utf8_sequence(s + at, len - at);
		if (is_space(u[at])) {
			buf_addch(out, ' ');
			while (at < len && is_space(u[at]))
				at++;
			continue;
		}
		if (n == 0 || is_harmful(u + at, n))
			buf_addlit(out, "\xef\xbf\xbd");
		else
			buf_add(out, s + at, n);
		at += n ? n : 1;
	}
}
