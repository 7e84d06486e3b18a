/*
 * What a Redis that others may write to, or a caller's cursor, can hold. A value or key that reads as an
 * entry is written back as one that reads the same; a cursor that is taken is spelled the only way it can be.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cache_layout.h"
#include "cache_redis_list.h"
#include "message.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	const char *key, *value;
} layouts[] = {
	{"sent_message:{id}", NULL},
	{"{uuid}", "{\"sendingTime\":\"{sentAt}\",\"messageId\":\"{messageId}\"}"},
	{"message:{messageId}", "{sentAt}"},
	{"{id}:x", "{\"n\":\"{id}\",\"u\":\"{uuid}\",\"c\":[1]}"},
};

static void check_value(const struct cache_layout *l, const char *text, size_t len)
{
	struct cache_entry e = {0}, back = {0};
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;

	if (cache_layout_read_value(l, text, len, &a, &e)) {
		if (len > CACHE_VALUE_MAX || (e.message_id && strlen(e.message_id) > MESSAGE_PROVIDER_ID_MAX))
			abort();
		cache_layout_value(l, &e, &out);
		if (out.len > CACHE_VALUE_MAX || !cache_layout_read_value(l, out.data, out.len, &a, &back) ||
		    !text_equal(e.message_id, back.message_id) || e.id != back.id ||
		    e.sent_at / USEC_PER_MSEC != back.sent_at / USEC_PER_MSEC)
			abort();
	}
	buf_release(&out);
	arena_release(&a);
}

static void check_key(const struct cache_layout *l, const char *text, size_t len)
{
	struct cache_entry e = {0};
	struct arena a = ARENA_INIT;
	struct buf out = BUF_INIT;

	if (cache_layout_read_key(l, text, len, &a, &e)) {
		cache_layout_key(l, &e, &out);
		if (out.len != len || memcmp(out.data, text, len))
			abort();
	}
	buf_release(&out);
	arena_release(&a);
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
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct cache_layout l;

		if (cache_layout_init(&l, false, layouts[i].key, layouts[i].value, NULL))
			abort();
		check_value(&l, exact, size);
		check_key(&l, exact, size);
		cache_layout_release(&l);
	}
	check_cursor(text);
	free(exact);
	free(text);
	return 0;
}
