/* The commands that concern one message, or all by number. */
#include <string.h>
#include <unistd.h>

#include "view.h"

#include "alloc.h"
#include "clean.h"
#include "json_out.h"
#include "message.h"
#include "message_uuid.h"
#include "text.h"

#define STDIN_MAX ((size_t)1 << 20)

/* --- send ----------------------------------------------------------------------------------------------- */

static int read_stdin(struct buf *out, struct error *err)
{
	char chunk[8192];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
		if (out->len + n > STDIN_MAX)
			return error_set(err, ERR_INVALID, "standard input is longer than 1 MiB");
		buf_add(out, chunk, n);
	}
	if (ferror(stdin))
		return error_set(err, ERR_INVALID, "standard input cannot be read");
	/* The line end that echo and editors put behind a text is not part of it. */
	if (out->len && out->data[out->len - 1] == '\n')
		buf_truncate(out, out->len - 1);
	return OK;
}

static int send_body(const struct cli *c, struct buf *body, struct error *err)
{
	const char *metadata = cli_flag(c, "metadata");
	struct buf text = BUF_INIT;
	struct json_out j = json_begin(body);
	json_t *object;

	if (strcmp(c->argv[1], "-") == 0) {
		if (read_stdin(&text, err) != OK) {
			buf_release(&text);
			return err->code;
		}
	} else {
		buf_addstr(&text, c->argv[1]);
	}
	json_open_object(&j);
	json_kv_str(&j, "phoneNumber", c->argv[0]);
	json_key(&j, "content");
	json_strn(&j, text.data, text.len);
	buf_release(&text);
	if (cli_flag(c, "at"))
		json_kv_str(&j, "sendAt", cli_flag(c, "at"));
	if (cli_flag(c, "idempotency-key"))
		json_kv_str(&j, "idempotencyKey", cli_flag(c, "idempotency-key"));
	if (metadata) {
		object = json_loads(metadata, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_object(object)) {
			json_decref(object);
			return error_set(err, ERR_INVALID, "--metadata: must be a JSON object such as "
			                                   "{\"order\": 7}");
		}
		json_decref(object);
		json_key(&j, "metadata");
		json_raw(&j, metadata, strlen(metadata));
	}
	json_end(&j);
	return OK;
}

static bool has_ended(const json_t *message)
{
	const char *status = json_string_value(json_object_get(message, "status"));
	enum message_status s;

	return status && message_status_parse(status, &s) && s != MESSAGE_PENDING && s != MESSAGE_SENDING;
}

/* Asks for the message until it has ended. */
static int wait_for_end(struct api *api, struct api_answer *answer, usec_t timeout, struct error *err)
{
	usec_t end = clock_mono() + timeout, pause = 100 * USEC_PER_MSEC;
	char path[80], scratch[32], id[MESSAGE_UUID_TEXT];
	int code;

	snprintf(id, sizeof(id), "%s", api_text(answer->data, "id", scratch));
	snprintf(path, sizeof(path), "/api/v1/messages/%s", id);
	while (!has_ended(answer->data)) {
		if (clock_mono() >= end)
			return error_set(err, ERR_TRANSIENT, "message %s has not ended yet; `herald get %s` tells later",
			                 id, id);
		usleep((useconds_t)pause);
		pause = MIN_OF(pause * 2, USEC_PER_SEC);
		api_answer_release(answer);
		code = api_call(api, "GET", path, NULL, answer, err);
		if (code != OK)
			return code;
	}
	return OK;
}

static int send_message(struct cli *c, struct api *api, const struct buf *body, usec_t timeout)
{
	struct api_answer answer = API_ANSWER_INIT;
	struct error err = ERROR_INIT;
	int result = CLI_DONE, code;

	code = api_call(api, "POST", "/api/v1/messages", body, &answer, &err);
	if (code == OK && cli_flag(c, "wait"))
		code = wait_for_end(api, &answer, timeout, &err);
	if (code != OK) {
		result = cli_fail(c, &err);
	} else {
		if (c->json)
			cli_print_json(answer.data);
		else
			view_object(answer.data);
		if (cli_flag(c, "wait") && !text_equal(json_string_value(json_object_get(answer.data, "status")),
		                                       "sent"))
			result = CLI_FAILED;
	}
	api_answer_release(&answer);
	return result;
}

