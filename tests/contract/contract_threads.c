/* Several sessions at once. Threads do not assert (cmocka cannot fail from them): they count what is
 * wrong, and the test looks at the count. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contract.h"
#include "text.h"

#define THREADS 6

struct shared {
	struct fixture *f;
	pthread_barrier_t barrier;
	_Atomic int wrong, claimed, opened;
	int rounds;
	usec_t interval;
	uint32_t share; /* how many each wants; 0: more than there are */
	_Atomic int seen[4000]; /* per id: live claims */
};

struct worker {
	pthread_t thread;
	struct shared *shared;
	struct store_session *c;
	struct claim_request request;
	int n;
	char owner[16];
};

static void with_threads(struct shared *sh, void *(*fn)(void *))
{
	struct worker w[THREADS];
	struct error err = ERROR_INIT;
	int i;

	pthread_barrier_init(&sh->barrier, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.shared = sh, .n = i, .request = claim_request(sh->share ? sh->share : 5)};
		snprintf(w[i].owner, sizeof(w[i].owner), "node/%d", i);
		w[i].request.owner = w[i].owner;
		assert_okay(store_session_open(sh->f->store, &w[i].c, &err), &err, "session");
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, fn, &w[i]), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		store_session_close(w[i].c);
	}
	pthread_barrier_destroy(&sh->barrier);
	assert_int_equal(atomic_load(&sh->wrong), 0);
}

static void *claim_beats(void *arg)
{
	struct worker *w = arg;
	struct shared *sh = w->shared;
	struct claim_batch b;
	int i;

	for (i = 0; i < sh->rounds; i++) {
		/* All come at the moment when the beat is due. */
		pthread_barrier_wait(&sh->barrier);
		if (store_claim(w->c, &w->request, &b, NULL)) {
			atomic_fetch_add(&sh->wrong, 1);
		} else {
			atomic_fetch_add(&sh->claimed, (int)b.n);
			atomic_fetch_add(&sh->opened, b.answer == PACING_OPEN);
			claim_batch_release(&b);
		}
		pthread_barrier_wait(&sh->barrier);
		if (w->n)
			continue;
		if (atomic_exchange(&sh->claimed, 0) != 3 || atomic_exchange(&sh->opened, 0) != 1)
			atomic_fetch_add(&sh->wrong, 1);
		pass(2 * sh->interval);
	}
	return NULL;
}

static void test_one_beat_is_opened_once(void **state)
{
	struct shared sh = {.f = *state, .rounds = 60, .interval = unit()};

	/* With a clock that goes on by itself, all have to be done with a beat before the next. */
	if (!turns_clock()) {
		sh.rounds = 10;
		sh.interval = 8 * unit();
	}
	schedule(sh.f, sh.interval, 3);
	add(sh.f, (size_t)sh.rounds * 3 + 50);
	with_threads(&sh, claim_beats);
}

/* Nodes with few free slots take the beat in parts. */
static void test_one_beat_is_shared_out_once(void **state)
{
	struct shared sh = {.f = *state, .rounds = 60, .interval = unit(), .share = 1};

	if (!turns_clock()) {
		sh.rounds = 10;
		sh.interval = 8 * unit();
	}
	schedule(sh.f, sh.interval, 3);
	add(sh.f, (size_t)sh.rounds * 3 + 50);
	with_threads(&sh, claim_beats);
}

static void *drain(void *arg)
{
	struct worker *w = arg;
	struct shared *sh = w->shared;
	struct settlement s[5];
	struct settle_result r;
	struct claim_batch b;
	size_t i, n;
	int idle = 0;

	while (idle < 50) {
		if (store_claim(w->c, &w->request, &b, NULL)) {
			atomic_fetch_add(&sh->wrong, 1);
			break;
		}
		n = b.n;
		idle = n ? 0 : idle + 1;
		for (i = 0; i < n; i++) {
			if (atomic_fetch_add(&sh->seen[b.items[i].id], 1))
				atomic_fetch_add(&sh->wrong, 1);
			s[i] = outcome(&b.items[i], b.run,
			               random_u64() % 4 ? VERDICT_SENT : VERDICT_RELEASE);
		}
		/* Ours until it is settled, and free for the others only then. */
		for (i = 0; i < n; i++)
			atomic_fetch_sub(&sh->seen[b.items[i].id], 1);
		claim_batch_release(&b);
		if (n && (store_settle(w->c, s, n, &r, NULL) || r.applied != n))
			atomic_fetch_add(&sh->wrong, 1);
	}
	return NULL;
}

static void test_no_message_is_claimed_twice_at_once(void **state)
{
	struct shared sh = {.f = *state};
	/* FerretDB reads all that waits for each claim, and takes its time for it. */
	const int n = turns_clock() ? 1500 : 200;
	char text[32];

	schedule(sh.f, 0, 1);
	add(sh.f, (size_t)n);
	with_threads(&sh, drain);
	snprintf(text, sizeof(text), "sent=%d", n);
	check_counts(sh.f, text);
}

