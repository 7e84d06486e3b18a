/* herald(1), made of the command table. herald.yaml(5) is made by config/, of the options. */
#include <string.h>

#include "cmd.h"
#include "roff.h"

static void manual_flag(struct buf *out, const char *name, const char *value, const char *help)
{
	buf_addlit(out, ".TP\n.B \\-\\-");
	roff_text(out, name);
	if (value) {
		buf_addlit(out, "\\fR \\fI");
		roff_text(out, value);
		buf_addlit(out, "\\fR");
	}
	buf_addch(out, '\n');
	roff_line(out, help);
}

static void manual_command(struct buf *out, const struct command *c)
{
	buf_addlit(out, ".SS herald ");
	roff_text(out, c->name);
	if (*c->arguments) {
		buf_addch(out, ' ');
		roff_text(out, c->arguments);
	}
	buf_addch(out, '\n');
	roff_line(out, c->summary);
	buf_addlit(out, ".PP\n");
	roff_verbatim(out, c->help);
	for (int i = 0; i < COMMAND_FLAGS_MAX && c->flags[i].name; i++)
		manual_flag(out, c->flags[i].name, c->flags[i].value, c->flags[i].help);
}

static void manual(struct buf *out)
{
	roff_title(out, "HERALD", 1, "User commands");
	roff_section(out, "NAME");
	buf_addlit(out, "herald \\- delivers messages to a webhook, exactly paced and never lost\n");
	roff_section(out, "SYNOPSIS");
	buf_addlit(out, ".B herald\n.I command\n[\n.I arguments\n] [\n.I flags\n]\n");
	roff_section(out, "DESCRIPTION");
	roff_line(out, "herald takes messages, a phone number and a text each, over an HTTP API or from a file, keeps them "
	               "in a database, and at every beat POSTs a batch of them to a webhook. Each is recorded as sent or "
	               "failed, retried with a growing delay, and never sent twice quietly.");
	roff_section(out, "COMMANDS");
	for (size_t i = 0; i < commands_n; i++)
		manual_command(out, &commands[i]);
	roff_section(out, "FLAGS OF ALL COMMANDS");
	manual_flag(out, "help", NULL, "Tell more of the command.");
	manual_flag(out, "json", NULL, "Machine-readable output, where there is any.");
	manual_flag(out, "config", "FILE", "YAML file to read (HERALD_CONFIG). Every option of herald.yaml(5) that is no "
	            "secret is a flag, too.");
	manual_flag(out, "url", "URL", "The server that a command talks to (HERALD_URL).");
	manual_flag(out, "api-key", "KEY", "The key to present (HERALD_API_KEY).");
	roff_section(out, "EXIT STATUS");
	buf_addlit(out, ".TP\n.B 0\nDone.\n.TP\n.B 1\nFailed.\n.TP\n.B 2\nWrong usage or configuration.\n");
	roff_section(out, "SEE ALSO");
	buf_addlit(out, ".BR herald.yaml (5)\n");
}

int cmd_manual(struct cli *c)
{
	struct buf page = BUF_INIT;
	int result = CLI_DONE;

	if (!c->argc || strcmp(c->argv[0], "herald") == 0)
		manual(&page);
	else if (strcmp(c->argv[0], "herald.yaml") == 0)
		config_manual(&page);
	else
		result = cli_usage(c, "no page is called \"%s\"; there are: herald, herald.yaml", c->argv[0]);
	fwrite(page.data, 1, page.len, stdout);
	buf_release(&page);
	return result;
}
