/*
 * messenger: MongoDB and Redis, two services. The messenger API on SERVER_PORT has the messages; the job scheduler on
 * SERVER_SECOND_PORT sends them, and reaches the other over HTTP alone.
 *
 * Its consumers fetch two messages at a time and commit each. Where the original handed out the same two to everybody
 * who asked before the commit, and skipped messages as those before them were committed, here they are leased: to one
 * consumer at a time, until the commit or the end of the lease.
 */
#include <string.h>

#include "dispatch.h"
#include "leasing.h"
#include "log.h"
#include "message_uuid.h"
#include "profile.h"
#include "shape.h"
#include "toggle.h"

#define LIMIT_MAX 50
#define GET_TWO 2
/* A fetch that finds messages against the rules looks further, but not for ever. */
#define GET_TWO_ROUNDS 20

static const char schemas[] = {
#include "messenger.inc"
};

/* --- the envelope ----------------------------------------------------------------------------------------- */

static struct json_out begin(struct answer *a, int status, int code, const char *message)
{
	struct json_out j;

	a->status = status;
	a->error = NULL;
	a->content_type = NULL;
	buf_clear(&a->body);
	j = json_begin(&a->body);
	json_open_object(&j);
	json_kv_int(&j, "status", status);
	json_kv_int(&j, "internalCode", code);
	if (message)
		json_kv_str(&j, "message", message);
	return j;
}

static enum handled answer_data(struct request *r, const char *data)
{
	struct json_out j = begin(&r->answer, 200, 0, NULL);

	json_kv_str(&j, "data", data);
	json_end(&j);
	return HANDLED_DONE;
}

static enum handled answer_message(struct request *r, int status, int code, const char *message)
{
	struct json_out j = begin(&r->answer, status, code, message);

	json_end(&j);
	return HANDLED_DONE;
}

static void shape_error(struct answer *a, int status, const char *text)
{
	struct json_out j = begin(a, status, 0, text);

	json_end(&j);
}

static enum handled health(struct request *r, struct store_session *c maybe_unused)
{
	answer_text(&r->answer, 200, "ok");
	return HANDLED_DONE;
}

/* --- the messenger API ------------------------------------------------------------------------------------ */

/* What is leased still waits, for its clients; what nobody knows about did not arrive, as far as they can tell. */
static const char *status_name(enum message_status s)
{
	if (s == MESSAGE_SENDING)
		return message_status_name(MESSAGE_PENDING);
	return message_status_name(s == MESSAGE_UNKNOWN ? MESSAGE_FAILED : s);
}

static void write_message(struct json_out *j, const struct message *m)
{
	const bool failed = m->status == MESSAGE_FAILED || m->status == MESSAGE_UNKNOWN;

	json_open_object(j);
	json_kv_int(j, "id", m->id);
	json_kv_str(j, "to", m->phone);
	json_kv_str(j, "content", m->content);
	json_kv_str(j, "status", status_name(m->status));
	json_kv_time(j, "sent_at", m->sent_at);
	json_kv_time(j, "failed_to_sent_at", failed ? m->updated_at : 0);
	json_kv_time(j, "created_at", m->created_at);
	json_kv_time(j, "updated_at", m->updated_at);
	json_end(j);
}

/* A negative number is as good as none. False: answered. */
static bool read_offset(struct request *r, int64_t *ret)
{
	*ret = 0;
	if (shape_number(r, "offset", INT64_MIN, INT64_MAX, ret) == NUMBER_BAD) {
		answer_message(r, 400, 0, "Offset must be an integer!");
		return false;
	}
	*ret = MAX_OF(*ret, 0);
	return true;
}

static enum handled list(struct request *r, struct store_session *c)
{
	int64_t limit = LIMIT_MAX, offset;
	struct json_out j;

	if (shape_number(r, "limit", INT64_MIN, INT64_MAX, &limit) == NUMBER_BAD)
		return answer_message(r, 400, 0, "Limit must be an integer!");
	if (!read_offset(r, &offset))
		return HANDLED_DONE;
	if (limit < 1 || limit > LIMIT_MAX)
		limit = LIMIT_MAX;
	j = begin(&r->answer, 200, 0, NULL);
	json_key(&j, "data");
	json_open_array(&j);
	if (shape_rows(r, c, -1, limit, offset, write_message, &j)) {
		json_end(&j);
		json_end(&j);
	}
	return HANDLED_DONE;
}