static void *insert_same_keys(void *arg)
{
	struct worker *w = arg;
	struct shared *sh = w->shared;
	struct message_draft d[4];
	struct insert_group g = {.drafts = d, .n = 4};
	char key[4][16];
	int i, k;

	for (i = 0; i < 100; i++) {
		for (k = 0; k < 4; k++) {
			snprintf(key[k], sizeof(key[k]), "%d-%d", i, k);
			d[k] = (struct message_draft){
				.phone = "+905551234567", .content = "Hi", .idempotency_key = key[k]};
		}
		if (store_insert(w->c, &g, 1, NULL) || !g.stored)
			atomic_fetch_add(&sh->wrong, 1);
		for (k = 0; k < 4; k++)
			atomic_fetch_add(&sh->seen[d[k].id], 1);
	}
	return NULL;
}

static void test_the_same_key_from_many_is_one_message(void **state)
{
	struct shared sh = {.f = *state};
	int id, seen, messages = 0;

	with_threads(&sh, insert_same_keys);
	check_counts(sh.f, "pending=400");
	/* A store may skip ids where sessions raced for a key. */
	for (id = 1; id < (int)ARRAY_SIZE(sh.seen); id++) {
		seen = atomic_load(&sh.seen[id]);
		assert_true(seen == 0 || seen == THREADS);
		messages += seen != 0;
	}
	assert_int_equal(messages, 400);
}

static void *settle_everything(void *arg)
{
	struct worker *w = arg;
	struct shared *sh = w->shared;
	struct settlement s;
	struct settle_result r;
	int64_t id;

	for (id = 1; id <= 200; id++) {
		s = (struct settlement){.id = id,
		                        .fence = 1,
		                        .run = 1,
		                        .attempt = 1,
		                        .verdict = w->n % 2 ? VERDICT_FAILED : VERDICT_RETRY};
		if (store_settle(w->c, &s, 1, &r, NULL))
			atomic_fetch_add(&sh->wrong, 1);
		else
			atomic_fetch_add(&sh->seen[id], s.applied);
	}
	return NULL;
}

static void test_one_opinion_counts(void **state)
{
	struct shared sh = {.f = *state};
	struct claimed *m = xcalloc(200, sizeof(*m));
	int id;

	schedule(sh.f, 0, 1);
	add(sh.f, 200);
	claim_n(sh.f, 200, m);
	free(m);
	with_threads(&sh, settle_everything);
	for (id = 1; id <= 200; id++)
		assert_int_equal(atomic_load(&sh.seen[id]), 1);
}

static void *stop_and_read(void *arg)
{
	const struct list_query q = {.status = MESSAGE_PENDING, .limit = 50, .want_total = true};
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct worker *w = arg;
	struct shared *sh = w->shared;
	struct store_counts counts;
	struct message_page page;
	struct scheduler s;
	bool changed;
	int i;

	for (i = 0; i < 50; i++) {
		c.running = i % 2;
		pthread_barrier_wait(&sh->barrier);
		if (store_scheduler_change(w->c, &c, &s, &changed, NULL))
			atomic_fetch_add(&sh->wrong, 1);
		else
			atomic_fetch_add(&sh->opened, changed);
		/* One snapshot: the page is of the same moment as its total. */
		if (store_list(w->c, &q, &page, NULL) || store_counts(w->c, &counts, NULL)) {
			atomic_fetch_add(&sh->wrong, 1);
		} else {
			if ((int64_t)page.n != MIN_OF(page.total, 50))
				atomic_fetch_add(&sh->wrong, 1);
			message_page_release(&page);
		}
		pthread_barrier_wait(&sh->barrier);
		if (!w->n && atomic_exchange(&sh->opened, 0) != 1)
			atomic_fetch_add(&sh->wrong, 1);
		if (!w->n) {
			struct message_draft d = {.phone = "+1234567", .content = "x"};
			struct insert_group g = {.drafts = &d, .n = 1};

			if (store_insert(w->c, &g, 1, NULL))
				atomic_fetch_add(&sh->wrong, 1);
		}
	}
	return NULL;
}

static void test_of_two_who_stop_one_did_it(void **state)
{
	struct shared sh = {.f = *state};

	schedule(sh.f, unit(), 1);
	with_threads(&sh, stop_and_read);
}

const struct CMUnitTest threads_tests[] = {
	TEST(test_one_beat_is_opened_once),
	TEST(test_one_beat_is_shared_out_once),
	TEST(test_no_message_is_claimed_twice_at_once),
	TEST(test_the_same_key_from_many_is_one_message),
	TEST(test_one_opinion_counts),
	TEST(test_of_two_who_stop_one_did_it),
};
GROUP_END(threads);
