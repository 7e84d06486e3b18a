/* Telling: what happens comes in, is counted, and becomes an event if anyone may want it. */
#include "feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "feed_internal.h"
#include "text.h"

struct feed *feed_new(void)
{
	struct feed *f = xcalloc(1, sizeof(*f));
	pthread_condattr_t attr;
	unsigned char boot[FEED_BOOT / 2];

	random_bytes(boot, sizeof(boot));
	hex_encode(boot, sizeof(boot), f->boot);
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->poked, &attr);
	pthread_condattr_destroy(&attr);
	history_init(&f->history, clock_wall());
	f->oldest = f->next = 1;
	return f;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	history_release(&f->history);
	pthread_cond_destroy(&f->poked);
	pthread_mutex_destroy(&f->lock);
	free(f->ring);
	free(f);
}

void feed_lock(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
}

void feed_unlock(struct feed *f)
{
	pthread_mutex_unlock(&f->lock);
}

void feed_advance(struct feed *f)
{
	history_accepted(&f->history, atomic_exchange_explicit(&f->accepted, 0, memory_order_relaxed));
	history_advance(&f->history, clock_wall());
}

static void wake_readers(struct feed *f)
{
	for (struct feed_reader *r = f->readers; r; r = r->next) {
		if (r->waker->woken)
			continue;
		r->waker->woken = true;
		r->waker->wake(r->waker->arg);
	}
}

/* Room for an event, or NULL when nobody will read it. */
static struct feed_event *event_add(struct feed *f, enum feed_kind kind)
{
	struct feed_event *e;

	if (!f->readers_n && (!f->ring || clock_mono() > f->read_until)) {
		/* What comes now will be missing, so what was before is of no use. */
		f->oldest = ++f->next;
		free(f->ring);
		f->ring = NULL;
		return NULL;
	}
	e = &f->ring[f->next % FEED_EVENTS];
	e->seq = f->next++;
	e->at = clock_wall();
	e->kind = kind;
	if (f->next - f->oldest > FEED_EVENTS)
		f->oldest = f->next - FEED_EVENTS;
	return e;
}

void feed_begin(struct feed *f)
{
	feed_lock(f);
	feed_advance(f);
}

/* Whether this attempt is one of those that are shown. */
static bool sample(struct feed *f)
{
	const usec_t now = clock_mono();

	if (now - f->sample_from >= FEED_SAMPLE_TIME) {
		f->sample_from = now;
		f->sampled = 0;
	}
	if (f->sampled == FEED_SAMPLE) {
		f->skipped++;
		return false;
	}
	f->sampled++;
	return true;
}

static void copy_text(char *out, size_t size, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len >= size) {
		/* Cut between code points. */
		len = size - 1;
		while (len && ((unsigned char)s[len] & 0xc0) == 0x80)
			len--;
	}
	if (len)
		memcpy(out, s, len);
	out[len] = '\0';
}

void feed_attempt(struct feed *f, const struct feed_attempt *a)
{
	struct feed_event *e;

	history_attempt(&f->history, a->verdict, a->duration);
	if ((!f->readers_n && !f->ring) || !sample(f))
		return;
	e = event_add(f, FEED_ATTEMPT);
	if (!e)
		return;
	e->attempt.message = a->message;
	e->attempt.run = a->run;
	e->attempt.verdict = a->verdict;
	e->attempt.attempt = a->attempt;
	e->attempt.http_status = a->http_status;
	e->attempt.duration = a->duration;
	copy_text(e->attempt.phone, sizeof(e->attempt.phone), a->phone);
	copy_text(e->attempt.error, sizeof(e->attempt.error), a->error);
}

void feed_end(struct feed *f)
{
	wake_readers(f);
	feed_unlock(f);
}

static void tell_run(struct feed *f, enum feed_kind kind, const struct run_end *run)
{
	struct feed_event *e;

	feed_lock(f);
	e = event_add(f, kind);
	if (e)
		e->run = *run;
	feed_end(f);
}

