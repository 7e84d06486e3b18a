/* "Did you mean": the known name closest to an unknown one. Pure. */
#ifndef HERALD_SUGGEST_H
#define HERALD_SUGGEST_H

#include <stddef.h>

#define SUGGEST_NAME_MAX 64

/* Insertions, deletions, replacements and swaps of neighbours that turn one into the other, without
 * regard to case; SIZE_MAX when one is longer than SUGGEST_NAME_MAX. */
size_t edit_distance(const char *a, const char *b);

/* Feed it candidates, then read the best. Of equals the first wins. */
struct suggest {
	const char *wanted;
	char best[SUGGEST_NAME_MAX + 1]; /* empty while none is close enough to be meant */
	size_t distance;
};
#define SUGGEST_INIT(name) {.wanted = (name)}

void suggest_offer(struct suggest *s, const char *candidate);

#endif
