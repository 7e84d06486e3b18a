/* Reading: each reader is a place in the ring, so that a slow one costs nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "feed_internal.h"
#include "text.h"

bool feed_id_parse(const char *text, size_t len, struct feed_id *ret)
{
	struct feed_id id = {.seq = 0};
	int64_t seq;

	if (len < FEED_BOOT + 2 || text[FEED_BOOT] != '-' || text[FEED_BOOT + 1] == '-' ||
	    !text_to_i64(text + FEED_BOOT + 1, len - FEED_BOOT - 1, 1, INT64_MAX - 1, &seq))
		return false;
	for (size_t i = 0; i < FEED_BOOT; i++) {
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	memcpy(id.boot, text, FEED_BOOT);
	id.seq = (uint64_t)seq;
	*ret = id;
	return true;
}

char *feed_id_format(const struct feed *f, uint64_t seq, char out[FEED_ID_TEXT])
{
	snprintf(out, FEED_ID_TEXT, "%s-%llu", f->boot, (unsigned long long)seq);
	return out;
}

/* Whether all that came after the given event is still there. */
static bool remembered(const struct feed *f, const struct feed_id *last)
{
	return strcmp(last->boot, f->boot) == 0 && last->seq + 1 >= f->oldest && last->seq < f->next;
}

bool feed_reader_add(struct feed *f, struct feed_reader *r, struct feed_waker *w, const struct feed_id *last,
                     bool *ret_reset)
{
	bool room;

	feed_lock(f);
	room = f->readers_n < FEED_READERS_MAX;
	if (room) {
		if (!f->ring) {
			f->ring = xcalloc(FEED_EVENTS, sizeof(*f->ring));
			f->oldest = f->next;
		}
		*r = (struct feed_reader){.waker = w, .next = f->readers, .at = f->next,
		                          .skipped_seen = f->skipped};
		*ret_reset = last && !remembered(f, last);
		if (last && !*ret_reset)
			r->at = last->seq + 1;
		if (r->next)
			r->next->prev = r;
		f->readers = r;
		f->readers_n++;
		/* What is known may be some seconds old. */
		f->poke = true;
		pthread_cond_signal(&f->poked);
	}
	feed_unlock(f);
	return room;
}

void feed_reader_remove(struct feed *f, struct feed_reader *r)
{
	feed_lock(f);
	if (r->prev)
		r->prev->next = r->next;
	else
		f->readers = r->next;
	if (r->next)
		r->next->prev = r->prev;
	f->readers_n--;
	f->read_until = clock_mono() + FEED_LINGER;
	feed_unlock(f);
}

void feed_woken(struct feed *f, struct feed_waker *w)
{
	feed_lock(f);
	w->woken = false;
	feed_unlock(f);
}

static enum feed_read read_one(struct feed *f, struct feed_reader *r, struct feed_item *ret)
{
	if (r->at < f->oldest)
		return FEED_OVERTAKEN;
	if (!r->scheduler_seen && f->scheduler_known) {
		r->scheduler_seen = true;
		ret->event = (struct feed_event){.kind = FEED_SCHEDULER};
		ret->event.scheduler.s = f->scheduler;
		ret->event.scheduler.backlog = f->counts.counts.by_status[MESSAGE_PENDING];
		return FEED_STATE;
	}
	if (r->at < f->next) {
		ret->event = f->ring[r->at++ % FEED_EVENTS];
		return FEED_EVENT;
	}
	if (r->counts_seen == f->counts_version)
		return FEED_NOTHING;
	r->counts_seen = f->counts_version;
	ret->counts = f->counts;
	ret->counts.skipped = f->counts.skipped - MIN_OF(r->skipped_seen, f->counts.skipped);
	r->skipped_seen = f->counts.skipped;
	return FEED_COUNTS;
}

enum feed_read feed_read(struct feed *f, struct feed_reader *r, struct feed_item *ret)
{
	enum feed_read got;

	feed_lock(f);
	got = read_one(f, r, ret);
	feed_unlock(f);
	return got;
}

size_t feed_history(struct feed *f, enum history_resolution resolution, usec_t since, usec_t *ret_start,
                    struct history_bucket **ret_buckets)
{
	struct history_bucket *copy;
	size_t n;

	feed_lock(f);
	feed_advance(f);
	n = history_span(&f->history, resolution, since, ret_start);
	copy = xcalloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = *history_get(&f->history, resolution, *ret_start, i);
	feed_unlock(f);
	*ret_buckets = copy;
	return n;
}
