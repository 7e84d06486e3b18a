/*
 * What has been claimed and has not started: asks for it when the tick says so, keeps it in order, and
 * gives it back when it cannot start in time.
 */
#include <string.h>

#include "log.h"
#include "parts.h"

static struct tick_room room_of(const struct dispatch *d)
{
	const struct wire *w = &d->w;

	return (struct tick_room){
		.slots = d->o.concurrency - wire_in_flight(w),
		.ready = w->ready_n,
		.unsettled = w->flights_n - w->flights_out,
	};
}

static bool may_ask(const struct dispatch *d)
{
	/* Until the ledger has stopped the scheduler because of a 410, a claim would only feed it more. */
	return d->w.transport && !d->w.claim_out && !d->w.gone.out && !atomic_load(&d->stopping);
}

static void ask(struct dispatch *d, struct tick_ask what)
{
	struct wire *w = &d->w;

	w->claim = (struct claim_order){.note.kind = NOTE_CLAIM, .ask = what};
	w->claim_out = queue_push(&d->jobs, &w->claim.note.item);
}

void supply_ask(struct dispatch *d, usec_t now)
{
	struct wire *w = &d->w;
	struct tick_room room = room_of(d);
	struct tick_ask what;

	if (!may_ask(d))
		return;
	if (w->poked) {
		w->poked = false;
		tick_poked(&w->tick, now);
	}
	if (w->run_now.n) {
		w->claim_forced = true;
		ask(d, tick_force(&w->tick, now, &room));
	} else if (tick_ask(&w->tick, now, &room, &what)) {
		ask(d, what);
	}
}

usec_t supply_next(const struct dispatch *d)
{
	struct tick_room room = room_of(d);
	usec_t at = may_ask(d) ? tick_next(&d->w.tick, &room) : USEC_NEVER;

	for (const struct queue_item *i = d->w.ready.first; i; i = i->next)
		at = MIN_OF(at, container_of(i, struct parcel, note.item)->start_before + 1);
	return at;
}

void run_now_finish(struct run_now *r, int code, const char *why)
{
	pthread_mutex_lock(&r->lock);
	r->code = why ? error_set(&r->err, code, "%s", why) : code;
	r->done = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void supply_run_now(struct dispatch *d, struct run_now *r)
{
	if (!d->w.transport)
		run_now_finish(r, ERR_CONFIG, "no webhook URL is configured");
	else if (atomic_load(&d->stopping))
		run_now_finish(r, ERR_TRANSIENT, "the dispatcher is stopping");
	else
		chain_add(&d->w.run_now, &r->note);
}

/* All who wait asked the same question, so they get the same answer: one beat. */
static void answer_run_now(struct dispatch *d, const struct claim_batch *b)
{
	struct note *note;

	while ((note = chain_take(&d->w.run_now))) {
		struct run_now *r = container_of(note, struct run_now, note);

		if (!b) {
			run_now_finish(r, ERR_TRANSIENT, "the store is not available");
			continue;
		}
		r->answer = (struct dispatch_run){.run = b->run, .claimed = (uint32_t)b->n, .next_at = b->next_at};
		if (b->answer == PACING_OPEN || b->answer == PACING_JOIN)
			run_now_finish(r, OK, NULL);
		else
			run_now_finish(r, ERR_CONFLICT, "the next beat is not due yet");
	}
}

void supply_refuse(struct dispatch *d)
{
	struct note *note;

	while ((note = chain_take(&d->w.run_now)))
		run_now_finish(container_of(note, struct run_now, note), ERR_TRANSIENT,
		               "the dispatcher is stopping");
}

void parcel_free(struct parcel *p)
{
	claim_batch_release(&p->batch);
	free(p);
}

void supply_answer(struct dispatch *d, struct claim_order *c)
{
	struct wire *w = &d->w;
	struct parcel *p = c->parcel;
	usec_t now = clock_mono();

	w->claim_out = false;
	if (p) {
		store_clock_learn(&w->tick.clock, p->batch.now, c->asked, c->answered);
		atomic_store(&d->clock_hi, w->tick.clock.hi);
		p->forced = c->ask.forced;
		p->lease_until = c->asked + (p->batch.lease_until - p->batch.now);
		p->start_before = p->lease_until - d->o.webhook_timeout - LEASE_MARGIN;
		p->start_before_boot = p->start_before - c->asked + c->asked_boot;
	}
	tick_answered(&w->tick, &c->ask, p ? &p->batch : NULL, now);
	if (w->claim_forced) {
		w->claim_forced = false;
		answer_run_now(d, p ? &p->batch : NULL);
	}
	if (!p)
		return;

	if (p->batch.answer == PACING_OPEN && p->batch.run && !c->ask.free_retries) {
		metric_inc(d->m.runs);
		metric_observe(d->m.lateness_seconds, p->batch.lateness);
		log_debug("beat", kv_int("run", p->batch.run), kv_uint("claimed", p->batch.n),
		          kv_int("late_us", p->batch.lateness), kv_str("node", d->o.node_id));
	}
	/* Stopped: what is in hand and has not started stays unsent. */
	if (p->batch.answer == PACING_STOPPED)
		supply_give_back(d, true);
	if (!p->batch.n) {
		parcel_free(p);
		return;
	}
	chain_add(&w->ready, &p->note);
	w->ready_n += p->batch.n;
	if (atomic_load(&d->stopping))
		supply_give_back(d, true);
}

void supply_give_back(struct dispatch *d, bool all)
{
	struct wire *w = &d->w;
	struct chain keep = {0};
	struct note *note;

	while ((note = chain_take(&w->ready))) {
		struct parcel *p = container_of(note, struct parcel, note);

		if (!all && !parcel_late(p)) {
			chain_add(&keep, note);
			continue;
		}
		w->ready_n -= p->batch.n - p->next;
		p->note.kind = NOTE_PARCEL;
		if (queue_push(&d->jobs, &p->note.item))
			w->parcels_out++;
		else
			parcel_free(p);
	}
	w->ready = keep;
}

void supply_given_back(struct dispatch *d, struct parcel *p)
{
	d->w.parcels_out--;
	parcel_free(p);
}
