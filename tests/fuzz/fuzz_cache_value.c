/*
 * What a Redis that others may write to, or a caller's cursor, can hold. A value or key that reads as an
 * entry is written back as one that reads the same; a cursor that is taken is spelled the only way it can be.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cache_redis_layout.h"
#include "cache_redis_list.h"
#include "message.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const char *text, size_t len)
{
	const struct redis_layout *l = &redis_layout_sent_message;
	struct cache_entry e = {0}, back = {0};
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;

	if (l->decode(text, len, &a, &e)) {
		if (len > REDIS_VALUE_MAX || (e.message_id && strlen(e.message_id) > MESSAGE_PROVIDER_ID_MAX))
			abort();
		l->encode(&out, &e);
		if (out.len > REDIS_VALUE_MAX || !l->decode(out.data, out.len, &a, &back) ||
		    !text_equal(e.message_id, back.message_id) ||
		    e.sent_at / USEC_PER_MSEC != back.sent_at / USEC_PER_MSEC)
			abort();
	}
	buf_release(&out);
	arena_release(&a);
}

static void check_key(const char *text, size_t len)
{
	const struct redis_layout *l = &redis_layout_sent_message;
	struct buf out = BUF_INIT;
	int64_t id;

	if (l->id_of_key(text, len, &id)) {
		l->key(&out, id);
		if (out.len != len || memcmp(out.data, text, len))
			abort();
	}
	buf_release(&out);
}

static void check_cursor(const char *text)
{
	char again[REDIS_CURSOR_TEXT];
	struct redis_cursor c;

	if (!redis_cursor_parse(text, &c))
		return;
	redis_cursor_format(&c, again);
	if (strcmp(text, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = xmalloc(size ? size : 1); /* one byte beyond is not ours to read */
	char *text = xstrndup((const char *)data, size);

	memcpy(exact, data, size);
	check_value(exact, size);
	check_key(exact, size);
	check_cursor(text);
	free(exact);
	free(text);
	return 0;
}
