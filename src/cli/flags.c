/* Flags, reports and output that all commands share. */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "alloc.h"
#include "clean.h"
#include "cmd.h"
#include "suggest.h"
#include "text.h"

static int find_flag(const struct command *command, const char *name, size_t len)
{
	for (int i = 0; i < COMMAND_FLAGS_MAX && command->flags[i].name; i++)
		if (strlen(command->flags[i].name) == len && memcmp(command->flags[i].name, name, len) == 0)
			return i;
	return -1;
}

static int unknown_flag(const struct cli *c, const char *flag, size_t len)
{
	char *name = xstrndup(flag + 2, len);
	struct suggest s = SUGGEST_INIT(name);
	int result;

	for (int i = 0; i < COMMAND_FLAGS_MAX && c->command->flags[i].name; i++)
		suggest_offer(&s, c->command->flags[i].name);
	if (c->command->kind != COMMAND_SERVER)
		suggest_offer(&s, "json");
	suggest_offer(&s, "help");
	if (s.best[0])
		result = cli_usage(c, "unknown flag --%s; did you mean --%s?", name, s.best);
	else
		result = cli_usage(c, "unknown flag --%s", name);
	free(name);
	return result;
}

/* argv[*at] is a flag; moves on over its value. */
static int take_flag(struct cli *c, int *at)
{
	const char *arg = c->argv[*at], *equals = strchr(arg, '='), *name = arg + 2;
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_flag *flag;
	int i;

	if (c->command->kind != COMMAND_SERVER && len == 4 && memcmp(name, "json", 4) == 0 && !equals) {
		c->json = true;
		return CLI_DONE;
	}
	i = find_flag(c->command, name, len);
	if (i < 0)
		return unknown_flag(c, arg, len);
	flag = &c->command->flags[i];
	if (c->flag[i])
		return cli_usage(c, "--%s is given twice", flag->name);
	if (!flag->value && equals)
		return cli_usage(c, "--%s takes no value", flag->name);
	if (flag->value && !equals && *at + 1 == c->argc)
		return cli_usage(c, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
	if (!flag->value)
		c->flag[i] = "";
	else
		c->flag[i] = equals ? equals + 1 : c->argv[++*at];
	return CLI_DONE;
}

int cli_parse_flags(struct cli *c)
{
	static char output[] = "--output";
	int kept = 0, result;

	for (int i = 0; i < c->argc; i++) {
		char *arg = c->argv[i];

		if (strcmp(arg, "--") == 0) {
			while (++i < c->argc)
				c->argv[kept++] = c->argv[i];
			break;
		}
		if (strcmp(arg, "-o") == 0 && find_flag(c->command, "output", 6) >= 0)
			c->argv[i] = output;
		else if (arg[0] == '-' && arg[1] && arg[1] != '-')
			return cli_usage(c, "unknown flag %s (write -- before an argument that begins "
			                 "with a dash)", arg);
		if (strncmp(c->argv[i], "--", 2) == 0) {
			result = take_flag(c, &i);
			if (result != CLI_DONE)
				return result;
		} else {
			c->argv[kept++] = arg;
		}
	}
	c->argc = kept;
	if (c->argc < c->command->min || (c->command->max >= 0 && c->argc > c->command->max))
		return cli_usage(c, "usage: herald %s%s%s", c->command->name, *c->command->arguments ? " " : "",
		                 c->command->arguments);
	return CLI_DONE;
}

const char *cli_flag(const struct cli *c, const char *name)
{
	int i = find_flag(c->command, name, strlen(name));

	if (i < 0)
		panic("command %s has no flag --%s", c->command->name, name);
	return c->flag[i];
}

char *cli_take_secret(const struct cli *c, const char *name)
{
	const char *value = cli_flag(c, name);
	char *taken = value ? xstrdup(value) : NULL;

	/* It stands in main()'s argv, which is ours to write to. */
	if (value)
		memset((char *)(uintptr_t)value, '*', strlen(value));
	return taken;
}

bool cli_flag_int(const struct cli *c, const char *name, int64_t min, int64_t max, int64_t otherwise,
                  int64_t *ret)
{
	const char *text = cli_flag(c, name);

	if (!text) {
		*ret = otherwise;
		return true;
	}
	if (text_to_i64(text, strlen(text), min, max, ret))
		return true;
	cli_usage(c, "--%s: must be a whole number from %lld to %lld", name, (long long)min, (long long)max);
	return false;
}

bool cli_flag_double(const struct cli *c, const char *name, double min, double max, double otherwise,
                     double *ret)
{
	const char *text = cli_flag(c, name);

	if (!text) {
		*ret = otherwise;
		return true;
	}
	if (text_to_double(text, strlen(text), min, max, ret))
		return true;
	cli_usage(c, "--%s: must be a number from %g to %g", name, min, max);
	return false;
}

static void report(const struct cli *c, const char *fmt, va_list ap) printf_like(2, 0);
static void report(const struct cli *c, const char *fmt, va_list ap)
{
	struct error text;
	struct buf line = BUF_INIT;

	error_setv(&text, ERR_INVALID, fmt, ap);
	clean_text(&line, text.text, strlen(text.text));
	fprintf(stderr, "herald %s: %s\n", c->command->name, line.data);
	buf_release(&line);
}

void cli_report(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(c, fmt, ap);
	va_end(ap);
}

void cli_report_config(const struct cli *c, const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		cli_report(c, "%s", errors->line[i]);
	if (errors->dropped)
		cli_report(c, "and %zu more", errors->dropped);
}

int cli_fail(const struct cli *c, const struct error *err)
{
	cli_report(c, "%s", err->text);
	return CLI_FAILED;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(c, fmt, ap);
	va_end(ap);
	fprintf(stderr, "`herald help %s` tells more.\n", c->command->name);
	return CLI_USAGE;
}

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', stdout);
}

size_t cli_width(FILE *f)
{
	struct winsize size;

	if (!isatty(fileno(f)))
		return 0;
	return ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}
