/* When the store is asked, and for how much: the pure part of the dispatcher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tick.h"

#define NOW (500 * USEC_PER_SEC)
#define OFFSET (1000000 * USEC_PER_SEC) /* the store's clock minus ours */

static const struct tick_room roomy = {.slots = 10, .unsettled = 1000};

static struct tick tick_at(usec_t now)
{
	struct tick t;

	tick_init(&t, false, true, now);
	store_clock_learn(&t.clock, now + OFFSET, now, now);
	return t;
}

/* An answer of the store at our time `now`; next: from then. */
static void answer(struct tick *t, usec_t now, const struct tick_ask *ask, enum pacing_answer a, bool more,
                   usec_t next)
{
	struct claim_batch b = {
		.answer = a,
		.more = more,
		.now = now + OFFSET,
		.next_at = next == USEC_NEVER ? USEC_NEVER : now + OFFSET + next,
	};

	tick_answered(t, ask, &b, now);
}

static void test_the_clock_narrows_down(void **state)
{
	struct store_clock c = {0};

	(void)state;
	store_clock_learn(&c, 5000, 100, 200); /* between 4800 and 4900 */
	assert_int_equal(store_clock_to_mono(&c, 6000), 1100);
	store_clock_learn(&c, 6000, 1120, 1300); /* at most 4880 */
	assert_int_equal(store_clock_to_mono(&c, 6000), 1120);
	store_clock_learn(&c, 7000, 2000, 2150); /* adds that it is at least 4850 */
	assert_int_equal(store_clock_to_mono(&c, 7000), 2120);
	assert_int_equal(c.lo, 4850);
	assert_int_equal(store_clock_to_store(&c, 2120), 7000);
	assert_int_equal(store_clock_to_mono(&c, USEC_NEVER), USEC_NEVER);
	/* Set by an hour: what was known is void. */
	store_clock_learn(&c, 8000 + USEC_PER_HOUR, 3000, 3010);
	assert_int_equal(store_clock_to_mono(&c, 8000 + USEC_PER_HOUR), 3000);
}

static void test_a_paced_beat(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;

	(void)state;
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	assert_int_equal(ask.want, 10); /* what can start now */
	assert_false(ask.forced || ask.free_retries);
	answer(&t, NOW, &ask, PACING_OPEN, false, 300 * USEC_PER_MSEC);
	assert_int_equal(tick_next(&t, &roomy), NOW + 300 * USEC_PER_MSEC);
	assert_false(tick_ask(&t, NOW + 299 * USEC_PER_MSEC, &roomy, &ask));
	assert_true(tick_ask(&t, NOW + 300 * USEC_PER_MSEC, &roomy, &ask));
}

static void test_no_free_slot_no_question(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_room full = {.slots = 0, .unsettled = 1000}, stuck = {.slots = 10, .unsettled = 0};
	struct tick_ask ask;

	(void)state;
	assert_false(tick_ask(&t, NOW, &full, &ask));
	assert_int_equal(tick_next(&t, &full), USEC_NEVER);
	assert_false(tick_ask(&t, NOW, &stuck, &ask));
	/* The operator's "run now" does not wait for a slot. */
	assert_int_equal(tick_force(&t, NOW, &full).want, 1);
	assert_true(tick_force(&t, NOW, &full).forced);
}

static void test_it_looks_every_second(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;

	(void)state;
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	answer(&t, NOW, &ask, PACING_STOPPED, false, USEC_NEVER);
	assert_int_equal(tick_next(&t, &roomy), NOW + TICK_LOOK);
	assert_true(tick_ask(&t, NOW + TICK_LOOK, &roomy, &ask));
	answer(&t, NOW + TICK_LOOK, &ask, PACING_WAIT, false, USEC_PER_HOUR);
	assert_int_equal(tick_next(&t, &roomy), NOW + 2 * TICK_LOOK);
	assert_true(tick_ask(&t, NOW + 2 * TICK_LOOK, &roomy, &ask));
	answer(&t, NOW + 2 * TICK_LOOK, &ask, PACING_WAIT, false, USEC_NEVER);
	assert_int_equal(tick_next(&t, &roomy), NOW + 3 * TICK_LOOK);
}

static void test_the_rest_of_a_beat_is_taken_as_slots_get_free(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_room full = {.slots = 0, .unsettled = 1000}, one = {.slots = 1, .unsettled = 1000};
	struct tick_ask ask;

	(void)state;
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	answer(&t, NOW, &ask, PACING_OPEN, true, USEC_PER_HOUR);
	assert_false(tick_ask(&t, NOW + 1, &full, &ask));
	assert_true(tick_ask(&t, NOW + 2, &one, &ask));
	assert_int_equal(ask.want, 1);
	answer(&t, NOW + 3, &ask, PACING_JOIN, false, USEC_PER_HOUR);
	assert_false(tick_ask(&t, NOW + 4, &roomy, &ask));
}

