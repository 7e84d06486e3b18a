/* The sources with names that other programs may share: the environment and .env; and the YAML file,
 * which is ours alone. */
#include <string.h>

#include "alloc.h"
#include "dotenv.h"
#include "option.h"
#include "source.h"
#include "source_preset.h"
#include "suggest.h"
#include "text.h"
#include "yaml_file.h"

/* Shorter names are too easily near one another by chance. */
#define NEAR_MISS_MIN 8
#define NEAR_MISS_DISTANCE 2

struct context {
	struct settings *settings;
	const struct config_preset *preset;
	const char *file;
	struct config_errors *errs;
};

void settings_add(struct settings *s, enum config_id id, bool alias, const char *text, size_t len,
                  char *origin)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->at = xreallocarray(s->at, s->cap, sizeof(*s->at));
	}
	s->at[s->n++] = (struct setting){
		.id = id, .alias = alias, .text = xstrndup(text, len), .len = len, .origin = origin};
}

void settings_release(struct settings *s)
{
	for (size_t i = 0; i < s->n; i++) {
		explicit_bzero(s->at[i].text, s->at[i].len);
		free(s->at[i].text);
		free(s->at[i].origin);
	}
	free(s->at);
	*s = (struct settings){0};
}

static void offer_env_names(struct suggest *s)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		suggest_offer(s, options[id].env);
		if (options[id].alias)
			suggest_offer(s, options[id].alias);
	}
}

static void add_unknown(struct config_errors *errs, const char *name, const char *origin,
                        const struct suggest *s)
{
	if (s->best[0])
		config_errors_add(errs, "%.*s: unknown key (%s); did you mean %s?", SUGGEST_NAME_MAX, name,
		                  origin, s->best);
	else
		config_errors_add(errs, "%.*s: unknown key (%s); see `herald config print` for all keys",
		                  SUGGEST_NAME_MAX, name, origin);
}

static void add_unknown_env(struct config_errors *errs, const char *name, const char *origin)
{
	struct suggest s = SUGGEST_INIT(name);

	offer_env_names(&s);
	/* HERALD_LOG_LEVEL is LOG_LEVEL, with the prefix that other programs ask for. */
	if (!s.best[0] && text_starts_with(name, "HERALD_")) {
		s.wanted = name + strlen("HERALD_");
		offer_env_names(&s);
	}
	add_unknown(errs, name, origin, &s);
}

/* YAML */

static char *yaml_origin(const struct context *c, size_t line)
{
	return xasprintf("%s:%zu", c->file, line);
}

static void yaml_unknown(struct context *c, size_t line, const char *section, const char *key,
                         const char *path)
{
	char *origin = yaml_origin(c, line);
	struct suggest s = SUGGEST_INIT(path);

	if (!section && option_section_exists(key)) {
		config_errors_add(c->errs, "%s: is a section (%s); its keys go below it, indented", key, origin);
	} else {
		for (int id = 0; id < CONFIG_COUNT; id++) {
			if (options[id].yaml)
				suggest_offer(&s, options[id].yaml);
			if (options[id].alias_yaml)
				suggest_offer(&s, options[id].alias_yaml);
		}
		if (!section)
			offer_env_names(&s);
		add_unknown(c->errs, path, origin, &s);
	}
	free(origin);
}

static void yaml_pair(void *arg, size_t line, const char *section, const char *key, const char *value)
{
	struct context *c = arg;
	char *path = section ? xasprintf("%s.%s", section, key) : xstrdup(key);
	enum config_id id;
	bool alias;

	if (section ? option_by_yaml(path, &id, &alias)
	            : option_by_env(key, &id, &alias) && options[id].yaml)
		settings_add(c->settings, id, alias, value, strlen(value), yaml_origin(c, line));
	else if (!(value[0] == '\0' && !section && option_section_exists(key))) /* an empty section */
		yaml_unknown(c, line, section, key, path);
	free(path);
}

