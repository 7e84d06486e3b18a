/* Options among the arguments of a command. */
#include <string.h>

#include "alloc.h"
#include "option.h"
#include "source.h"
#include "suggest.h"
#include "text.h"
#include "url.h"

struct args {
	struct config_sources *src;
	int in, out; /* next argument to read; next place to keep one */
};

static void keep(struct args *a, int count)
{
	for (; count > 0 && a->in < a->src->argc; count--)
		a->src->argv[a->out++] = a->src->argv[a->in++];
}

static const struct config_flag *command_flag(const struct config_sources *src, const char *name)
{
	for (const struct config_flag *f = src->command_flags; f && f->name; f++)
		if (text_equal(f->name, name))
			return f;
	return NULL;
}

static void add_unknown(const struct config_sources *src, const char *name, struct config_errors *errs)
{
	struct suggest s = SUGGEST_INIT(name);
	struct buf flag = BUF_INIT;

	for (const struct config_flag *f = src->command_flags; f && f->name; f++)
		suggest_offer(&s, f->name);
	for (int id = 0; id < CONFIG_COUNT; id++) {
		const struct option *o = &options[id];

		if (!option_flag_allowed(o))
			continue;
		if (o->short_flag)
			suggest_offer(&s, o->short_flag);
		for (int alias = 0; alias <= (o->alias != NULL); alias++) {
			buf_clear(&flag);
			option_flag(o, alias, &flag);
			suggest_offer(&s, flag.data);
		}
	}
	if (s.best[0])
		config_errors_add(errs, "--%.*s: unknown flag; did you mean --%s?", SUGGEST_NAME_MAX, name,
		                  s.best);
	else
		config_errors_add(errs, "--%.*s: unknown flag; see --help", SUGGEST_NAME_MAX, name);
	buf_release(&flag);
}

static void hide_part(char *value, struct url_part part)
{
	if (part.s)
		memset(value + (part.s - value), '*', part.len);
}

/* Overwrites what must not stay in the process title. */
static void hide(const struct option *o, char *value)
{
	size_t len = strlen(value);
	enum url_kind kind;
	struct url url;

	if (o->secret) {
		memset(value, '*', len);
		return;
	}
	if (o->type == OPTION_HTTP_URL)
		kind = URL_HTTP;
	else if (o->type == OPTION_DATABASE_URL)
		kind = URL_DATABASE;
	else if (o->type == OPTION_REDIS_URL)
		kind = URL_REDIS;
	else
		return;
	if (url_parse(value, len, kind, &url, NULL) != OK) {
		/* Unreadable as it is, it may still hold a password. */
		memset(value, '*', len);
		return;
	}
	hide_part(value, url.user);
	hide_part(value, url.password);
	hide_part(value, url.query);
}

/* a->in stands behind the flag; inline_value is what follows its "=", or NULL. */
static void take_option(struct settings *s, struct args *a, enum config_id id, bool alias, const char *name,
                        char *inline_value, struct config_errors *errs)
{
	const struct option *o = &options[id];
	char *value = inline_value;

	if (!value && o->type == OPTION_BOOL) {
		settings_add(s, id, alias, "true", 4, xasprintf("flag --%s", name));
		return;
	}
	/* No value of ours begins with "--": the next flag is not swallowed as one. */
	if (!value && a->in < a->src->argc && !text_starts_with(a->src->argv[a->in], "--"))
		value = a->src->argv[a->in++];
	if (!option_flag_allowed(o)) {
		config_errors_add(errs,
		                  "%s: a secret is not taken from the command line, which others can read "
		                  "(flag --%s); allowed: the environment, .env or the YAML file",
		                  o->env, name);
	} else if (!value) {
		config_errors_add(errs, "--%s: the value is missing", name);
	} else {
		settings_add(s, id, alias, value, strlen(value), xasprintf("flag --%s", name));
	}
	if (value)
		hide(o, value);
}

static void take_flag(struct settings *s, struct args *a, struct config_errors *errs)
{
	char *arg = a->src->argv[a->in];
	char *eq = strchr(arg, '=');
	char *name = xstrndup(arg + 2, eq ? (size_t)(eq - arg - 2) : strlen(arg + 2));
	const struct config_flag *own = command_flag(a->src, name);
	enum config_id id;
	bool alias;

	if (own) {
		keep(a, own->takes_value && !eq ? 2 : 1);
	} else if (option_by_flag(name, &id, &alias)) {
		a->in++;
		take_option(s, a, id, alias, name, eq ? eq + 1 : NULL, errs);
	} else if (text_starts_with(name, "no-") && option_by_flag(name + 3, &id, &alias) &&
	           options[id].type == OPTION_BOOL && !eq) {
		a->in++;
		settings_add(s, id, alias, "false", 5, xasprintf("flag --%s", name));
	} else {
		a->in++;
		add_unknown(a->src, name, errs);
	}
	free(name);
}

void source_flags(struct settings *s, struct config_sources *src, struct config_errors *errs)
{
	struct args a = {.src = src};

	if (src->argc <= 0)
		return;
	while (a.in < src->argc) {
		const char *arg = src->argv[a.in];

		if (text_equal(arg, "--"))
			keep(&a, src->argc - a.in);
		else if (text_starts_with(arg, "--"))
			take_flag(s, &a, errs);
		else
			keep(&a, 1);
	}
	src->argc = a.out;
	src->argv[a.out] = NULL;
}
