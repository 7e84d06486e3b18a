/* `herald serve`: composes store, cache, dispatcher and API, runs them until a signal, and takes them down
 * in order. Main thread only. */
#ifndef HERALD_SERVE_H
#define HERALD_SERVE_H

#include "config.h"

/* Returns an exit code (cli.h) and has logged or printed its errors itself. */
int serve(const struct config *cfg);

#endif
