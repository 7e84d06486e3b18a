#include "cli.h"

#include <string.h>
#include <unistd.h>

#include "attr.h"
#include "cmd.h"
#include "suggest.h"

extern char **environ;

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int unknown_command(const char *name)
{
	struct suggest s = SUGGEST_INIT(name);

	for (size_t i = 0; i < commands_n; i++)
		suggest_offer(&s, commands[i].name);
	if (name[0] == '-')
		fprintf(stderr, "herald: the command comes before its flags: herald COMMAND %s\n", name);
	else if (s.best[0])
		fprintf(stderr, "herald: no command is called \"%s\"; did you mean `herald %s`?\n", name, s.best);
	else
		fprintf(stderr, "herald: no command is called \"%s\"\n", name);
	fputs("`herald help` lists all commands.\n", stderr);
	return CLI_USAGE;
}

/* Reads the configuration, which takes its own flags out of the arguments. */
static int load_config(struct cli *c)
{
	/* One more for --json and one for the end. */
	struct config_flag own[COMMAND_FLAGS_MAX + 2] = {{0}};
	struct config_sources sources = {
		.argc = c->argc, .argv = c->argv, .command_flags = own, .environ = environ,
		.presets = c->host->presets,
	};
	struct config_errors errors = CONFIG_ERRORS_INIT;
	size_t n = 0;
	int result = CLI_DONE;

	for (; n < COMMAND_FLAGS_MAX && c->command->flags[n].name; n++)
		own[n] = (struct config_flag){c->command->flags[n].name, c->command->flags[n].value != NULL};
	if (c->command->kind != COMMAND_SERVER)
		own[n] = (struct config_flag){"json", false};
	if (config_load(&c->cfg, &sources, &errors) != OK) {
		cli_report_config(c, &errors);
		result = CLI_USAGE;
	}
	c->argc = sources.argc;
	config_errors_release(&errors);
	return result;
}

static int run(struct cli *c)
{
	int result;

	if (c->command->kind != COMMAND_BARE) {
		result = load_config(c);
		if (result != CLI_DONE)
			return result;
	}
	result = cli_parse_flags(c);
	if (result == CLI_DONE)
		result = c->command->run(c);
	if (c->command->kind != COMMAND_BARE)
		config_release(&c->cfg);
	return result;
}

int cli_main(int argc, char **argv, const struct cli_host *host)
{
	struct cli c = {.host = host};
	int result;

	if (argc < 2) {
		help_overview(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		c.command = command_find("help");
	} else if (strcmp(argv[1], "--version") == 0) {
		c.command = command_find("version");
	} else {
		c.command = command_find(argv[1]);
	}
	if (!c.command)
		return unknown_command(argv[1]);
	c.argc = argc - 2;
	c.argv = argv + 2;
	if (asks_for_help(c.argc, c.argv)) {
		help_command(stdout, c.command);
		result = CLI_DONE;
	} else {
		result = run(&c);
	}
	/* Output that got lost, on a full disk say, is a failure that only this flush tells. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "herald %s: cannot write to standard output\n", c.command->name);
		if (result == CLI_DONE)
			result = CLI_FAILED;
	}
	return result;
}
