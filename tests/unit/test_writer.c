/* Group commit: every job is answered, in order, after its commit; one job's fault is its own. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "writer.h"

struct fixture {
	struct store *store;
	struct store_session *c;
	struct writer *writer;
};

static int setup(void **state)
{
	const struct store_options options = {.url = "memory:"};
	struct fixture *f = xcalloc(1, sizeof(*f));

	if (store_open(&f->store, &options, NULL) || store_session_open(f->store, &f->c, NULL))
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	store_session_close(f->c);
	store_close(f->store);
	free(f);
	return 0;
}

static int64_t pending(struct fixture *f)
{
	struct store_counts counts;

	assert_int_equal(store_counts(f->c, &counts, NULL), OK);
	return counts.by_status[MESSAGE_PENDING];
}

struct one {
	struct insert_job job;
	struct message_draft draft;
	sem_t *answered;
	int code, order;
	bool stored;
};

static _Atomic int answers;

static void done(struct insert_job *job, int code, const struct error *err)
{
	struct one *one = container_of(job, struct one, job);

	one->code = code;
	one->order = atomic_fetch_add(&answers, 1);
	one->stored = job->group.stored;
	if ((code == OK) != (err == NULL))
		abort();
	sem_post(one->answered);
}

static void prepare(struct one *one, sem_t *answered, const char *phone)
{
	one->answered = answered;
	one->code = 1;
	one->draft = (struct message_draft){.phone = phone, .content = "Hello"};
	one->job = (struct insert_job){.group = {.drafts = &one->draft, .n = 1}, .done = done};
}

static void test_what_waits_at_the_end_is_stored(void **state)
{
	struct fixture *f = *state;
	struct one *ones = xcalloc(2000, sizeof(*ones));
	sem_t answered;
	int i;

	sem_init(&answered, 0, 0);
	atomic_store(&answers, 0);
	assert_int_equal(writer_start(&f->writer, f->store, 2000, NULL), OK);
	for (i = 0; i < 2000; i++) {
		prepare(&ones[i], &answered, "+1234567");
		assert_true(writer_submit(f->writer, &ones[i].job));
	}
	writer_stop(f->writer);
	assert_int_equal(atomic_load(&answers), 2000);
	for (i = 0; i < 2000; i++) {
		assert_int_equal(ones[i].code, OK);
		assert_true(ones[i].stored);
		assert_int_equal(ones[i].order, i);
		assert_int_equal(ones[i].draft.id, i + 1);
	}
	assert_int_equal(pending(f), 2000);
	sem_destroy(&answered);
	free(ones);
}

static void test_one_mistake_fails_one_job(void **state)
{
	struct fixture *f = *state;
	struct one ones[20];
	sem_t answered;
	int i;

	sem_init(&answered, 0, 0);
	assert_int_equal(writer_start(&f->writer, f->store, 100, NULL), OK);
	for (i = 0; i < 20; i++) {
		prepare(&ones[i], &answered, i == 7 ? "" : "+1234567");
		assert_true(writer_submit(f->writer, &ones[i].job));
	}
	writer_stop(f->writer);
	for (i = 0; i < 20; i++)
		assert_int_equal(ones[i].code, i == 7 ? ERR_INVALID : OK);
	assert_int_equal(pending(f), 19);
	sem_destroy(&answered);
}

static void test_groups_keep_to_themselves(void **state)
{
	struct fixture *f = *state;
	struct message_draft bad[2] = {
		{.phone = "+1234567", .content = "Hello", .idempotency_key = "k"},
		{.phone = "+1234567", .content = "Other", .idempotency_key = "k"},
	};
	struct one ones[3];
	sem_t answered;
	int i;

	sem_init(&answered, 0, 0);
	assert_int_equal(writer_start(&f->writer, f->store, 100, NULL), OK);
	for (i = 0; i < 3; i++)
		prepare(&ones[i], &answered, "+1234567");
	ones[1].job.group = (struct insert_group){.drafts = bad, .n = 2};
	for (i = 0; i < 3; i++)
		assert_true(writer_submit(f->writer, &ones[i].job));
	for (i = 0; i < 3; i++)
		sem_wait(&answered);
	assert_true(ones[0].stored);
	assert_false(ones[1].stored);
	assert_int_equal(ones[1].code, OK);
	assert_int_equal(bad[1].result, INSERT_CONFLICT);
	assert_true(ones[2].stored);
	assert_int_equal(pending(f), 2);
	writer_stop(f->writer);
	sem_destroy(&answered);
}

static void test_a_large_job_is_stored_whole(void **state)
{
	struct fixture *f = *state;
	struct message_draft *drafts = xcalloc(3000, sizeof(*drafts));
	struct one one, small;
	sem_t answered;
	int i;

	for (i = 0; i < 3000; i++)
		drafts[i] = (struct message_draft){.phone = "+1234567", .content = "Hello"};
	sem_init(&answered, 0, 0);
	assert_int_equal(writer_start(&f->writer, f->store, 3001, NULL), OK);
	prepare(&small, &answered, "+1234567");
	prepare(&one, &answered, "+1234567");
	one.job.group = (struct insert_group){.drafts = drafts, .n = 3000};
	assert_true(writer_submit(f->writer, &one.job));
	assert_true(writer_submit(f->writer, &small.job));
	sem_wait(&answered);
	sem_wait(&answered);
	assert_true(one.stored && small.stored);
	assert_int_equal(pending(f), 3001);
	writer_stop(f->writer);
	sem_destroy(&answered);
	free(drafts);
}

/* The first job's done() holds the writer up, so that the others have to wait. */
static sem_t entered, leave;

