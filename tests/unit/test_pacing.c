/* The beat, by example and by random walks that check the promise itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pacing.h"
#include "text.h"

#define T0 (1000 * USEC_PER_SEC)

static struct pacing beat_of(usec_t interval, uint32_t batch)
{
	return (struct pacing){.running = true, .interval = interval, .batch = batch};
}

/* Asks, takes all that is granted (work is unlimited), and returns how many that was. */
static uint32_t take(struct pacing *p, usec_t now, uint32_t want, enum pacing_answer expected)
{
	uint32_t grant = 99;
	enum pacing_answer a = pacing_ask(p, now, want, false, &grant);

	assert_int_equal(a, expected);
	*p = pacing_after(p, a, now, grant, false);
	return grant;
}

static void test_first_beat_opens_at_once(void **state)
{
	struct pacing p = beat_of(USEC_PER_MINUTE, 2);

	(void)state;
	assert_int_equal(pacing_next_at(&p), 0);
	assert_int_equal(take(&p, T0, 10, PACING_OPEN), 2);
	assert_int_equal(p.epoch, 1);
	assert_int_equal(p.beat_at, T0);
	assert_int_equal(pacing_next_at(&p), T0 + USEC_PER_MINUTE);
	assert_int_equal(take(&p, T0, 10, PACING_WAIT), 0);
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE - 1, 10, PACING_WAIT), 0);
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE, 10, PACING_OPEN), 2);
	assert_int_equal(p.epoch, 2);
}

static void test_a_beat_is_taken_in_parts(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 10);

	(void)state;
	assert_int_equal(take(&p, T0, 4, PACING_OPEN), 4);
	assert_int_equal(take(&p, T0 + 1, 4, PACING_JOIN), 4);
	assert_int_equal(take(&p, T0 + 2, 4, PACING_JOIN), 2);
	assert_int_equal(take(&p, T0 + 3, 4, PACING_WAIT), 0);
	assert_int_equal(p.epoch, 1);
}

static void test_what_a_beat_did_not_use_is_gone(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 10);

	(void)state;
	assert_int_equal(take(&p, T0, 4, PACING_OPEN), 4);
	assert_int_equal(take(&p, T0 + USEC_PER_SEC, 20, PACING_OPEN), 10);
}

static void test_running_out_closes_the_beat(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 10);
	uint32_t grant;

	(void)state;
	assert_int_equal(pacing_ask(&p, T0, 10, false, &grant), PACING_OPEN);
	p = pacing_after(&p, PACING_OPEN, T0, 3, true);
	assert_int_equal(p.left, 0);
	assert_int_equal(take(&p, T0 + 1, 10, PACING_WAIT), 0);
}

static void test_no_catching_up(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 2);

	(void)state;
	take(&p, T0, 2, PACING_OPEN);
	/* Ten intervals of outage are worth one beat, and the next is a whole interval after it. */
	usec_t late = T0 + 10 * USEC_PER_SEC + 700 * USEC_PER_MSEC;
	assert_int_equal(take(&p, late, 99, PACING_OPEN), 2);
	assert_int_equal(take(&p, late + USEC_PER_SEC - 1, 99, PACING_WAIT), 0);
	assert_int_equal(take(&p, late + USEC_PER_SEC, 99, PACING_OPEN), 2);
}

static void test_stopped_and_forced(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 2);
	uint32_t grant = 7;

	(void)state;
	p.running = false;
	assert_int_equal(pacing_ask(&p, T0, 2, false, &grant), PACING_STOPPED);
	assert_int_equal(grant, 0);
	assert_int_equal(pacing_ask(&p, T0, 2, true, &grant), PACING_OPEN);
	assert_int_equal(grant, 2);
	p = pacing_after(&p, PACING_OPEN, T0, 2, false);
	assert_int_equal(pacing_ask(&p, T0 + USEC_PER_SEC - 1, 2, true, &grant), PACING_WAIT);
	assert_false(p.running);
}

static void test_continuous(void **state)
{
	struct pacing p = beat_of(0, 2);

	(void)state;
	assert_int_equal(take(&p, T0, 500, PACING_OPEN), 500);
	assert_int_equal(take(&p, T0, 500, PACING_JOIN), 500);
	assert_int_equal(take(&p, T0 + USEC_PER_SEC - 1, 1, PACING_JOIN), 1);
	assert_int_equal(take(&p, T0 + USEC_PER_SEC, 1, PACING_OPEN), 1);
	assert_int_equal(p.epoch, 2);
	assert_int_equal(pacing_next_at(&p), 0);
	p.running = false;
	assert_int_equal(take(&p, T0 + USEC_PER_SEC, 1, PACING_STOPPED), 0);
}

