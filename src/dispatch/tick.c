#include "tick.h"

#include "attr.h"

/*
 * Continuous mode keeps as many messages in hand as are started within a span of time, so that the wire
 * does not wait for the next claim; a slow receiver thus gets few, which soon leave. The span is as long as
 * PREFETCH_ANSWERS claims take, since the next one is asked for when half of them have started, and may
 * have to wait for a settlement: a store that is far away, or busy, is asked early and for much. A paced
 * beat has none in hand: what it claims starts now.
 */
#define PREFETCH_ANSWERS 3
#define PREFETCH_SPAN_MIN (40 * USEC_PER_MSEC)
#define PREFETCH_SPAN_MAX (4 * USEC_PER_SEC) /* the shortest lease leaves 5 s to start in */
#define PREFETCH_MAX 2048
#define MEASURE_OVER (5 * USEC_PER_MSEC)
#define MEASURE_HALF (20 * USEC_PER_MSEC)

/* The shortest time between two questions for pokes alone: a stream of creates must not become a stream
 * of questions, and with a beat to wait for there is nothing but a start or a stop to learn. */
#define POKE_GAP_CONTINUOUS (5 * USEC_PER_MSEC)
#define POKE_GAP_PACED (20 * USEC_PER_MSEC)

#define BACKOFF_FIRST (50 * USEC_PER_MSEC)
#define BACKOFF_DOUBLINGS 5 /* up to 1.6 s */

void store_clock_learn(struct store_clock *c, usec_t store, usec_t asked, usec_t answered)
{
	usec_t lo = store - answered, hi = store - asked;

	if (c->known) {
		usec_t l = MAX_OF(lo, c->lo), h = MIN_OF(hi, c->hi);

		/* When the two do not meet, a clock was set or has drifted: believe the latest. */
		if (l <= h) {
			lo = l;
			hi = h;
		}
	}
	*c = (struct store_clock){.known = true, .lo = lo, .hi = hi};
}

usec_t store_clock_to_mono(const struct store_clock *c, usec_t store)
{
	return store == USEC_NEVER ? USEC_NEVER : store - c->hi;
}

usec_t store_clock_to_store(const struct store_clock *c, usec_t mono)
{
	return mono + c->hi;
}

void tick_init(struct tick *t, bool free_retries, bool prefetch, usec_t now)
{
	*t = (struct tick){
		.free_retries = free_retries, .prefetch = prefetch, .asked_at = now - TICK_LOOK, .measured_at = now};
	if (!free_retries)
		t->retries.at = USEC_NEVER;
}

/* A moving average in which a time of MEASURE_HALF counts for as much as all before it: a receiver that
 * has stood still for seconds must not be taken for a fast one. */
static void measure(struct tick *t, usec_t now)
{
	usec_t over = now - t->measured_at;
	double rate, weight;

	if (over < MEASURE_OVER)
		return;
	rate = (double)t->started * 1e6 / (double)over;
	weight = (double)over / (double)(over + MEASURE_HALF);
	t->per_sec += (rate - t->per_sec) * weight;
	t->started = 0;
	t->measured_at = now;
}

static size_t prefetch(const struct tick *t)
{
	usec_t span = MIN_OF(MAX_OF(PREFETCH_ANSWERS * t->answer_time, PREFETCH_SPAN_MIN), PREFETCH_SPAN_MAX);
	double n = t->per_sec * (double)span / 1e6;

	if (!t->continuous || !t->prefetch)
		return 0;
	return n > PREFETCH_MAX ? PREFETCH_MAX : (size_t)n;
}

static uint32_t room_for(const struct tick *t, const struct tick_room *r)
{
	size_t hold = MIN_OF(r->slots + prefetch(t), r->unsettled);

	return hold > r->ready ? (uint32_t)(hold - r->ready) : 0;
}

static bool due(const struct tick_source *s, usec_t now)
{
	return s->more || now >= s->at;
}

bool tick_ask(struct tick *t, usec_t now, const struct tick_room *room, struct tick_ask *ret)
{
	bool beat = due(&t->beat, now), retries = t->free_retries && due(&t->retries, now);
	uint32_t want;

	measure(t, now);
	want = room_for(t, room);
	if (!want || (!beat && !retries))
		return false;
	/* With half of it still in hand a claim would be small; but do not fail to notice a stop. */
	if (room->ready && want < prefetch(t) / 2 && now - t->asked_at < TICK_LOOK)
		return false;

	ret->want = want;
	ret->free_retries = retries && (!beat || t->retries_next);
	ret->forced = t->forced_more && !ret->free_retries;
	t->retries_next = !ret->free_retries;
	t->asked_at = now;
	return true;
}

struct tick_ask tick_force(struct tick *t, usec_t now, const struct tick_room *room)
{
	t->asked_at = now;
	return (struct tick_ask){.want = MAX_OF(room_for(t, room), 1u), .forced = true};
}

/* What the answer betrays of the mode: only continuous mode has more to give while nothing lies ahead, or
 * knows of no next time. */
static bool seems_continuous(const struct tick *t, const struct claim_batch *b)
{
	if (b->answer == PACING_STOPPED)
		return false;
	if (b->next_at == USEC_NEVER)
		return true;
	if (b->answer == PACING_WAIT)
		return t->continuous;
	return b->more ? b->next_at <= b->now : t->continuous;
}

void tick_answered(struct tick *t, const struct tick_ask *ask, const struct claim_batch *b, usec_t now)
{
	struct tick_source *s = ask->free_retries ? &t->retries : &t->beat;

	if (!b) {
		s->more = false;
		s->at = now + (BACKOFF_FIRST << MIN_OF(t->failures, BACKOFF_DOUBLINGS));
		t->failures++;
		return;
	}
	t->failures = 0;
	/* Half of it is the latest answer: a single late one is soon forgotten. */
	t->answer_time = (t->answer_time + now - t->asked_at) / 2;
	s->more = b->more && (b->answer == PACING_OPEN || b->answer == PACING_JOIN);
	s->at = MIN_OF(store_clock_to_mono(&t->clock, b->next_at), now + TICK_LOOK);
	if (b->answer == PACING_STOPPED)
		s->at = now + TICK_LOOK;
	if (!ask->free_retries) {
		t->continuous = seems_continuous(t, b);
		/* Continuous mode has no beat that ends: one helping is what was asked for. */
		t->forced_more = ask->forced && s->more && !t->continuous;
	}
}

usec_t tick_next(const struct tick *t, const struct tick_room *room)
{
	usec_t at = MIN_OF(t->beat.at, t->retries.at);

	if (!room_for(t, room))
		return USEC_NEVER;
	if (t->beat.more || t->retries.more)
		at = 0;
	/* Held back by what is still in hand: the end of a request comes first, or the next look. */
	if (room->ready && room_for(t, room) < prefetch(t) / 2)
		at = MAX_OF(at, t->asked_at + TICK_LOOK);
	return at;
}

void tick_poked(struct tick *t, usec_t now)
{
	usec_t gap = t->continuous ? POKE_GAP_CONTINUOUS : POKE_GAP_PACED;
	usec_t at = MAX_OF(now, t->asked_at + gap);

	if (t->failures)
		return; /* the store is away: its own clock says when to try */
	tick_expect(t, at);
}

void tick_expect(struct tick *t, usec_t at)
{
	if (t->free_retries)
		t->retries.at = MIN_OF(t->retries.at, at);
	t->beat.at = MIN_OF(t->beat.at, at);
}
