/*
 * Times and durations as peers and operators write them. What a parser accepts must lie in its range, and
 * what is formatted from it must be accepted again as the same value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const usec_t end = 253402300800 * USEC_PER_SEC; /* the year 10000 */
	const char *text = (const char *)data;
	char again[DURATION_TEXT], time_text[CLOCK_TEXT];
	usec_t t, back;

	if (clock_parse(text, size, &t)) {
		require(t >= 0 && t < end);
		clock_format(t, time_text);
		require(clock_parse(time_text, strlen(time_text), &back) && back == t - t % USEC_PER_MSEC);
	}
	if (clock_parse_http_date(text, size, &t)) {
		require(t >= 0 && t < end && t % USEC_PER_SEC == 0);
		clock_format(t, time_text);
		require(clock_parse(time_text, strlen(time_text), &back) && back == t);
	}
	if (duration_parse(text, size, &t)) {
		require(t >= 0 && t <= DURATION_MAX);
		duration_format(t, again);
		require(duration_parse(again, strlen(again), &back) && back == t);
	}
	if (size >= sizeof(t)) {
		memcpy(&t, data, sizeof(t));
		require(strlen(clock_format(t, time_text)) == CLOCK_TEXT - 1);
		require(strlen(duration_format(t, again)) < DURATION_TEXT);
	}
	return 0;
}
