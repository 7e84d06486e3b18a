#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Bin 0 is below 64 µs; then eight steps to each doubling. */
#define FIRST_OCTAVE 6
#define STEPS_LOG 3
#define STEPS (1 << STEPS_LOG)

static size_t bin_of(usec_t duration)
{
	const uint64_t d = (uint64_t)duration;
	size_t octave, bin;

	if (d < (1U << FIRST_OCTAVE))
		return 0;
	octave = 63 - (size_t)__builtin_clzll(d);
	bin = 1 + (octave - FIRST_OCTAVE) * STEPS + (d >> (octave - STEPS_LOG) & (STEPS - 1));
	return MIN_OF(bin, (size_t)HISTORY_BINS - 1);
}

/* The middle of a bin. */
static int32_t bin_value(size_t bin)
{
	size_t octave, step;

	if (!bin)
		return 1 << (FIRST_OCTAVE - 1);
	octave = FIRST_OCTAVE + (bin - 1) / STEPS;
	step = (bin - 1) % STEPS;
	return (int32_t)(((2 * (STEPS + step) + 1) << octave) / (2 * STEPS));
}

static int32_t quantile(const struct history_series *s, uint32_t percent)
{
	const uint64_t wanted = ((uint64_t)s->binned * percent + 99) / 100;
	uint64_t seen = 0;

	for (size_t i = 0; s->binned && i < HISTORY_BINS; i++) {
		seen += s->bins[i];
		if (seen >= wanted)
			return bin_value(i);
	}
	return -1;
}

static struct history_bucket *bucket(const struct history_series *s, int64_t number)
{
	return &s->buckets[number % (int64_t)s->n];
}

static void open_bucket(struct history_series *s, int64_t number)
{
	s->newest = number;
	*bucket(s, number) = (struct history_bucket){.backlog = -1, .p50 = -1, .p95 = -1, .p99 = -1};
}

static void series_init(struct history_series *s, size_t n, usec_t step, usec_t now)
{
	*s = (struct history_series){.buckets = xcalloc(n, sizeof(*s->buckets)), .n = n, .step = step};
	s->first = now / step;
	open_bucket(s, s->first);
}

void history_init(struct history *h, usec_t now)
{
	series_init(&h->series[HISTORY_SECOND], HISTORY_SECONDS + 1, USEC_PER_SEC, now);
	series_init(&h->series[HISTORY_MINUTE], HISTORY_MINUTES + 1, USEC_PER_MINUTE, now);
}

void history_release(struct history *h)
{
	free(h->series[HISTORY_SECOND].buckets);
	free(h->series[HISTORY_MINUTE].buckets);
}

static void series_advance(struct history_series *s, usec_t now)
{
	const int64_t number = now / s->step;
	struct history_bucket *over = bucket(s, s->newest);

	if (number <= s->newest)
		return;
	over->p50 = quantile(s, 50);
	over->p95 = quantile(s, 95);
	over->p99 = quantile(s, 99);
	if (s->binned)
		memset(s->bins, 0, sizeof(s->bins));
	s->binned = 0;
	/* A clock that leaps ahead leaves nothing behind, and need not be followed bucket by bucket. */
	s->newest = MAX_OF(s->newest, number - (int64_t)s->n);
	while (s->newest < number)
		open_bucket(s, s->newest + 1);
	s->first = MAX_OF(s->first, s->newest - (int64_t)s->n + 1);
}

void history_advance(struct history *h, usec_t now)
{
	series_advance(&h->series[HISTORY_SECOND], now);
	series_advance(&h->series[HISTORY_MINUTE], now);
}

static void series_attempt(struct history_series *s, enum verdict verdict, size_t bin)
{
	struct history_bucket *b = bucket(s, s->newest);

	b->sent += verdict == VERDICT_SENT;
	b->retried += verdict == VERDICT_RETRY;
	b->failed += verdict == VERDICT_FAILED;
	b->unknown += verdict == VERDICT_UNKNOWN;
	if (bin == HISTORY_BINS)
		return;
	s->bins[bin]++;
	s->binned++;
}

void history_attempt(struct history *h, enum verdict verdict, usec_t duration)
{
	const size_t bin = duration <= 0 ? HISTORY_BINS : bin_of(duration);

	series_attempt(&h->series[HISTORY_SECOND], verdict, bin);
	series_attempt(&h->series[HISTORY_MINUTE], verdict, bin);
}

void history_accepted(struct history *h, uint32_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(h->series); i++)
		bucket(&h->series[i], h->series[i].newest)->accepted += n;
}

void history_backlog(struct history *h, int64_t backlog)
{
	for (size_t i = 0; i < ARRAY_SIZE(h->series); i++)
		bucket(&h->series[i], h->series[i].newest)->backlog = backlog;
}

size_t history_span(const struct history *h, enum history_resolution r, usec_t since, usec_t *ret_start)
{
	const struct history_series *s = &h->series[r];
	int64_t from = since / s->step + (since % s->step != 0);

	from = MIN_OF(MAX_OF(from, s->first), s->newest);
	*ret_start = from * s->step;
	return (size_t)(s->newest - from);
}

const struct history_bucket *history_get(const struct history *h, enum history_resolution r, usec_t start, size_t i)
{
	const struct history_series *s = &h->series[r];

	return bucket(s, start / s->step + (int64_t)i);
}
