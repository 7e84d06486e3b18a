/*
 * A whole load from hostile sources. The input is cut at lines of "%%" into a YAML file, a .env file,
 * arguments (one per line) and environment (one per line). Whatever loads must be consistent, must
 * survive being written and read again, and must not show a secret.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "option.h"
#include "source.h"
#include "source_preset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 64

/* Another system's names, with each thing that a name may ask for. */
static const struct preset_name env_names[] = {
	{.name = "PORT", .id = CONFIG_server_port},
	{.name = "TICKER_PERIOD", .id = CONFIG_message_send_interval, .unit = USEC_PER_SEC},
	{.name = "MYSQL_HOST", .id = CONFIG_db_host, .host_port = true, .port = CONFIG_db_port},
	{.name = "APP_NAME", .id = PRESET_IGNORED},
	{0},
};
static const struct preset_name file_names[] = {
	{.name = "scheduler.interval", .id = CONFIG_message_send_interval, .unit = USEC_PER_SEC, .min = 5,
	 .max = 300, .what = "seconds"},
	{.name = "sender.address", .id = CONFIG_webhook_url},
	{.name = "database.password", .id = CONFIG_db_password},
	{.name = "mongo.connection_uri", .id = CONFIG_database_url, .prefix = ""},
	{0},
};
static const struct preset_file theirs = {.names = file_names};
static const struct config_preset preset = {
	.name = "other",
	.values = (const struct preset_value[]){{CONFIG_db_driver, "postgres"}, {CONFIG_max_attempts, "1"}, {0}},
	.env = env_names,
	.file = &theirs,
};

struct text {
	char *s; /* with a NUL behind it */
	size_t len;
};

static struct text next_piece(const char **data, size_t *size)
{
	const char *cut = memmem(*data, *size, "\n%%\n", 4);
	size_t len = cut ? (size_t)(cut - *data) + 1 : *size;
	size_t skip = cut ? len + 3 : len;
	struct text piece = {.s = xmalloc(len + 1), .len = len};

	memcpy(piece.s, *data, len);
	piece.s[len] = '\0';
	*data += skip;
	*size -= skip;
	return piece;
}

/* Cuts the text at its line ends, in place. */
static int split_lines(struct text text, char **lines)
{
	int n = 0;

	for (char *s = text.s; *s && n < LINES_MAX;) {
		char *end = s + strcspn(s, "\n");

		lines[n++] = s;
		s = *end ? end + 1 : end;
		*end = '\0';
	}
	lines[n] = NULL;
	return n;
}

static void check_round_trip(const struct config *cfg)
{
	struct config again = {0};
	struct buf first = BUF_INIT, second = BUF_INIT;

	for (int id = 0; id < CONFIG_COUNT; id++) {
		const struct option *o = &options[id];

		buf_clear(&first);
		buf_clear(&second);
		option_format(o, cfg, &first);
		/* Effective values are no longer bound to the range of what may be set. */
		if (id != CONFIG_client_url && option_parse(o, &again, first.data, first.len, 0, NULL) != OK)
			abort();
		if (id == CONFIG_client_url)
			continue;
		option_format(o, &again, &second);
		if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
			abort();
	}
	config_release(&again);
	buf_release(&first);
	buf_release(&second);
}

static void check_loaded(const struct config *cfg)
{
	struct buf out = BUF_INIT;

	if (cfg->lease_duration <= cfg->webhook_timeout + 10 * USEC_PER_SEC || cfg->shutdown_timeout <= 0)
		abort();
	if (!cfg->node_id[0] || !cfg->database_url[0] || cfg->retry_backoff.n == 0)
		abort();
	if (cfg->alert_iteration_count > 0 && !cfg->alert_webhook_url[0])
		abort();
	check_round_trip(cfg);
	config_print(cfg, &out, false);
	config_print(cfg, &out, true);
	for (int id = 0; id < CONFIG_COUNT; id++) {
		buf_clear(&out);
		option_show(&options[id], cfg, &out);
		if (options[id].secret && out.len > 0 && strcmp(out.data, OPTION_MASK) != 0)
			abort();
	}
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data;
	struct text yaml_text = next_piece(&rest, &size), dotenv_text = next_piece(&rest, &size);
	struct text flag_text = next_piece(&rest, &size), env_text = next_piece(&rest, &size);
	static const struct config_flag own[] = {{"json", false}, {"count", true}, {NULL, false}};
	struct settings layers[LAYER_COUNT] = {{0}};
	struct config_errors errs = CONFIG_ERRORS_INIT;
	char *argv[LINES_MAX + 1], *environment[LINES_MAX + 1];
	struct config_sources src = {.argv = argv, .command_flags = own};
	struct config cfg;

	src.argc = split_lines(flag_text, argv);
	(void)split_lines(env_text, environment);
	source_flags(&layers[LAYER_FLAG], &src, &errs);
	source_environ(&layers[LAYER_ENVIRON], &preset, environment, &errs);
	source_dotenv(&layers[LAYER_DOTENV], &preset, ".env", dotenv_text.s, dotenv_text.len, &errs);
	source_preset_values(&layers[LAYER_PRESET], &preset);
	source_preset_text(&layers[LAYER_PRESET_FILE], &preset, "theirs", yaml_text.len && yaml_text.s[0] == '{',
	                   yaml_text.s, yaml_text.len, &errs);
	source_yaml(&layers[LAYER_YAML], "herald.yaml", yaml_text.s, yaml_text.len, &errs);
	if (config_apply(&cfg, layers, "host", &errs) == OK) {
		check_loaded(&cfg);
		config_release(&cfg);
	} else if (errs.n == 0) {
		abort();
	}
	for (size_t i = 0; i < errs.n; i++)
		if (strpbrk(errs.line[i], "\n\r\x1b"))
			abort();
	config_errors_release(&errs);
	for (int layer = 0; layer < LAYER_COUNT; layer++)
		settings_release(&layers[layer]);
	free(yaml_text.s);
	free(dotenv_text.s);
	free(flag_text.s);
	free(env_text.s);
	return 0;
}
