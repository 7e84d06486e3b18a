#include "clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static usec_t now(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (usec_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

usec_t clock_wall(void)
{
	return now(CLOCK_REALTIME);
}

usec_t clock_steady(_Atomic usec_t *latest, usec_t t)
{
	usec_t seen = atomic_load_explicit(latest, memory_order_relaxed);

	do {
		if (t <= seen && seen - t < CLOCK_STEP)
			return seen;
	} while (!atomic_compare_exchange_weak_explicit(latest, &seen, t, memory_order_relaxed,
	                                                memory_order_relaxed));
	return t;
}

usec_t clock_wall_steady(void)
{
	static _Atomic usec_t latest;

	return clock_steady(&latest, clock_wall());
}

usec_t clock_mono(void)
{
	return now(CLOCK_MONOTONIC);
}

usec_t clock_boot(void)
{
	return now(CLOCK_BOOTTIME);
}

static char *put2(char *out, unsigned v)
{
	out[0] = (char)('0' + v / 10);
	out[1] = (char)('0' + v % 10);
	return out + 2;
}

/*
 * Every row of an answer holds several times, so this is plain arithmetic and not strftime(). The
 * year is counted from 1 March, which puts the leap day at its end: then the month follows from the day
 * of the year by (5d + 2) / 153, the months from March on being 31 30 31 30 31 days long, twice and a bit.
 */
char *clock_format(usec_t t, char out[CLOCK_TEXT])
{
	const usec_t first = -62167219200 * USEC_PER_SEC;                   /* 0000-01-01 */
	const usec_t last = 253402300800 * USEC_PER_SEC - 1;                /* 9999-12-31T23:59:59.999999 */
	const unsigned days_per_era = 146097;                               /* 400 years */
	const int64_t epoch_from_era0 = 719468;                             /* 0000-03-01 to 1970-01-01 */
	unsigned ms, sec, day, era, year, month, yday;
	uint64_t since;
	char *at = out;

	t = t < first ? first : t > last ? last : t;
	/* Counted from one era before 0000-03-01, so that all that follows is unsigned. */
	since = (uint64_t)(t + (epoch_from_era0 + days_per_era) * USEC_PER_DAY);
	ms = (unsigned)(since % (uint64_t)USEC_PER_SEC / 1000);
	sec = (unsigned)(since / (uint64_t)USEC_PER_SEC % 86400);
	day = (unsigned)(since / (uint64_t)USEC_PER_DAY);

	era = day / days_per_era;
	day %= days_per_era;
	/* Take the leap days out: one each 1460 days, except each 36524, except the era's last day. */
	year = (day - day / 1460 + day / 36524 - day / (days_per_era - 1)) / 365;
	yday = day - (365 * year + year / 4 - year / 100);
	month = (5 * yday + 2) / 153;
	day = yday - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	year += era * 400 - 400 + (month <= 2);

	at = put2(at, year / 100);
	at = put2(at, year % 100);
	*at++ = '-';
	at = put2(at, month);
	*at++ = '-';
	at = put2(at, day);
	*at++ = 'T';
	at = put2(at, sec / 3600);
	*at++ = ':';
	at = put2(at, sec / 60 % 60);
	*at++ = ':';
	at = put2(at, sec % 60);
	*at++ = '.';
	*at++ = (char)('0' + ms / 100);
	at = put2(at, ms % 100);
	*at++ = 'Z';
	*at = '\0';
	return out;
}
