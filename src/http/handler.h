/* What handlers share. */
#ifndef HERALD_HANDLER_H
#define HERALD_HANDLER_H

#include "error.h"
#include "query.h"
#include "request.h"

/* Reads the route's query parameters; on false the request is answered with why not. */
must_check bool handler_query(struct request *r, struct query *q, unsigned allowed);
/* The same for routes without parameters. */
must_check bool handler_no_query(struct request *r);

/* The value of a query parameter, percent-decoded ('+' is a space, as in forms), the first of that name: false when
 * it is not there. What cannot be decoded counts as "". For routes of other systems, which take what comes. */
must_check bool handler_param(const struct request *r, const char *name, struct buf *out);

/* What the server is made of, for handlers outside this folder. Any of the first two may be NULL. */
struct dispatch *handler_dispatch(const struct request *r);
struct cache *handler_cache(const struct request *r);
const void *handler_profile(const struct request *r); /* http_options.profile */
struct leasing *handler_leasing(const struct request *r); /* NULL in a worker */

/* A change that starts or stops the scheduler as it is configured (FIRST_RUN, JOB_NAME). */
struct scheduler_change handler_turn(const struct request *r, bool on);

/* Answers what a failed store call means to the client, and logs it. what: for the log. */
void handler_store_error(struct request *r, const char *what, int code, const struct error *err);

#endif
