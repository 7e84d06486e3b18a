#include "lease_token.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

char *lease_token_format(const struct lease_token *t, char out[LEASE_TOKEN_TEXT])
{
	snprintf(out, LEASE_TOKEN_TEXT, "%lld.%lld.%d.%lld", (long long)t->fence, (long long)t->run, t->attempt,
	         (long long)t->leased_at);
	return out;
}

/* Reads the number up to the next dot, or to the end for the last one. */
static bool number(const char **at, const char *end, bool last, int64_t min, int64_t max, int64_t *ret)
{
	const char *dot = memchr(*at, '.', (size_t)(end - *at));
	const char *stop = dot ? dot : end;

	if (last != !dot || !text_to_i64(*at, (size_t)(stop - *at), min, max, ret))
		return false;
	*at = dot ? dot + 1 : end;
	return true;
}

bool lease_token_parse(const char *text, size_t len, struct lease_token *ret)
{
	const char *at = text, *end = text + len;
	int64_t fence, run, attempt, leased_at;

	if (!len || len >= LEASE_TOKEN_TEXT || !number(&at, end, false, 1, INT64_MAX / 8, &fence) ||
	    !number(&at, end, false, 0, INT64_MAX, &run) || !number(&at, end, false, 1, INT_MAX, &attempt) ||
	    !number(&at, end, true, 0, INT64_MAX, &leased_at))
		return false;
	*ret = (struct lease_token){.fence = fence, .run = run, .attempt = (int)attempt, .leased_at = leased_at};
	return true;
}
