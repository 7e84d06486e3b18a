#include "source_preset.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "option.h"
#include "suggest.h"
#include "text.h"
#include "yaml_file.h"

#define DEPTH_MAX 8
/* Keys that herald does not know may be there for others; one that is nearly a known one is a slip. Of short words
 * ("host", "port") two letters are half. */
#define NEAR_MISS_DISTANCE 2
#define SHORT_WORD 6

const struct config_preset *preset_find(const struct config_preset *const *presets, const char *name)
{
	for (; presets && *presets; presets++)
		if (text_equal((*presets)->name, name))
			return *presets;
	return NULL;
}

static const struct preset_name *find_name(const struct preset_name *names, const char *name)
{
	for (; names && names->name; names++)
		if (text_equal(names->name, name))
			return names;
	return NULL;
}

const struct preset_name *preset_env_name(const struct config_preset *p, const char *name)
{
	return p ? find_name(p->env, name) : NULL;
}

void source_preset_values(struct settings *s, const struct config_preset *p)
{
	for (const struct preset_value *v = p->values; v && v->text; v++)
		settings_add(s, v->id, false, v->text, strlen(v->text), xasprintf("profile %s", p->name));
}

/* Whether the text is within the bounds that the other system sets; complains when not. */
static bool check_range(const struct preset_name *n, const char *text, const char *origin,
                        struct config_errors *errs)
{
	const struct option *o = &options[n->id];
	const char *fault = "is out of range", *quote = o->secret ? "" : "\"";
	int64_t v;

	if (!n->max || text_to_i64(text, strlen(text), n->min, n->max, &v))
		return true;
	if (!text_to_i64(text, strlen(text), INT64_MIN, INT64_MAX, &v))
		fault = "is not a whole number";
	config_errors_add(errs, "%s: %s%.*s%s %s (%s); allowed: %lld to %lld%s%s", n->name, quote,
	                  o->secret ? 0 : 64, text, quote, fault, origin, (long long)n->min, (long long)n->max,
	                  n->what ? " " : "", n->what ? n->what : "");
	return false;
}

/* HOST:PORT, [ADDRESS]:PORT, or just a host: where the host ends; *ret_port is what follows, or NULL. */
static size_t split_host_port(const char **host, const char **ret_port)
{
	const char *colon = strrchr(*host, ':');

	*ret_port = NULL;
	if (**host == '[') {
		const char *end = strchr(*host, ']');

		if (end && (end[1] == ':' || !end[1])) {
			*host += 1;
			*ret_port = end[1] ? end + 2 : NULL;
			return (size_t)(end - *host);
		}
	}
	if (!colon || strchr(*host, ':') != colon)
		return strlen(*host); /* an IPv6 address holds several */
	*ret_port = colon + 1;
	return (size_t)(colon - *host);
}

static void add(struct settings *s, const struct preset_name *n, enum config_id id, const char *text, size_t len,
                const char *origin)
{
	struct buf whole = BUF_INIT;

	if (n->prefix && len)
		buf_addstr(&whole, n->prefix);
	buf_add(&whole, text, len);
	settings_add(s, id, false, whole.data, whole.len, xstrdup(origin));
	s->at[s->n - 1].name = n->name;
	s->at[s->n - 1].unit = n->unit;
	explicit_bzero(whole.data, whole.len);
	buf_release(&whole);
}

void source_preset_pair(struct settings *s, const struct preset_name *n, const char *text, char *origin,
                        struct config_errors *errs)
{
	const char *port = NULL;
	size_t len = strlen(text);

	/* Empty is not set, so that the profile's default stays; but a password may be empty. */
	if (n->id != PRESET_IGNORED && (len ? check_range(n, text, origin, errs) : options[n->id].secret)) {
		if (n->host_port)
			len = split_host_port(&text, &port);
		add(s, n, n->id, text, len, origin);
		if (port)
			add(s, n, n->port, port, strlen(port), origin);
	}
	free(origin);
}

