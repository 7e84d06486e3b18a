/*
 * The store thread: everything the dispatcher asks of the store, on one session. Claims go first, since
 * the wire waits for them; then what has ended is settled. When settling fails, nothing new is claimed
 * until it works again: what is out is then bounded by what was claimed, and what was sent is not
 * forgotten.
 */
#include <string.h>

#include "log.h"
#include "parts.h"

#define RECOVER_EVERY (3 * USEC_PER_SEC)
#define RETRY_FIRST (20 * USEC_PER_MSEC)
#define RETRY_DOUBLINGS 6 /* up to 1.3 s */
#define COMPLAIN_EVERY (10 * USEC_PER_SEC)

void ledger_mail(struct dispatch *d, struct note *note)
{
	if (!queue_push(&d->mail, &note->item))
		note_drop(note);
}

/* One line when it begins, then one every so often. */
static void complain(struct dispatch *d, const char *doing, const struct error *err)
{
	usec_t now = clock_mono();

	if (now < d->l.complain_at)
		return;
	d->l.complain_at = now + COMPLAIN_EVERY;
	log_at(err->code == ERR_TRANSIENT ? LOG_WARN : LOG_ERROR, "the store does not work for the dispatcher",
	       kv_str("doing", doing), kv_str("kind", error_name(err->code)), kv_str("error", err->text),
	       kv_uint("unsettled", d->l.flights.n));
}

static void refuse_claim(struct dispatch *d)
{
	struct claim_order *c = d->l.claim;

	if (!c)
		return;
	d->l.claim = NULL;
	c->parcel = NULL;
	ledger_mail(d, &c->note);
}

static void went_away(struct dispatch *d, const char *doing, const struct error *err)
{
	struct ledger *l = &d->l;

	complain(d, doing, err);
	l->away = true;
	l->retry_at = clock_mono() + (RETRY_FIRST << MIN_OF(l->failures, RETRY_DOUBLINGS));
	l->failures++;
	refuse_claim(d);
}

static void came_back(struct dispatch *d)
{
	struct ledger *l = &d->l;

	if (!l->away)
		return;
	log_info("the store works again for the dispatcher", kv_uint("failures", l->failures));
	l->away = false;
	l->failures = 0;
	l->complain_at = 0;
}

static void claim(struct dispatch *d)
{
	struct claim_order *c = d->l.claim;
	struct parcel *p = xcalloc(1, sizeof(*p));
	struct error err = ERROR_INIT;
	struct claim_request r = {
		.node = d->o.node_id,
		.owner = d->owner,
		.want = c->ask.want,
		.lease = d->o.lease,
		.order = d->o.order,
		.forced = c->ask.forced,
		.free_retries = c->ask.free_retries,
		.retry_free = d->o.policy.retry_free,
	};

	/* In this order: what waits for start_before must find it late. */
	c->asked_boot = clock_boot();
	c->asked = clock_mono();
	if (store_claim(d->l.session, &r, &p->batch, &err)) {
		/* If it was done after all, the leases run out and the messages are recovered. */
		complain(d, "claim", &err);
		free(p);
		refuse_claim(d);
		return;
	}
	c->answered = clock_mono();
	p->note.kind = NOTE_PARCEL;
	if (p->batch.ended.run)
		settle_run_ended(d, &p->batch.ended);
	if (d->o.feed && p->batch.answer == PACING_OPEN && p->batch.run && p->batch.n)
		feed_run_begun(d->o.feed, p->batch.run, (uint32_t)p->batch.n);
	c->parcel = p;
	d->l.claim = NULL;
	ledger_mail(d, &c->note);
}

static usec_t store_time(struct dispatch *d)
{
	return clock_mono() + atomic_load(&d->clock_hi);
}

void ledger_alert(struct dispatch *d, const struct alert *alert)
{
	struct alert_note *n;

	if (d->o.feed)
		feed_alert(d->o.feed, &(struct feed_alert){.run = alert->run, .failures = alert->failures,
		                                           .messages = alert->messages, .gone = alert->gone});
	if (!*d->o.alert_url)
		return;
	n = xcalloc(1, sizeof(*n));
	n->note.kind = NOTE_ALERT;
	n->alert = *alert;
	n->alert.at = store_time(d);
	ledger_mail(d, &n->note);
}

/* A 410: the receiver wants no more. Many requests may be told so at once; the first one stops the
 * scheduler and raises the alert. */
