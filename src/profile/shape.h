/* What the handlers of several profiles share: reading loose query parameters, turning the scheduler, listing what
 * was sent. Each answers what failed by itself, in herald's envelope (shaped by the profile's shape_error). */
#ifndef HERALD_SHAPE_H
#define HERALD_SHAPE_H

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */
#include <stdbool.h>
#include <stdint.h>

#include "json_out.h"
#include "request.h"
#include "store.h"

/* A whole number in a query. */
enum shape_number { NUMBER_ABSENT, NUMBER_GOOD, NUMBER_BAD /* no whole number, or outside [min, max] */ };
enum shape_number shape_number(const struct request *r, const char *name, int64_t min, int64_t max, int64_t *ret);

/* Turns the scheduler on or off. *ret_changed: it was not so before. False: answered. */
must_check bool shape_turn(struct request *r, struct store_session *c, bool on, bool *ret_changed);

/* Waits until what this node has on the wire is answered, at most `limit`. It keeps one of the API's workers, so only
 * one request waits at a time: another one goes on at once. */
void shape_finish_batch(struct request *r, usec_t limit);

/* `limit` messages from `offset`, of one status (newest in it first) or all (-1, newest first). A limit may exceed
 * what the store gives at once, up to SHAPE_ROWS_MAX, and an offset is bounded by SHAPE_OFFSET_MAX, beyond which the
 * list is empty: whoever wants more walks herald's own API by cursor. item writes one row. False: answered. */
#define SHAPE_ROWS_MAX 10000
#define SHAPE_OFFSET_MAX 1000000
must_check bool shape_rows(struct request *r, struct store_session *c, int status, int64_t limit, int64_t offset,
                           void (*item)(struct json_out *j, const struct message *m), struct json_out *j);

/* Answers 200 with a bare array of them. */
void shape_array(struct request *r, struct store_session *c, int status, int64_t limit, int64_t offset,
                 void (*item)(struct json_out *j, const struct message *m));

/* {"success":false,"error":"why"} */
void shape_failure(struct request *r, int status, const char *why);

/* {"key":"value"} */
void shape_pair(struct request *r, int status, const char *key, const char *value);

#endif
