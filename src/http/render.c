#include "render.h"

#include <stdio.h>
#include <string.h>

static void kv_time_if(struct json_out *j, const char *key, usec_t t)
{
	if (t)
		json_kv_time(j, key, t);
}

static void kv_str_if(struct json_out *j, const char *key, const char *s)
{
	if (s)
		json_kv_str(j, key, s);
}

void render_id(struct json_out *j, int64_t id, enum id_format ids)
{
	char uuid[MESSAGE_UUID_TEXT];

	if (ids == ID_NUMBER) {
		json_int(j, id);
		return;
	}
	message_uuid_format(id, uuid);
	json_str(j, uuid);
}

void render_message(struct json_out *j, const struct message *m, enum id_format ids)
{
	json_open_object(j);
	json_key(j, "id");
	render_id(j, m->id, ids);
	json_kv_str(j, "phoneNumber", m->phone);
	json_kv_str(j, "content", m->content);
	json_kv_str(j, "status", message_status_name(m->status));
	json_kv_int(j, "attempts", m->attempts);
	kv_str_if(j, "messageId", m->message_id);
	kv_time_if(j, "sentAt", m->sent_at);
	kv_time_if(j, "sendAt", m->send_at);
	/* Due from the start is not worth a word. */
	if (m->status == MESSAGE_PENDING && m->due_at > m->created_at)
		json_kv_time(j, "nextAttemptAt", m->due_at);
	kv_str_if(j, "lastError", m->last_error);
	kv_str_if(j, "idempotencyKey", m->idempotency_key);
	if (m->metadata) {
		json_key(j, "metadata");
		json_raw(j, m->metadata, strlen(m->metadata));
	}
	json_kv_time(j, "createdAt", m->created_at);
	json_kv_time(j, "updatedAt", m->updated_at);
	json_end(j);
}

void render_created(struct json_out *j, const struct message_draft *d, enum id_format ids)
{
	const struct message m = {
		.id = d->id,
		.status = MESSAGE_PENDING,
		.phone = d->phone,
		.content = d->content,
		.send_at = d->send_at,
		.due_at = d->send_at,
		.idempotency_key = d->idempotency_key,
		.metadata = d->metadata,
		.created_at = d->created_at,
		.updated_at = d->created_at,
	};

	render_message(j, &m, ids);
}

void render_attempt(struct json_out *j, const struct attempt *a)
{
	json_open_object(j);
	json_kv_int(j, "attempt", a->attempt);
	json_kv_str(j, "status", verdict_name(a->verdict));
	if (a->http_status)
		json_kv_int(j, "httpStatus", a->http_status);
	json_kv_time(j, "startedAt", a->started_at);
	json_kv_double(j, "durationMs", (double)a->duration / (double)USEC_PER_MSEC);
	kv_str_if(j, "error", a->error);
	if (a->run)
		json_kv_int(j, "run", a->run);
	kv_str_if(j, "node", a->node);
	json_end(j);
}

void render_run(struct json_out *j, const struct run *r, enum id_format ids)
{
	json_open_object(j);
	json_kv_int(j, "id", r->id);
	json_kv_time(j, "startedAt", r->started_at);
	json_kv_str(j, "node", r->node);
	json_kv_int(j, "claimed", r->claimed);
	json_kv_int(j, "sent", r->sent);
	json_kv_int(j, "failed", r->failed);
	json_kv_int(j, "retried", r->retried);
	json_kv_int(j, "lost", r->lost);
	if (r->last_id) {
		json_key(j, "lastMessageId");
		render_id(j, r->last_id, ids);
	}
	json_kv_bool(j, "finished", r->finished);
	json_end(j);
}

const char *node_status(const struct node *n, usec_t now)
{
	return n->left ? "left" : n->last_seen < now - NODE_SILENT_AFTER ? "silent" : "up";
}

void render_job(struct json_out *j, const struct job *job)
{
	json_open_object(j);
	json_kv_int(j, "id", job->id);
	json_kv_str(j, "name", job->name);
	json_kv_time(j, "startedAt", job->started_at);
	kv_time_if(j, "finishedAt", job->finished_at);
	json_kv_int(j, "lastOffset", job->taken);
	json_end(j);
}

