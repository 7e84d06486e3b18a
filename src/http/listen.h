/* The listening sockets: one per API thread on the same address (SO_REUSEPORT), so that the kernel spreads
 * connections over the threads without a lock of ours. */
#ifndef HERALD_LISTEN_H
#define HERALD_LISTEN_H

#include <stddef.h>

#include "error.h"

/* Binds n sockets (non-blocking, close-on-exec) and listens. fds: n places, all -1 unless OK. url:
 * "http://HOST:PORT" with the port bound. ERR_CONFIG. */
must_check int listen_open(const char *host, int port, int *fds, size_t n, char *url, size_t url_size,
                           struct error *err);

#endif
