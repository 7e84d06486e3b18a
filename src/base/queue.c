#include "queue.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"

/*
 * Invariant, true whenever the lock is free: the eventfd is readable exactly when items wait or the queue
 * is closed. It is therefore written and drained under the lock, and only when that state changes: a
 * write after the unlock could follow the drain of the consumer that already took the item, and wake
 * it for nothing.
 *
 * The condition is signalled when the queue stops being empty, and again by a consumer that leaves items
 * behind, so that with several consumers no item waits while one of them sleeps.
 */

static void fd_raise(const struct queue *q)
{
	const uint64_t one = 1;

	if (q->fd < 0)
		return;
	while (write(q->fd, &one, sizeof(one)) < 0)
		if (errno != EINTR)
			panic("queue: writing an eventfd failed (errno %d)", errno);
}

static void fd_drain(const struct queue *q)
{
	uint64_t count;

	if (q->fd < 0)
		return;
	while (read(q->fd, &count, sizeof(count)) < 0)
		if (errno != EINTR)
			panic("queue: reading an eventfd failed (errno %d)", errno);
}

void queue_init(struct queue *q, size_t max, bool with_fd)
{
	pthread_condattr_t attr;

	*q = (struct queue){.max = max, .fd = -1};
	q->tail = &q->head;
	if (pthread_mutex_init(&q->lock, NULL) || pthread_condattr_init(&attr) ||
	    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) || pthread_cond_init(&q->ready, &attr))
		panic("queue: no lock to be had");
	pthread_condattr_destroy(&attr);
	if (with_fd) {
		q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (q->fd < 0)
			panic("queue: no eventfd to be had (errno %d)", errno);
	}
}

void queue_destroy(struct queue *q)
{
	if (q->head)
		panic("queue: destroyed while %zu items wait", q->len);
	pthread_cond_destroy(&q->ready);
	pthread_mutex_destroy(&q->lock);
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
}

static void append_locked(struct queue *q, struct queue_item *first, struct queue_item *last, size_t n)
{
	bool was_empty = !q->head;

	last->next = NULL;
	*q->tail = first;
	q->tail = &last->next;
	q->len += n;
	if (was_empty) {
		fd_raise(q);
		pthread_cond_signal(&q->ready);
	}
}

bool queue_push(struct queue *q, struct queue_item *item)
{
	bool taken;

	pthread_mutex_lock(&q->lock);
	taken = !q->closed && (q->max == 0 || q->len < q->max);
	if (taken)
		append_locked(q, item, item, 1);
	pthread_mutex_unlock(&q->lock);
	return taken;
}

bool queue_push_chain(struct queue *q, struct queue_item *first, struct queue_item *last, size_t n)
{
	bool taken;

	pthread_mutex_lock(&q->lock);
	taken = !q->closed;
	if (taken)
		append_locked(q, first, last, n);
	pthread_mutex_unlock(&q->lock);
	return taken;
}

static struct queue_item *take_locked(struct queue *q, size_t most, size_t *ret_n)
{
	struct queue_item *first = q->head, *last = first;
	size_t n;

	if (!first || most == 0 || most >= q->len) {
		n = q->len;
		q->head = NULL;
		q->tail = &q->head;
		q->len = 0;
		if (first && !q->closed)
			fd_drain(q);
	} else {
		for (n = 1; n < most; n++)
			last = last->next;
		q->head = last->next;
		last->next = NULL;
		q->len -= n;
		pthread_cond_signal(&q->ready);
	}
	if (ret_n)
		*ret_n = n;
	return first;
}

struct queue_item *queue_take(struct queue *q, size_t most, size_t *ret_n)
{
	struct queue_item *first;

	pthread_mutex_lock(&q->lock);
	first = take_locked(q, most, ret_n);
	pthread_mutex_unlock(&q->lock);
	return first;
}

struct queue_item *queue_wait(struct queue *q, size_t most, usec_t timeout, size_t *ret_n)
{
	struct queue_item *first;
	usec_t until = USEC_NEVER;
	struct timespec at = {0};
	int rc = 0;

	if (timeout != USEC_NEVER && !__builtin_add_overflow(clock_mono(), MAX_OF(timeout, 0), &until)) {
		at.tv_sec = (time_t)(until / USEC_PER_SEC);
		at.tv_nsec = (long)(until % USEC_PER_SEC) * 1000;
	} else {
		until = USEC_NEVER;
	}

	pthread_mutex_lock(&q->lock);
	while (!q->head && !q->closed && rc == 0) {
		if (until == USEC_NEVER)
			rc = pthread_cond_wait(&q->ready, &q->lock);
		else
			rc = pthread_cond_timedwait(&q->ready, &q->lock, &at);
	}
	/* Also after a timeout: it may have come together with an item. */
	first = take_locked(q, most, ret_n);
	pthread_mutex_unlock(&q->lock);
	return first;
}

int queue_fd(const struct queue *q)
{
	return q->fd;
}

size_t queue_len(struct queue *q)
{
	size_t len;

	pthread_mutex_lock(&q->lock);
	len = q->len;
	pthread_mutex_unlock(&q->lock);
	return len;
}

void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	if (!q->closed) {
		q->closed = true;
		if (!q->head)
			fd_raise(q);
		pthread_cond_broadcast(&q->ready);
	}
	pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
	bool closed;

	pthread_mutex_lock(&q->lock);
	closed = q->closed;
	pthread_mutex_unlock(&q->lock);
	return closed;
}
