#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "cache_redis_list.h"
#include "message.h"
#include "text.h"

/* Decimal as buf_addu64() writes it: no sign, no leading zero. Sets *ret_end behind the digits. */
static bool parse_u64(const char *s, uint64_t *ret, const char **ret_end)
{
	uint64_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (p == s || (*s == '0' && p - s > 1))
		return false;
	*ret = v;
	*ret_end = p;
	return true;
}

bool redis_cursor_parse(const char *text, struct redis_cursor *ret)
{
	struct redis_cursor c = {0};
	const char *end, *colon;

	if (!*text) {
		*ret = c;
		return true;
	}
	if (!parse_u64(text, &c.at, &end))
		return false;
	if (*end == ':') {
		colon = strchr(end + 1, ':');
		if (!colon || end[1] == '0' ||
		    !text_to_i64(end + 1, (size_t)(colon - end - 1), 1, MESSAGE_ID_MAX, &c.after) ||
		    !parse_u64(colon + 1, &c.next, &end))
			return false;
	} else if (!c.at) {
		return false; /* the start is spelled "" */
	}
	if (*end)
		return false;
	*ret = c;
	return true;
}

void redis_cursor_format(const struct redis_cursor *c, char out[REDIS_CURSOR_TEXT])
{
	struct buf b = BUF_INIT;

	/* At most 20 + 1 + 16 + 1 + 20 characters. */
	if (c->at || c->after)
		buf_addu64(&b, c->at);
	if (c->after) {
		buf_addch(&b, ':');
		buf_addi64(&b, c->after);
		buf_addch(&b, ':');
		buf_addu64(&b, c->next);
	}
	memcpy(out, b.data, b.len + 1);
	buf_release(&b);
}
