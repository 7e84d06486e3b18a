/* A request that a route answers by asking the profile's other service. */
#ifndef HERALD_TOGGLE_H
#define HERALD_TOGGLE_H

#include "request.h"
#include "route.h"

/* GETs the path at SCHEDULER_URL (this process's second listener unless set) and answers what it answers; 500 in
 * the profile's envelope when it cannot be reached. For routes with PLACE_ASIDE: the other service may need this
 * one's workers for its answer. */
enum handled toggle(struct request *r, const char *path);

#endif
