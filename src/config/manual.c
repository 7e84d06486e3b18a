/* The options as others show them: herald.yaml(5) and the flags that shells complete. */
#include "option.h"
#include "roff.h"

void config_each_flag(void (*fn)(void *arg, const struct config_flag_info *info), void *arg)
{
	struct buf flag = BUF_INIT;

	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		const struct option *o = &options[i];
		struct config_flag_info info = {
			.word = option_word(o),
			.words = o->type == OPTION_ENUM ? o->allowed : NULL,
			.help = o->help,
		};

		if (!option_flag_allowed(o))
			continue;
		buf_clear(&flag);
		option_flag(o, false, &flag);
		info.flag = flag.data;
		fn(arg, &info);
		if (o->short_flag) {
			info.flag = o->short_flag;
			fn(arg, &info);
		}
	}
	buf_release(&flag);
}

static void manual_option(const struct option *o, struct buf *out)
{
	struct buf text = BUF_INIT;

	buf_addlit(out, ".TP\n.B ");
	roff_text(out, o->yaml);
	if (o->alias_yaml) {
		buf_addlit(out, ", ");
		roff_text(out, o->alias_yaml);
	}
	buf_addlit(out, "\n");
	buf_addf(&text, "%s Allowed: ", o->help);
	option_allowed(o, &text);
	buf_addf(&text, ". Default: %s.", o->fallback[0] ? o->fallback : "empty");
	roff_line(out, text.data);
	buf_addlit(out, ".br\nEnvironment: ");
	roff_text(out, o->env);
	if (o->alias) {
		buf_addlit(out, ", ");
		roff_text(out, o->alias);
	}
	if (o->secret)
		buf_addlit(out, " (a secret)");
	buf_addlit(out, ".\n");
	buf_release(&text);
}

void config_manual(struct buf *out)
{
	roff_title(out, "HERALD.YAML", 5, "File formats");
	roff_section(out, "NAME");
	buf_addlit(out, "herald.yaml \\- configuration of herald\n");
	roff_section(out, "DESCRIPTION");
	roff_line(out, "Every option has a default and can be set, each place stronger than the one before, in a YAML "
	               "file named by --config or HERALD_CONFIG, in .env in the working directory, in the "
	               "environment, and by flags. In YAML an option is a key of its section (webhook: and below it "
	               "url:), or its environment name at the top level. An unknown key, a value out of range or a "
	               "contradiction is reported before anything starts.");
	buf_addlit(out, ".PP\n");
	roff_line(out, "Durations are numbers with a unit: 500ms, 90s, 2m, 1h30m, 7d; or 0. Sizes are numbers of bytes, or "
	               "have a unit: 64KiB, 16MiB. `herald config print` shows the value and the origin of each option, "
	               "`herald config check` checks them, `herald config sample` prints a file with all of them.");
	for (size_t i = 0; i < option_row_count; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->section) {
			roff_section(out, row->title);
			if (row->intro[0])
				roff_line(out, row->intro);
		} else if (options[row->id].yaml) {
			manual_option(&options[row->id], out);
		}
	}
	roff_section(out, "SEE ALSO");
	buf_addlit(out, ".BR herald (1)\n");
}