static int stop_scheduler(struct dispatch *d, struct error *err)
{
	struct ledger *l = &d->l;
	struct gone_order *g = l->gone;
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;
	struct scheduler after;
	bool changed;
	int rc;

	change.running = 0;
	rc = store_scheduler_change(l->session, &change, &after, &changed, err);
	if (rc)
		return rc;
	/* A forced run of a stopped scheduler deserves its alert as well. */
	if (changed || (g->forced && g->run != l->gone_run)) {
		log_error("the webhook answered 410 Gone: the scheduler is stopped", kv_int("run", g->run),
		          kv_str("node", d->o.node_id));
		l->gone_run = g->run;
		if (d->o.feed)
			feed_poke(d->o.feed);
		ledger_alert(d, &(struct alert){.run = g->run, .gone = true, .messages = g->claimed,
		                                .failures = MAX_OF(after.all_failed_in_a_row, 1u)});
	}
	l->gone = NULL;
	ledger_mail(d, &g->note);
	return OK;
}

static void note_alerts(struct dispatch *d)
{
	struct note *note;

	while ((note = chain_take(&d->l.alerted))) {
		struct scheduler_change change = SCHEDULER_CHANGE_NONE;
		struct scheduler after;
		struct error err = ERROR_INIT;
		bool changed;

		change.alerted_at = store_time(d);
		if (store_scheduler_change(d->l.session, &change, &after, &changed, &err))
			log_warn("the time of an alert was not recorded", kv_str("error", err.text));
		note_drop(note);
	}
}

static void recover(struct dispatch *d)
{
	struct ledger *l = &d->l;
	struct recover_result got;
	struct error err = ERROR_INIT;
	usec_t now = clock_mono();

	l->recover_at = now + RECOVER_EVERY;
	if (outcomes_recover(&d->m.outcomes, l->session, d->owner, &d->o.policy, d->o.max_lost_claims, &got,
	                     &err)) {
		complain(d, "recover", &err);
		return;
	}
	if (got.pending || got.unknown || got.failed)
		dispatch_poke(d);
	if (got.more)
		l->recover_at = now;
	else if (got.next_expiry != USEC_NEVER && atomic_load(&d->clock_hi))
		/* Not at once if it just passed: the store will have had its reason. */
		l->recover_at = MIN_OF(l->recover_at, MAX_OF(got.next_expiry - atomic_load(&d->clock_hi) +
		                                             USEC_PER_MSEC, now + 50 * USEC_PER_MSEC));
}

static void sort_in(struct dispatch *d, struct queue_item *item)
{
	struct ledger *l = &d->l;

	for (struct queue_item *next; item; item = next) {
		struct note *note = note_of(item);

		next = item->next;
		switch (note->kind) {
		case NOTE_CLAIM:
			l->claim = container_of(note, struct claim_order, note);
			break;
		case NOTE_FLIGHT:
			chain_add(&l->flights, note);
			break;
		case NOTE_PARCEL:
			chain_add(&l->parcels, note);
			break;
		case NOTE_GONE:
			l->gone = container_of(note, struct gone_order, note);
			break;
		case NOTE_ALERT:
			chain_add(&l->alerted, note);
			break;
		case NOTE_RUN_NOW:
			panic("run-now note in the ledger");
		}
	}
}

/* Does one round of what there is. */
static void work(struct dispatch *d)
{
	struct ledger *l = &d->l;
	struct error err = ERROR_INIT;
	usec_t now = clock_mono();

	if (l->away && now < l->retry_at) {
		refuse_claim(d);
		return;
	}
	if (l->claim && !l->away)
		claim(d);
	if (l->flights.n && settle_flights(d, &err)) {
		went_away(d, "settle", &err);
		settle_renew(d, now);
		return;
	}
	if (l->parcels.n && settle_parcels(d, &err)) {
		went_away(d, "give back", &err);
		return;
	}
	if (l->gone && stop_scheduler(d, &err)) {
		went_away(d, "stop the scheduler", &err);
		return;
	}
	came_back(d);
	note_alerts(d);
	if (now >= l->recover_at && !atomic_load(&d->stopping))
		recover(d);
}

static bool has_work(const struct ledger *l)
{
	return l->claim || l->flights.n || l->parcels.n || l->gone || l->alerted.n;
}

void *ledger_main(void *arg)
{
	struct dispatch *d = arg;
	struct ledger *l = &d->l;
	struct note *note;

	for (;;) {
		usec_t until = l->away ? l->retry_at : has_work(l) ? 0 : l->recover_at;
		/* Asked first: what comes between a wait that ends in vain and the closing must not be missed. */
		bool closed = queue_closed(&d->jobs);
		struct queue_item *items = queue_wait(&d->jobs, 0, MAX_OF(until - clock_mono(), 0), NULL);

		sort_in(d, items);
		/* The wire has gone. While the store is away, there is nobody left to wait for it. */
		if (!items && closed && (!has_work(l) || l->away))
			break;
		work(d);
	}
	if (l->flights.n)
		log_error("outcomes could not be recorded; these messages will be recovered",
		          kv_uint("messages", l->flights.n));
	while ((note = chain_take(&l->parcels)) || (note = chain_take(&l->alerted)))
		note_drop(note);
	return NULL;
}
