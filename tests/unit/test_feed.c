/* The feed: what is kept for readers, and the figures for charts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

#define T0 (1000000 * USEC_PER_MINUTE)

/* --- history ------------------------------------------------------------------------------------------ */

static const struct history_bucket *last(const struct history *h, enum history_resolution r)
{
	usec_t start;
	size_t n = history_span(h, r, 0, &start);

	assert_true(n > 0);
	return history_get(h, r, start, n - 1);
}

static void test_only_what_is_over_is_shown(void **state)
{
	struct history h;
	usec_t start;

	(void)state;
	history_init(&h, T0 + 300);
	history_accepted(&h, 3);
	history_backlog(&h, 7);
	history_attempt(&h, VERDICT_SENT, 5000);
	history_attempt(&h, VERDICT_RETRY, 5000);
	history_attempt(&h, VERDICT_FAILED, 0);
	history_attempt(&h, VERDICT_UNKNOWN, 9000);
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), 0);
	assert_int_equal(start, T0);
	history_advance(&h, T0 + USEC_PER_SEC);
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), 1);
	assert_int_equal(start, T0);
	assert_int_equal(last(&h, HISTORY_SECOND)->accepted, 3);
	assert_int_equal(last(&h, HISTORY_SECOND)->sent, 1);
	assert_int_equal(last(&h, HISTORY_SECOND)->retried, 1);
	assert_int_equal(last(&h, HISTORY_SECOND)->failed, 1);
	assert_int_equal(last(&h, HISTORY_SECOND)->unknown, 1);
	assert_int_equal(last(&h, HISTORY_SECOND)->backlog, 7);
	assert_int_equal(history_span(&h, HISTORY_MINUTE, 0, &start), 0);
	history_advance(&h, T0 + USEC_PER_MINUTE);
	assert_int_equal(last(&h, HISTORY_MINUTE)->sent, 1);
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), 60);
	assert_int_equal(last(&h, HISTORY_SECOND)->sent, 0);
	assert_int_equal(last(&h, HISTORY_SECOND)->backlog, -1);
	history_release(&h);
}

static void test_since(void **state)
{
	struct history h;
	usec_t start;

	(void)state;
	history_init(&h, T0);
	history_advance(&h, T0 + 10 * USEC_PER_SEC);
	assert_int_equal(history_span(&h, HISTORY_SECOND, T0 + 4 * USEC_PER_SEC, &start), 6);
	assert_int_equal(start, T0 + 4 * USEC_PER_SEC);
	assert_int_equal(history_span(&h, HISTORY_SECOND, T0 + 4 * USEC_PER_SEC + 1, &start), 5);
	assert_int_equal(history_span(&h, HISTORY_SECOND, T0 + USEC_PER_DAY, &start), 0);
	history_release(&h);
}

static void test_what_is_old_goes(void **state)
{
	struct history h;
	usec_t start;

	(void)state;
	history_init(&h, T0);
	for (int i = 0; i < 5000; i++) {
		history_advance(&h, T0 + i * USEC_PER_SEC);
		history_accepted(&h, (uint32_t)i);
	}
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), HISTORY_SECONDS);
	assert_int_equal(start, T0 + (4999 - HISTORY_SECONDS) * USEC_PER_SEC);
	for (size_t i = 0; i < HISTORY_SECONDS; i++)
		assert_int_equal(history_get(&h, HISTORY_SECOND, start, i)->accepted, 4999 - HISTORY_SECONDS + i);
	/* A leap leaves nothing of the time before. */
	history_advance(&h, T0 + 100 * USEC_PER_DAY);
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), HISTORY_SECONDS);
	assert_int_equal(history_get(&h, HISTORY_SECOND, start, 0)->accepted, 0);
	assert_int_equal(history_get(&h, HISTORY_SECOND, start, HISTORY_SECONDS - 1)->accepted, 0);
	history_release(&h);
}

static void test_a_clock_set_back(void **state)
{
	struct history h;
	usec_t start;

	(void)state;
	history_init(&h, T0);
	history_advance(&h, T0 + 5 * USEC_PER_SEC);
	history_advance(&h, T0 - USEC_PER_HOUR);
	history_accepted(&h, 9);
	history_advance(&h, T0 + 6 * USEC_PER_SEC);
	assert_int_equal(history_span(&h, HISTORY_SECOND, 0, &start), 6);
	assert_int_equal(last(&h, HISTORY_SECOND)->accepted, 9);
	history_release(&h);
}

