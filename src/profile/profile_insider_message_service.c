/*
 * insider-message-service: MySQL and Redis. herald's own API grew out of the same contract: paths, envelopes, header,
 * variables and cache layout are the same, so there is little to say.
 */
#include "profile.h"

static const struct preset_value values[] = {
	{CONFIG_db_driver, "mysql"},
	{CONFIG_db_host, "localhost"},
	{CONFIG_db_user, "insider"},
	{CONFIG_db_password, "insider123"},
	{CONFIG_db_name, "insider_messages"},
	{CONFIG_webhook_success, "202"},
	{CONFIG_retry_pacing, "free"},
	{CONFIG_seed_data, "true"},
	{0},
};

/* --- its table --------------------------------------------------------------------------------------- */

static const struct adopt_status statuses[] = {
	{"pending", MESSAGE_PENDING},
	{"sent", MESSAGE_SENT},
	{"failed", MESSAGE_FAILED},
	{0},
};

static const struct adopt_map table = {
	.table = "messages",
	.columns = {[ADOPT_ID] = "id", [ADOPT_PHONE] = "phone_number", [ADOPT_CONTENT] = "content",
	            [ADOPT_STATUS] = "status", [ADOPT_CREATED_AT] = "created_at", [ADOPT_UPDATED_AT] = "updated_at",
	            [ADOPT_SENT_AT] = "sent_at", [ADOPT_MESSAGE_ID] = "message_id"},
	.statuses = statuses,
};

const struct profile profile_insider_message_service = {
	.preset = {.name = "insider-message-service", .values = values},
	.listeners_n = 1,
	.title = "insider-message-service",
	.summary = "Sends messages to a webhook; served by herald.",
	.adopt = &table,
};
