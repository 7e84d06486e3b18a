/* The commands that need no running server. */
#include <curl/curl.h>
#include <string.h>

#include "view.h"

#include "json_out.h"
#include "text.h"

static int missing(const struct cli *c)
{
	cli_report(c, "this build cannot do that");
	return CLI_FAILED;
}

static int check_serve(const struct cli *c)
{
	struct config_errors errors = CONFIG_ERRORS_INIT;
	int code = config_check_serve(&c->cfg, &errors);

	cli_report_config(c, &errors);
	config_errors_release(&errors);
	return code == OK ? CLI_DONE : CLI_USAGE;
}

int cmd_serve(struct cli *c)
{
	int result = check_serve(c);

	if (result != CLI_DONE)
		return result;
	return c->host->serve ? c->host->serve(&c->cfg) : missing(c);
}

int cmd_migrate(struct cli *c)
{
	struct cli_migration m = {{0}};
	struct error err = ERROR_INIT;
	struct buf text = BUF_INIT;
	struct json_out j = json_begin(&text);

	if (!c->host->migrate)
		return missing(c);
	if (c->host->migrate(&c->cfg, &m, &err) != OK) {
		cli_fail(c, &err);
		return err.code == ERR_CONFIG ? CLI_USAGE : CLI_FAILED;
	}
	if (c->json) {
		json_open_object(&j);
		json_kv_str(&j, "store", m.store);
		json_kv_int(&j, "found", m.found);
		json_kv_int(&j, "current", m.current);
		json_end(&j);
		printf("%s\n", text.data);
	} else if (m.found == m.current) {
		printf("%s: schema is current (version %d)\n", m.store, m.current);
	} else if (m.found) {
		printf("%s: schema updated from version %d to %d\n", m.store, m.found, m.current);
	} else {
		printf("%s: schema created (version %d)\n", m.store, m.current);
	}
	buf_release(&text);
	return CLI_DONE;
}

int cmd_config(struct cli *c)
{
	struct buf text = BUF_INIT;
	int result = CLI_DONE;

	if (text_equal(c->argv[0], "print")) {
		config_print(&c->cfg, &text, c->json);
	} else if (text_equal(c->argv[0], "check")) {
		result = check_serve(c);
		if (result == CLI_DONE)
			buf_addstr(&text, c->json ? "{\"valid\": true}\n" : "the configuration is valid\n");
	} else if (text_equal(c->argv[0], "sample")) {
		config_sample(&text);
	} else if (text_equal(c->argv[0], "docs")) {
		config_docs(&text);
	} else {
		result = cli_usage(c, "\"%s\" is none of print, check, sample and docs", c->argv[0]);
	}
	fputs(text.data, stdout);
	if (text.len && text.data[text.len - 1] != '\n')
		putchar('\n');
	buf_release(&text);
	return result;
}

/* The server's document has no envelope around it. */
static int openapi_of_server(struct cli *c)
{
	struct api_answer answer = API_ANSWER_INIT;
	struct error err = ERROR_INIT;
	struct api *api;
	int result = CLI_DONE;

	if (!view_open(c, &api))
		return CLI_USAGE;
	if (api_call(api, "GET", "/openapi.json", NULL, &answer, &err) == OK)
		cli_print_json(answer.body);
	else
		result = cli_fail(c, &err);
	api_answer_release(&answer);
	api_close(api);
	return result;
}

int cmd_openapi(struct cli *c)
{
	struct buf text = BUF_INIT;
	struct error err = ERROR_INIT;
	int result = CLI_DONE;

	if (!text_starts_with(c->cfg.origin[CONFIG_client_url], "default") || !c->host->openapi)
		return openapi_of_server(c);
	if (c->host->openapi(&c->cfg, &text, &err) == OK)
		printf("%s%s", text.data, text.len && text.data[text.len - 1] == '\n' ? "" : "\n");
	else
		result = cli_fail(c, &err);
	buf_release(&text);
	return result;
}

int cmd_version(struct cli *c)
{
	json_t *json;

	if (!c->json) {
		puts("herald " HERALD_VERSION);
		return CLI_DONE;
	}
	json = json_pack("{s:s, s:s, s:s}", "herald", HERALD_VERSION, "libcurl",
	                 curl_version_info(CURLVERSION_NOW)->version, "jansson", jansson_version_str());
	cli_print_json(json);
	json_decref(json);
	return CLI_DONE;
}