static void write_leased(struct json_out *j, const struct claim_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		json_open_object(j);
		json_kv_int(j, "id", b->items[i].id);
		json_kv_str(j, "to", b->items[i].phone);
		json_kv_str(j, "content", b->items[i].content);
		json_end(j);
	}
}

/* Fetches into j until `ask->limit` messages are there or none is left. */
static int fetch(struct request *r, struct store_session *c, struct lease_ask *ask, struct json_out *j, struct error *err)
{
	bool more = true;
	int code = OK;

	for (int round = 0; !code && more && ask->limit && round < GET_TWO_ROUNDS; round++) {
		struct claim_batch batch;

		code = leasing_claim(handler_leasing(r), c, ask, &batch, err);
		if (code != OK)
			break;
		write_leased(j, &batch);
		ask->limit -= (uint32_t)batch.n;
		more = batch.more;
		claim_batch_release(&batch);
	}
	return code;
}

/*
 * Consumers went on by two with each fetch, over a list that the commits made shorter: that is how messages were
 * skipped. So an offset counts from the first message that there ever was, not from the first that still waits.
 */
static int waiting_before(struct store_session *c, int64_t offset, uint64_t *ret, struct error *err)
{
	struct store_counts counts;
	int code = OK;

	*ret = 0;
	if (offset && !(code = store_counts(c, &counts, err))) {
		for (int s = 0; s < MESSAGE_STATUS_COUNT; s++)
			offset -= s == MESSAGE_PENDING ? 0 : counts.by_status[s];
		*ret = (uint64_t)MAX_OF(offset, 0);
	}
	return code;
}

static enum handled get_two(struct request *r, struct store_session *c)
{
	struct lease_ask ask = {.holder = "get-two", .limit = GET_TWO};
	struct error err = ERROR_INIT;
	struct json_out j;
	int64_t offset;
	int code;

	if (!read_offset(r, &offset))
		return HANDLED_DONE;
	code = waiting_before(c, offset, &ask.skip, &err);
	j = begin(&r->answer, 200, 0, NULL);
	json_key(&j, "data");
	json_open_array(&j);
	/* With RETRY_PACING=free those that came back wait elsewhere, and for nobody else where nothing else sends. */
	if (!code && !ask.skip && profile_context(r)->cfg->retry_pacing == CONFIG_PACING_FREE) {
		ask.source = LEASE_RETRIES;
		ask.when_stopped = true;
		code = fetch(r, c, &ask, &j, &err);
	}
	ask.source = LEASE_BEAT;
	ask.when_stopped = false;
	ask.unpaced = true;
	if (!code)
		code = fetch(r, c, &ask, &j, &err);
	if (code) {
		handler_store_error(r, "get two", code, &err);
		return HANDLED_DONE;
	}
	json_end(&j);
	json_end(&j);
	return HANDLED_DONE;
}

static const char no_commit[] = "Couldn't commit the message!";

/* A success is a fact, whoever reports it: no token is asked for, as the original asked for none. */
static enum handled commit(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct settle_result result;
	struct settlement s;
	struct message m;
	usec_t now = 0;
	int64_t id;
	int code;

	if (!message_id_parse(r->path_text, r->path_text_len, &id))
		return answer_message(r, 500, 0, no_commit);
	code = store_get(c, id, &r->arena, &m, &err);
	if (code == OK && !m.started_at) /* nobody has fetched it */
		code = store_now(c, &now, &err);
	if (code == OK) {
		s = (struct settlement){
			.id = id,
			.fence = MAX_OF(m.fence, 1),
			.attempt = MAX_OF(m.attempts, 1),
			.verdict = VERDICT_SENT,
			.started_at = m.started_at ? m.started_at : now,
		};
		code = leasing_settle(handler_leasing(r), c, &s, 1, &result, &err);
	}
	if (code == ERR_NOT_FOUND || (code == OK && !s.applied && m.status != MESSAGE_SENT))
		return answer_message(r, 500, 0, no_commit);
	if (code != OK) {
		handler_store_error(r, "commit", code, &err);
		return HANDLED_DONE;
	}
	return answer_data(r, "succeeded");
}

