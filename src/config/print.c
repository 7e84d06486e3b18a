/* What `herald config print` and --help show. */
#include <string.h>

#include "json_out.h"
#include "option.h"

/* Longer values push their origin to the right instead of widening every line. */
#define VALUE_WIDTH 32
#define HELP_INDENT 6
#define HELP_WIDTH 96

static size_t name_width(void)
{
	size_t width = 0;

	for (int id = 0; id < CONFIG_COUNT; id++)
		width = MAX_OF(width, strlen(options[id].env));
	return width;
}

static void print_text(const struct config *cfg, struct buf *out)
{
	const int width = (int)name_width();
	struct buf value = BUF_INIT;

	for (int id = 0; id < CONFIG_COUNT; id++) {
		buf_clear(&value);
		option_show(&options[id], cfg, &value);
		buf_addf(out, "%-*s  %-*s  %s\n", width, options[id].env, VALUE_WIDTH,
		         value.len > 0 ? value.data : "-", cfg->origin[id]);
	}
	buf_release(&value);
}

static void print_json(const struct config *cfg, struct buf *out)
{
	struct json_out j = json_begin(out);
	struct buf value = BUF_INIT;

	json_open_object(&j);
	for (int id = 0; id < CONFIG_COUNT; id++) {
		const struct option *o = &options[id];

		buf_clear(&value);
		option_show(o, cfg, &value);
		json_key(&j, o->env);
		json_open_object(&j);
		json_key(&j, "value");
		if (o->type == OPTION_INT || o->type == OPTION_BOOL)
			json_raw(&j, value.data, value.len);
		else
			json_strn(&j, value.data, value.len);
		json_kv_str(&j, "origin", cfg->origin[id]);
		json_end(&j);
	}
	json_end(&j);
	buf_addch(out, '\n');
	buf_release(&value);
}

void config_print(const struct config *cfg, struct buf *out, bool json)
{
	if (json)
		print_json(cfg, out);
	else
		print_text(cfg, out);
}

const char *option_word(const struct option *o)
{
	switch (o->type) {
	case OPTION_INT:
		return "N";
	case OPTION_SIZE:
		return "BYTES";
	case OPTION_DURATION:
		return "DURATION";
	case OPTION_DURATIONS:
		return "DURATIONS";
	case OPTION_STATUS_SET:
		return "CODES";
	case OPTION_PATH:
		return "FILE";
	case OPTION_HTTP_URL:
	case OPTION_DATABASE_URL:
	case OPTION_REDIS_URL:
		return "URL";
	case OPTION_BOOL:
		return "";
	case OPTION_ENUM:
		return "WORD";
	case OPTION_STRING:
	case OPTION_KEYS:
	case OPTION_SIGNING_KEYS:
	case OPTION_MESSAGE_ID:
		return "TEXT";
	}
	return "";
}

static void help_flags(const struct option *o, struct buf *out)
{
	const char *word = option_word(o);

	buf_addlit(out, "  ");
	if (!option_flag_allowed(o)) {
		buf_addstr(out, o->env);
		buf_addlit(out, " (not a flag: a secret)\n");
		return;
	}
	buf_addlit(out, "--");
	option_flag(o, false, out);
	if (o->short_flag)
		buf_addf(out, ", --%s", o->short_flag);
	if (o->alias) {
		buf_addlit(out, ", --");
		option_flag(o, true, out);
	}
	buf_addf(out, "%s%s\n", *word ? " " : "", word);
}

/* Appends the text in lines of at most HELP_WIDTH characters. */
static void add_wrapped(struct buf *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column > 0 && column + 1 + n > HELP_WIDTH) {
			buf_addch(out, '\n');
			column = 0;
		}
		if (column == 0) {
			buf_addf(out, "%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		} else {
			buf_addch(out, ' ');
			column++;
		}
		buf_add(out, text, n);
		column += n;
		text += n + (text[n] == ' ');
	}
	buf_addch(out, '\n');
}

static void help_option(const struct option *o, struct buf *out)
{
	struct buf text = BUF_INIT;

	help_flags(o, out);
	buf_addf(&text, "%s Allowed: ", o->help);
	option_allowed(o, &text);
	if (o->fallback[0])
		buf_addf(&text, ". Default: %s.", o->fallback);
	else
		buf_addch(&text, '.');
	if (option_flag_allowed(o))
		buf_addf(&text, " [%s]", o->env);
	add_wrapped(out, text.data);
	buf_release(&text);
}

void config_help(struct buf *out)
{
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section)
			buf_addf(out, "%s%s\n", i > 0 ? "\n" : "", row->title);
		else
			help_option(&options[row->id], out);
	}
}
