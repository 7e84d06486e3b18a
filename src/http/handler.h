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

/* Answers what a failed store call means to the client, and logs it. what: for the log. */
void handler_store_error(struct request *r, const char *what, int code, const struct error *err);

#endif
