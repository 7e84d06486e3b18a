/*
 * message-sender: MySQL and Redis, configured by the environment alone, two routes at the root.
 *
 * Its clients take what comes: numbers that cannot be used fall back to the defaults, commands are answered in plain
 * text. Retries have a clock of their own, two requests are on the way at a time, and a message whose worker went
 * away is taken again after five minutes.
 */
#include <string.h>

#include "profile.h"
#include "shape.h"

#define LIMIT_DEFAULT 20

static const char schemas[] = {
#include "message-sender.inc"
};

/* --- what is answered ------------------------------------------------------------------------------- */

static const char *status_name(enum message_status s)
{
	return s == MESSAGE_SENDING ? "processing" : message_status_name(s);
}

static void write_message(struct json_out *j, const struct message *m)
{
	json_open_object(j);
	json_kv_int(j, "id", m->id);
	json_kv_str(j, "recipient", m->phone);
	json_kv_str(j, "content", m->content);
	json_kv_str(j, "status", status_name(m->status));
	json_kv_time(j, "created_at", m->created_at);
	json_kv_time(j, "updated_at", m->updated_at);
	json_end(j);
}

/* A message's last change is its being sent, so those sent last are those updated last. */
static enum handled list(struct request *r, struct store_session *c)
{
	int64_t limit, offset, page;

	if (shape_number(r, "limit", 1, INT64_MAX, &limit) != NUMBER_GOOD)
		limit = LIMIT_DEFAULT;
	if (shape_number(r, "offset", 0, INT64_MAX, &offset) != NUMBER_GOOD)
		offset = 0;
	limit = MIN_OF(limit, SHAPE_ROWS_MAX);
	if (shape_number(r, "page", 2, INT64_MAX / SHAPE_ROWS_MAX, &page) == NUMBER_GOOD)
		offset = (page - 1) * limit;
	shape_array(r, c, MESSAGE_SENT, limit, offset, write_message);
	return HANDLED_DONE;
}

static enum handled process(struct request *r, struct store_session *c)
{
	struct buf command cleanup(buf_release) = BUF_INIT;
	bool start, changed;

	if (!handler_param(r, "command", &command) || !command.len) {
		answer_text(&r->answer, 400, "command is required");
		return HANDLED_DONE;
	}
	start = strcmp(command.data, "start") == 0;
	if (!start && strcmp(command.data, "stop") != 0) {
		answer_text(&r->answer, 400, "invalid command");
		return HANDLED_DONE;
	}
	if (shape_turn(r, c, start, &changed))
		answer_text(&r->answer, 200, start ? "Message processing started" : "Message processing stopped");
	return HANDLED_DONE;
}

static const struct route rows[] = {
	PROFILE_ROUTE(GET, "/messages", list, MESSAGES, NONE, WORKER, "listMessages", "Messages",
	              "List sent messages, last updated first", "Limit Offset Page", NULL, 200, "Messages", "431 500 503"),
	PROFILE_ROUTE(GET, "/process_message", process, SCHEDULER, NONE, WORKER, "processMessage", "Messages",
	              "Start or stop sending", "Command", NULL, 200, "Text", "400Text 431 500 503"),
};

/* --- how it is configured ---------------------------------------------------------------------------- */

static const struct preset_value values[] = {
	{CONFIG_db_driver, "mysql"},
	{CONFIG_webhook_timeout, "10"},
	{CONFIG_webhook_success, "200-299"},
	{CONFIG_first_run, "after-interval"},
	{CONFIG_message_order, "fifo"},
	{CONFIG_phone_pattern, "^.{1,20}$"},
	{CONFIG_message_max_content_length, "255"},
	{CONFIG_max_attempts, "5"},
	{CONFIG_retry_backoff, "1s,2s,4s,8s,16s,20s"},
	{CONFIG_retry_pacing, "free"},
	{CONFIG_send_concurrency, "2"},
	{CONFIG_lease_duration, "5m"},
	{CONFIG_cache_ttl, "0"},
	{CONFIG_cache_key, "message:{messageId}"},
	{CONFIG_cache_value, "{sentAt}"},
	{0},
};

static const struct preset_name env_names[] = {
	{.name = "MYSQL_USER", .id = CONFIG_db_user},
	{.name = "MYSQL_PASSWORD", .id = CONFIG_db_password},
	{.name = "MYSQL_DATABASE", .id = CONFIG_db_name},
	{.name = "MYSQL_HOST", .id = CONFIG_db_host, .host_port = true, .port = CONFIG_db_port},
	{.name = "PORT", .id = CONFIG_server_port, .min = 1, .max = 65535},
	{.name = "NOTIFICATION_SERVICE_URL", .id = CONFIG_webhook_url},
	{.name = "REDIS_HOST", .id = CONFIG_redis_host, .host_port = true, .port = CONFIG_redis_port},
	{0},
};

/* --- its table --------------------------------------------------------------------------------------- */

static const struct adopt_status statuses[] = {
	{"pending", MESSAGE_PENDING},
	{"processing", MESSAGE_PENDING}, /* it takes those up again by itself, after five minutes */
	{"sent", MESSAGE_SENT},
	{"failed", MESSAGE_FAILED},
	{0},
};

static const struct adopt_map table = {
	.table = "messages",
	.columns = {[ADOPT_ID] = "id", [ADOPT_PHONE] = "recipient", [ADOPT_CONTENT] = "content",
	            [ADOPT_STATUS] = "status", [ADOPT_CREATED_AT] = "created_at", [ADOPT_UPDATED_AT] = "updated_at"},
	.statuses = statuses,
};

const struct profile profile_message_sender = {
	.preset = {.name = "message-sender", .values = values, .env = env_names},
	.listeners = {{.rows = rows, .n = ARRAY_SIZE(rows)}},
	.listeners_n = 1,
	.open = true,
	.title = "message-sender",
	.summary = "Sends messages to a notification service; served by herald.",
	.schemas = schemas,
	.schemas_len = sizeof(schemas),
	.adopt = &table,
};
