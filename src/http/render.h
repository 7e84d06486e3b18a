/* Messages, attempts, runs and the scheduler as the API shows them. Pure; thread-safe. */
#ifndef HERALD_RENDER_H
#define HERALD_RENDER_H

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */

#include "json_out.h"
#include "message_uuid.h"
#include "store.h"

/* A message's id: a number, or a string with its UUID. */
void render_id(struct json_out *j, int64_t id, enum id_format ids);
void render_message(struct json_out *j, const struct message *m, enum id_format ids);
/* A message just stored, or, for a repeated create, as it was then: the first answer once more. */
void render_created(struct json_out *j, const struct message_draft *m, enum id_format ids);
void render_attempt(struct json_out *j, const struct attempt *a);
void render_run(struct json_out *j, const struct run *r, enum id_format ids);
/* up, silent or left; now: the store's. */
const char *node_status(const struct node *n, usec_t now);
void render_job(struct json_out *j, const struct job *job);
/* status: up, silent (not heard of for a while) or left; `now` is the store's. */
void render_node(struct json_out *j, const struct node *n, usec_t now);
void render_scheduler(struct json_out *j, const struct scheduler *s, int64_t backlog);
/* "key": the time to the microsecond; 0 is null. For callers that reckon with it. */
void render_instant(struct json_out *j, const char *key, usec_t t);
void render_run_end(struct json_out *j, const struct run_end *end);
void render_counts(struct json_out *j, const struct store_counts *c);

/* When the last of `backlog` messages will have been tried, if nothing is added or retried; 0: never, or not
 * to be foretold (stopped, continuous, nothing waiting). */
usec_t scheduler_drains_at(const struct scheduler *s, int64_t backlog);

#endif
