/* Keys and values of the cache: templates, what is written, what is read back, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cache_layout.h"

#define SENT_AT INT64_C(1767323045678000) /* 2026-01-02T03:04:05.678Z */
#define AT "2026-01-02T03:04:05.678Z"
#define UUID_1 "3087ef33-a419-8af3-9223-8a63ee9d446d"

static void make(struct cache_layout *l, bool list, const char *key, const char *value)
{
	struct error err = ERROR_INIT;

	if (cache_layout_init(l, list, key, value, &err))
		fail_msg("%s", err.text);
}

static void test_written(void **state)
{
	static const struct {
		bool list;
		const char *key, *value, *as_key, *as_value, *pattern;
	} rows[] = {
		{false, NULL, NULL, "sent_message:1", "{\"messageId\":\"a\\\"b\",\"sentAt\":\"" AT "\"}",
		 "sent_message:*"},
		{false, "{id}", "sent", "1", "sent", "*"},
		{false, "{uuid}", "{\"sendingTime\":\"{sentAt}\",\"messageId\":\"{messageId}\"}", UUID_1,
		 "{\"sendingTime\":\"" AT "\",\"messageId\":\"a\\\"b\"}", "*"},
		{false, "message:{messageId}", "{sentAt}", "message:a\"b", AT, "message:*"},
		{true, NULL, NULL, "sent_messages", "{\"messageId\":\"a\\\"b\",\"sentAt\":\"" AT "\"}",
		 "sent_messages"},
		{true, "sent:messages", "{messageId}", "sent:messages", "a\"b", "sent:messages"},
		{false, "a*[?]\\{id}z", "<{uuid}>", "a*[?]\\1z", "<" UUID_1 ">", "a\\*\\[\\?\\]\\\\*z"},
		{false, "{id}", "{\"id\":\"{id}\",\"u\":\"{uuid}\",\"app\":\"x\",\"v\":[1,{}]}", "1",
		 "{\"id\":1,\"u\":\"" UUID_1 "\",\"app\":\"x\",\"v\":[1,{}]}", "*"},
	};
	const struct cache_entry e = {.id = 1, .message_id = "a\"b", .sent_at = SENT_AT};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cache_entry back = {0};
		struct buf key = BUF_INIT, value = BUF_INIT;
		struct arena a = ARENA_INIT;
		struct cache_layout l;

		make(&l, rows[i].list, rows[i].key, rows[i].value);
		cache_layout_key(&l, &e, &key);
		cache_layout_value(&l, &e, &value);
		assert_string_equal(key.data, rows[i].as_key);
		assert_string_equal(value.data, rows[i].as_value);
		assert_string_equal(l.pattern, rows[i].pattern);
		/* What is read back is the entry without what is nowhere. */
		assert_true(cache_layout_read_key(&l, key.data, key.len, &a, &back));
		assert_true(cache_layout_read_value(&l, value.data, value.len, &a, &back));
		struct cache_entry want = e;
		cache_layout_blank(&l, &want);
		assert_int_equal(back.id, want.id);
		assert_int_equal(back.sent_at, want.sent_at);
		if (want.message_id)
			assert_string_equal(back.message_id, want.message_id);
		else
			assert_null(back.message_id);
		buf_release(&key);
		buf_release(&value);
		arena_release(&a);
		cache_layout_release(&l);
	}
}

static void test_unknown_provider_id(void **state)
{
	const struct cache_entry e = {.id = 5, .sent_at = SENT_AT};
	struct cache_entry back = {0};
	struct buf b = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct cache_layout l;

	(void)state;
	make(&l, false, NULL, NULL);
	assert_true(cache_layout_takes(&l, &e));
	cache_layout_value(&l, &e, &b);
	assert_string_equal(b.data, "{\"messageId\":null,\"sentAt\":\"" AT "\"}");
	assert_true(cache_layout_read_value(&l, b.data, b.len, &a, &back));
	assert_null(back.message_id);
	assert_int_equal(back.sent_at, SENT_AT);
	cache_layout_release(&l);

	make(&l, false, "message:{messageId}", "{sentAt}");
	assert_false(cache_layout_takes(&l, &e));
	assert_false(cache_layout_read_key(&l, "message:", 8, &a, &back));
	cache_layout_release(&l);
	buf_release(&b);
	arena_release(&a);
}

