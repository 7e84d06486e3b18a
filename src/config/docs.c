/* The generated files: herald.example.yaml and docs/configuration.md. */
#include <string.h>

#include "option.h"

#define COMMENT_WIDTH 96

static const char *yaml_key(const struct option *o)
{
	return strchr(o->yaml, '.') + 1;
}

static void add_comment(struct buf *out, const char *indent, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column > 0 && column + 1 + n > COMMENT_WIDTH) {
			buf_addch(out, '\n');
			column = 0;
		}
		if (column == 0) {
			buf_addf(out, "%s#", indent);
			column = strlen(indent) + 1;
		}
		buf_addch(out, ' ');
		buf_add(out, text, n);
		column += n + 1;
		text += n + (text[n] == ' ');
	}
	buf_addch(out, '\n');
}

/* Words and numbers stand for themselves; what YAML could read otherwise is quoted. */
static void add_yaml_value(struct buf *out, const struct option *o)
{
	bool plain = o->type == OPTION_INT || o->type == OPTION_BOOL || o->type == OPTION_ENUM ||
	             o->type == OPTION_DURATION || o->type == OPTION_SIZE;

	buf_addf(out, plain ? "%s" : "\"%s\"", o->fallback);
}

static void sample_option(const struct option *o, struct buf *out)
{
	struct buf text = BUF_INIT;
	bool set = o->fallback[0] != '\0' && !o->part_of;

	buf_addf(&text, "%s Allowed: ", o->help);
	option_allowed(o, &text);
	buf_addch(&text, '.');
	add_comment(out, "  ", text.data);
	/* What has no default, and the parts, would change the configuration by being there. */
	buf_addf(out, "  %s%s: ", set ? "" : "#", yaml_key(o));
	add_yaml_value(out, o);
	buf_addch(out, '\n');
	buf_release(&text);
}

void config_sample(struct buf *out)
{
	buf_addlit(out, "# A configuration of herald with every option at its default. Generated from "
	                "src/config/options.def.\n"
	                "# Use it with: herald serve --config herald.yaml\n"
	                "# Stronger than this file are .env, the environment and flags; see "
	                "docs/configuration.md.\n");
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section) {
			buf_addch(out, '\n');
			if (row->intro[0])
				add_comment(out, "", row->intro);
			buf_addf(out, "%s:\n", row->section);
		} else if (options[row->id].yaml) {
			sample_option(&options[row->id], out);
		}
	}
}

