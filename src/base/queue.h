/*
 * The one way objects cross threads: a queue of owned items. Pushing gives the item away; popping takes
 * it. Any number of producers; consumers take everything there is in one go, in order, so a lock
 * is taken once per batch and not once per item.
 *
 * Items embed a struct queue_item; container_of() gets them back. A consumer either blocks in
 * queue_wait(), or watches queue_fd() in its own epoll set (readable while items wait or the queue is
 * closed) and calls queue_take().
 */
#ifndef HERALD_QUEUE_H
#define HERALD_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "clock.h"

struct queue_item {
	struct queue_item *next;
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t ready;
	struct queue_item *head, **tail;
	size_t len, max;
	int fd; /* eventfd, or -1 */
	bool closed;
};

/* max: the most items that may wait (0: no bound, for queues whose producers are bounded elsewhere).
 * with_fd: make an eventfd for epoll users. */
void queue_init(struct queue *q, size_t max, bool with_fd);
void queue_destroy(struct queue *q); /* must be empty and unused */

/* False when the queue is full or closed: the item stays the caller's. */
must_check bool queue_push(struct queue *q, struct queue_item *item);

/* Pushes a chain of n items linked by ->next (last->next need not be set); ignores max, fails only when
 * closed. For answers, which must never be refused. */
must_check bool queue_push_chain(struct queue *q, struct queue_item *first, struct queue_item *last,
                                 size_t n);

/* Takes up to `most` items (0: all) as a chain ended by NULL; NULL when there are none. */
struct queue_item *queue_take(struct queue *q, size_t most, size_t *ret_n /* may be NULL */);

/* As queue_take, after waiting until an item is there, the queue is closed, or `timeout` (USEC_NEVER:
 * no limit) has passed. */
struct queue_item *queue_wait(struct queue *q, size_t most, usec_t timeout, size_t *ret_n);

int queue_fd(const struct queue *q);
size_t queue_len(struct queue *q);
void queue_close(struct queue *q); /* wakes everyone; what waits can still be taken */
bool queue_closed(struct queue *q);

#endif