static void test_quantiles(void **state)
{
	static const usec_t scales[] = {1, 10, 1000};
	struct history h;

	(void)state;
	history_init(&h, T0);
	for (size_t s = 0; s < ARRAY_SIZE(scales); s++) {
		const struct history_bucket *b;

		/* 100, 200, … 100,000, times the scale: p50 is half of the largest. */
		for (int i = 1; i <= 1000; i++)
			history_attempt(&h, VERDICT_SENT, 100 * i * scales[s]);
		history_advance(&h, T0 + (usec_t)(s + 1) * USEC_PER_SEC);
		b = last(&h, HISTORY_SECOND);
		assert_in_range(b->p50, 50000 * scales[s] * 93 / 100, 50000 * scales[s] * 107 / 100);
		assert_in_range(b->p95, 95000 * scales[s] * 93 / 100, 95000 * scales[s] * 107 / 100);
		assert_in_range(b->p99, 99000 * scales[s] * 93 / 100, 99000 * scales[s] * 107 / 100);
	}
	/* Longer than any timeout: the last bin. */
	history_attempt(&h, VERDICT_SENT, INT64_MAX);
	history_advance(&h, T0 + USEC_PER_HOUR);
	history_release(&h);
}

/* --- readers ------------------------------------------------------------------------------------------ */

static int woken;

static void wake(void *arg)
{
	(void)arg;
	woken++;
}

static struct feed_waker waker = {.wake = wake};

static void add(struct feed *f, struct feed_reader *r, const struct feed_id *id, bool expect_reset)
{
	bool reset;

	assert_true(feed_reader_add(f, r, &waker, id, &reset));
	assert_int_equal(reset, expect_reset);
}

static struct feed_id id_of(const struct feed *f, uint64_t seq)
{
	char text[FEED_ID_TEXT];
	struct feed_id id;

	feed_id_format(f, seq, text);
	assert_true(feed_id_parse(text, strlen(text), &id));
	assert_int_equal(id.seq, seq);
	return id;
}

static void test_ids(void **state)
{
	static const char *const bad[] = {"",
	                                  "-",
	                                  "0123456789ab",
	                                  "0123456789ab-",
	                                  "0123456789ab-0",
	                                  "0123456789ab--1",
	                                  "0123456789ab-1 ",
	                                  "0123456789aB-1",
	                                  "0123456789abc-1",
	                                  "0123456789ab-99999999999999999999"};
	struct feed_id id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(feed_id_parse(bad[i], strlen(bad[i]), &id));
	assert_true(feed_id_parse("0123456789ab-17", 15, &id));
	assert_string_equal(id.boot, "0123456789ab");
	assert_int_equal(id.seq, 17);
}

static void test_readers_go_on_where_they_were(void **state)
{
	struct feed *f = feed_new();
	struct feed_reader one, two;
	struct feed_item item;
	struct feed_id id;

	(void)state;
	feed_run_begun(f, 1, 5); /* to nobody */
	add(f, &one, NULL, false);
	woken = 0;
	waker.woken = false;
	feed_run_begun(f, 2, 5);
	feed_run_begun(f, 3, 5);
	assert_int_equal(woken, 1);
	assert_int_equal(feed_read(f, &one, &item), FEED_EVENT);
	assert_int_equal(item.event.run.run, 2);
	id = id_of(f, item.event.seq);
	feed_woken(f, &waker);
	feed_run_begun(f, 4, 5);
	assert_int_equal(woken, 2);
	feed_reader_remove(f, &one);
	feed_run_begun(f, 5, 5); /* it may come back */
	add(f, &two, &id, false);
	for (int64_t run = 3; run <= 5; run++) {
		assert_int_equal(feed_read(f, &two, &item), FEED_EVENT);
		assert_int_equal(item.event.run.run, run);
	}
	assert_int_equal(feed_read(f, &two, &item), FEED_NOTHING);
	feed_reader_remove(f, &two);
	/* One that was never given, and one of before. */
	id.seq += 100;
	add(f, &two, &id, true);
	feed_reader_remove(f, &two);
	id.seq = 1;
	memset(id.boot, '0', FEED_BOOT);
	add(f, &two, &id, true);
	feed_reader_remove(f, &two);
	feed_free(f);
}

static void test_one_that_is_overtaken(void **state)
{
	struct feed *f = feed_new();
	struct feed_reader r, late;
	struct feed_item item;
	struct feed_id id;

	(void)state;
	add(f, &r, NULL, false);
	feed_run_begun(f, 1, 1);
	assert_int_equal(feed_read(f, &r, &item), FEED_EVENT);
	id = id_of(f, item.event.seq);
	for (int i = 0; i < FEED_EVENTS; i++)
		feed_run_begun(f, i, 1);
	add(f, &late, &id, false); /* just so */
	assert_int_equal(feed_read(f, &r, &item), FEED_EVENT);
	feed_run_begun(f, 1, 1);
	feed_run_begun(f, 1, 1);
	assert_int_equal(feed_read(f, &late, &item), FEED_OVERTAKEN);
	feed_reader_remove(f, &late);
	add(f, &late, &id, true);
	feed_reader_remove(f, &late);
	feed_reader_remove(f, &r);
	feed_free(f);
}

