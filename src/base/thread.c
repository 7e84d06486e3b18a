#include "thread.h"

#include <errno.h>
#include <signal.h>

#include "alloc.h"

/* Signals that a fault raises in the thread itself: blocked, they would kill the process without
 * running the handler that a sanitizer or a crash reporter has installed. */
static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg, struct error *err)
{
	sigset_t all, before;
	size_t i;
	int rc;

	sigfillset(&all);
	for (i = 0; i < ARRAY_SIZE(fault_signals); i++)
		sigdelset(&all, fault_signals[i]);

	/* A thread inherits the mask: set before it exists, so that there is no moment without it. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(ret, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return error_errno(err, ERR_TRANSIENT, rc, "cannot start thread %s", name);
	if (pthread_setname_np(*ret, name) == ERANGE)
		panic("thread name %s is too long", name);
	return OK;
}

void thread_join(pthread_t t)
{
	int rc = pthread_join(t, NULL);

	if (rc)
		panic("joining a thread failed (errno %d)", rc);
}
