/*
 * Attempts: composes the request, starts it, judges how it ended, and hands the outcomes to the ledger
 * in batches.
 */
#include <stdio.h>
#include <string.h>

#include "json_out.h"
#include "log.h"
#include "parts.h"
#include "text.h"

#define ANSWER_MAX 16384       /* bytes of an answer's body that are read */
#define ANSWER_HEADERS_MAX 65536
#define ANSWER_QUOTED_MAX 200  /* bytes of an answer that go into the error text */
#define BODY_KEPT 4096         /* a larger body's memory is not kept for the next attempt */

static void ended(void *arg, const struct transport_result *r);

bool send_open(struct dispatch *d, struct error *err)
{
	struct wire *w = &d->w;
	struct transport_options to = {
		.url = d->o.webhook_url,
		.timeout = d->o.webhook_timeout,
		.max_concurrent = d->o.concurrency,
		.max_body = ANSWER_MAX,
		.max_header_bytes = ANSWER_HEADERS_MAX,
		.auth_key = d->o.webhook_auth_key,
		.user_agent = "herald/" HERALD_VERSION,
		.ca_file = d->o.webhook_ca_file,
		.done = ended,
		.arg = d,
	};

	if (answer_rule_init(&w->answer, d->o.message_id_from, err))
		return false;
	if (*d->o.webhook_secrets && signer_new(&w->signer, d->o.webhook_secrets, err))
		return false;
	to.capture_header = w->answer.header;
	if (*to.url && transport_open(&w->transport, &to, err))
		return false;

	w->flights_n = d->o.concurrency + UNSETTLED_MAX;
	w->flights = xcalloc(w->flights_n, sizeof(*w->flights));
	return true;
}

void send_close(struct dispatch *d)
{
	struct wire *w = &d->w;

	transport_close(w->transport);
	signer_free(w->signer);
	answer_rule_release(&w->answer);
	for (size_t i = 0; w->flights && i < w->flights_n; i++) {
		struct flight *f = &w->flights[i];

		if (!f->body.data)
			continue; /* never used */
		buf_release(&f->body);
		buf_release(&f->signature);
		if (f->text != f->small)
			free(f->text);
	}
	free(w->flights);
	buf_release(&w->scratch);
}

/* A slot that was used before if there is one, else the next untouched one. */
static struct flight *flight_take(struct wire *w)
{
	struct flight *f = w->free;

	if (f) {
		w->free = f->note.item.next ? container_of(f->note.item.next, struct flight, note.item) : NULL;
	} else {
		f = &w->flights[w->flights_out];
		f->note.kind = NOTE_FLIGHT;
		buf_init(&f->body);
		buf_init(&f->signature);
	}
	w->flights_out++;
	return f;
}

static void flight_return(struct wire *w, struct flight *f)
{
	if (f->text != f->small)
		free(f->text);
	f->text = NULL;
	f->note.item.next = w->free ? &w->free->note.item : NULL;
	w->free = f;
	w->flights_out--;
}

static void set_text(struct flight *f, const char *text, size_t len)
{
	f->text = len < sizeof(f->small) ? f->small : xmalloc(len + 1);
	memcpy(f->text, text, len);
	f->text[len] = '\0';
}

/* What a person should read as the reason: the status and the beginning of what the receiver said. */
static void set_error(struct dispatch *d, struct flight *f, const struct transport_result *r)
{
	struct buf *b = &d->w.scratch;
	size_t n = 0;

	buf_clear(b);
	if (r->end == ATTEMPT_REHEARSED)
		buf_addlit(b, "failed on purpose (failureRate)");
	else if (r->end == ATTEMPT_ANSWERED)
		buf_addf(b, "HTTP %d", r->status);
	else
		buf_addstr(b, r->error ? r->error : "no answer");
	if (r->end == ATTEMPT_ANSWERED && r->body_len) {
		buf_addlit(b, ": ");
		while (n < r->body_len && n < ANSWER_QUOTED_MAX) {
			size_t len = utf8_sequence(r->body + n, r->body_len - n);

			if (!len)
				break; /* cut in a code point, or binary */
			if (len == 1 && (unsigned char)r->body[n] < 0x20)
				buf_addch(b, ' ');
			else
				buf_add(b, r->body + n, len);
			n += len;
		}
	}
	set_text(f, b->data, utf8_valid(b->data, b->len) ? MIN_OF(b->len, (size_t)MESSAGE_ERROR_MAX) : 0);
}

/* On its way to the ledger. */
static void hand_over(struct dispatch *d, struct flight *f)
{
	struct wire *w = &d->w;

	metric_inc(d->m.outcomes.attempts[f->verdict]);
	if (!w->outbox.n)
		w->outbox_since = clock_mono();
	chain_add(&w->outbox, &f->note);
}

/* It breaks the rules: no request is made. */
static void refuse(struct dispatch *d, struct flight *f, const char *why)
{
	f->verdict = VERDICT_INVALID;
	f->retry_in = f->duration = 0;
	f->http_status = 0;
	set_text(f, why, strlen(why));
	hand_over(d, f);
}

