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

const struct profile profile_insider_message_service = {
	.preset = {.name = "insider-message-service", .values = values},
	.listeners_n = 1,
	.title = "insider-message-service",
	.summary = "Sends messages to a webhook; served by herald.",
};
