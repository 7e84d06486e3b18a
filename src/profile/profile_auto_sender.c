/*
 * auto-sender: PostgreSQL and Redis, configured by the environment or .env, three routes, each under two paths.
 *
 * Its list of sent messages is the list in Redis, oldest first, not the database. It tries each message once, the
 * newest first, and takes the provider's id from a header of the answer.
 */
#include "cache.h"
#include "profile.h"
#include "shape.h"

/* The list in Redis has no end of its own; an answer has. */
#define ROWS_MAX 100000
#define ROWS_AT_ONCE 1000

static const char schemas[] = {
#include "auto-sender.inc"
};

/* --- what is answered ------------------------------------------------------------------------------- */

static void write_page(struct json_out *j, const struct cache_page *page)
{
	for (size_t i = 0; i < page->n; i++) {
		const struct cache_entry *e = &page->items[i];

		json_open_object(j);
		json_kv_str(j, "messageId", e->message_id ? e->message_id : "");
		json_kv_time(j, "sentAt", e->sent_at);
		json_end(j);
	}
}

static enum handled list(struct request *r, struct store_session *c maybe_unused)
{
	struct cache *cache = handler_cache(r);
	struct json_out j = answer_begin(&r->answer, 200, NULL);
	char cursor[sizeof(((struct cache_page *)0)->next)] = "";
	size_t n = 0;

	json_open_array(&j);
	do {
		struct cache_page page = {.arena = ARENA_INIT};
		struct error err = ERROR_INIT;
		int code = cache ? cache_list(cache, cursor, ROWS_AT_ONCE, &page, &err) : OK;

		if (code != OK) {
			handler_store_error(r, "cache list", code, &err);
			return HANDLED_DONE;
		}
		write_page(&j, &page);
		n += page.n;
		memcpy(cursor, page.next, sizeof(cursor));
		cache_page_release(&page);
	} while (*cursor && n < ROWS_MAX);
	json_end(&j);
	answer_end(&j);
	return HANDLED_DONE;
}

static enum handled turn(struct request *r, struct store_session *c, bool on, const char *already)
{
	struct json_out j;
	bool changed;

	if (!shape_turn(r, c, on, &changed))
		return HANDLED_DONE;
	if (changed) {
		j = answer_begin(&r->answer, 200, NULL);
		json_str(&j, "OK");
		answer_end(&j);
	} else {
		shape_failure(r, 500, already);
	}
	return HANDLED_DONE;
}

static enum handled start(struct request *r, struct store_session *c)
{
	return turn(r, c, true, "auto sending is already running");
}

static enum handled stop(struct request *r, struct store_session *c)
{
	return turn(r, c, false, "auto sending is not running");
}

/* herald's own list has the same path; those that ask for it, the command line and the dashboard, name a page size. */
#define ROWS(prefix, suffix)                                                                                  \
	PROFILE_ROUTE_BUT("pageSize", GET, prefix "/messages", list, MESSAGES, NONE, ANYWAY,                  \
	                  "listSentMessages" suffix, "Messages", "List sent messages, as the cache has them", \
	                  NULL, NULL, 200, "SentMessages", "431 500 503"),                                    \
	PROFILE_ROUTE(GET, prefix "/messages/start", start, SCHEDULER, NONE, WORKER, "startSending" suffix,   \
	              "Messages", "Start automatic sending", NULL, NULL, 200, "Done", "431 500 503"),             \
	PROFILE_ROUTE(GET, prefix "/messages/stop", stop, SCHEDULER, NONE, WORKER, "stopSending" suffix,      \
	              "Messages", "Stop automatic sending", NULL, NULL, 200, "Done", "431 500 503")

static const struct route rows[] = {ROWS("/api/v1", ""), ROWS("", "Short")};

/* --- how it is configured ---------------------------------------------------------------------------- */

static const struct preset_value values[] = {
	{CONFIG_db_driver, "postgres"},
	{CONFIG_webhook_success, "200,202"},
	{CONFIG_webhook_message_id, "header:x-request-id"},
	{CONFIG_message_id_format, "uuid"},
	{CONFIG_first_run, "at-once"},
	{CONFIG_message_order, "lifo"},
	{CONFIG_phone_pattern, "^.{1,20}$"},
	{CONFIG_message_max_content_length, "255"},
	{CONFIG_max_attempts, "1"},
	{CONFIG_cache_layout, "list"},
	{CONFIG_cache_key, "sent:messages"},
	{CONFIG_cache_ttl, "0"},
	{CONFIG_log_format, "json"},
	{0},
};

/* What is not here has the name of herald's own option. */
static const struct preset_name env_names[] = {
	{.name = "APP_NAME", .id = PRESET_IGNORED},
	{.name = "APP_VERSION", .id = PRESET_IGNORED},
	{.name = "REDIS_KEY", .id = CONFIG_cache_key},
	{.name = "TICKER_PERIOD", .id = CONFIG_message_send_interval},
	{.name = "SMS_HOST", .id = CONFIG_webhook_url},
	{0},
};

/* --- its table --------------------------------------------------------------------------------------- */

static const struct adopt_status statuses[] = {
	{"pending", MESSAGE_PENDING},
	{"sent", MESSAGE_SENT},
	{"failed", MESSAGE_FAILED},
	{0},
};

/* A failure has its time in sent_at, too. */
static const struct adopt_map table = {
	.table = "messages",
	.columns = {[ADOPT_ID] = "id", [ADOPT_PHONE] = "recipient_phone", [ADOPT_CONTENT] = "content",
	            [ADOPT_STATUS] = "status", [ADOPT_CREATED_AT] = "created_at", [ADOPT_SENT_AT] = "sent_at",
	            [ADOPT_FAILED_AT] = "sent_at"},
	.statuses = statuses,
};

const struct profile profile_auto_sender = {
	.preset = {.name = "auto-sender", .values = values, .env = env_names},
	.listeners = {{.rows = rows, .n = ARRAY_SIZE(rows)}},
	.listeners_n = 1,
	.open = true,
	.title = "auto-sender",
	.summary = "Sends messages automatically, the newest first; served by herald.",
	.schemas = schemas,
	.schemas_len = sizeof(schemas),
	.adopt = &table,
};