int cmd_send(struct cli *c)
{
	const char *timeout = cli_flag(c, "timeout");
	usec_t wait = 5 * USEC_PER_MINUTE;
	struct buf body = BUF_INIT;
	struct error err = ERROR_INIT;
	struct api *api;
	int result;

	if (timeout && !duration_parse(timeout, strlen(timeout), &wait))
		return cli_usage(c, "--timeout: must be a duration such as 30s or 5m");
	if (send_body(c, &body, &err) != OK) {
		cli_fail(c, &err);
		result = CLI_USAGE;
	} else if (!view_open(c, &api)) {
		result = CLI_USAGE;
	} else {
		result = send_message(c, api, &body, wait);
		api_close(api);
	}
	buf_release(&body);
	return result;
}

/* --- by id ---------------------------------------------------------------------------------------------- */

static int by_id(struct cli *c, const char *method, const char *tail, void (*show)(const json_t *data))
{
	char path[80];
	int64_t id;

	if (!view_id(c, c->argv[0], &id))
		return CLI_USAGE;
	snprintf(path, sizeof(path), "/api/v1/messages/%lld%s", (long long)id, tail);
	return view_call(c, method, path, NULL, show);
}

int cmd_get(struct cli *c)
{
	return by_id(c, "GET", "", view_object);
}

static void show_explanation(const json_t *data)
{
	const json_t *sentences = json_object_get(data, "sentences"), *actions = json_object_get(data, "actions");
	struct buf line = BUF_INIT;
	char scratch[32];

	printf("message %s is ", api_text(data, "id", scratch));
	printf("%s\n", api_text(data, "status", scratch));
	for (size_t i = 0; i < json_array_size(sentences); i++) {
		const json_t *s = json_array_get(sentences, i);

		/* It may quote the receiver. */
		buf_clear(&line);
		clean_text(&line, json_string_value(s), json_string_length(s));
		printf("  %s\n", line.data);
	}
	buf_release(&line);
	for (size_t i = 0; i < json_array_size(actions); i++)
		printf("%s %s\n", i ? "        " : "you can:", api_text(json_array_get(actions, i), "text", scratch));
}

int cmd_explain(struct cli *c)
{
	return by_id(c, "GET", "/explain", show_explanation);
}

int cmd_cancel(struct cli *c)
{
	return by_id(c, "DELETE", "", view_object);
}

static void show_attempts(const json_t *items)
{
	static const struct view_column columns[] = {
		{"TRY", "attempt", TABLE_RIGHT}, {"STARTED", "startedAt", TABLE_LEFT},
		{"MS", "durationMs", TABLE_RIGHT}, {"STATUS", "status", TABLE_LEFT},
		{"HTTP", "httpStatus", TABLE_RIGHT}, {"RUN", "run", TABLE_RIGHT},
		{"NODE", "node", TABLE_LEFT},    {"ERROR", "error", TABLE_FLEX},
	};

	view_rows(items, columns, ARRAY_SIZE(columns));
}

int cmd_attempts(struct cli *c)
{
	return by_id(c, "GET", "/attempts", show_attempts);
}

static void show_replayed(const json_t *data)
{
	char scratch[32];

	printf("replayed %s\n", api_text(data, "replayed", scratch));
}

int cmd_replay(struct cli *c)
{
	if (!cli_flag(c, "all") == !c->argc)
		return cli_usage(c, "name either one message id or --all");
	if (c->argc)
		return by_id(c, "POST", "/replay", show_replayed);
	return view_call(c, "POST", "/api/v1/messages/replay/all", NULL, show_replayed);
}

int cmd_stats(struct cli *c)
{
	return view_call(c, "GET", "/api/v1/messages/stats", NULL, view_counts);
}
