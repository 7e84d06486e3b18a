#include "store_rules.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "text.h"

enum message_status row_status(int state)
{
	if (state == ROW_RETRYING)
		return MESSAGE_PENDING;
	return state == ROW_INVALID ? MESSAGE_INVALID : (enum message_status)state;
}

int row_state(enum message_status status)
{
	return status == MESSAGE_INVALID ? ROW_INVALID : (int)status;
}

/* Success is a fact, failure is an opinion: a success is taken from whoever brings it as long as the
 * message is not over; anything else only from the holder of the claim. */
bool settlement_applies(int state, int64_t fence, const struct settlement *s)
{
	if (s->verdict == VERDICT_SENT)
		return message_may(row_status(state), EVENT_SUCCESS);
	return state == MESSAGE_SENDING && fence == s->fence;
}

int settlement_state(const struct settlement *s, bool beside_beat)
{
	switch (s->verdict) {
	case VERDICT_SENT:
		return MESSAGE_SENT;
	case VERDICT_RETRY:
		return s->retry_free ? ROW_RETRYING : MESSAGE_PENDING;
	case VERDICT_FAILED:
		return MESSAGE_FAILED;
	case VERDICT_UNKNOWN:
		return MESSAGE_UNKNOWN;
	case VERDICT_INVALID:
		return ROW_INVALID;
	case VERDICT_RELEASE:
		return beside_beat ? ROW_RETRYING : MESSAGE_PENDING;
	case VERDICT_LOST:
		break;
	}
	panic("settlement with verdict %d", (int)s->verdict);
}

int recovered_state(const struct recover_request *r, int attempts, int lost)
{
	if (r->strict)
		return MESSAGE_UNKNOWN;
	if (lost >= r->max_lost || attempts >= r->max_attempts)
		return MESSAGE_FAILED;
	return r->retry_free ? ROW_RETRYING : MESSAGE_PENDING;
}

void recovered_count(struct recover_result *result, int64_t by_state[ROW_STATE_COUNT], int state)
{
	by_state[MESSAGE_SENDING]--;
	by_state[state]++;
	result->pending += row_status(state) == MESSAGE_PENDING;
	result->unknown += state == MESSAGE_UNKNOWN;
	result->failed += state == MESSAGE_FAILED;
}

bool claim_beside_beat(const struct claim_request *r)
{
	return r->free_retries || r->unpaced;
}

bool claim_takes(const struct claim_request *r, int state)
{
	if (state == MESSAGE_PENDING)
		return !r->free_retries;
	return state == ROW_RETRYING && (r->free_retries || (!r->retry_free && !r->unpaced));
}

uint64_t claim_skips(const struct claim_request *r, int state)
{
	return r->unpaced && state == MESSAGE_PENDING ? r->skip : 0;
}

enum pacing_answer claim_ask(const struct claim_request *r, const struct pacing *p, usec_t now,
                             uint32_t *ret_grant)
{
	enum pacing_answer answer = pacing_ask(p, now, r->want, r->forced, ret_grant);

	if (!r->unpaced && (!r->free_retries || answer == PACING_STOPPED))
		return answer;
	*ret_grant = r->want;
	return PACING_JOIN;
}

bool claim_by_due(const struct claim_request *r, const struct pacing *p)
{
	return claim_beside_beat(r) || !p->interval;
}

void claim_look(const struct claim_request *r, const struct pacing *p, usec_t soonest, struct claim_batch *b)
{
	uint32_t grant;

	b->answer = claim_ask(r, p, b->now, &grant);
	if (b->answer != PACING_STOPPED && claim_by_due(r, p) && soonest > b->now)
		b->answer = PACING_WAIT;
	b->next_at = claim_beside_beat(r) && b->answer != PACING_STOPPED
	                     ? soonest
	                     : claim_next_at(p, b->answer, soonest);
}

struct pacing claim_advance(const struct pacing *p, uint32_t grant, struct claim_batch *b)
{
	const struct pacing next = pacing_after(p, b->answer, b->now, (uint32_t)b->n, b->n < grant);

	if (b->answer == PACING_OPEN && p->interval && p->beat_at)
		b->lateness = b->now - pacing_next_at(p);
	b->more = next.interval ? next.left > 0 : b->n == grant;
	return next;
}

bool owner_outside(const char *owner)
{
	const size_t len = strlen(owner), tail = strlen(STORE_OWNER_OUTSIDE);

	return len >= tail && !strcmp(owner + len - tail, STORE_OWNER_OUTSIDE);
}

int64_t attempt_seq(int64_t fence, enum verdict v)
{
	return fence * 4 + (v == VERDICT_LOST ? 0 : v == VERDICT_SENT ? 2 : 1);
}

void run_tally_add(struct run_tally *t, enum verdict v)
{
	switch (v) {
	case VERDICT_SENT:
		t->sent++;
		return;
	case VERDICT_RETRY:
		t->retried++;
		return;
	case VERDICT_FAILED:
	case VERDICT_INVALID:
		t->failed++;
		return;
	case VERDICT_UNKNOWN:
	case VERDICT_LOST:
		t->lost++;
		return;
	case VERDICT_RELEASE:
		t->claimed--;
		return;
	}
	panic("outcome %d", (int)v);
}

bool run_tally_complete(const struct run_tally *t)
{
	return t->closed && t->claimed == t->sent + t->failed + t->retried + t->lost;
}