static enum handled toggle_job(struct request *r, struct store_session *c maybe_unused)
{
	struct buf command cleanup(buf_release) = BUF_INIT;
	const char *path = NULL;

	if (handler_param(r, "command", &command) && strcmp(command.data ? command.data : "", "start") == 0)
		path = "/job-scheduler/messenger/start";
	else if (command.len && strcmp(command.data, "stop") == 0)
		path = "/job-scheduler/messenger/stop";
	if (!path)
		return answer_message(r, 400, 0, "Invalid command. Use 'start' or 'stop'.");
	return toggle(r, path);
}

static const struct route api_rows[] = {
	PROFILE_ROUTE(GET, "/api/messenger/messenger-job-toggle", toggle_job, SCHEDULER, NONE, ASIDE, "toggleJob",
	              "Messenger", "Start or stop the job", "Command", NULL, 200, "Done", "400 431 500 503"),
	PROFILE_ROUTE(GET, "/api/messenger/", list, MESSAGES, NONE, WORKER, "listMessages", "Messenger",
	              "List all messages, newest first", "Limit Offset", NULL, 200, "Messages", "400 431 500 503"),
	PROFILE_ROUTE(GET, "/api/messenger", list, MESSAGES, NONE, WORKER, "listMessagesToo", "Messenger",
	              "The same", "Limit Offset", NULL, 200, "Messages", "400 431 500 503"),
	PROFILE_ROUTE(GET, "/api/messenger/get-two", get_two, MESSAGES, NONE, WORKER, "getTwo", "Messenger",
	              "Fetch two pending messages", "Offset", NULL, 200, "Two", "400 431 500 503"),
	PROFILE_ROUTE(PUT, "/api/messenger/commit/{message}", commit, MESSAGES, NONE, WORKER, "commitMessage", "Messenger",
	              "Mark a message sent", "Message", NULL, 200, "Done", "431 500 503"),
	PROFILE_ROUTE(GET, "/messenger/health", health, OPEN, NONE, INLINE, "getMessengerHealth", "Health", "Health", NULL,
	              NULL, 200, "Text", "431"),
	PROFILE_EXPLORER("/messenger/swagger"),
};

/* --- the job scheduler ------------------------------------------------------------------------------------ */

static enum handled turn(struct request *r, struct store_session *c, bool on)
{
	const struct scheduler_change change = handler_turn(r, on);
	struct error err = ERROR_INIT;
	struct scheduler s;
	bool changed;

	if (store_scheduler_change(c, &change, &s, &changed, &err) != OK) {
		log_error("the job was not turned", kv_bool("on", on), kv_str("error", err.text));
		return on ? answer_message(r, 500, 500001, "Job could not be created.")
		          : answer_message(r, 500, 500002, "Job could not be updated.");
	}
	if (handler_dispatch(r))
		dispatch_poke(handler_dispatch(r));
	if (!changed)
		return on ? answer_message(r, 400, 400001, "Job is already working.")
		          : answer_message(r, 400, 400002, "Job is already stopped.");
	return answer_data(r, "succeeded");
}

static enum handled start(struct request *r, struct store_session *c)
{
	return turn(r, c, true);
}

static enum handled stop(struct request *r, struct store_session *c)
{
	return turn(r, c, false);
}

static enum handled is_working(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct scheduler s;
	int code = store_scheduler_get(c, &s, &err);

	if (code == OK)
		return answer_data(r, s.pacing.running ? "Working" : "Not Working");
	handler_store_error(r, "is working", code, &err);
	return HANDLED_DONE;
}

static const struct route job_rows[] = {
	PROFILE_ROUTE(GET, "/job-scheduler/messenger/start", start, SCHEDULER, NONE, WORKER, "startJob", "Job scheduler",
	              "Start sending", NULL, NULL, 200, "Done", "400 431 500 503"),
	PROFILE_ROUTE(GET, "/job-scheduler/messenger/stop", stop, SCHEDULER, NONE, WORKER, "stopJob", "Job scheduler",
	              "Stop sending", NULL, NULL, 200, "Done", "400 431 500 503"),
	PROFILE_ROUTE(GET, "/job-scheduler/messenger/is-working", is_working, SCHEDULER, NONE, WORKER, "isJobWorking",
	              "Job scheduler", "Whether the job works", NULL, NULL, 200, "Done", "431 500 503"),
	PROFILE_ROUTE(GET, "/job-scheduler/health", health, OPEN, NONE, INLINE, "getJobSchedulerHealth", "Health", "Health",
	              NULL, NULL, 200, "Text", "431"),
	PROFILE_EXPLORER("/job-scheduler/swagger"),
};

