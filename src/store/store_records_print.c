/* Records as text, to compare them. */
#include <string.h>

#include "store_records.h"
#include "store_rules.h"

static void put_number(struct buf *out, const char *name, int64_t v)
{
	buf_addstr(out, name);
	buf_addch(out, '=');
	buf_addi64(out, v);
	buf_addch(out, '\n');
}

/* With its length, so that no text can pass for another with something behind it. */
static void put_text(struct buf *out, const char *name, const char *text)
{
	size_t len;

	if (!text)
		return;
	len = strlen(text);
	buf_addstr(out, name);
	buf_addch(out, '=');
	buf_addu64(out, len);
	buf_addch(out, ':');
	buf_add(out, text, len);
	buf_addch(out, '\n');
}

/* Some drivers know whose a claim was for each record of it, some for one of them only. */
static const char *attempt_node(const struct message_record *r, size_t at)
{
	const int64_t fence = r->attempts[at].seq / attempt_seq(1, VERDICT_LOST);
	size_t i;

	if (fence == r->m.fence && r->m.owner)
		return r->m.owner;
	for (i = 0; i < r->attempts_n; i++) {
		if (r->attempts[i].seq / attempt_seq(1, VERDICT_LOST) == fence && r->attempts[i].a.node)
			return r->attempts[i].a.node;
	}
	return NULL;
}

static void put_attempt(const struct message_record *r, size_t at, struct buf *out)
{
	const struct attempt *a = &r->attempts[at].a;

	put_number(out, "attempt", r->attempts[at].seq);
	put_number(out, "number", a->attempt);
	put_number(out, "run", a->run);
	put_number(out, "verdict", (int64_t)a->verdict);
	put_number(out, "http_status", a->http_status);
	put_number(out, "started_at", a->started_at);
	put_number(out, "duration", a->duration);
	put_text(out, "error", a->error);
	put_text(out, "node", attempt_node(r, at));
}

void message_record_print(const struct message_record *r, struct buf *out)
{
	const struct message *m = &r->m;
	size_t i;

	put_number(out, "id", m->id);
	put_text(out, "status", message_status_name(m->status));
	put_number(out, "beside", r->beside);
	put_number(out, "run", r->run);
	put_number(out, "attempts", m->attempts);
	put_number(out, "lost", m->lost);
	put_number(out, "fence", m->fence);
	put_text(out, "owner", m->owner);
	put_text(out, "phone", m->phone);
	put_text(out, "content", m->content);
	put_text(out, "message_id", m->message_id);
	put_text(out, "last_error", m->last_error);
	put_text(out, "idempotency_key", m->idempotency_key);
	put_text(out, "metadata", m->metadata);
	put_number(out, "send_at", m->send_at);
	put_number(out, "due_at", m->due_at);
	put_number(out, "lease_until", m->lease_until);
	put_number(out, "started_at", m->started_at);
	put_number(out, "sent_at", m->sent_at);
	put_number(out, "created_at", m->created_at);
	put_number(out, "updated_at", m->updated_at);
	for (i = 0; i < r->attempts_n; i++)
		put_attempt(r, i, out);
}

void run_record_print(const struct run_record *r, struct buf *out)
{
	put_number(out, "run", r->r.id);
	put_number(out, "started_at", r->r.started_at);
	put_text(out, "node", r->r.node);
	put_number(out, "claimed", r->r.claimed);
	put_number(out, "sent", r->r.sent);
	put_number(out, "failed", r->r.failed);
	put_number(out, "retried", r->r.retried);
	put_number(out, "lost", r->r.lost);
	put_number(out, "last_id", r->r.last_id);
	put_number(out, "finished", r->r.finished);
	put_number(out, "closed", r->closed);
}

void job_record_print(const struct job_record *r, struct buf *out)
{
	put_number(out, "job", r->j.id);
	put_text(out, "name", r->j.name);
	put_number(out, "started_at", r->j.started_at);
	put_number(out, "finished_at", r->j.finished_at);
	put_number(out, "first_run", r->first_run);
	put_number(out, "last_run", r->last_run);
}

void state_record_print(const struct state_record *state, struct buf *out)
{
	const struct pacing *p = &state->s.pacing;

	put_number(out, "scheduler", state->scheduler_set);
	if (!state->scheduler_set)
		return;
	put_number(out, "running", p->running);
	put_number(out, "interval", p->interval);
	put_number(out, "batch", p->batch);
	put_number(out, "beat_at", p->beat_at);
	put_number(out, "epoch", p->epoch);
	put_number(out, "left", p->left);
	put_number(out, "not_before", p->not_before);
	buf_addf(out, "failure_rate=%.17g\n", state->s.failure_rate);
	put_number(out, "messages_sent", state->s.messages_sent);
	put_number(out, "all_failed_in_a_row", state->s.all_failed_in_a_row);
	put_number(out, "last_alert_at", state->s.last_alert_at);
	put_number(out, "config_interval", state->config_interval);
	put_number(out, "config_batch", state->config_batch);
	put_number(out, "beat_closed", state->beat_closed);
	put_number(out, "last_job", state->job);
}
