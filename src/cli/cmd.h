/*
 * What a command is, and what the commands share: flags, reports, output. Private to cli/. One thread.
 */
#ifndef HERALD_CMD_H
#define HERALD_CMD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"
#include "config.h"
#include "error.h"

struct cli;

struct cli_flag {
	const char *name;  /* without "--" */
	const char *value; /* what stands behind it, for help; NULL: a switch */
	const char *help;
};

enum command_kind {
	COMMAND_BARE,   /* reads no configuration */
	COMMAND_SERVER, /* runs by the configuration and has no result to print */
	COMMAND_LOCAL,  /* works with the configuration */
	COMMAND_CLIENT, /* talks to a running server */
};

#define COMMAND_FLAGS_MAX 16

/* A row of commands.def. */
struct command {
	const char *name;
	enum command_kind kind;
	int (*run)(struct cli *c); /* returns an exit code, having reported what went wrong */
	const char *arguments;     /* for help */
	int min, max;              /* how many; max -1: any number */
	const char *summary;       /* one line */
	const char *help;          /* paragraphs, lines of at most 80 columns, without a closing newline */
	struct cli_flag flags[COMMAND_FLAGS_MAX]; /* up to the first without a name */
};

extern const struct command commands[];
extern const size_t commands_n;
const struct command *command_find(const char *name); /* NULL: none */

struct cli {
	const struct command *command;
	const struct cli_host *host;
	struct config cfg; /* zeroed for COMMAND_BARE */
	int argc;          /* arguments, flags taken out */
	char **argv;
	const char *flag[COMMAND_FLAGS_MAX]; /* values, in the order of command->flags; NULL: not given */
	bool json;
};

/* Takes the command's flags (and --json) out of argv: CLI_DONE, or CLI_USAGE, reported. */
int cli_parse_flags(struct cli *c);

/* Value of a flag that the command has, "" for a switch; NULL when it was not given. */
const char *cli_flag(const struct cli *c, const char *name);

/* The value of a flag that may hold a password, for the caller to free(); NULL when it was not given. Nothing is left
 * for `ps` to show. */
char *cli_take_secret(const struct cli *c, const char *name);

/* As a number, `otherwise` when not given. False: out of [min, max], reported. */
must_check bool cli_flag_int(const struct cli *c, const char *name, int64_t min, int64_t max,
                             int64_t otherwise, int64_t *ret);
must_check bool cli_flag_double(const struct cli *c, const char *name, double min, double max,
                                double otherwise, double *ret);

/* Prints "herald COMMAND: text" to stderr. Control characters in it are made harmless. */
void cli_report(const struct cli *c, const char *fmt, ...) printf_like(2, 3);
void cli_report_config(const struct cli *c, const struct config_errors *errors);
int cli_fail(const struct cli *c, const struct error *err); /* reports; CLI_FAILED */
int cli_usage(const struct cli *c, const char *fmt, ...) printf_like(2, 3); /* and how to get help; CLI_USAGE */

/* A JSON value on stdout, a line end behind it. */
void cli_print_json(const json_t *value);
size_t cli_width(FILE *f); /* columns of a terminal, 0 when it is none */

/* Help texts; of no command: the overview. */
void help_overview(FILE *out);
void help_command(FILE *out, const struct command *command);

/* Ctrl-C and SIGTERM become a flag from here on, for work that has something to put right or to say. */
void interrupt_watch(void);
bool interrupt_seen(void);

#define COMMAND(name, kind, run, ...) int run(struct cli *c);
#include "commands.def"
#undef COMMAND

#endif