static void test_a_paced_beat_has_nothing_in_hand(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;
	usec_t now = NOW;

	(void)state;
	for (int i = 0; i < 50; i++, now += 10 * USEC_PER_MSEC) {
		assert_true(tick_ask(&t, now, &roomy, &ask));
		assert_int_equal(ask.want, 10);
		for (int j = 0; j < 1000; j++)
			tick_started(&t);
		answer(&t, now, &ask, PACING_JOIN, true, USEC_PER_HOUR);
	}
}

static void test_continuous_mode_keeps_some_in_hand(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_room room = {.slots = 10, .unsettled = 10000};
	struct tick_ask ask;
	usec_t now = NOW;

	(void)state;
	for (int i = 0; i < 50; i++, now += 10 * USEC_PER_MSEC) {
		assert_true(tick_ask(&t, now, &room, &ask));
		for (int j = 0; j < 100; j++) /* 10,000 a second */
			tick_started(&t);
		answer(&t, now, &ask, PACING_JOIN, true, 0);
	}
	/* 40 ms of it, over the free slots. */
	assert_true(ask.want >= 10 + 390 && ask.want <= 10 + 410);
	/* With more than half of that still there, it does not ask, except to look. */
	room = (struct tick_room){.slots = 0, .ready = 300, .unsettled = 10000};
	assert_false(tick_ask(&t, now, &room, &ask));
	assert_int_equal(tick_next(&t, &room), now - 10 * USEC_PER_MSEC + TICK_LOOK);
	room.ready = 150;
	assert_true(tick_ask(&t, now, &room, &ask));
	assert_true(ask.want >= 240 && ask.want <= 260);
	/* A receiver that became slow is given few. */
	for (int i = 0; i < 20; i++, now += 100 * USEC_PER_MSEC) {
		room = (struct tick_room){.slots = 1, .unsettled = 10000};
		assert_true(tick_ask(&t, now, &room, &ask));
		tick_started(&t);
		answer(&t, now, &ask, PACING_JOIN, true, 0);
	}
	assert_int_equal(ask.want, 1);
}

static void test_a_slow_store_is_asked_for_more(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_room room = {.slots = 10, .unsettled = 10000};
	struct tick_ask ask;
	usec_t now = NOW;

	(void)state;
	/* Each answer takes 100 ms, and 1000 a second are started. */
	for (int i = 0; i < 50; i++) {
		assert_true(tick_ask(&t, now, &room, &ask));
		for (int j = 0; j < 100; j++)
			tick_started(&t);
		now += 100 * USEC_PER_MSEC;
		answer(&t, now, &ask, PACING_JOIN, true, 0);
	}
	/* Enough for three answers, and asked for when half of it is left. */
	assert_in_range(ask.want, 10 + 290, 10 + 310);
	room = (struct tick_room){.slots = 0, .ready = 160, .unsettled = 10000};
	assert_false(tick_ask(&t, now, &room, &ask));
	room.ready = 140;
	assert_true(tick_ask(&t, now, &room, &ask));
	/* But for no more than four seconds' work, however slow it is. */
	for (int i = 0; i < 20; i++) {
		room = (struct tick_room){.slots = 10, .unsettled = 10000};
		for (int j = 0; j < 200; j++)
			tick_started(&t);
		now += 2 * USEC_PER_SEC;
		answer(&t, now, &ask, PACING_JOIN, true, 0);
		assert_true(tick_ask(&t, now, &room, &ask));
	}
	assert_in_range(ask.want, 10 + 390, 10 + 410);
	/* A late answer is forgotten. */
	for (int i = 0; i < 50; i++) {
		for (int j = 0; j < 10; j++)
			tick_started(&t);
		now += 10 * USEC_PER_MSEC;
		answer(&t, now, &ask, PACING_JOIN, true, 0);
		assert_true(tick_ask(&t, now, &room, &ask));
	}
	assert_in_range(ask.want, 10 + 35, 10 + 45);
}

static void test_strict_mode_keeps_none_in_hand(void **state)
{
	struct tick t;
	struct tick_room room = {.slots = 10, .unsettled = 10000};
	struct tick_ask ask;
	usec_t now = NOW;

	(void)state;
	tick_init(&t, false, false, now);
	store_clock_learn(&t.clock, now + OFFSET, now, now);
	for (int i = 0; i < 50; i++, now += 10 * USEC_PER_MSEC) {
		assert_true(tick_ask(&t, now, &room, &ask));
		assert_int_equal(ask.want, 10);
		for (int j = 0; j < 100; j++)
			tick_started(&t);
		answer(&t, now, &ask, PACING_JOIN, true, 0);
	}
}

