/*
 * Time. One unit everywhere: int64_t microseconds (usec_t). Wall-clock times count from the Unix
 * epoch, UTC, leap seconds ignored; 0 means "not set". Thread-safe.
 */
#ifndef HERALD_CLOCK_H
#define HERALD_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

typedef int64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_NEVER INT64_MAX

usec_t clock_wall(void); /* CLOCK_REALTIME: may jump; for what people and stores see */
/* The wall clock of one process that keeps rows in order by it: small steps back (a clock being
 * disciplined) are held out until it has caught up; one of CLOCK_STEP or more was meant and is followed.
 * The second form is the rule itself, for any clock. */
#define CLOCK_STEP (5 * USEC_PER_SEC)
usec_t clock_wall_steady(void);
usec_t clock_steady(_Atomic usec_t *latest, usec_t now);
usec_t clock_mono(void); /* CLOCK_MONOTONIC: for durations and timeouts */
usec_t clock_boot(void); /* CLOCK_BOOTTIME: goes on while the machine is suspended; for what ends elsewhere then */

/* RFC 3339 UTC with milliseconds, "2026-01-02T03:04:05.678Z"; needs CLOCK_TEXT bytes. Microseconds
 * are cut, not rounded. Defined for years 0000 to 9999; outside, the nearest bound is written. */
#define CLOCK_TEXT 25
char *clock_format(usec_t t, char out[CLOCK_TEXT]);

/* Parses an RFC 3339 date-time (section 5.6): any offset, no fraction or one of 1 to 9 digits (cut to
 * microseconds), 'T'/'t' or a space, 'Z'/'z'. A leap second, 23:59:60 UTC, is read as the next second.
 * 1970 to 9999 in UTC. Returns false and leaves *ret alone when the text is anything else. */
must_check bool clock_parse(const char *text, size_t len, usec_t *ret);

/* An HTTP date (RFC 9110 section 5.6.7, all three forms; the weekday's name is not compared with the date).
 * Range and answer as clock_parse(). */
must_check bool clock_parse_http_date(const char *text, size_t len, usec_t *ret);

/* Durations: one or more of NUMBER UNIT, units us ms s m h d, larger units first and each at most once, a
 * fraction allowed in the last number: "500ms", "90s", "2m", "1h30m", "1.5s". A bare "0" is zero; any
 * other bare number is refused, as is what is not a whole number of microseconds. Result >= 0 and
 * <= DURATION_MAX. */
#define DURATION_MAX (3650 * USEC_PER_DAY) /* ten years */
must_check bool duration_parse(const char *text, size_t len, usec_t *ret);

/* The text that people would write for it, and that parses back to the same value: whole numbers of the
 * largest units, a fraction in the last one only below a minute. "2m", "1h30m", "1d", "500ms", "1.5s", "0".
 * For 0 to DURATION_MAX; below, "0". */
#define DURATION_TEXT 64
char *duration_format(usec_t d, char out[DURATION_TEXT]);

#endif