void render_node(struct json_out *j, const struct node *n, usec_t now)
{
	json_open_object(j);
	json_kv_str(j, "id", n->id);
	json_kv_str(j, "bootId", n->boot);
	json_kv_str(j, "status", node_status(n, now));
	json_kv_str(j, "version", n->version);
	json_kv_str(j, "role", n->role);
	json_kv_int(j, "inFlight", n->in_flight);
	json_kv_time(j, "startedAt", n->started_at);
	json_kv_time(j, "lastSeenAt", n->last_seen);
	json_end(j);
}

usec_t scheduler_drains_at(const struct scheduler *s, int64_t backlog)
{
	const struct pacing *p = &s->pacing;
	usec_t next, last;
	int64_t beats;

	if (!p->running || !p->interval || !p->batch || backlog <= 0)
		return 0;
	/* What the open beat still gives needs no other. */
	next = pacing_next_at(p);
	if (next > s->now)
		backlog -= p->left;
	if (backlog <= 0)
		return s->now;
	beats = backlog / p->batch + (backlog % p->batch != 0);
	/* A far enough end of time is as good as none, and must not overflow. */
	if (__builtin_mul_overflow(beats - 1, p->interval, &last) ||
	    __builtin_add_overflow(last, MAX_OF(next, s->now), &last) || last > 200 * 365 * USEC_PER_DAY)
		return 0;
	return last;
}

void render_scheduler(struct json_out *j, const struct scheduler *s, int64_t backlog)
{
	const struct pacing *p = &s->pacing;
	usec_t next = p->running ? MAX_OF(pacing_next_at(p), s->now) : 0;
	char interval[DURATION_TEXT];

	json_open_object(j);
	json_kv_bool(j, "running", p->running);
	json_kv_str(j, "interval", duration_format(p->interval, interval));
	json_kv_double(j, "intervalSeconds", (double)p->interval / (double)USEC_PER_SEC);
	json_kv_int(j, "batchSize", p->batch);
	json_kv_double(j, "failureRate", s->failure_rate);
	json_kv_time(j, "lastRunAt", s->last_run_at);
	json_kv_time(j, "nextRunAt", next);
	json_kv_int(j, "runsCount", s->runs_count);
	json_kv_int(j, "messagesSent", s->messages_sent);
	json_kv_int(j, "consecutiveAllFailCount", s->all_failed_in_a_row);
	json_kv_time(j, "lastAlertSentAt", s->last_alert_at);
	json_kv_int(j, "backlog", backlog);
	json_kv_time(j, "drainsAt", scheduler_drains_at(s, backlog));
	json_end(j);
}

void render_instant(struct json_out *j, const char *key, usec_t t)
{
	char ms[CLOCK_TEXT], us[CLOCK_TEXT + 16];

	/* "….678Z" -> "….678901Z" */
	snprintf(us, sizeof(us), "%.23s%03dZ", clock_format(t, ms), (int)(t % USEC_PER_MSEC));
	json_kv_str(j, key, t ? us : NULL);
}

void render_run_end(struct json_out *j, const struct run_end *end)
{
	json_open_object(j);
	json_kv_int(j, "run", end->run);
	json_kv_int(j, "claimed", end->claimed);
	json_kv_int(j, "sent", end->sent);
	json_kv_int(j, "failed", end->failed);
	json_kv_int(j, "retried", end->retried);
	json_kv_int(j, "consecutiveAllFailCount", end->all_failed_in_a_row);
	json_kv_bool(j, "allFailed", end->all_failed);
	json_end(j);
}

void render_counts(struct json_out *j, const struct store_counts *c)
{
	int64_t total = 0;

	json_open_object(j);
	for (int s = 0; s < MESSAGE_STATUS_COUNT; s++) {
		json_kv_int(j, message_status_name((enum message_status)s), c->by_status[s]);
		total += c->by_status[s];
	}
	json_kv_int(j, "total", total);
	json_end(j);
}
