/* Events of the feed as the API shows them. Pure; thread-safe. */
#ifndef HERALD_RENDER_FEED_H
#define HERALD_RENDER_FEED_H

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */

#include "feed.h"
#include "json_out.h"
#include "message_uuid.h"

/* Members of an object that is open. whole: the reader may see messages; else the phone number is masked, and what
 * the receiver said is left out. */
void render_feed_attempt(struct json_out *j, const struct feed_event *e, const char *node, enum id_format ids,
                         bool whole);
void render_feed_alert(struct json_out *j, const struct feed_event *e);
void render_feed_counts(struct json_out *j, const struct feed_counts *c);

#endif
