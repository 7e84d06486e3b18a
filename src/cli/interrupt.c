#include <signal.h>

#include "cmd.h"

static volatile sig_atomic_t seen;

static void on_signal(int signal)
{
	(void)signal;
	seen = 1;
}

void interrupt_watch(void)
{
	/* Once: a second Ctrl-C ends the program at once, whatever it waits for. */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool interrupt_seen(void)
{
	return seen != 0;
}