/* --- its file ---------------------------------------------------------------------------------------- */

struct context {
	struct settings *settings;
	const struct preset_name *names;
	const char *file;
	struct config_errors *errs;
};

static bool is_slip(const struct suggest *s)
{
	const char *dot = strrchr(s->best, '.'), *word = dot ? dot + 1 : s->best;

	return *word && s->distance <= (strlen(word) < SHORT_WORD ? 1 : NEAR_MISS_DISTANCE);
}

static void take_pair(const struct context *c, const char *path, const char *text, char *origin)
{
	const struct preset_name *n = find_name(c->names, path);
	struct suggest s = SUGGEST_INIT(path);

	if (n) {
		source_preset_pair(c->settings, n, text, origin, c->errs);
		return;
	}
	for (n = c->names; n->name; n++)
		suggest_offer(&s, n->name);
	if (is_slip(&s))
		config_errors_add(c->errs, "%.*s: unknown key (%s); did you mean %s?", SUGGEST_NAME_MAX, path, origin,
		                  s.best);
	free(origin);
}

static void yaml_pair(void *arg, size_t line, const char *section, const char *key, const char *value)
{
	const struct context *c = arg;
	char *path = section ? xasprintf("%s.%s", section, key) : xstrdup(key);

	take_pair(c, path, value, xasprintf("%s:%zu", c->file, line));
	free(path);
}

static void yaml_section(void *arg maybe_unused, size_t line maybe_unused, const char *name maybe_unused)
{
}

static void yaml_error(void *arg, size_t line, const char *what)
{
	const struct context *c = arg;

	config_errors_add(c->errs, "%s:%zu: %s", c->file, line, what);
}

/* The text that the value would have in a YAML file; false for null and what is no plain value. */
static bool json_text(const json_t *v, struct buf *out)
{
	if (json_is_string(v))
		buf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v))
		buf_addi64(out, json_integer_value(v));
	else if (json_is_real(v))
		buf_addf(out, "%.15g", json_real_value(v));
	else if (json_is_boolean(v))
		buf_addstr(out, json_is_true(v) ? "true" : "false");
	else
		return false;
	return true;
}

static void walk(const struct context *c, const json_t *object, struct buf *path, int depth)
{
	const size_t before = path->len;
	struct buf text = BUF_INIT;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		buf_truncate(path, before);
		if (before)
			buf_addch(path, '.');
		buf_addstr(path, key);
		buf_clear(&text);
		if (json_is_object(v) && depth < DEPTH_MAX)
			walk(c, v, path, depth + 1);
		else if (json_text(v, &text))
			take_pair(c, path->data, text.data, xstrdup(c->file));
		else if (!json_is_null(v) && find_name(c->names, path->data))
			config_errors_add(c->errs, "%s: is not a plain value (%s)", path->data, c->file);
	}
	explicit_bzero(text.data, text.len);
	buf_release(&text);
}

static void read_json(const struct context *c, const char *text, size_t len)
{
	struct buf path = BUF_INIT;
	json_error_t e;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

	/* jansson's text may quote the file, and with it a password. */
	if (!doc)
		config_errors_add(c->errs, "%s:%d: is not valid JSON (column %d)", c->file, MAX_OF(e.line, 1),
		                  MAX_OF(e.column, 0));
	else if (!json_is_object(doc))
		config_errors_add(c->errs, "%s: is not an object of keys and values", c->file);
	else
		walk(c, doc, &path, 0);
	json_decref(doc);
	buf_release(&path);
}

void source_preset_text(struct settings *s, const struct config_preset *p, const char *file, bool json,
                        const char *text, size_t len, struct config_errors *errs)
{
	struct context c = {.settings = s, .names = p->file->names, .file = file, .errs = errs};
	const struct yaml_handler h = {
		.pair = yaml_pair, .section = yaml_section, .error = yaml_error, .arg = &c};

	if (json)
		read_json(&c, text, len);
	else
		yaml_file_parse(text, len, &h);
}
