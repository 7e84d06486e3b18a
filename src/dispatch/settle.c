/* Outcomes into the store, in batches: one transaction each, repeated as it is until it is known to be
 * done. A repetition is harmless, since the store takes an outcome once per fence. */
#include <string.h>

#include "log.h"
#include "parts.h"

void settle_run_ended(struct dispatch *d, const struct run_end *end)
{
	/* A beat that found nothing to do is no news. */
	log_at(end->claimed ? LOG_INFO : LOG_DEBUG, "run finished", kv_int("run", end->run),
	       kv_uint("claimed", end->claimed), kv_uint("sent", end->sent), kv_uint("failed", end->failed),
	       kv_uint("retried", end->retried), kv_str("node", d->o.node_id));

	if (d->o.feed && end->claimed)
		feed_run_ended(d->o.feed, end);
	if (!end->all_failed || !d->o.alert_after || !end->all_failed_in_a_row ||
	    end->all_failed_in_a_row % d->o.alert_after)
		return;
	log_error("every message failed in the last runs", kv_int("run", end->run),
	          kv_uint("runs", end->all_failed_in_a_row));
	ledger_alert(d, &(struct alert){.run = end->run, .failures = end->all_failed_in_a_row,
	                                .messages = end->claimed});
}

static void runs_ended(struct dispatch *d, const struct settle_result *r)
{
	for (size_t i = 0; i < MIN_OF(r->ended_n, ARRAY_SIZE(r->ended)); i++)
		settle_run_ended(d, &r->ended[i]);
}

static void feed_flights(struct dispatch *d, size_t n)
{
	struct queue_item *i = d->l.flights.first;

	if (!d->o.feed)
		return;
	feed_begin(d->o.feed);
	for (; i && n; i = i->next, n--) {
		const struct flight *f = container_of(i, struct flight, note.item);

		feed_attempt(d->o.feed, &(struct feed_attempt){
						.message = f->id,
						.run = f->run,
						.phone = f->phone,
						.verdict = f->verdict,
						.attempt = f->attempt,
						.http_status = f->http_status,
						.duration = f->duration,
						.error = f->verdict == VERDICT_SENT ? NULL : f->text,
					});
	}
	feed_end(d->o.feed);
}

static void log_attempt(const struct dispatch *d, const struct flight *f, const struct settlement *s)
{
	bool sent = f->verdict == VERDICT_SENT;

	log_debug("attempt", kv_int("message", f->id), kv_int("attempt", f->attempt),
	          kv_str("outcome", verdict_name(f->verdict)), kv_int("status", f->http_status),
	          kv_double("ms", (double)f->duration / 1000), kv_str("provider_id", sent ? f->text : NULL),
	          kv_str("error", sent ? NULL : f->text), kv_bool("applied", s->applied),
	          kv_int("run", f->run), kv_str("node", d->o.node_id));
}

static struct settlement settlement_of(const struct dispatch *d, const struct flight *f)
{
	bool sent = f->verdict == VERDICT_SENT;

	return (struct settlement){
		.id = f->id,
		.fence = f->fence,
		.run = f->run,
		.attempt = f->attempt,
		.verdict = f->verdict,
		.retry_free = d->o.policy.retry_free,
		.retry_in = f->retry_in,
		.http_status = f->http_status,
		.started_at = f->started_at,
		.duration = f->duration,
		.message_id = sent ? f->text : NULL,
		.error = sent ? NULL : f->text,
	};
}

int settle_flights(struct dispatch *d, struct error *err)
{
	struct ledger *l = &d->l;
	struct settle_result result;
	struct chain done = {0};
	size_t n = 0, cached = 0;
	int rc;

	for (struct queue_item *i = l->flights.first; i && n < SETTLE_BATCH; i = i->next)
		l->batch[n++] = settlement_of(d, container_of(i, struct flight, note.item));
	rc = store_settle(l->session, l->batch, n, &result, err);
	if (rc)
		return rc;
	feed_flights(d, n);

	for (size_t i = 0; i < n; i++) {
		struct note *note = chain_take(&l->flights);
		struct flight *f = container_of(note, struct flight, note);
		const struct settlement *s = &l->batch[i];

		if (log_enabled(LOG_DEBUG))
			log_attempt(d, f, s);
		if (s->applied && s->verdict == VERDICT_SENT)
			l->cached[cached++] = (struct cache_entry){
				.id = s->id, .message_id = s->message_id, .sent_at = s->sent_at};
		chain_add(&done, note);
	}
	cache_put(d->o.cache, l->cached, cached);
	runs_ended(d, &result);
	/* If the wire has gone, there is nothing to free: flights are a pool. */
	(void)!queue_push_chain(&d->mail, done.first, done.last, done.n);
	return OK;
}

int settle_parcels(struct dispatch *d, struct error *err)
{
	struct ledger *l = &d->l;
	struct parcel *p = container_of(l->parcels.first, struct parcel, note.item);
	struct settle_result result;
	size_t n = MIN_OF(p->batch.n - p->next, (size_t)SETTLE_BATCH);
	int rc;

	for (size_t i = 0; i < n; i++) {
		const struct claimed *c = &p->batch.items[p->next + i];

		l->batch[i] = (struct settlement){
			.id = c->id,
			.fence = c->fence,
			.run = p->batch.run,
			.attempt = c->attempt,
			.verdict = VERDICT_RELEASE,
		};
	}
	rc = n ? store_settle(l->session, l->batch, n, &result, err) : OK;
	if (rc)
		return rc;
	if (n)
		runs_ended(d, &result);
	p->next += n;
	if (p->next == p->batch.n) {
		log_debug("messages given back", kv_uint("messages", p->batch.n), kv_int("run", p->batch.run));
		ledger_mail(d, chain_take(&l->parcels));
	}
	return OK;
}

/*
 * What waits here was claimed for the time of a request, not for that of an outage. If the store takes
 * renewals though it takes no outcomes, other nodes are kept from sending these messages again; if
 * not, the fence sorts it out later.
 */
void settle_renew(struct dispatch *d, usec_t now)
{
	struct ledger *l = &d->l;
	struct queue_item *i = l->flights.first;
	usec_t asked = clock_mono();
	size_t n, renewed;

	while (i) {
		struct queue_item *first = i;

		for (n = 0; i && n < SETTLE_BATCH; i = i->next) {
			const struct flight *f = container_of(i, struct flight, note.item);

			if (f->lease_until - now < d->o.lease / 2)
				l->leases[n++] = (struct lease_ref){.id = f->id, .fence = f->fence};
		}
		if (!n)
			return;
		if (store_renew(l->session, l->leases, n, d->o.lease, &renewed, NULL))
			return;
		for (struct queue_item *j = first; j != i; j = j->next) {
			struct flight *f = container_of(j, struct flight, note.item);

			if (f->lease_until - now < d->o.lease / 2)
				f->lease_until = asked + d->o.lease;
		}
	}
}
