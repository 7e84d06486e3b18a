/*
 * messaging-service: PostgreSQL and Redis, configured by config.yaml, three routes below /messaging.
 *
 * Its clients see a message's state as a number and its id as a UUID. It waits one interval before its first batch,
 * and what was sent is in Redis for five minutes under the UUID alone.
 */
#include "message_uuid.h"
#include "profile.h"
#include "shape.h"

#define LIMIT_MAX 100

static const char schemas[] = {
#include "messaging-service.inc"
};

/* --- what is answered ------------------------------------------------------------------------------- */

static enum handled refuse(struct request *r, const char *why)
{
	shape_failure(r, 400, why);
	return HANDLED_DONE;
}

static int sending_status(enum message_status s)
{
	return s == MESSAGE_SENT ? 1 : s == MESSAGE_PENDING || s == MESSAGE_SENDING ? 0 : 2;
}

static void write_message(struct json_out *j, const struct message *m)
{
	char id[MESSAGE_UUID_TEXT];

	message_uuid_format(m->id, id);
	json_open_object(j);
	json_kv_str(j, "id", id);
	json_kv_str(j, "content", m->content);
	json_kv_str(j, "recipient_phone_number", m->phone);
	json_kv_int(j, "sending_status", sending_status(m->status));
	json_kv_time(j, "created_at", m->created_at);
	json_kv_time(j, "updated_at", m->updated_at);
	json_end(j);
}

static enum handled list_sent(struct request *r, struct store_session *c)
{
	int64_t limit, offset = 0;

	switch (shape_number(r, "limit", 1, LIMIT_MAX, &limit)) {
	case NUMBER_ABSENT:
		return refuse(r, "limit is required");
	case NUMBER_BAD:
		return refuse(r, "limit must be a whole number from 1 to 100");
	case NUMBER_GOOD:
		break;
	}
	if (shape_number(r, "offset", 0, INT64_MAX, &offset) == NUMBER_BAD)
		return refuse(r, "offset must be a whole number of at least 0");
	shape_array(r, c, MESSAGE_SENT, limit, offset, write_message);
	return HANDLED_DONE;
}

static enum handled start(struct request *r, struct store_session *c)
{
	bool changed;

	if (shape_turn(r, c, true, &changed))
		shape_pair(r, 200, "message",
		           changed ? "Scheduler started successfully" : "Scheduler already running.");
	return HANDLED_DONE;
}

static enum handled stop(struct request *r, struct store_session *c)
{
	bool changed;

	if (!shape_turn(r, c, false, &changed))
		return HANDLED_DONE;
	shape_finish_batch(r, profile_context(r)->cfg->webhook_timeout);
	shape_pair(r, 200, "message",
	           changed ? "Scheduler stopped successfully" : "Scheduler already stopped.");
	return HANDLED_DONE;
}

static const struct route rows[] = {
	PROFILE_ROUTE(GET, "/messaging/sent", list_sent, MESSAGES, NONE, WORKER, "listSentMessages", "Messaging",
	              "List sent messages, newest first", "Limit Offset", NULL, 200, "Messages", "400 431 500 503"),
	PROFILE_ROUTE(POST, "/messaging/start", start, SCHEDULER, NONE, WORKER, "startScheduler", "Messaging",
	              "Start sending", NULL, NULL, 200, "Done", "431 500 503"),
	PROFILE_ROUTE(POST, "/messaging/stop", stop, SCHEDULER, NONE, WORKER, "stopScheduler", "Messaging",
	              "Stop sending; the batch in hand is completed", NULL, NULL, 200, "Done", "431 500 503"),
};

/* --- how it is configured ---------------------------------------------------------------------------- */

static const struct preset_value values[] = {
	{CONFIG_db_driver, "postgres"},
	{CONFIG_webhook_success, "200,201,202"},
	{CONFIG_phone_pattern, "^.{1,20}$"},
	{CONFIG_message_max_content_length, "100"},
	{CONFIG_message_id_format, "uuid"},
	{CONFIG_first_run, "after-interval"},
	{CONFIG_message_order, "fifo"},
	{CONFIG_cache_ttl, "300s"},
	{CONFIG_cache_key, "{uuid}"},
	{CONFIG_cache_value, "{\"sendingTime\":\"{sentAt}\",\"messageId\":\"{messageId}\"}"},
	{0},
};

static const struct preset_name file_names[] = {
	{.name = "cache.host", .id = CONFIG_redis_host},
	{.name = "cache.port", .id = CONFIG_redis_port},
	{.name = "database.host", .id = CONFIG_db_host},
	{.name = "database.port", .id = CONFIG_db_port, .min = 1, .max = 65535},
	{.name = "database.user", .id = CONFIG_db_user},
	{.name = "database.password", .id = CONFIG_db_password},
	{.name = "database.name", .id = CONFIG_db_name},
	{.name = "scheduler.interval", .id = CONFIG_message_send_interval, .unit = USEC_PER_SEC, .min = 5, .max = 300,
	 .what = "seconds"},
	{.name = "sender.address", .id = CONFIG_webhook_url},
	{.name = "sender.cache_ttl", .id = CONFIG_cache_ttl, .unit = USEC_PER_SEC, .min = 60, .max = 3600,
	 .what = "seconds"},
	{.name = "sender.fetch_limit", .id = CONFIG_message_batch_size, .min = 1, .max = 1000},
	{.name = "server.port", .id = CONFIG_server_port, .min = 1, .max = 65535},
	{0},
};

static const struct preset_file file = {
	.paths = (const char *const[]){"config.yaml", "config.yml", "config/config.yaml", "config/config.yml", NULL},
	.names = file_names,
};

/* --- its table --------------------------------------------------------------------------------------- */

static const struct adopt_status statuses[] = {
	{"0", MESSAGE_PENDING},
	{"1", MESSAGE_SENT},
	{"2", MESSAGE_FAILED},
	{0},
};

static const struct adopt_map table = {
	.table = "messages",
	.columns = {[ADOPT_ID] = "id", [ADOPT_PHONE] = "recipient_phone_number", [ADOPT_CONTENT] = "content",
	            [ADOPT_STATUS] = "sending_status", [ADOPT_CREATED_AT] = "created_at",
	            [ADOPT_UPDATED_AT] = "updated_at"},
	.statuses = statuses,
};

const struct profile profile_messaging_service = {
	.preset = {.name = "messaging-service", .values = values, .file = &file},
	.listeners = {{.rows = rows, .n = ARRAY_SIZE(rows)}},
	.listeners_n = 1,
	.open = true,
	.title = "messaging-service",
	.summary = "Sends messages to a webhook in batches; served by herald.",
	.schemas = schemas,
	.schemas_len = sizeof(schemas),
	.adopt = &table,
};
