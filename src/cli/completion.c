/*
 * Completions of commands, flags and the words that flags take, for the usual shells, made of the tables of
 * commands and options. Where a flag takes a FILE, and for the arguments of commands, the shell offers files.
 */
#include <string.h>

#include "cmd.h"

/* What a flag of any kind comes down to. */
struct flag {
	const char *name;
	const char *value; /* NULL: a switch */
	const char *words; /* separated by spaces; NULL: any */
	const char *help;
};
typedef void flag_fn(struct buf *out, const struct command *c, const struct flag *f);

struct each {
	struct buf *out;
	const struct command *command;
	flag_fn *fn;
};

static void option_flag(void *arg, const struct config_flag_info *info)
{
	struct each *e = arg;
	struct flag f = {info->flag, *info->word ? info->word : NULL, info->words, info->help};

	for (int i = 0; i < COMMAND_FLAGS_MAX && e->command->flags[i].name; i++)
		if (strcmp(e->command->flags[i].name, f.name) == 0)
			return; /* the command's own flag of that name wins */
	e->fn(e->out, e->command, &f);
}

/* All flags are accepted wherever a configuration is read, but only `serve` is about them; elsewhere those for
 * reaching a server are enough. */
static void client_flag(void *arg, const struct config_flag_info *info)
{
	static const char *const wanted[] = {"url", "api-key", "config"};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (strcmp(info->flag, wanted[i]) == 0)
			option_flag(arg, info);
}

static void each_flag(struct buf *out, const struct command *c, flag_fn *fn)
{
	struct each e = {out, c, fn};
	struct flag f = {0};

	for (int i = 0; i < COMMAND_FLAGS_MAX && c->flags[i].name; i++) {
		f = (struct flag){c->flags[i].name, c->flags[i].value, NULL, c->flags[i].help};
		fn(out, c, &f);
	}
	if (c->kind == COMMAND_SERVER)
		config_each_flag(option_flag, &e);
	else if (c->kind != COMMAND_BARE)
		config_each_flag(client_flag, &e);
	if (c->kind != COMMAND_SERVER) {
		f = (struct flag){"json", NULL, NULL, "machine-readable output"};
		fn(out, c, &f);
	}
	f = (struct flag){"help", NULL, NULL, "tell more of the command"};
	fn(out, c, &f);
}

/* The words that an argument list such as "print|check" offers; false when it names none. */
static bool argument_words(const char *arguments, struct buf *out)
{
	if (!strchr(arguments, '|') || strchr(arguments, ' '))
		return false;
	for (; *arguments; arguments++)
		if (*arguments != '[' && *arguments != ']')
			buf_addch(out, *arguments == '|' ? ' ' : *arguments);
	return true;
}

static void command_names(struct buf *out)
{
	for (size_t i = 0; i < commands_n; i++)
		buf_addf(out, "%s%s", i ? " " : "", commands[i].name);
}

/* --- bash ------------------------------------------------------------------------------------------- */

static void bash_flag(struct buf *out, const struct command *c maybe_unused, const struct flag *f)
{
	buf_addf(out, " --%s", f->name);
}

static void bash_value(struct buf *out, const struct command *c, const struct flag *f)
{
	if (f->words)
		buf_addf(out, "\t'%s --%s') COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", c->name, f->name,
		         f->words);
	else if (f->value && strcmp(f->value, "FILE") != 0)
		buf_addf(out, "\t'%s --%s') return ;;\n", c->name, f->name);
}

