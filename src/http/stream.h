/*
 * Streams of events: answers that do not end. A stream is a reader of the feed and a little text that is on its
 * way; while there is nothing to say its connection is suspended. Belongs to its API thread.
 */
#ifndef HERALD_STREAM_H
#define HERALD_STREAM_H

#include <stdbool.h>

#include "clock.h"

struct MHD_Response;
struct api_thread;
struct request;
struct stream;

/* Makes the request's answer a stream. False: there are too many. */
must_check bool stream_open(struct request *r);
struct MHD_Response *stream_response(struct stream *s);
void stream_close(struct request *r);

void streams_init(struct api_thread *t);
/* Goes on with those that have something to say. */
void streams_run(struct api_thread *t, usec_t now);
/* Ends all, at a shutdown. */
void streams_end(struct api_thread *t);

#endif