static void test_malformed(void **state)
{
	static const struct {
		bool list;
		const char *key, *value, *names;
	} rows[] = {
		{false, "sent", NULL, "CACHE_KEY"},           {false, "{sentAt}", NULL, "CACHE_KEY"},
		{false, "{id}{uuid}", NULL, "CACHE_KEY"},     {true, "{id}", NULL, "CACHE_KEY"},
		{false, "{id}:{id}", NULL, "CACHE_KEY"},      {false, NULL, "{id} {sentAt}", "CACHE_VALUE"},
		{false, NULL, "{\"a\":\"x{id}\"}", "CACHE_VALUE"},
	};
	char many[CACHE_TEMPLATE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		struct cache_layout l;

		assert_int_equal(cache_layout_init(&l, rows[i].list, rows[i].key, rows[i].value, &err),
		                 ERR_CONFIG);
		assert_non_null(strstr(err.text, rows[i].names));
	}
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	struct cache_layout l;
	assert_int_equal(cache_layout_init(&l, true, many, NULL, NULL), ERR_CONFIG);
}

static void test_foreign_values(void **state)
{
	static const char *const bad[] = {
		"", "x", "{}", "[]", "null", "7", "\"x\"", "{\"messageId\":\"a\"}", "{\"messageId\":7,\"sentAt\":null}",
		"{\"messageId\":\"a\",\"sentAt\":\"yesterday\"}", "{\"messageId\":\"a\",\"sentAt\":7}",
		"{\"messageId\":\"a\",\"messageId\":\"b\",\"sentAt\":null}",
		"{\"messageId\":\"a\\u0000b\",\"sentAt\":null}", "{\"messageId\":\"a\",\"sentAt\":null",
		"{\"messageId\":\"a\",\"sentAt\":null}x", "{\"messageId\":\"\xff\",\"sentAt\":null}",
	};
	struct cache_entry back = {0};
	struct arena a = ARENA_INIT;
	struct buf b = BUF_INIT;
	struct cache_layout l;

	(void)state;
	make(&l, false, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (cache_layout_read_value(&l, bad[i], strlen(bad[i]), &a, &back))
			fail_msg("taken: %s", bad[i]);

	/* Longer than any value of ours: not even looked at. */
	buf_addstr(&b, "{\"messageId\":null,\"sentAt\":null");
	while (b.len < CACHE_VALUE_MAX)
		buf_addch(&b, ' ');
	buf_addch(&b, '}');
	assert_false(cache_layout_read_value(&l, b.data, b.len, &a, &back));
	cache_layout_release(&l);

	make(&l, false, "{id}", "sent");
	assert_false(cache_layout_read_value(&l, "sen", 3, &a, &back));
	assert_false(cache_layout_read_value(&l, "sent!", 5, &a, &back));
	cache_layout_release(&l);
	buf_release(&b);
	arena_release(&a);
}

static void test_foreign_keys(void **state)
{
	static const char *const bad[] = {"", "sent_message:", "sent_message:0", "sent_message:07",
	                                  "sent_message:-1", "sent_message:1x", "sent_message:+1",
	                                  "sent_message:9007199254740992", "xsent_message:1", "sent_message",
	                                  "sent_message:" UUID_1};
	struct cache_entry e = {0};
	struct arena a = ARENA_INIT;
	struct cache_layout l;

	(void)state;
	make(&l, false, NULL, NULL);
	assert_true(cache_layout_read_key(&l, "sent_message:9007199254740991", 29, &a, &e));
	assert_int_equal(e.id, INT64_C(9007199254740991));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(cache_layout_read_key(&l, bad[i], strlen(bad[i]), &a, &e));
	cache_layout_release(&l);

	make(&l, false, "{uuid}", NULL);
	assert_false(cache_layout_read_key(&l, "1", 1, &a, &e));
	assert_false(cache_layout_read_key(&l, "3087EF33-a419-8af3-9223-8a63ee9d446d", 36, &a, &e));
	assert_true(cache_layout_read_key(&l, UUID_1, 36, &a, &e));
	assert_int_equal(e.id, 1);
	cache_layout_release(&l);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written),         cmocka_unit_test(test_unknown_provider_id),
		cmocka_unit_test(test_malformed),       cmocka_unit_test(test_foreign_values),
		cmocka_unit_test(test_foreign_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