static void test_memory_is_bounded_by_what_is_unsettled(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_room room = {.slots = 64, .ready = 0, .unsettled = 5};
	struct tick_ask ask;

	(void)state;
	assert_true(tick_ask(&t, NOW, &room, &ask));
	assert_int_equal(ask.want, 5);
	answer(&t, NOW, &ask, PACING_JOIN, true, 0);
	room.ready = 5;
	assert_false(tick_ask(&t, NOW, &room, &ask));
}

static void test_pokes_do_not_become_a_storm(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;
	size_t asked = 0;

	(void)state;
	for (usec_t now = NOW; now < NOW + USEC_PER_SEC; now += 100) {
		tick_poked(&t, now);
		if (tick_ask(&t, now, &roomy, &ask)) {
			answer(&t, now, &ask, PACING_WAIT, false, USEC_PER_HOUR);
			asked++;
		}
	}
	assert_in_range(asked, 40, 60);
	/* After a pause the first poke is heard at once. */
	tick_poked(&t, NOW + 2 * USEC_PER_SEC);
	assert_true(tick_ask(&t, NOW + 2 * USEC_PER_SEC, &roomy, &ask));
}

static void test_a_failing_store_is_asked_ever_less(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;
	size_t asked = 0;

	(void)state;
	for (usec_t now = NOW; now < NOW + 60 * USEC_PER_SEC; now += USEC_PER_MSEC) {
		tick_poked(&t, now); /* does not help */
		if (tick_ask(&t, now, &roomy, &ask)) {
			tick_answered(&t, &ask, NULL, now);
			asked++;
		}
	}
	assert_in_range(asked, 30, 60);
	tick_answered(&t, &ask, NULL, NOW);
	answer(&t, NOW, &ask, PACING_OPEN, false, 5000);
	assert_int_equal(t.failures, 0);
}

static void test_what_is_expected_is_asked_for(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask;

	(void)state;
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	answer(&t, NOW, &ask, PACING_WAIT, false, USEC_NEVER);
	tick_expect(&t, NOW + 20000);
	assert_int_equal(tick_next(&t, &roomy), NOW + 20000);
}

static void test_beat_and_retries_take_turns(void **state)
{
	struct tick t;
	struct tick_ask ask;
	bool retries[4];

	(void)state;
	tick_init(&t, true, true, NOW);
	store_clock_learn(&t.clock, NOW + OFFSET, NOW, NOW);
	for (int i = 0; i < 4; i++) {
		assert_true(tick_ask(&t, NOW + i, &roomy, &ask));
		retries[i] = ask.free_retries;
		answer(&t, NOW + i, &ask, PACING_JOIN, true, 0);
	}
	assert_int_not_equal(retries[0], retries[1]);
	assert_int_equal(retries[0], retries[2]);
	assert_int_equal(retries[1], retries[3]);
}

static void test_a_forced_beat_is_finished_and_no_more(void **state)
{
	struct tick t = tick_at(NOW);
	struct tick_ask ask = tick_force(&t, NOW, &roomy);

	(void)state;
	answer(&t, NOW, &ask, PACING_OPEN, true, USEC_PER_HOUR);
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	assert_true(ask.forced);
	answer(&t, NOW, &ask, PACING_JOIN, false, USEC_PER_HOUR);
	assert_true(tick_ask(&t, NOW + TICK_LOOK, &roomy, &ask));
	assert_false(ask.forced);
	/* Continuous mode would never finish. */
	ask = tick_force(&t, NOW, &roomy);
	answer(&t, NOW, &ask, PACING_OPEN, true, 0);
	assert_true(tick_ask(&t, NOW, &roomy, &ask));
	assert_false(ask.forced);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_clock_narrows_down),
		cmocka_unit_test(test_a_paced_beat),
		cmocka_unit_test(test_no_free_slot_no_question),
		cmocka_unit_test(test_it_looks_every_second),
		cmocka_unit_test(test_the_rest_of_a_beat_is_taken_as_slots_get_free),
		cmocka_unit_test(test_a_paced_beat_has_nothing_in_hand),
		cmocka_unit_test(test_continuous_mode_keeps_some_in_hand),
		cmocka_unit_test(test_a_slow_store_is_asked_for_more),
		cmocka_unit_test(test_strict_mode_keeps_none_in_hand),
		cmocka_unit_test(test_memory_is_bounded_by_what_is_unsettled),
		cmocka_unit_test(test_pokes_do_not_become_a_storm),
		cmocka_unit_test(test_a_failing_store_is_asked_ever_less),
		cmocka_unit_test(test_what_is_expected_is_asked_for),
		cmocka_unit_test(test_beat_and_retries_take_turns),
		cmocka_unit_test(test_a_forced_beat_is_finished_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
