/*
 * The command line: `herald COMMAND [ARGUMENTS] [FLAGS]`. Commands are listed in commands.def; most talk
 * to a running server over its API and know nothing of how it works. What needs the server's own parts
 * comes from the composition root as a struct cli_host, so that this folder depends on none of them.
 */
#ifndef HERALD_CLI_H
#define HERALD_CLI_H

#include "buf.h"
#include "config.h"
#include "error.h"

/* Exit codes, and what cli_main() and the commands return. */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2, /* wrong usage or configuration */
};

/* What a migration did. Versions count from 1; found == 0: the store was new. */
struct cli_migration {
	char store[200]; /* for people, without credentials: "sqlite herald.db" */
	int found, current;
};

/* How far taking over another system's messages has come, and how it is watched. */
struct cli_adoption {
	uint64_t adopted, known, left_out;
};
struct cli_adopt_watch {
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void (*left_out)(void *arg, const char *id, const char *why);
	bool (*stop)(void *arg);
	void *arg;
};

/* What `herald move` wants, and how it went. */
struct cli_move {
	const char *from, *to; /* URLs */
	/* Called often with how far it is; false: stop. */
	bool (*progress)(void *arg, bool verifying, uint64_t done, uint64_t total);
	void *arg;
	/* filled in */
	bool stopped; /* progress() said so */
	bool resumed; /* an earlier call had begun */
	int64_t messages, attempts, runs, jobs;
	struct {
		const char *status;
		int64_t n;
	} counts[8]; /* as many as there are statuses, then NULL */
	uint64_t checksum;
};

/* Functions of the composition root; any may be NULL, then the command says that this build lacks it.
 * The configuration is the caller's. All run on the main thread. */
struct cli_host {
	/* What HERALD_PROFILE may name, ended by NULL. */
	const struct config_preset *const *presets;

	/* Runs the server until it is told to stop. The configuration has passed config_check_serve().
	 * Returns an exit code and has reported its errors itself. */
	int (*serve)(const struct config *cfg);

	/* Opens the configured store, creates or migrates its schema, closes it. */
	int (*migrate)(const struct config *cfg, struct cli_migration *ret, struct error *err);

	/* Copies the messages of the system that the configured profile stands in for, from the database at that URL. *ret
	 * counts on an error, too. */
	int (*adopt)(const struct config *cfg, const char *from, const struct cli_adopt_watch *watch,
	             struct cli_adoption *ret, struct error *err);

	/* Moves everything between two databases. */
	int (*move)(struct cli_move *m, struct error *err);
	/* Takes a database out of a move. */
	int (*move_release)(const char *url, struct error *err);

	/* Appends the OpenAPI document that a server of this build serves, without one running. */
	int (*openapi)(const struct config *cfg, struct buf *out, struct error *err);
};

/* Does what argv asks for and returns the exit code. argv is main()'s: it is reordered, secrets in it
 * are overwritten. Results go to stdout; errors, one line each, and progress to stderr. */
int cli_main(int argc, char **argv, const struct cli_host *host);

#endif
