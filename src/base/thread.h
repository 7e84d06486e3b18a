/* Threads with a name (seen in ps, gdb and TSan reports) and all signals blocked except those of a fault:
 * the main thread alone handles signals. */
#ifndef HERALD_THREAD_H
#define HERALD_THREAD_H

#include <pthread.h>

#include "error.h"

/* name: at most 15 characters. Sets *ret on success only. ERR_TRANSIENT: the system has no thread left. */
must_check int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg,
                            struct error *err);
void thread_join(pthread_t t);

#endif