static void yaml_section(void *arg, size_t line, const char *name)
{
	struct context *c = arg;
	struct suggest s = SUGGEST_INIT(name);
	char *origin;

	if (option_section_exists(name))
		return;
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].section)
			suggest_offer(&s, option_rows[i].section);
	origin = yaml_origin(c, line);
	add_unknown(c->errs, name, origin, &s);
	free(origin);
}

static void file_error(void *arg, size_t line, const char *what)
{
	struct context *c = arg;

	config_errors_add(c->errs, "%s:%zu: %s", c->file, line, what);
}

void source_yaml(struct settings *s, const char *file, const char *text, size_t len,
                 struct config_errors *errs)
{
	struct context c = {.settings = s, .file = file, .errs = errs};
	const struct yaml_handler h = {
		.pair = yaml_pair, .section = yaml_section, .error = file_error, .arg = &c};

	yaml_file_parse(text, len, &h);
}

/* .env */

static bool near_miss(const char *name)
{
	size_t len = strlen(name);

	for (int id = 0; id < CONFIG_COUNT && len >= NEAR_MISS_MIN; id++) {
		const char *known[2] = {options[id].env, options[id].alias};

		for (int i = 0; i < 2; i++) {
			size_t n = known[i] ? strlen(known[i]) : 0;

			if (n >= NEAR_MISS_MIN && MAX_OF(n, len) - MIN_OF(n, len) <= NEAR_MISS_DISTANCE &&
			    edit_distance(name, known[i]) <= NEAR_MISS_DISTANCE)
				return true;
		}
	}
	return false;
}

static void dotenv_pair(void *arg, size_t line, const char *name, const char *value, size_t value_len)
{
	struct context *c = arg;
	char *origin = xasprintf("%s:%zu", c->file, line);
	const struct preset_name *foreign = preset_env_name(c->preset, name);
	enum config_id id;
	bool alias;

	if (foreign) {
		source_preset_pair(c->settings, foreign, value ? value : "", origin, c->errs);
		return;
	}
	if (option_by_env(name, &id, &alias)) {
		if (value) {
			settings_add(c->settings, id, alias, value, value_len, origin);
			return;
		}
		config_errors_add(c->errs, "%s: has no value (%s); write NAME=value", name, origin);
	} else if (text_starts_with(name, "HERALD_") || near_miss(name)) {
		add_unknown_env(c->errs, name, origin);
	}
	free(origin);
}

void source_dotenv(struct settings *s, const struct config_preset *p, const char *file, const char *text,
                   size_t len, struct config_errors *errs)
{
	struct context c = {.settings = s, .preset = p, .file = file, .errs = errs};
	const struct dotenv_handler h = {.pair = dotenv_pair, .error = file_error, .arg = &c};

	dotenv_parse(text, len, &h);
}

/* The environment */

/* Kubernetes gives every pod such variables for a service named "herald"; refusing them would keep it
 * from starting there. */
static bool is_service_link(const char *name, const char *value)
{
	return text_starts_with(name, "HERALD_SERVICE_") ||
	       (text_starts_with(name, "HERALD_PORT_") && name[12] >= '0' && name[12] <= '9') ||
	       (text_equal(name, "HERALD_PORT") && strstr(value, "://"));
}

void source_environ(struct settings *s, const struct config_preset *p, char *const *env,
                    struct config_errors *errs)
{
	for (; env && *env; env++) {
		const char *eq = strchr(*env, '=');
		const struct preset_name *foreign;
		enum config_id id;
		bool alias;
		char *name;

		if (!eq || eq - *env > SUGGEST_NAME_MAX)
			continue;
		name = xstrndup(*env, (size_t)(eq - *env));
		foreign = preset_env_name(p, name);
		if (foreign) {
			source_preset_pair(s, foreign, eq + 1, xasprintf("env %s", name), errs);
		} else if (option_by_env(name, &id, &alias)) {
			settings_add(s, id, alias, eq + 1, strlen(eq + 1), xasprintf("env %s", name));
		} else if (text_starts_with(name, "HERALD_") && !is_service_link(name, eq + 1)) {
			char *origin = xasprintf("env %s", name);

			add_unknown_env(errs, name, origin);
			free(origin);
		}
		free(name);
	}
}