/* Every attempt ends here, the rehearsed ones without ever having been on the wire. */
static void conclude(struct dispatch *d, struct flight *f, const struct transport_result *r)
{
	struct wire *w = &d->w;
	struct delivery_outcome o = {.end = r->end, .status = r->status};
	struct delivery_judgement j;
	char id[MESSAGE_PROVIDER_ID_MAX + 1];
	size_t len;

	if (r->end == ATTEMPT_ANSWERED && r->retry_after)
		o.retry_after = retry_after_parse(r->retry_after, clock_wall());
	j = delivery_judge(&d->o.policy, &o, f->attempt, random_unit());

	f->verdict = j.verdict;
	f->retry_in = j.retry_in;
	f->http_status = r->end == ATTEMPT_ANSWERED ? r->status : 0;
	f->duration = r->duration;
	if (j.verdict != VERDICT_SENT) {
		set_error(d, f, r);
	} else {
		/* A body that was cut is not JSON any more; that the message was taken stands. */
		len = answer_message_id(&w->answer, r->body, r->body_cut ? 0 : r->body_len, r->captured, id);
		if (len)
			set_text(f, id, len);
	}
	if (f->body.cap > BODY_KEPT)
		buf_release(&f->body);

	if (r->end != ATTEMPT_REHEARSED)
		metric_observe(d->m.attempt_seconds, r->duration);
	hand_over(d, f);

	if (j.gone && !w->gone.out) {
		w->gone = (struct gone_order){.note.kind = NOTE_GONE, .run = f->run, .claimed = f->claimed,
		                              .forced = f->forced};
		w->gone.out = queue_push(&d->jobs, &w->gone.note.item);
	}
}

static void ended(void *arg, const struct transport_result *r)
{
	struct dispatch *d = arg;

	metric_set(d->m.in_flight, (int64_t)wire_in_flight(&d->w));
	conclude(d, r->tag, r);
}

static void compose(struct dispatch *d, struct flight *f, const struct claimed *c)
{
	struct json_out j;
	bool cut;
	size_t kept = content_cut(c->content, c->content_len, d->o.rules->max_content, &cut);

	delivery_key(c->id, c->created_at, c->phone, c->content, c->content_len, f->key);
	buf_clear(&f->body);
	j = json_begin(&f->body);
	json_open_object(&j);
	json_kv_str(&j, "to", c->phone);
	json_key(&j, "content");
	if (cut) {
		buf_clear(&d->w.scratch);
		buf_add(&d->w.scratch, c->content, kept);
		buf_addlit(&d->w.scratch, "...");
		json_strn(&j, d->w.scratch.data, d->w.scratch.len);
	} else {
		json_strn(&j, c->content, c->content_len);
	}
	json_end(&j);

	if (d->w.signer) {
		snprintf(f->timestamp, sizeof(f->timestamp), "%lld",
		         (long long)(clock_wall() / USEC_PER_SEC));
		signer_sign(d->w.signer, &f->signature, f->key, f->timestamp, f->body.data, f->body.len);
	}
}

static void start(struct dispatch *d, const struct parcel *p, const struct claimed *c, usec_t now)
{
	struct wire *w = &d->w;
	struct flight *f = flight_take(w);
	struct transport_request r = {.tag = f, .key = f->key};
	const char *why;
	size_t phone_len;

	f->id = c->id;
	f->fence = c->fence;
	f->run = p->batch.run;
	f->attempt = c->attempt;
	phone_len = strnlen(c->phone, MESSAGE_PHONE_MAX);
	memcpy(f->phone, c->phone, phone_len);
	f->phone[phone_len] = '\0';
	f->forced = p->forced;
	f->claimed = (uint32_t)p->batch.n;
	f->lease_until = p->lease_until;
	f->started_at = store_clock_to_store(&w->tick.clock, now);
	tick_started(&w->tick);

	why = message_rules_broken(d->o.rules, c->phone, c->content, c->content_len);
	if (why) {
		refuse(d, f, why);
		return;
	}
	if (p->batch.failure_rate > 0 && random_unit() < p->batch.failure_rate) {
		conclude(d, f, &(struct transport_result){.end = ATTEMPT_REHEARSED, .body = ""});
		return;
	}
	compose(d, f, c);
	r.body = f->body.data;
	r.body_len = f->body.len;
	if (w->signer) {
		r.timestamp = f->timestamp;
		r.signature = f->signature.data;
	}
	if (!transport_start(w->transport, &r))
		panic("the transport refuses a request at %zu of %zu", wire_in_flight(w), d->o.concurrency);
	metric_set(d->m.in_flight, (int64_t)wire_in_flight(w));
}

void send_ready(struct dispatch *d)
{
	struct wire *w = &d->w;
	usec_t now = clock_mono();

	while (w->ready.first && !w->gone.out && wire_in_flight(w) < d->o.concurrency &&
	       w->flights_out < w->flights_n) {
		struct parcel *p = container_of(w->ready.first, struct parcel, note.item);

		if (parcel_late(p)) {
			supply_give_back(d, false);
			continue;
		}
		w->ready_n--;
		start(d, p, &p->batch.items[p->next++], now);
		if (p->next == p->batch.n) {
			chain_take(&w->ready);
			parcel_free(p);
		}
		now = clock_mono();
	}
}

void send_settled(struct dispatch *d, struct flight *f)
{
	/* The store counted from a moment before this one, so this is not too early by much. */
	if (f->verdict == VERDICT_RETRY)
		tick_expect(&d->w.tick, clock_mono() + f->retry_in);
	flight_return(&d->w, f);
}

void send_outbox(struct dispatch *d, usec_t now)
{
	struct chain *o = &d->w.outbox;

	if (!o->n || (o->n < OUTBOX_MAX && wire_in_flight(&d->w) && now - d->w.outbox_since < OUTBOX_DELAY))
		return;
	if (!queue_push_chain(&d->jobs, o->first, o->last, o->n))
		panic("the ledger went before the wire");
	*o = (struct chain){0};
}
