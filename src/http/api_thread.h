/*
 * One event loop of the API: an epoll set of its own that holds the connections' (libmicrohttpd's), the queue of
 * answers, and a wake-up. All connections that its listening socket accepts stay with it.
 *
 * libmicrohttpd polls from outside, never in a thread of its own: version 0.9.75's internal epoll loop waits
 * for its full timeout when exactly a multiple of 128 connections are ready at once.
 *
 * Functions are for main's thread unless they say otherwise.
 */
#ifndef HERALD_API_THREAD_H
#define HERALD_API_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "clock.h"
#include "connection.h"
#include "error.h"
#include "feed.h"
#include "linger.h"
#include "queue.h"

struct MHD_Daemon;
struct http;
struct request;

#define FREE_REQUESTS_MAX 64

struct api_thread {
	struct http *http;
	size_t index;
	unsigned listener; /* which of http's it serves */
	int listen_fd; /* -1 once it stopped accepting */
	int epoll_fd, wake_fd;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	bool started;

	struct queue answers; /* requests that come back */
	struct connection_list connections;
	struct linger_list lingering;
	struct stream *streams;       /* of events */
	struct feed_waker stream_waker;
	atomic_bool streams_due;      /* told by the feed */
	struct request *free_requests[FREE_REQUESTS_MAX];
	size_t free_n;
	usec_t ticked_at;
	bool quiet;     /* stopped accepting */

	_Atomic usec_t finish_by; /* monotonic; 0: go on */
	size_t unanswered;        /* when the loop ended */
};

/* Takes the listening socket. */
must_check int api_thread_init(struct api_thread *t, struct http *h, size_t index, unsigned listener,
                               int listen_fd, struct error *err);
must_check int api_thread_start(struct api_thread *t, struct error *err);
/* Any thread: look at http->stopping and finish_by. */
void api_thread_wake(struct api_thread *t);
/* Ends the loop once nothing is in progress, or at `by` (monotonic). Then api_thread_join() for how many requests
 * were left unanswered. */
void api_thread_finish(struct api_thread *t, usec_t by);
size_t api_thread_join(struct api_thread *t);
void api_thread_release(struct api_thread *t); /* workers and writer have ended */

/* Any thread: hands an answered request back. */
void api_thread_take_back(struct api_thread *t, struct request *r);

/* On the thread itself: a request object to use, and back. */
struct request *api_thread_request(struct api_thread *t);
void api_thread_recycle(struct api_thread *t, struct request *r);

#endif
