#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "queue.h"
#include "thread.h"

struct number {
	struct queue_item item;
	int producer, value;
};

static struct number *number_of(struct queue_item *item)
{
	return container_of(item, struct number, item);
}

static bool readable(const struct queue *q)
{
	struct pollfd p = {.fd = queue_fd(q), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void keeps_the_order(void **state)
{
	struct number numbers[5];
	struct queue_item *item;
	struct queue q;
	size_t n;

	(void)state;
	queue_init(&q, 0, false);
	assert_int_equal(queue_fd(&q), -1);
	for (int i = 0; i < 5; i++) {
		numbers[i].value = i;
		assert_true(queue_push(&q, &numbers[i].item));
	}
	assert_int_equal(queue_len(&q), 5);
	item = queue_take(&q, 2, &n);
	assert_int_equal(n, 2);
	assert_int_equal(number_of(item)->value, 0);
	assert_int_equal(number_of(item->next)->value, 1);
	assert_null(item->next->next);

	item = queue_take(&q, 0, &n);
	assert_int_equal(n, 3);
	for (int i = 2; i < 5; i++, item = item->next)
		assert_int_equal(number_of(item)->value, i);
	assert_null(item);

	assert_null(queue_take(&q, 0, &n));
	assert_int_equal(n, 0);
	/* The tail must have been set back, or this would be lost. */
	assert_true(queue_push(&q, &numbers[0].item));
	assert_ptr_equal(queue_take(&q, 1, NULL), &numbers[0].item);
	queue_destroy(&q);
}

static void refuses_beyond_its_bound(void **state)
{
	struct number n[4];
	struct queue q;

	(void)state;
	queue_init(&q, 2, false);
	assert_true(queue_push(&q, &n[0].item));
	assert_true(queue_push(&q, &n[1].item));
	assert_false(queue_push(&q, &n[2].item));
	assert_int_equal(queue_len(&q), 2);
	/* A chain is an answer, and is never refused. */
	n[2].item.next = &n[3].item;
	assert_true(queue_push_chain(&q, &n[2].item, &n[3].item, 2));
	assert_int_equal(queue_len(&q), 4);
	queue_take(&q, 3, NULL);
	assert_true(queue_push(&q, &n[0].item));
	queue_take(&q, 0, NULL);
	queue_destroy(&q);
}

static void fd_is_readable_while_items_wait(void **state)
{
	struct number n[3];
	struct queue q;

	(void)state;
	queue_init(&q, 0, true);
	assert_false(readable(&q));
	for (int i = 0; i < 3; i++)
		assert_true(queue_push(&q, &n[i].item));
	assert_true(readable(&q));
	queue_take(&q, 2, NULL);
	assert_true(readable(&q));
	queue_take(&q, 1, NULL);
	assert_false(readable(&q));
	assert_null(queue_take(&q, 0, NULL));
	assert_false(readable(&q));
	assert_true(queue_push(&q, &n[0].item));
	assert_true(readable(&q));
	assert_ptr_equal(queue_wait(&q, 0, USEC_NEVER, NULL), &n[0].item);
	assert_false(readable(&q));
	queue_destroy(&q);
}

static void closed_stays_readable_and_can_be_emptied(void **state)
{
	struct number n[2];
	struct queue q;

	(void)state;
	for (int before = 0; before < 2; before++) {
		queue_init(&q, 0, true);
		if (before)
			assert_true(queue_push(&q, &n[0].item));
		assert_false(queue_closed(&q));
		queue_close(&q);
		queue_close(&q);
		assert_true(queue_closed(&q));
		assert_true(readable(&q));
		assert_false(queue_push(&q, &n[1].item));
		assert_false(queue_push_chain(&q, &n[1].item, &n[1].item, 1));
		assert_ptr_equal(queue_wait(&q, 0, USEC_NEVER, NULL), before ? &n[0].item : NULL);
		assert_true(readable(&q));
		assert_null(queue_wait(&q, 0, USEC_NEVER, NULL));
		queue_destroy(&q);
	}
}

static void waiting_ends_at_the_timeout(void **state)
{
	struct queue q;
	usec_t before;

	(void)state;
	queue_init(&q, 0, false);
	before = clock_mono();
	assert_null(queue_wait(&q, 0, 20 * USEC_PER_MSEC, NULL));
	assert_true(clock_mono() - before >= 20 * USEC_PER_MSEC);
	assert_null(queue_wait(&q, 0, 0, NULL));
	assert_null(queue_wait(&q, 0, -5, NULL));
	queue_destroy(&q);
}

enum { PRODUCERS = 4, CONSUMERS = 3, PER_PRODUCER = 20000 };

struct crowd {
	struct queue q;
	_Atomic int next_producer;
	_Atomic int received;
};

static void *produce(void *arg)
{
	struct crowd *c = arg;
	int me = c->next_producer++;
	struct number *n, *chain;

	for (int i = 0; i < PER_PRODUCER; i++) {
		n = xmalloc(sizeof(*n));
		*n = (struct number){.producer = me, .value = i};
		if (i % 7 == 3 && i + 1 < PER_PRODUCER) {
			chain = xmalloc(sizeof(*chain));
			*chain = (struct number){.producer = me, .value = ++i};
			n->item.next = &chain->item;
			if (!queue_push_chain(&c->q, &n->item, &chain->item, 2))
				abort();
			continue;
		}
		while (!queue_push(&c->q, &n->item))
			sched_yield();
	}
	return NULL;
}

/* Takes ownership of the chain; the values of each producer must rise. */
static void receive(struct crowd *c, struct queue_item *item, size_t n, int *last)
{
	struct number *number;
	size_t seen = 0;

	while (item) {
		number = number_of(item);
		item = item->next;
		if (number->value <= last[number->producer])
			abort();
		last[number->producer] = number->value;
		free(number);
		seen++;
	}
	if (seen != n)
		abort();
	c->received += (int)seen;
}

/* By value, small batches: each must leave what remains to another sleeper. */
static void *consume(void *arg)
{
	struct crowd *c = arg;
	int last[PRODUCERS] = {-1, -1, -1, -1};
	struct queue_item *item;
	size_t n;

	while ((item = queue_wait(&c->q, 3, USEC_NEVER, &n)) || !queue_closed(&c->q))
		receive(c, item, n, last);
	return NULL;
}

static void many_producers_many_consumers(void **state)
{
	pthread_t producers[PRODUCERS], consumers[CONSUMERS];
	struct crowd c = {0};

	(void)state;
	queue_init(&c.q, 100, false);
	for (int i = 0; i < CONSUMERS; i++)
		assert_int_equal(thread_start(&consumers[i], "consumer", consume, &c, NULL), OK);
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(thread_start(&producers[i], "producer", produce, &c, NULL), OK);
	for (int i = 0; i < PRODUCERS; i++)
		thread_join(producers[i]);
	queue_close(&c.q);
	for (int i = 0; i < CONSUMERS; i++)
		thread_join(consumers[i]);
	assert_int_equal(c.received, PRODUCERS * PER_PRODUCER);
	queue_destroy(&c.q);
}

/* A lost wake-up would leave poll() waiting: it has no other reason to return. */
static void many_producers_one_poller(void **state)
{
	int last[PRODUCERS] = {-1, -1, -1, -1};
	pthread_t producers[PRODUCERS];
	struct crowd c = {0};
	struct queue_item *item;
	struct pollfd p;
	size_t n;

	(void)state;
	queue_init(&c.q, 0, true);
	p = (struct pollfd){.fd = queue_fd(&c.q), .events = POLLIN};
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(thread_start(&producers[i], "producer", produce, &c, NULL), OK);
	while (c.received < PRODUCERS * PER_PRODUCER) {
		assert_int_equal(poll(&p, 1, 30000), 1);
		item = queue_take(&c.q, 0, &n);
		/* The one consumer is never woken for nothing. */
		assert_non_null(item);
		receive(&c, item, n, last);
	}
	for (int i = 0; i < PRODUCERS; i++)
		thread_join(producers[i]);
	assert_false(readable(&c.q));
	queue_destroy(&c.q);
}

static void *wait_for_one(void *arg)
{
	return queue_wait(arg, 1, USEC_NEVER, NULL);
}

/* Two sleep, two items come at once: whoever wakes and takes one must wake the other. They wait without a
 * limit, since a timeout would look again and find the item; closing the queue frees them if need be. */
static void what_a_consumer_leaves_wakes_the_next(void **state)
{
	const usec_t give_up = clock_mono() + 30 * USEC_PER_SEC;
	pthread_t threads[2];
	struct number n[2];
	struct queue q;
	size_t left;

	(void)state;
	queue_init(&q, 0, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&threads[i], "consumer", wait_for_one, &q, NULL), OK);
	/* Time to fall asleep. Should one not, the test is weaker, not wrong. */
	usleep(50000);
	n[0].item.next = &n[1].item;
	assert_true(queue_push_chain(&q, &n[0].item, &n[1].item, 2));
	while ((left = queue_len(&q)) > 0 && clock_mono() < give_up)
		usleep(1000);
	queue_close(&q);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
	assert_int_equal(left, 0);
	queue_destroy(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_order),
		cmocka_unit_test(refuses_beyond_its_bound),
		cmocka_unit_test(fd_is_readable_while_items_wait),
		cmocka_unit_test(closed_stays_readable_and_can_be_emptied),
		cmocka_unit_test(waiting_ends_at_the_timeout),
		cmocka_unit_test(what_a_consumer_leaves_wakes_the_next),
		cmocka_unit_test(many_producers_many_consumers),
		cmocka_unit_test(many_producers_one_poller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