static const char docs_head[] =
	"# Configuration\n"
	"\n"
	"<!-- Generated from src/config/options.def: HERALD_UPDATE_DOCS=1 build/tests/unit/"
	"test_config_docs -->\n"
	"\n"
	"Every option has a default and can be set in four places. Each is stronger than the one before:\n"
	"\n"
	"1. a YAML file, named by `--config FILE` or `HERALD_CONFIG`;\n"
	"2. `.env` in the working directory;\n"
	"3. the environment;\n"
	"4. flags.\n"
	"\n"
	"With a [profile](profiles.md), its defaults and the configuration file of the system whose place herald "
	"takes come before all of these.\n"
	"\n"
	"`herald config print` shows the value and the origin of each option, `herald config check` checks "
	"them without starting anything. All problems are reported at once, one per line, before anything "
	"starts. A value is checked wherever it stands, also where a stronger place overrides it.\n"
	"\n"
	"## How values are written\n"
	"\n"
	"- **Durations** are numbers with a unit: `500ms`, `90s`, `2m`, `1h30m`, `7d`; or `0`. A bare number "
	"is accepted only where the name says its unit (`..._SECONDS`, `..._MINUTES`).\n"
	"- **Sizes** are numbers of bytes, or have a unit: `64KiB`, `16MiB`, `1GiB`.\n"
	"- **Switches** are `true` or `false` (also `yes`/`no`, `on`/`off`, `1`/`0`). As a flag, `--seed-data` "
	"alone means true and `--no-seed-data` false.\n"
	"- An **empty value** in a file or the environment leaves an option that cannot be empty as it "
	"was, and clears one that can.\n"
	"- The same option set to **two different values in the same place** is an error, also under two "
	"names (`MESSAGE_SEND_INTERVAL` and `MESSAGE_SEND_INTERVAL_MINUTES`). Only a repeated flag is not: the "
	"last one counts.\n"
	"\n"
	"### YAML\n"
	"\n"
	"Sections with keys, as in `herald.example.yaml`; or the environment names as keys at the top level. "
	"Lists may be written as YAML lists. An unknown key is an error. Anchors, aliases and several documents "
	"are not supported.\n"
	"\n"
	"```yaml\n"
	"webhook:\n"
	"  url: https://sms.example.com/send\n"
	"delivery:\n"
	"  retry_backoff: [5s, 1m, 10m]\n"
	"LOG_LEVEL: debug\n"
	"```\n"
	"\n"
	"### .env\n"
	"\n"
	"`NAME=value` lines as for docker compose: `#` comments, an optional `export`, single quotes (literal; "
	"`\\'` for a quote) and double quotes (`\\n \\r \\t \\\\ \\\" \\$`), also over several lines. Nothing is "
	"expanded: `$` is a character like any other. Other programs may keep their settings in the same file: "
	"a foreign name is ignored, unless it begins with `HERALD_` or is one or two letters away from a name "
	"of herald's (both of at least 8 letters), which is reported as a mistake.\n"
	"\n"
	"### Environment\n"
	"\n"
	"Unknown names are ignored, unless they begin with `HERALD_`. Those that Kubernetes makes for a service "
	"named `herald` (`HERALD_SERVICE_HOST`, `HERALD_PORT=tcp://...`) are tolerated.\n"
	"\n"
	"### Secrets\n"
	"\n"
	"Secrets never appear in output or logs; `config print` shows `********` in their place, and in place of "
	"passwords within URLs. Other users of a machine can read the arguments of a process: secrets are "
	"therefore taken from files and the environment and not from flags, except `--api-key`. Its "
	"characters, like user names, passwords and queries in URLs given as flags, are overwritten in the "
	"process title as soon as they are read; prefer the environment all the same.\n";

/* A pipe would end the table's cell. */
static void add_cell(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_addch(out, '\\');
		buf_addch(out, *text);
	}
}

static void docs_names(const struct option *o, struct buf *out)
{
	buf_addf(out, "| `%s`", o->env);
	if (o->alias)
		buf_addf(out, "<br>`%s`", o->alias);
	buf_addlit(out, " | ");
	if (!option_flag_allowed(o)) {
		buf_addlit(out, "none: secret");
	} else {
		buf_addlit(out, "`--");
		option_flag(o, false, out);
		buf_addch(out, '`');
		if (o->short_flag)
			buf_addf(out, "<br>`--%s`", o->short_flag);
		if (o->alias) {
			buf_addlit(out, "<br>`--");
			option_flag(o, true, out);
			buf_addch(out, '`');
		}
	}
	buf_addlit(out, " | ");
	if (o->yaml)
		buf_addf(out, "`%s`", o->yaml);
	if (o->alias_yaml)
		buf_addf(out, "<br>`%s`", o->alias_yaml);
}

static void docs_option(const struct option *o, struct buf *out)
{
	struct buf text = BUF_INIT;

	docs_names(o, out);
	buf_addlit(out, " | ");
	if (o->fallback[0])
		buf_addf(out, "`%s`", o->fallback);
	else
		buf_addlit(out, "empty");
	buf_addlit(out, " | ");
	option_allowed(o, &text);
	add_cell(out, text.data);
	buf_addlit(out, " | ");
	add_cell(out, o->help);
	buf_addlit(out, " |\n");
	buf_release(&text);
}

void config_docs(struct buf *out)
{
	buf_add(out, docs_head, sizeof(docs_head) - 1);
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (!row->section) {
			docs_option(&options[row->id], out);
			continue;
		}
		buf_addf(out, "\n## %s\n\n", row->title);
		if (row->intro[0])
			buf_addf(out, "%s\n\n", row->intro);
		buf_addlit(out, "| variable | flag | YAML | default | allowed | meaning |\n"
		                "|---|---|---|---|---|---|\n");
	}
}
