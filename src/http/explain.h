/*
 * Why a message is where it is and when it will go, told to people. Pure: what is known is passed in.
 */
#ifndef HERALD_EXPLAIN_H
#define HERALD_EXPLAIN_H

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */
#include <stdbool.h>

#include "http.h"
#include "json_out.h"
#include "message_uuid.h"
#include "store.h"

#define EXPLAIN_AHEAD_MAX 10000 /* messages before this one are counted up to here */

struct explain_facts {
	const struct message *m;
	const struct scheduler *s; /* .now is the time at which this is told */
	struct explain_rules rules;
	uint32_t ahead;           /* pending: how many go before; above EXPLAIN_AHEAD_MAX: more than that */
	size_t senders;           /* nodes that send and are up */
	const char *lease_status; /* sending: up, silent, left, or NULL: no such node is known */
	enum id_format ids;
};

/* Whether how many go before plays a part, so that it has to be counted. */
bool explain_in_queue(const struct message *m, const struct explain_rules *r);

/* Writes the object. */
void explain(struct json_out *j, const struct explain_facts *f);

/* The last error in plain words. */
const char *explain_error(const char *error);

#endif
