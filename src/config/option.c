#include "option.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "text.h"

const struct option options[CONFIG_COUNT] = {
#define OPTION(type_, field_, env_, yaml_, fallback_, ...)                                         \
	[CONFIG_##field_] = {.type = OPTION_##type_,                                               \
	                     .offset = offsetof(struct config, field_),                            \
	                     .env = env_,                                                          \
	                     .yaml = yaml_,                                                        \
	                     .fallback = fallback_,                                                \
	                     __VA_ARGS__},
#include "options.def"
};

const struct option_row option_rows[] = {
#define SECTION(name_, title_, intro_) {.section = name_, .title = title_, .intro = intro_},
#define OPTION(type_, field_, ...) {.id = CONFIG_##field_},
#include "options.def"
};
const size_t option_row_count = ARRAY_SIZE(option_rows);

bool option_flag_allowed(const struct option *o)
{
	return !o->secret || o == &options[CONFIG_client_api_key];
}

void option_flag(const struct option *o, bool alias, struct buf *out)
{
	const char *name = alias ? o->alias : o->env;

	if (!alias && o->flag) {
		buf_addstr(out, o->flag);
		return;
	}
	for (; *name; name++)
		buf_addch(out, *name == '_' ? '-' : (char)tolower((unsigned char)*name));
}

bool option_by_env(const char *name, enum config_id *ret, bool *ret_alias)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		bool alias = options[id].alias && text_equal(name, options[id].alias);

		if (alias || text_equal(name, options[id].env)) {
			*ret = (enum config_id)id;
			*ret_alias = alias;
			return true;
		}
	}
	return false;
}

bool option_by_yaml(const char *key, enum config_id *ret, bool *ret_alias)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		bool alias = options[id].alias_yaml && text_equal(key, options[id].alias_yaml);

		if (alias || (options[id].yaml && text_equal(key, options[id].yaml))) {
			*ret = (enum config_id)id;
			*ret_alias = alias;
			return true;
		}
	}
	return false;
}

bool option_by_flag(const char *name, enum config_id *ret, bool *ret_alias)
{
	struct buf flag = BUF_INIT;
	bool found = false;

	for (int id = 0; id < CONFIG_COUNT && !found; id++) {
		const struct option *o = &options[id];

		for (int alias = 0; alias <= (o->alias != NULL) && !found; alias++) {
			buf_clear(&flag);
			option_flag(o, alias, &flag);
			found = text_equal(name, flag.data) ||
			        (o->short_flag && text_equal(name, o->short_flag));
			if (found) {
				*ret = (enum config_id)id;
				*ret_alias = alias && !(o->short_flag && text_equal(name, o->short_flag));
			}
		}
	}
	buf_release(&flag);
	return found;
}

bool option_section_exists(const char *name)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].section && text_equal(option_rows[i].section, name))
			return true;
	return false;
}
