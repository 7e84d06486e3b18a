#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cmd.h"
#include "sink.h"

/* The signals that end it, as a descriptor to wait for. */
static int stop_signals(struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		error_set(err, ERR_TRANSIENT, "no file descriptor left");
	return fd;
}

struct announcement {
	const char *host;
	bool json;
};

static void on_ready(void *arg, int port)
{
	const struct announcement *a = arg;
	bool v6 = strchr(a->host, ':') != NULL;

	if (a->json)
		printf("{\"url\": \"http://%s%s%s:%d/\", \"port\": %d}\n", v6 ? "[" : "", a->host, v6 ? "]" : "",
		       port, port);
	else
		printf("listening at http://%s%s%s:%d/\n", v6 ? "[" : "", a->host, v6 ? "]" : "", port);
	/* Whoever started it with output to a pipe waits for this line. */
	fflush(stdout);
}

int cmd_sink(struct cli *c)
{
	const char *latency = cli_flag(c, "latency");
	struct sink_options options = {
		.host = cli_flag(c, "host") ? cli_flag(c, "host") : "127.0.0.1",
		.ledger = cli_flag(c, "ledger"),
		.print = cli_flag(c, "verbose") != NULL,
	};
	struct announcement announcement = {.host = options.host, .json = c->json};
	struct error err = ERROR_INIT;
	int64_t port, status;
	int fd, code;

	if (!cli_flag_int(c, "port", 0, 65535, 9000, &port) ||
	    !cli_flag_int(c, "status", 200, 599, 202, &status) ||
	    !cli_flag_double(c, "fail-rate", 0, 1, 0, &options.fail_rate))
		return CLI_USAGE;
	if (latency && !duration_parse(latency, strlen(latency), &options.latency))
		return cli_usage(c, "--latency: must be a duration such as 50ms or 2s");
	options.port = (int)port;
	options.status = (int)status;
	fd = stop_signals(&err);
	if (fd < 0)
		return cli_fail(c, &err);
	code = sink_run(&options, fd, on_ready, &announcement, &err);
	close(fd);
	if (code == OK)
		return CLI_DONE;
	cli_fail(c, &err);
	return code == ERR_CONFIG ? CLI_USAGE : CLI_FAILED;
}