void feed_run_begun(struct feed *f, int64_t run, uint32_t claimed)
{
	tell_run(f, FEED_RUN_BEGUN, &(struct run_end){.run = run, .claimed = claimed});
}

void feed_run_ended(struct feed *f, const struct run_end *end)
{
	tell_run(f, FEED_RUN_ENDED, end);
}

void feed_alert(struct feed *f, const struct feed_alert *a)
{
	struct feed_event *e;

	feed_lock(f);
	e = event_add(f, FEED_ALERT);
	if (e)
		e->alert = *a;
	feed_end(f);
}

void feed_accepted(struct feed *f, uint32_t n)
{
	atomic_fetch_add_explicit(&f->accepted, n, memory_order_relaxed);
}

void feed_poke(struct feed *f)
{
	feed_lock(f);
	f->poke = true;
	pthread_cond_signal(&f->poked);
	feed_unlock(f);
}

void feed_wait(struct feed *f, usec_t most)
{
	const usec_t until = clock_mono() + most;
	const struct timespec ts = {.tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * 1000};

	feed_lock(f);
	while (!f->poke && !f->stop && clock_mono() < until)
		pthread_cond_timedwait(&f->poked, &f->lock, &ts);
	f->poke = false;
	feed_unlock(f);
}

void feed_stop_waiting(struct feed *f)
{
	feed_lock(f);
	f->stop = true;
	pthread_cond_signal(&f->poked);
	feed_unlock(f);
}

bool feed_is_read(struct feed *f)
{
	bool read;

	feed_lock(f);
	read = f->readers_n > 0;
	feed_unlock(f);
	return read;
}

/* Whether a change is worth an event: not that time goes by, nor that beats are counted. */
static bool scheduler_changed(const struct scheduler *a, const struct scheduler *b)
{
	return a->pacing.running != b->pacing.running || a->pacing.interval != b->pacing.interval ||
	       a->pacing.batch != b->pacing.batch || a->pacing.beat_at != b->pacing.beat_at ||
	       a->failure_rate < b->failure_rate || a->failure_rate > b->failure_rate ||
	       a->last_alert_at != b->last_alert_at || a->all_failed_in_a_row != b->all_failed_in_a_row;
}

static void see_scheduler(struct feed *f, const struct scheduler *s, int64_t backlog)
{
	const bool changed = f->scheduler_known && scheduler_changed(&f->scheduler, s);
	struct feed_event *e;

	f->scheduler = *s;
	f->scheduler_known = true;
	if (!changed)
		return;
	e = event_add(f, FEED_SCHEDULER);
	if (!e)
		return;
	e->scheduler.s = *s;
	e->scheduler.backlog = backlog;
}

static bool same_figures(const struct history_bucket *a, const struct history_bucket *b)
{
	return a->accepted == b->accepted && a->sent == b->sent && a->retried == b->retried &&
	       a->failed == b->failed && a->unknown == b->unknown;
}

void feed_seen(struct feed *f, const struct store_counts *counts, const struct scheduler *scheduler,
               uint32_t in_flight)
{
	const int64_t backlog = counts->by_status[MESSAGE_PENDING];
	struct feed_counts now = {.counts = *counts, .in_flight = in_flight, .at = clock_wall()};
	usec_t start;
	size_t n;

	feed_lock(f);
	feed_advance(f);
	history_backlog(&f->history, backlog);
	n = history_span(&f->history, HISTORY_SECOND, 0, &start);
	if (n)
		now.second = *history_get(&f->history, HISTORY_SECOND, start, n - 1);
	now.skipped = f->skipped;
	if (!f->counts_known || memcmp(&now.counts, &f->counts.counts, sizeof(now.counts)) != 0 ||
	    now.in_flight != f->counts.in_flight || now.skipped != f->counts.skipped ||
	    !same_figures(&now.second, &f->counts.second))
		f->counts_version++;
	f->counts = now;
	f->counts_known = true;
	if (scheduler)
		see_scheduler(f, scheduler, backlog);
	feed_end(f);
}