void run_outcomes_add(struct run_outcomes *o, int64_t run, enum verdict v)
{
	size_t i;

	if (!run)
		return;
	/* Outcomes of one transaction belong to few runs, mostly the last one seen. */
	for (i = o->n; i-- > 0;) {
		if (o->runs[i].run == run) {
			run_tally_add(&o->runs[i].add, v);
			return;
		}
	}
	if (o->n == o->cap) {
		o->cap = o->cap ? 2 * o->cap : 8;
		o->runs = xreallocarray(o->runs, o->cap, sizeof(*o->runs));
	}
	o->runs[o->n] = (struct run_outcome){.run = run};
	run_tally_add(&o->runs[o->n++].add, v);
}

static int by_run(const void *a, const void *b)
{
	const struct run_outcome *x = a, *y = b;

	return (x->run > y->run) - (x->run < y->run);
}

void run_outcomes_sort(struct run_outcomes *o)
{
	if (o->n > 1)
		qsort(o->runs, o->n, sizeof(*o->runs), by_run);
}

void run_outcomes_release(struct run_outcomes *o)
{
	free(o->runs);
	*o = (struct run_outcomes){.n = 0};
}

/* A run without messages says nothing about the receiver, so it leaves the count as it is. */
void run_end_apply(int64_t run, const struct run_tally *t, uint32_t *all_failed_in_a_row,
                   struct run_end *ret)
{
	bool all_failed = t->claimed > 0 && t->sent == 0;

	if (all_failed)
		++*all_failed_in_a_row;
	else if (t->sent)
		*all_failed_in_a_row = 0;
	*ret = (struct run_end){
		.run = run,
		.claimed = t->claimed,
		.sent = t->sent,
		.failed = t->failed,
		.retried = t->retried,
		.all_failed_in_a_row = *all_failed_in_a_row,
		.all_failed = all_failed,
	};
}

void settle_result_add(struct settle_result *r, const struct run_end *end)
{
	if (!end->run)
		return;
	if (r->ended_n < ARRAY_SIZE(r->ended))
		r->ended[r->ended_n] = *end;
	r->ended_n++;
}

struct scheduler_row scheduler_row_new(const struct scheduler_defaults *d)
{
	return (struct scheduler_row){
		.s.pacing = {.running = d->auto_start, .interval = d->interval, .batch = d->batch},
		.config_interval = d->interval,
		.config_batch = d->batch,
	};
}

/* A smaller batch also bounds what the beat that is open may still give. */
static void set_batch(struct pacing *p, uint32_t batch)
{
	p->batch = batch;
	if (p->left > batch)
		p->left = batch;
}

/* Never earlier than it would have been. */
static void hold_back(struct pacing *p, usec_t now)
{
	if (p->interval)
		p->not_before = MAX_OF(p->not_before, now + p->interval);
}

static void open_job(struct scheduler_row *row, const char *name)
{
	row->job_opened = ++row->job;
	row->job_name = name && *name ? name : "messages";
}

void scheduler_row_configure(struct scheduler_row *row, const struct scheduler_defaults *d, usec_t now)
{
	struct pacing *p = &row->s.pacing;

	if (row->config_interval != d->interval)
		row->s.pacing.interval = row->config_interval = d->interval;
	if (row->config_batch != d->batch) {
		row->config_batch = d->batch;
		set_batch(p, d->batch);
	}
	/* While other nodes keep the beat going, one more start does not disturb it. */
	if (d->first_after_interval && p->running && pacing_next_at(p) <= now)
		hold_back(p, now);
	/* Made just now, or running since before jobs were recorded. */
	if (p->running && !row->job)
		open_job(row, d->job_name);
}

bool scheduler_row_change(struct scheduler_row *row, const struct scheduler_change *change, usec_t now)
{
	bool changed = change->running >= 0 && row->s.pacing.running != (change->running != 0);

	if (change->running >= 0)
		row->s.pacing.running = change->running != 0;
	if (change->interval >= 0)
		row->s.pacing.interval = change->interval;
	if (change->batch >= 0)
		set_batch(&row->s.pacing, (uint32_t)change->batch);
	if (change->failure_rate >= 0)
		row->s.failure_rate = change->failure_rate;
	if (change->alerted_at >= 0)
		row->s.last_alert_at = change->alerted_at;
	if (changed && row->s.pacing.running && change->first_after_interval)
		hold_back(&row->s.pacing, now);
	if (changed && row->s.pacing.running)
		open_job(row, change->job_name);
	else if (changed)
		row->job_closed = row->job;
	return changed;
}

void steering_apply(struct steering *st)
{
	if (st->defaults)
		scheduler_row_configure(&st->row, st->defaults, st->row.s.now);
	else
		st->changed = scheduler_row_change(&st->row, st->change, st->row.s.now);
}

struct claimed *claim_batch_add(struct claim_batch *b, size_t *cap)
{
	struct claimed *grown;

	if (b->n == *cap) {
		*cap = *cap ? 2 * *cap : 64;
		grown = arena_alloc(&b->arena, *cap * sizeof(*grown));
		if (b->n)
			memcpy(grown, b->items, b->n * sizeof(*grown));
		b->items = grown;
	}
	return &b->items[b->n++];
}

usec_t claim_next_at(const struct pacing *p, enum pacing_answer answer, usec_t soonest)
{
	if (answer == PACING_STOPPED)
		return USEC_NEVER;
	return p->interval ? pacing_next_at(p) : soonest;
}
