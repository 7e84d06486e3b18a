#ifndef HERALD_PROFILE_WORKER_H
#define HERALD_PROFILE_WORKER_H

#include "profile.h"

/* The routes for workers without the database; see profile_worker.c. */
struct route_source profile_worker_source(bool open);

#endif