/* --- how it is configured --------------------------------------------------------------------------------- */

static const struct preset_value values[] = {
	{CONFIG_server_port, "3000"},
	{CONFIG_second_port, "3001"},
	{CONFIG_messages_url, "http://127.0.0.1:3000"},
	{CONFIG_api_max_body_bytes, "1MiB"},
	{CONFIG_message_send_interval, "120s"},
	{CONFIG_message_batch_size, "2"},
	{CONFIG_job_name, "messenger"},
	{CONFIG_message_order, "fifo"},
	{CONFIG_message_max_content_length, "1000"},
	{CONFIG_phone_pattern, "^[+]90[5-9][0-9]{9}$"},
	{CONFIG_invalid_messages, "park"},
	{CONFIG_webhook_success, "200"},
	{CONFIG_cache_key, "{id}"},
	{CONFIG_cache_value, "sent"},
	{CONFIG_cache_ttl, "30m"},
	{0},
};

static const struct preset_name file_names[] = {
	{.name = "mongo.connection_uri", .id = CONFIG_database_url},
	{.name = "redis.connection_uri", .id = CONFIG_redis_url},
	{.name = "messenger_api.host", .id = CONFIG_server_host},
	{.name = "messenger_api.port", .id = CONFIG_server_port, .min = 1, .max = 65535},
	{.name = "messenger_api.base_url", .id = CONFIG_messages_url},
	{.name = "messenger_api.webhook_url", .id = CONFIG_webhook_url},
	{.name = "job_scheduler.port", .id = CONFIG_second_port, .min = 1, .max = 65535},
	{.name = "job_scheduler.base_url", .id = CONFIG_scheduler_url},
	{.name = "job_scheduler.webhook_url", .id = CONFIG_webhook_url},
	{.name = "job_scheduler.messenger_job_interval_in_seconds", .id = CONFIG_message_send_interval,
	 .unit = USEC_PER_SEC, .min = 1, .max = 31536000, .what = "seconds"},
	{0},
};

static const struct preset_file file = {
	.paths = (const char *const[]){"config/*.json", "configs/*.json", "config.*.json", "*.json", NULL},
	.names = file_names,
	.select = "ENV",
	.select_default = "local",
	.select_allowed = "local test",
};

/* --- its collection ------------------------------------------------------------------------------------------ */

static const struct adopt_status statuses[] = {
	{"pending", MESSAGE_PENDING},
	{"sent", MESSAGE_SENT},
	{"failed", MESSAGE_FAILED},
	{"invalid", MESSAGE_INVALID},
	{0},
};

static const struct adopt_map collection = {
	.table = "messages",
	.columns = {[ADOPT_ID] = "_id", [ADOPT_PHONE] = "to", [ADOPT_CONTENT] = "content", [ADOPT_STATUS] = "status",
	            [ADOPT_CREATED_AT] = "created_at", [ADOPT_UPDATED_AT] = "updated_at", [ADOPT_SENT_AT] = "sent_at",
	            [ADOPT_FAILED_AT] = "failed_to_sent_at"},
	.statuses = statuses,
};

const struct profile profile_messenger = {
	.preset = {.name = "messenger", .values = values, .file = &file},
	.listeners = {
		{.rows = api_rows, .n = ARRAY_SIZE(api_rows), .roles = PROFILE_ROLES_API, .workers = true},
		{.rows = job_rows, .n = ARRAY_SIZE(job_rows), .second = true, .roles = PROFILE_ROLES_WORKER},
	},
	.listeners_n = 2,
	.open = true,
	.cors = true,
	.shape_error = shape_error,
	.title = "messenger",
	.summary = "The messenger API and its job scheduler; served by herald.",
	.schemas = schemas,
	.schemas_len = sizeof(schemas),
	.adopt = &collection,
};
