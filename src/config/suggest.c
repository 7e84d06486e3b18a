#include "suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "attr.h"

static char lower(char c)
{
	return (char)tolower((unsigned char)c);
}

size_t edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	/* Three rows of the table of distances between all prefixes: a swap looks back two. */
	size_t rows[3][SUGGEST_NAME_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	if (n > SUGGEST_NAME_MAX || m > SUGGEST_NAME_MAX)
		return SIZE_MAX;
	memset(rows, 0, sizeof(rows));
	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *recycled = before;

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t cost = lower(a[i - 1]) != lower(b[j - 1]);

			now[j] = MIN_OF(last[j - 1] + cost, MIN_OF(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]))
				now[j] = MIN_OF(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = recycled;
	}
	return last[m];
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	/* A quarter of the name wrong is still a slip; more is another word. */
	size_t n = strlen(candidate), wanted = strlen(s->wanted);
	size_t close = MAX_OF((size_t)2, n / 4);
	size_t d;

	if (MAX_OF(n, wanted) - MIN_OF(n, wanted) > close)
		return;
	d = edit_distance(s->wanted, candidate);
	if (d <= close && d < n && (!s->best[0] || d < s->distance)) {
		memcpy(s->best, candidate, n + 1);
		s->distance = d;
	}
}
