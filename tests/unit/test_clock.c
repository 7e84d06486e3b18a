#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"
#include "text.h"

static const usec_t first = -62167219200 * USEC_PER_SEC;
static const usec_t end = 253402300800 * USEC_PER_SEC;

static void formats_known_times(void **state)
{
	static const struct {
		usec_t t;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{1, "1970-01-01T00:00:00.000Z"},
		{1767323045678999, "2026-01-02T03:04:05.678Z"},
		{951782400000000, "2000-02-29T00:00:00.000Z"},
		{4107542400000000, "2100-03-01T00:00:00.000Z"},
		{-62167219200000000, "0000-01-01T00:00:00.000Z"},
		{253402300799999999, "9999-12-31T23:59:59.999Z"},
		{INT64_MIN, "0000-01-01T00:00:00.000Z"},
		{USEC_NEVER, "9999-12-31T23:59:59.999Z"},
	};
	char out[CLOCK_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(clock_format(cases[i].t, out), cases[i].text);
}

/* The same arithmetic as libc's, on every day of 10,000 years (in steps that visit all weekdays and hours). */
static void formats_as_libc_does(void **state)
{
	char out[CLOCK_TEXT], want[64];
	struct tm tm;
	time_t sec;

	(void)state;
	for (usec_t t = first; t < end; t += 23 * USEC_PER_HOUR + 61 * USEC_PER_SEC) {
		sec = (time_t)(t / USEC_PER_SEC);
		gmtime_r(&sec, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.000Z", tm.tm_year + 1900,
		         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (strcmp(clock_format(t, out), want) != 0)
			fail_msg("%s, not %s", out, want);
	}
}

static void parses_what_it_formats(void **state)
{
	char out[CLOCK_TEXT];
	usec_t back;

	(void)state;
	for (usec_t t = 0; t < end; t += 37 * USEC_PER_DAY + 12345678000) {
		clock_format(t, out);
		assert_true(clock_parse(out, strlen(out), &back));
		assert_int_equal(back, t);
	}
}

static void parses_the_forms_of_rfc3339(void **state)
{
	static const struct {
		const char *text;
		usec_t t;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-01-02t03:04:05z", 1767323045000000},
		{"2026-01-02 03:04:05Z", 1767323045000000},
		{"2026-01-02T03:04:05.6Z", 1767323045600000},
		{"2026-01-02T03:04:05.678901999Z", 1767323045678901},
		{"2026-01-02T05:34:05+02:30", 1767323045000000},
		{"2026-01-01T22:04:05-05:00", 1767323045000000},
		{"2026-01-02T03:04:05-00:00", 1767323045000000},
		{"2024-02-29T00:00:00Z", 1709164800000000},
		{"1990-12-31T23:59:60Z", 662688000000000},
		{"1990-12-31T15:59:60.5-08:00", 662688000500000},
		{"9999-12-31T23:59:59.999999Z", 253402300799999999},
		{"1970-01-01T01:00:00+01:00", 0},
	};
	usec_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t = -1;
		if (!clock_parse(cases[i].text, strlen(cases[i].text), &t) || t != cases[i].t)
			fail_msg("%s: %lld", cases[i].text, (long long)t);
	}
}

static void refuses_what_is_no_rfc3339(void **state)
{
	static const char *const cases[] = {
		"", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z",
		"2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05,5Z",
		"2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z",
		"2026-01-02T24:00:00Z", "2026-01-02T23:60:00Z", "2026-01-02T23:59:61Z",
		"2026-01-02T03:04:60Z", "1990-12-31T23:59:60+01:00", "2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+0100", "2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05ZZ",
		" 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z ", "2026-01-02_03:04:05Z",
		"1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
		"10000-01-01T00:00:00Z", "+2026-01-02T03:04:05Z", "2026-1-02T03:04:05Z",
	};
	usec_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t = 42;
		if (clock_parse(cases[i], strlen(cases[i]), &t))
			fail_msg("accepted: %s", cases[i]);
		assert_int_equal(t, 42);
	}
	assert_false(clock_parse("2026-01-02\0" "03:04:05Z", 20, &t));
}

/* No byte behind the given length may decide. */
static void respects_the_length(void **state)
{
	const char *text = "2026-01-02T03:04:05.678Z";
	usec_t t;

	(void)state;
	for (size_t len = 0; len < strlen(text); len++)
		assert_false(clock_parse(text, len, &t));
	assert_true(clock_parse("2026-01-02T03:04:05Zjunk", 20, &t));
}

static void parses_http_dates(void **state)
{
	static const char *const good[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Mon, 06 Nov 1994 08:49:37 GMT",
	};
	static const char *const bad[] = {
		"", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1969 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT", "Sun Nov 06 08:49:37 94", "Sun Nov   6 08:49:37 1994",
		"Sun, 06-Nov-94 08:49:37 GMT", "120", "Sun, 06 Nov 1994 08:49:37 GMT ",
	};
	usec_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		t = 0;
		assert_true(clock_parse_http_date(good[i], strlen(good[i]), &t));
		assert_int_equal(t, 784111777 * USEC_PER_SEC);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		t = 42;
		if (clock_parse_http_date(bad[i], strlen(bad[i]), &t))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(t, 42);
	}
}