static void test_asking_in_vain_changes_nothing(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 5), before;

	(void)state;
	take(&p, T0, 2, PACING_OPEN);
	before = p;
	p = pacing_after(&p, PACING_WAIT, T0 + 5, 0, false);
	p = pacing_after(&p, PACING_STOPPED, T0 + 5, 0, false);
	assert_int_equal(p.beat_at, before.beat_at);
	assert_int_equal(p.epoch, before.epoch);
	assert_int_equal(p.left, before.left);
	assert_true(p.left > 0);
}

static void test_a_clock_set_back_does_not_open_early(void **state)
{
	struct pacing p = beat_of(USEC_PER_SEC, 2);

	(void)state;
	take(&p, T0, 2, PACING_OPEN);
	assert_int_equal(take(&p, T0 - 500 * USEC_PER_SEC, 2, PACING_WAIT), 0);
}

/*
 * Several nodes ask at random moments, with stops, starts, outages and thin work in between. Whatever
 * happens: beats open at least an interval apart, each grants at most `batch`, and a running scheduler
 * with a live node opens one as soon as it may.
 */
static void test_random_walks_keep_the_promise(void **state)
{
	(void)state;
	for (int walk = 0; walk < 300; walk++) {
		usec_t interval = 1 + (usec_t)(random_u64() % 1000);
		uint32_t batch = 1 + (uint32_t)(random_u64() % 8), in_beat = 0;
		struct pacing p = beat_of(interval, batch);
		usec_t now = T0, opened = 0;

		for (int step = 0; step < 2000; step++) {
			uint64_t dice = random_u64() % 100;
			bool forced = dice == 0;
			uint32_t want = 1 + (uint32_t)(random_u64() % 10), grant, found;

			now += (usec_t)(random_u64() % (uint64_t)(interval / 3 + 2));
			if (dice == 1)
				now += 10 * interval; /* an outage */
			if (dice < 10)
				p.running = !p.running;

			enum pacing_answer a = pacing_ask(&p, now, want, forced, &grant);

			assert_true(grant <= want);
			assert_int_equal(a == PACING_STOPPED, !p.running && !forced);
			if (a == PACING_OPEN) {
				if (opened)
					assert_true(now - opened >= interval);
				opened = now;
				in_beat = 0;
				assert_true(grant > 0);
			} else if (a == PACING_JOIN) {
				assert_true(now - opened < interval);
				assert_true(grant > 0);
			} else {
				assert_int_equal(grant, 0);
				if (a == PACING_WAIT)
					assert_true(opened && now - opened < interval);
			}
			found = grant ? (uint32_t)(random_u64() % (grant + 1)) : 0;
			if (dice < 80)
				found = grant;
			p = pacing_after(&p, a, now, found, found < grant);
			in_beat += found;
			assert_true(in_beat <= batch);
			if (opened)
				assert_int_equal(pacing_next_at(&p), opened + interval);
		}
	}
}

static void test_held_back_after_a_start(void **state)
{
	struct pacing p = beat_of(USEC_PER_MINUTE, 2);
	uint32_t grant;

	(void)state;
	p.not_before = T0 + USEC_PER_MINUTE;
	assert_int_equal(pacing_next_at(&p), T0 + USEC_PER_MINUTE);
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE - 1, 10, PACING_WAIT), 0);
	assert_int_equal(pacing_ask(&p, T0, 10, true, &grant), PACING_WAIT);
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE, 1, PACING_OPEN), 1);
	assert_int_equal(pacing_next_at(&p), T0 + 2 * USEC_PER_MINUTE);
	/* Neither what is left of a beat nor a beat that is due comes earlier; nor does it come earlier than due. */
	p.not_before = T0 + 3 * USEC_PER_MINUTE;
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE + 1, 1, PACING_WAIT), 0);
	assert_int_equal(take(&p, T0 + 2 * USEC_PER_MINUTE, 1, PACING_WAIT), 0);
	p.not_before = T0 + USEC_PER_MINUTE + 2;
	assert_int_equal(pacing_next_at(&p), T0 + 2 * USEC_PER_MINUTE);
	assert_int_equal(take(&p, T0 + USEC_PER_MINUTE + 2, 1, PACING_JOIN), 1);
	/* There is no beat to wait for in continuous mode. */
	p.interval = 0;
	p.not_before = T0 + USEC_PER_HOUR;
	assert_int_equal(pacing_next_at(&p), 0);
	assert_int_equal(take(&p, T0 + 10 * USEC_PER_MINUTE, 5, PACING_OPEN), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_beat_opens_at_once),
		cmocka_unit_test(test_a_beat_is_taken_in_parts),
		cmocka_unit_test(test_what_a_beat_did_not_use_is_gone),
		cmocka_unit_test(test_running_out_closes_the_beat),
		cmocka_unit_test(test_no_catching_up),
		cmocka_unit_test(test_stopped_and_forced),
		cmocka_unit_test(test_continuous),
		cmocka_unit_test(test_asking_in_vain_changes_nothing),
		cmocka_unit_test(test_a_clock_set_back_does_not_open_early),
		cmocka_unit_test(test_random_walks_keep_the_promise),
		cmocka_unit_test(test_held_back_after_a_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
