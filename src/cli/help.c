#include "cmd.h"

static void print_flag(FILE *out, const char *name, const char *value, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
	fprintf(out, "  %-26s %s\n", left, help);
}

void help_overview(FILE *out)
{
	fputs("herald " HERALD_VERSION " delivers messages to a webhook, exactly paced and never lost.\n"
	      "\n"
	      "usage: herald COMMAND [ARGUMENTS] [FLAGS]\n"
	      "\n", out);
	for (size_t i = 0; i < commands_n; i++)
		fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "`herald help COMMAND` tells more of each, `herald help serve` lists all options of the\n"
	      "configuration. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n", out);
}

void help_command(FILE *out, const struct command *command)
{
	struct buf options = BUF_INIT;

	fprintf(out, "usage: herald %s%s%s [FLAGS]\n\n%s.\n\n%s\n\nflags:\n", command->name,
	        *command->arguments ? " " : "", command->arguments, command->summary, command->help);
	for (int i = 0; i < COMMAND_FLAGS_MAX && command->flags[i].name; i++)
		print_flag(out, command->flags[i].name, command->flags[i].value, command->flags[i].help);
	if (command->kind != COMMAND_SERVER)
		print_flag(out, "json", NULL, "machine-readable output");
	print_flag(out, "help", NULL, "this text");
	if (command->kind == COMMAND_CLIENT) {
		print_flag(out, "url", "URL", "the server (HERALD_URL; default http://SERVER_HOST:SERVER_PORT)");
		print_flag(out, "api-key", "KEY", "key to present (HERALD_API_KEY; default: the first of");
		fprintf(out, "  %-26s %s\n", "", "MESSAGES_API_KEY or SCHEDULER_API_KEY)");
	}
	if (command->kind != COMMAND_BARE)
		print_flag(out, "config", "FILE", "YAML file to read (HERALD_CONFIG)");
	if (command->kind == COMMAND_SERVER) {
		config_help(&options);
		fprintf(out, "\n%s", options.data);
	}
	buf_release(&options);
}

int cmd_help(struct cli *c)
{
	const struct command *command;

	if (!c->argc) {
		help_overview(stdout);
		return CLI_DONE;
	}
	command = command_find(c->argv[0]);
	if (!command)
		return cli_usage(c, "no command is called \"%s\"", c->argv[0]);
	help_command(stdout, command);
	return CLI_DONE;
}