/* A year of two digits is never more than 50 years ahead, and never more than a century back. */
static void two_digit_years_are_near(void **state)
{
	const usec_t now = clock_wall();
	char text[64];
	usec_t t;
	int parsed = 0;

	(void)state;
	for (int year = 0; year < 100; year++) {
		snprintf(text, sizeof(text), "Monday, 01-Jan-%02d 00:00:00 GMT", year);
		if (!clock_parse_http_date(text, strlen(text), &t))
			continue; /* it means a time before 1970 */
		parsed++;
		assert_true(t - now <= 50 * 366 * USEC_PER_DAY);
		assert_true(t >= 0 && now - t < 100 * 366 * USEC_PER_DAY);
	}
	assert_true(parsed >= 90);
}

static void clocks_run_forward(void **state)
{
	usec_t before = clock_mono(), boot = clock_boot(), text_year;

	(void)state;
	assert_true(clock_mono() >= before);
	assert_true(clock_boot() >= boot && boot >= before);
	assert_true(clock_parse("2020-01-01T00:00:00Z", 20, &text_year));
	assert_true(clock_wall() > text_year);
}

static void small_steps_back_are_held_out(void **state)
{
	_Atomic usec_t latest = 0;

	(void)state;
	assert_int_equal(clock_steady(&latest, 1000 * USEC_PER_SEC), 1000 * USEC_PER_SEC);
	assert_int_equal(clock_steady(&latest, 1000 * USEC_PER_SEC + 7), 1000 * USEC_PER_SEC + 7);
	assert_int_equal(clock_steady(&latest, 1000 * USEC_PER_SEC - 30000), 1000 * USEC_PER_SEC + 7);
	assert_int_equal(clock_steady(&latest, 1000 * USEC_PER_SEC + 8), 1000 * USEC_PER_SEC + 8);
	/* Somebody set it: followed both ways. */
	assert_int_equal(clock_steady(&latest, 995 * USEC_PER_SEC), 995 * USEC_PER_SEC);
	assert_int_equal(clock_steady(&latest, 9000 * USEC_PER_SEC), 9000 * USEC_PER_SEC);
}

static void parses_durations(void **state)
{
	static const struct {
		const char *text;
		usec_t t;
	} cases[] = {
		{"0", 0}, {"0s", 0}, {"1us", 1}, {"500ms", 500000}, {"90s", 90 * USEC_PER_SEC},
		{"2m", 2 * USEC_PER_MINUTE}, {"1h30m", 90 * USEC_PER_MINUTE}, {"1.5s", 1500000},
		{"24h", USEC_PER_DAY}, {"1d2h3m4s5ms6us", 93784005006}, {"0.5d", 12 * USEC_PER_HOUR},
		{"1m0.5s", 60500000}, {"0.000001s", 1}, {"1.50s", 1500000}, {"007s", 7000000},
		{"3650d", DURATION_MAX},
	};
	usec_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t = -1;
		if (!duration_parse(cases[i].text, strlen(cases[i].text), &t) || t != cases[i].t)
			fail_msg("%s: %lld", cases[i].text, (long long)t);
	}
}

static void refuses_other_durations(void **state)
{
	static const char *const cases[] = {
		"", "5", "00", "-1s", "+1s", "s", "1", "1.s", ".5s", "1.5", "1 s", " 1s", "1s ", "1S", "1min",
		"1.5h30m", "30m1h", "1s1s", "1us1ms", "3651d", "3650d1us", "0.5us", "0.0000001s", "1e3s",
		"99999999999999999999s", "87601h", "1..5s", "1,5s", "0.00000000001d", "315360001s",
		"315359999s2000ms",
	};
	usec_t t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t = 42;
		if (duration_parse(cases[i], strlen(cases[i]), &t))
			fail_msg("accepted: %s", cases[i]);
		assert_int_equal(t, 42);
	}
}

static void formats_durations(void **state)
{
	static const struct {
		usec_t t;
		const char *text;
	} cases[] = {
		{0, "0"}, {-5, "0"}, {1, "1us"}, {999, "999us"}, {1500, "1.5ms"}, {1001, "1.001ms"},
		{500000, "500ms"}, {1500000, "1.5s"}, {90 * USEC_PER_SEC, "1m30s"},
		{2 * USEC_PER_MINUTE, "2m"}, {90 * USEC_PER_MINUTE, "1h30m"}, {USEC_PER_DAY, "1d"},
		{60500000, "1m0.5s"}, {60000001, "1m0.000001s"}, {DURATION_MAX, "3650d"},
		{USEC_PER_HOUR + USEC_PER_SEC, "1h1s"},
	};
	char out[DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(duration_format(cases[i].t, out), cases[i].text);
	assert_string_equal(duration_format(USEC_NEVER, out), "106751991d4h54.775807s");
}

static void durations_survive_the_round_trip(void **state)
{
	char out[DURATION_TEXT];
	usec_t t, back;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		/* Of every magnitude, not just huge ones. */
		t = (usec_t)(random_u64() % (uint64_t)DURATION_MAX) >> random_u64() % 48;
		duration_format(t, out);
		if (!duration_parse(out, strlen(out), &back) || back != t)
			fail_msg("%lld us became %s", (long long)t, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_known_times),
		cmocka_unit_test(formats_as_libc_does),
		cmocka_unit_test(parses_what_it_formats),
		cmocka_unit_test(parses_the_forms_of_rfc3339),
		cmocka_unit_test(refuses_what_is_no_rfc3339),
		cmocka_unit_test(respects_the_length),
		cmocka_unit_test(parses_http_dates),
		cmocka_unit_test(two_digit_years_are_near),
		cmocka_unit_test(clocks_run_forward),
		cmocka_unit_test(small_steps_back_are_held_out),
		cmocka_unit_test(parses_durations),
		cmocka_unit_test(refuses_other_durations),
		cmocka_unit_test(formats_durations),
		cmocka_unit_test(durations_survive_the_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
