/* The commands that look at and steer the scheduler. */
#include <string.h>

#include "view.h"

#include "json_out.h"

int cmd_start(struct cli *c)
{
	const char *interval = cli_flag(c, "interval");
	struct buf body = BUF_INIT;
	struct json_out j = json_begin(&body);
	int64_t batch;
	double rate;
	usec_t unused;
	int result;

	if (interval && !duration_parse(interval, strlen(interval), &unused))
		return cli_usage(c, "--interval: must be a duration such as 500ms, 90s or 2m, or 0");
	if (!cli_flag_int(c, "batch-size", 1, 1000000, 0, &batch) ||
	    !cli_flag_double(c, "failure-rate", 0, 1, 0, &rate))
		return CLI_USAGE;
	json_open_object(&j);
	if (interval)
		json_kv_str(&j, "interval", interval);
	if (cli_flag(c, "batch-size"))
		json_kv_int(&j, "batchSize", batch);
	if (cli_flag(c, "failure-rate"))
		json_kv_double(&j, "failureRate", rate);
	json_end(&j);
	result = view_call(c, "POST", "/api/v1/scheduler/start", &body, view_object);
	buf_release(&body);
	return result;
}

int cmd_stop(struct cli *c)
{
	return view_call(c, "POST", "/api/v1/scheduler/stop", NULL, view_object);
}

int cmd_status(struct cli *c)
{
	return view_call(c, "GET", "/api/v1/scheduler/status", NULL, view_object);
}

/* Its answer is no envelope, and one that says "down" is an answer, too. */
int cmd_health(struct cli *c)
{
	struct api_answer answer = API_ANSWER_INIT;
	struct error err = ERROR_INIT;
	json_t *components, *component;
	const char *name;
	struct api *api;
	struct table t = TABLE_INIT;
	char scratch[32];
	int rc, result;

	if (!view_open(c, &api))
		return CLI_USAGE;
	rc = api_call(api, "GET", "/health", NULL, &answer, &err);
	components = json_object_get(answer.body, "components");
	if (!components) {
		if (rc == OK)
			rc = error_set(&err, ERR_PERMANENT, "%s/health is not the answer of herald", api_url(api));
		result = cli_fail(c, &err);
	} else if (c->json) {
		result = rc == OK ? CLI_DONE : CLI_FAILED;
		cli_print_json(answer.body);
	} else {
		result = rc == OK ? CLI_DONE : CLI_FAILED;
		table_column(&t, "", TABLE_LEFT);
		table_column(&t, "", TABLE_LEFT);
		table_cell(&t, "status");
		table_cell(&t, api_text(answer.body, "status", scratch));
		json_object_foreach(components, name, component) {
			table_cell(&t, name);
			table_cell(&t, api_text(component, "status", scratch));
		}
		table_write(&t, stdout, 0);
		table_release(&t);
	}
	api_answer_release(&answer);
	api_close(api);
	return result;
}

int cmd_run(struct cli *c)
{
	return view_call(c, "POST", "/api/v1/scheduler/run", NULL, view_object);
}

static void show_runs(const json_t *items)
{
	static const struct view_column columns[] = {
		{"RUN", "id", TABLE_RIGHT},           {"STARTED", "startedAt", TABLE_LEFT},
		{"CLAIMED", "claimed", TABLE_RIGHT},  {"SENT", "sent", TABLE_RIGHT},
		{"FAILED", "failed", TABLE_RIGHT},    {"RETRIED", "retried", TABLE_RIGHT},
		{"LAST ID", "lastMessageId", TABLE_RIGHT}, {"NODE", "node", TABLE_FLEX},
	};

	view_rows(items, columns, ARRAY_SIZE(columns));
}

int cmd_runs(struct cli *c)
{
	int64_t limit;

	if (!cli_flag_int(c, "limit", 1, 10000, 20, &limit))
		return CLI_USAGE;
	return view_list(c, "/api/v1/scheduler/runs", NULL, limit, show_runs);
}

static void show_jobs(const json_t *items)
{
	static const struct view_column columns[] = {
		{"JOB", "id", TABLE_RIGHT},           {"NAME", "name", TABLE_LEFT},
		{"STARTED", "startedAt", TABLE_LEFT}, {"FINISHED", "finishedAt", TABLE_LEFT},
		{"TAKEN", "lastOffset", TABLE_RIGHT},
	};

	view_rows(items, columns, ARRAY_SIZE(columns));
}

int cmd_jobs(struct cli *c)
{
	int64_t limit;

	if (!cli_flag_int(c, "limit", 1, 10000, 20, &limit))
		return CLI_USAGE;
	return view_list(c, "/api/v1/scheduler/jobs", NULL, limit, show_jobs);
}

static void show_nodes(const json_t *items)
{
	static const struct view_column columns[] = {
		{"NODE", "id", TABLE_FLEX},        {"STATUS", "status", TABLE_LEFT},
		{"ROLE", "role", TABLE_LEFT},      {"VERSION", "version", TABLE_LEFT},
		{"IN FLIGHT", "inFlight", TABLE_RIGHT}, {"STARTED", "startedAt", TABLE_LEFT},
		{"LAST SEEN", "lastSeenAt", TABLE_LEFT}, {"BOOT", "bootId", TABLE_LEFT},
	};

	view_rows(items, columns, ARRAY_SIZE(columns));
}

int cmd_nodes(struct cli *c)
{
	return view_call(c, "GET", "/api/v1/nodes", NULL, show_nodes);
}