static void hold(struct insert_job *job, int code, const struct error *err)
{
	sem_post(&entered);
	sem_wait(&leave);
	done(job, code, err);
}

static void test_too_many_are_refused(void **state)
{
	struct fixture *f = *state;
	struct one ones[6];
	sem_t answered;
	int i;

	sem_init(&answered, 0, 0);
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	assert_int_equal(writer_start(&f->writer, f->store, 4, NULL), OK);
	for (i = 0; i < 6; i++)
		prepare(&ones[i], &answered, "+1234567");
	ones[0].job.done = hold;
	assert_true(writer_submit(f->writer, &ones[0].job));
	sem_wait(&entered);
	for (i = 1; i < 5; i++)
		assert_true(writer_submit(f->writer, &ones[i].job));
	assert_false(writer_submit(f->writer, &ones[5].job));
	sem_post(&leave);
	for (i = 0; i < 5; i++)
		sem_wait(&answered);
	assert_true(writer_submit(f->writer, &ones[5].job));
	sem_wait(&answered);
	writer_stop(f->writer);
	assert_int_equal(pending(f), 6);
	sem_destroy(&answered);
	sem_destroy(&entered);
	sem_destroy(&leave);
}

static void *submit_many(void *arg)
{
	struct fixture *f = arg;
	struct one one;
	sem_t answered;
	int i;

	sem_init(&answered, 0, 0);
	for (i = 0; i < 300; i++) {
		prepare(&one, &answered, "+1234567");
		if (!writer_submit(f->writer, &one.job))
			abort();
		sem_wait(&answered);
		if (one.code || !one.stored || !one.draft.id)
			abort();
	}
	sem_destroy(&answered);
	return NULL;
}

static void test_many_submitters(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[8];
	size_t i;

	assert_int_equal(writer_start(&f->writer, f->store, 8, NULL), OK);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, f), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	writer_stop(f->writer);
	assert_int_equal(pending(f), 8 * 300);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_waits_at_the_end_is_stored),
		TEST(test_one_mistake_fails_one_job),
		TEST(test_groups_keep_to_themselves),
		TEST(test_a_large_job_is_stored_whole),
		TEST(test_too_many_are_refused),
		TEST(test_many_submitters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