static void bash(struct buf *out)
{
	buf_addlit(out, "# bash completion for herald. Generated; see `herald help completion`.\n"
	                "_herald() {\n"
	                "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	                "\tlocal command=${COMP_WORDS[1]} flags= words=\n"
	                "\tCOMPREPLY=()\n"
	                "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	                "\t\tCOMPREPLY=($(compgen -W '");
	command_names(out);
	buf_addlit(out, "' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase \"$command $prev\" in\n");
	for (size_t i = 0; i < commands_n; i++)
		each_flag(out, &commands[i], bash_value);
	buf_addlit(out, "\tesac\n\tcase $command in\n");
	for (size_t i = 0; i < commands_n; i++) {
		struct buf words = BUF_INIT;

		buf_addf(out, "\t%s)\n\t\tflags='", commands[i].name);
		each_flag(out, &commands[i], bash_flag);
		buf_addlit(out, "'\n");
		if (argument_words(commands[i].arguments, &words))
			buf_addf(out, "\t\twords='%s'\n", words.data);
		else if (commands[i].run == cmd_help)
			buf_addlit(out, "\t\twords=$(compgen -W '"), command_names(out), buf_addlit(out, "')\n");
		buf_addlit(out, "\t\t;;\n");
		buf_release(&words);
	}
	buf_addlit(out, "\tesac\n"
	                "\tcase $cur in\n"
	                "\t-*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
	                "\t*) [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
	                "\tesac\n"
	                "}\n"
	                "complete -o default -F _herald herald\n");
}

/* --- zsh -------------------------------------------------------------------------------------------- */

/* Within single quotes, in the specifications of _arguments and _describe. */
static void zsh_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			buf_addlit(out, "'\\''");
		else if (strchr(":[]\\", *text))
			buf_addf(out, "\\%c", *text);
		else
			buf_addch(out, *text);
	}
}

static void zsh_flag(struct buf *out, const struct command *c maybe_unused, const struct flag *f)
{
	buf_addf(out, "\t\t\t'--%s%s[", f->name, f->value ? "=" : "");
	zsh_text(out, f->help);
	buf_addch(out, ']');
	if (f->value) {
		buf_addch(out, ':');
		zsh_text(out, f->value);
		buf_addch(out, ':');
		if (f->words)
			buf_addf(out, "(%s)", f->words);
		else if (strcmp(f->value, "FILE") == 0)
			buf_addlit(out, "_files");
	}
	buf_addlit(out, "' \\\n");
}

static void zsh(struct buf *out)
{
	buf_addlit(out, "#compdef herald\n"
	                "# zsh completion for herald. Generated; see `herald help completion`.\n"
	                "_herald() {\n"
	                "\tlocal -a commands\n"
	                "\tcommands=(\n");
	for (size_t i = 0; i < commands_n; i++) {
		buf_addf(out, "\t\t'%s:", commands[i].name);
		zsh_text(out, commands[i].summary);
		buf_addlit(out, "'\n");
	}
	buf_addlit(out, "\t)\n"
	                "\tif (( CURRENT == 2 )); then\n"
	                "\t\t_describe command commands\n"
	                "\t\treturn\n"
	                "\tfi\n"
	                "\tlocal command=$words[2]\n"
	                "\tshift words; (( CURRENT-- ))\n"
	                "\tcase $command in\n");
	for (size_t i = 0; i < commands_n; i++) {
		struct buf words = BUF_INIT;

		buf_addf(out, "\t%s)\n\t\t_arguments \\\n", commands[i].name);
		each_flag(out, &commands[i], zsh_flag);
		if (argument_words(commands[i].arguments, &words))
			buf_addf(out, "\t\t\t'1:what:(%s)'\n", words.data);
		else if (commands[i].run == cmd_help)
			buf_addlit(out, "\t\t\t'1:command:("), command_names(out), buf_addlit(out, ")'\n");
		else
			buf_addlit(out, "\t\t\t'*:argument:_files'\n");
		buf_addlit(out, "\t\t;;\n");
		buf_release(&words);
	}
	buf_addlit(out, "\tesac\n}\n_herald \"$@\"\n");
}

/* --- fish ------------------------------------------------------------------------------------------- */

static void fish_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			buf_addch(out, '\\');
		buf_addch(out, *text);
	}
}

static void fish_flag(struct buf *out, const struct command *c, const struct flag *f)
{
	buf_addf(out, "complete -c herald -n '__fish_seen_subcommand_from %s' -l %s", c->name, f->name);
	if (f->words)
		buf_addf(out, " -xa '%s'", f->words);
	else if (f->value)
		buf_addstr(out, strcmp(f->value, "FILE") == 0 ? " -r" : " -x");
	buf_addlit(out, " -d '");
	fish_text(out, f->help);
	buf_addlit(out, "'\n");
}

static void fish(struct buf *out)
{
	buf_addlit(out, "# fish completion for herald. Generated; see `herald help completion`.\n");
	for (size_t i = 0; i < commands_n; i++) {
		struct buf words = BUF_INIT;

		buf_addf(out, "complete -c herald -n __fish_use_subcommand -xa %s -d '", commands[i].name);
		fish_text(out, commands[i].summary);
		buf_addlit(out, "'\n");
		if (argument_words(commands[i].arguments, &words))
			buf_addf(out, "complete -c herald -n '__fish_seen_subcommand_from %s' -xa '%s'\n",
			         commands[i].name, words.data);
		each_flag(out, &commands[i], fish_flag);
		buf_release(&words);
	}
}

int cmd_completion(struct cli *c)
{
	struct buf script = BUF_INIT;
	int result = CLI_DONE;

	if (strcmp(c->argv[0], "bash") == 0)
		bash(&script);
	else if (strcmp(c->argv[0], "zsh") == 0)
		zsh(&script);
	else if (strcmp(c->argv[0], "fish") == 0)
		fish(&script);
	else
		result = cli_usage(c, "no completions for \"%s\"; there are: bash, zsh, fish", c->argv[0]);
	fwrite(script.data, 1, script.len, stdout);
	buf_release(&script);
	return result;
}
