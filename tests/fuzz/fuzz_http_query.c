/* Request targets: path, query, cursor; then headers, one "name:value" per line behind the target's line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"
#include "query.h"
#include "route.h"
#include "text.h"

#define ALL                                                                                                \
	(QUERY_PAGE | QUERY_PAGE_SIZE | QUERY_STATUS | QUERY_PHONE | QUERY_SINCE | QUERY_UNTIL | QUERY_CURSOR)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* Of another system, before herald's own. */
static const struct route foreign[] = {
	{.method = METHOD_GET, .pattern = "/api/v1/messages"},
	{.method = METHOD_PUT, .pattern = "/api/messenger/commit/{messageId}"},
};

static void one_path(const char *path, size_t len)
{
	static struct route_table table;

	if (!table.n) {
		route_table_add(&table, &(struct route_source){
						.rows = foreign, .n = ARRAY_SIZE(foreign), .open = true, .listeners = 1});
		route_table_add(&table, &(struct route_source){.rows = routes, .n = route_count, .listeners = 1});
	}
	for (int m = 0; m < METHOD_COUNT; m++) {
		struct route_match r = route_find(&table, 0, (enum method)m, path, len);

		require(!r.route || r.allowed);
		require(r.id >= 0 && r.id <= MESSAGE_ID_MAX);
		require((r.id > 0 || r.text_len > 0) == (r.route && strchr(r.route->pattern, '{')));
		require(!r.text || (r.text >= path && r.text + r.text_len <= path + len));
	}
}

static void one_query(const char *text, size_t len)
{
	struct details d = {.members = BUF_INIT};
	struct cursor c, back;
	struct buf again = BUF_INIT;
	struct query q;

	query_init(&q);
	if (query_parse(&q, text, len, ALL, &d)) {
		require(q.page >= 1 && q.page <= PAGE_MAX && q.page_size >= 1 && q.page_size <= PAGE_SIZE_MAX);
		require(q.status >= -1 && q.status < MESSAGE_STATUS_COUNT);
		require(!*q.phone || text_is_token(q.phone, strlen(q.phone), MESSAGE_PHONE_MAX));
		if (cursor_read(q.cursor.data, q.cursor.len, CURSOR_MESSAGES, &q, &c)) {
			cursor_write(&again, CURSOR_MESSAGES, &q, &c);
			require(strcmp(again.data, q.cursor.data) == 0);
		}
		c = (struct cursor){{q.since, (int64_t)q.page, (int)q.page_size}, q.page};
		buf_clear(&again);
		cursor_write(&again, CURSOR_RUNS, &q, &c);
		require(cursor_read(again.data, again.len, CURSOR_RUNS, &q, &back) &&
		        back.position.at == c.position.at && back.position.id == c.position.id &&
		        back.position.lane == c.position.lane && back.page == c.page);
	} else {
		require(d.n > 0);
	}
	query_release(&q);
	buf_release(&again);
	buf_release(&d.members);
}

static void one_header(struct headers *h, const char *line, size_t len)
{
	/* As libmicrohttpd hands them over: with a NUL behind each. */
	char name[64], value[512];
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len, value_len = colon ? len - name_len - 1 : 0;
	bool lines = false;

	if (name_len >= sizeof(name) || value_len >= sizeof(value))
		return;
	memcpy(name, line, name_len);
	name[name_len] = '\0';
	if (value_len)
		memcpy(value, colon + 1, value_len);
	value[value_len] = '\0';
	headers_take(h, name, name_len, value, strlen(value));
	require(media_type_json(value, true, &lines) || !lines || strstr(value, "-"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	const char *line = size ? memchr(text, '\n', size) : NULL;
	const char *target_end = line ? line : end;
	const char *mark = target_end > text ? memchr(text, '?', (size_t)(target_end - text)) : NULL;
	struct request_headers keep = {0};
	struct headers h = {.keep = &keep};

	if (!size)
		return 0;
	one_path(text, (size_t)((mark ? mark : target_end) - text));
	if (mark)
		one_query(mark + 1, (size_t)(target_end - mark - 1));
	while (line && ++line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		one_header(&h, line, (size_t)((stop ? stop : end) - line));
		line = stop;
	}
	require(strlen(keep.idempotency_key) <= MESSAGE_KEY_MAX);
	require(strlen(keep.correlation_id) <= CORRELATION_MAX);
	return 0;
}