static void test_attempts_are_sampled(void **state)
{
	const struct feed_attempt a = {
		.message = 1, .phone = "+905551234567", .verdict = VERDICT_RETRY, .duration = 1, .error = NULL};
	const struct store_counts counts = {.by_status[0] = 5};
	struct feed *f = feed_new();
	struct feed_reader r;
	struct feed_item item;
	enum feed_read got;
	unsigned shown = 0;

	(void)state;
	add(f, &r, NULL, false);
	feed_begin(f);
	for (int i = 0; i < 500; i++)
		feed_attempt(f, &a);
	feed_end(f);
	feed_seen(f, &counts, NULL, 3);
	while ((got = feed_read(f, &r, &item)) == FEED_EVENT) {
		assert_int_equal(item.event.kind, FEED_ATTEMPT);
		assert_string_equal(item.event.attempt.phone, a.phone);
		shown++;
	}
	assert_int_equal(got, FEED_COUNTS);
	assert_in_range(shown, FEED_SAMPLE, 4 * FEED_SAMPLE); /* a machine that hangs begins a new sample */
	assert_int_equal(item.counts.skipped, 500 - shown);
	assert_int_equal(item.counts.in_flight, 3);
	assert_int_equal(feed_read(f, &r, &item), FEED_NOTHING);
	feed_reader_remove(f, &r);
	feed_free(f);
}

static void test_texts_are_cut_between_letters(void **state)
{
	char error[FEED_ERROR_MAX + 2] = {0};
	struct feed_attempt a = {.message = 1, .phone = "+1", .verdict = VERDICT_FAILED, .error = error};
	struct feed *f = feed_new();
	struct feed_reader r;
	struct feed_item item;

	(void)state;
	memset(error, 'x', FEED_ERROR_MAX - 1);
	memcpy(error + FEED_ERROR_MAX - 1, "\xc3\xa9", 2);
	add(f, &r, NULL, false);
	feed_begin(f);
	feed_attempt(f, &a);
	feed_end(f);
	assert_int_equal(feed_read(f, &r, &item), FEED_EVENT);
	assert_int_equal(strlen(item.event.attempt.error), FEED_ERROR_MAX - 1);
	feed_reader_remove(f, &r);
	feed_free(f);
}

static void test_there_is_an_end_to_readers(void **state)
{
	struct feed_reader *r = calloc(FEED_READERS_MAX + 1, sizeof(*r));
	struct feed *f = feed_new();
	bool reset;

	(void)state;
	for (size_t i = 0; i < FEED_READERS_MAX; i++)
		add(f, &r[i], NULL, false);
	assert_false(feed_reader_add(f, &r[FEED_READERS_MAX], &waker, NULL, &reset));
	for (size_t i = 0; i < FEED_READERS_MAX; i++)
		feed_reader_remove(f, &r[i]);
	assert_false(feed_is_read(f));
	feed_free(f);
	free(r);
}

static void test_the_scheduler_is_told_when_it_changes(void **state)
{
	const struct store_counts counts = {.by_status[0] = 5};
	struct scheduler s = {.pacing = {.running = true, .batch = 2}};
	struct feed *f = feed_new();
	struct feed_reader r;
	struct feed_item item;

	(void)state;
	add(f, &r, NULL, false);
	feed_seen(f, &counts, &s, 0);
	assert_int_equal(feed_read(f, &r, &item), FEED_STATE);
	assert_true(item.event.scheduler.s.pacing.running);
	assert_int_equal(feed_read(f, &r, &item), FEED_COUNTS);
	s.now++;
	feed_seen(f, &counts, &s, 0);
	assert_int_equal(feed_read(f, &r, &item), FEED_NOTHING);
	s.pacing.running = false;
	feed_seen(f, &counts, &s, 0);
	assert_int_equal(feed_read(f, &r, &item), FEED_EVENT);
	assert_int_equal(item.event.kind, FEED_SCHEDULER);
	assert_false(item.event.scheduler.s.pacing.running);
	feed_reader_remove(f, &r);
	feed_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_is_over_is_shown),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_what_is_old_goes),
		cmocka_unit_test(test_a_clock_set_back),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_readers_go_on_where_they_were),
		cmocka_unit_test(test_one_that_is_overtaken),
		cmocka_unit_test(test_attempts_are_sampled),
		cmocka_unit_test(test_texts_are_cut_between_letters),
		cmocka_unit_test(test_there_is_an_end_to_readers),
		cmocka_unit_test(test_the_scheduler_is_told_when_it_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
