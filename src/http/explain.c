#include "explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "render.h"
#include "text.h"

#define SENTENCES_MAX 8
#define ACTIONS_MAX 4
#define NODE_NAME_MAX 64

/* What is found out, before it is written. */
struct explainer {
	const struct explain_facts *f;
	const char *reason;
	struct buf sentences[SENTENCES_MAX]; /* the first is the summary */
	size_t sentences_n;
	struct {
		const char *action, *text;
	} actions[ACTIONS_MAX];
	size_t actions_n;
	bool has_beat;
	int64_t from_now, number;
	usec_t estimated; /* 0: not to be foretold */
};

static struct buf *sentence(struct explainer *e)
{
	struct buf *b = &e->sentences[MIN_OF(e->sentences_n, (size_t)SENTENCES_MAX - 1)];

	if (e->sentences_n < SENTENCES_MAX)
		e->sentences_n++;
	else
		buf_clear(b);
	return b;
}

static void act(struct explainer *e, const char *action, const char *text)
{
	if (e->actions_n == ACTIONS_MAX)
		return;
	e->actions[e->actions_n].action = action;
	e->actions[e->actions_n++].text = text;
}

/* "2026-01-02 03:04:05 UTC (in 2m5s)" */
static void add_time(struct buf *b, usec_t t, usec_t now)
{
	usec_t away = (t > now ? t - now : now - t) / USEC_PER_SEC * USEC_PER_SEC;
	char time[CLOCK_TEXT], duration[DURATION_TEXT];

	clock_format(t, time);
	duration_format(MIN_OF(away, DURATION_MAX), duration);
	buf_addf(b, "%.10s %.8s UTC", time, time + 11);
	if (!away)
		buf_addlit(b, " (now)");
	else
		buf_addf(b, t > now ? " (in %s)" : " (%s ago)", duration);
}

/* --- the last error ----------------------------------------------------------------------------------- */

static const char *explain_status(int status)
{
	if (status == 408)
		return "The receiver gave up waiting for the request; it is tried again.";
	if (status == 410)
		return "The receiver says that it is gone for good; this stops the scheduler.";
	if (status == 413)
		return "The receiver takes no message as long as this one.";
	if (status == 401 || status == 403)
		return "The receiver does not accept herald's credentials.";
	if (status == 404)
		return "There is nothing at the webhook's path.";
	if (status == 429)
		return "The receiver wants fewer messages at a time.";
	if (status >= 500)
		return "The receiver itself is in trouble.";
	if (status >= 400)
		return "The receiver refuses this message.";
	if (status >= 300)
		return "The receiver points elsewhere; herald does not follow redirects.";
	return "The receiver answered with a status that does not count as accepted.";
}

const char *explain_error(const char *error)
{
	int64_t status;

	if (strncmp(error, "HTTP ", 5) == 0 && strlen(error) >= 8 && text_to_i64(error + 5, 3, 100, 999, &status))
		return explain_status((int)status);
	if (text_starts_with(error, "failed on purpose"))
		return "A rehearsal: failureRate made the attempt fail, and no request was made.";
	if (text_starts_with(error, "the lease ran out"))
		return "The node that had the message ended or hung before it could tell how the attempt went.";
	return "There was no answer from the receiver.";
}

/* --- pending ------------------------------------------------------------------------------------------ */

bool explain_in_queue(const struct message *m, const struct explain_rules *r)
{
	return m->status == MESSAGE_PENDING && !(r->retry_free && m->attempts);
}

/* The beat that it leaves with, if all are full and nothing comes before it. */
static void find_beat(struct explainer *e)
{
	const struct scheduler *s = e->f->s;
	const struct pacing *p = &s->pacing;
	const usec_t next = pacing_next_at(p), first = MAX_OF(next, s->now), due = e->f->m->due_at;
	const int64_t open = next > s->now ? p->left : 0, ahead = e->f->ahead;
	int64_t beats = ahead < open ? -1 : (ahead - open) / p->batch;
	usec_t offset;

	if (due > s->now && beats < 0)
		beats = 0;
	if (due > first)
		beats = MAX_OF(beats, (due - first + p->interval - 1) / p->interval);
	e->has_beat = true;
	e->from_now = beats + 1;
	e->number = p->epoch + e->from_now;
	e->estimated = s->now;
	if (beats >= 0 && (__builtin_mul_overflow(beats, p->interval, &offset) ||
	                   __builtin_add_overflow(first, offset, &e->estimated) ||
	                   e->estimated > s->now + 200 * 365 * USEC_PER_DAY))
		e->estimated = 0;
}

static void say_place(struct explainer *e)
{
	const uint32_t n = e->f->ahead;
	struct buf *b = sentence(e);

	if (!n)
		buf_addlit(b, "No other message goes before it.");
	else if (n > EXPLAIN_AHEAD_MAX)
		buf_addf(b, "More than %d messages go before it.", EXPLAIN_AHEAD_MAX);
	else
		buf_addf(b, n == 1 ? "%u message goes before it." : "%u messages go before it.", n);
}

static void say_beat(struct explainer *e)
{
	const struct pacing *p = &e->f->s->pacing;
	char interval[DURATION_TEXT];
	struct buf *b;

	duration_format(p->interval, interval);
	b = sentence(e);
	if (!e->from_now)
		buf_addf(b, "It leaves with the beat that is open.");
	else if (e->f->ahead > EXPLAIN_AHEAD_MAX)
		buf_addf(b, "It leaves with beat %lld from now at the earliest", (long long)e->from_now);
	else if (e->from_now == 1)
		buf_addlit(b, "It should leave with the next beat");
	else
		buf_addf(b, "It should leave with beat %lld from now", (long long)e->from_now);
	if (e->from_now && e->estimated) {
		buf_addlit(b, ", ");
		add_time(b, e->estimated, e->f->s->now);
	}
	if (e->from_now)
		buf_addch(b, '.');
	buf_addf(sentence(e), "A beat takes up to %u %s every %s.", p->batch,
	         p->batch == 1 ? "message" : "messages", interval);
}

static void say_wait(struct explainer *e, struct buf *b, bool retry)
{
	buf_addlit(b, "Waits until ");
	add_time(b, e->f->m->due_at, e->f->s->now);
	if (retry)
		buf_addf(b, ", for attempt %d of %d failed.", e->f->m->attempts, e->f->rules.max_attempts);
	else
		buf_addlit(b, ", as its sender asked.");
}

static void explain_pending(struct explainer *e)
{
	const struct explain_facts *f = e->f;
	const struct message *m = f->m;
	const struct pacing *p = &f->s->pacing;
	const bool queue = explain_in_queue(m, &f->rules), later = m->due_at > f->s->now, retry = m->attempts > 0;

	if (p->running && queue && p->interval && p->batch)
		find_beat(e);
	else if (p->running && later)
		e->estimated = m->due_at;

	if (!p->running) {
		e->reason = "scheduler_stopped";
		buf_addlit(sentence(e), "The scheduler is stopped: nothing is sent until it is started.");
		act(e, "startScheduler", "Start the scheduler.");
		if (later)
			say_wait(e, sentence(e), retry);
	} else if (later) {
		e->reason = retry ? "backing_off" : "send_at";
		say_wait(e, sentence(e), retry);
		act(e, "wait", "Wait: it is sent without your doing.");
	} else if (e->has_beat && e->from_now > 1) {
		e->reason = "in_queue";
		buf_addlit(sentence(e), "Waits for its turn: others are to be sent before it.");
		act(e, "changePace", "Send more at a time: a larger batch size, or a shorter interval.");
	} else {
		e->reason = "next_beat";
		buf_addstr(sentence(e), e->has_beat && e->from_now ? "Leaves with the next beat."
		                                                   : "Is about to be sent.");
		act(e, "wait", "Wait: it is sent without your doing.");
	}
	if (queue)
		say_place(e);
	if (e->has_beat)
		say_beat(e);
	else if (p->running && queue && !p->interval)
		buf_addlit(sentence(e), "Messages are sent continuously, without beats.");
	else if (!queue)
		buf_addlit(sentence(e), "Its next attempt waits for no beat.");
	if (p->running && !f->senders) {
		buf_addlit(sentence(e), "But no node that sends is up.");
		act(e, "checkNode", "Start a node that sends.");
	}
	act(e, "cancel", "Cancel it, if it shall not be sent.");
}

/* --- the others --------------------------------------------------------------------------------------- */

static void node_name(const struct message *m, char out[NODE_NAME_MAX + 1])
{
	const char *owner = m->owner ? m->owner : "";

	snprintf(out, NODE_NAME_MAX + 1, "%.*s", (int)MIN_OF(strcspn(owner, "/"), (size_t)NODE_NAME_MAX), owner);
}

static void explain_sending(struct explainer *e)
{
	const struct message *m = e->f->m;
	const bool over = m->lease_until <= e->f->s->now;
	char node[NODE_NAME_MAX + 1];
	struct buf *b = sentence(e);

	node_name(m, node);
	if (over) {
		e->reason = "lease_ended";
		buf_addf(b, "Node %s had it, and has not told in time what became of it; it is about to be taken back.",
		         node);
		act(e, "checkNode", "See whether the node is up.");
		return;
	}
	e->reason = "sending";
	buf_addf(b, "Node %s is sending it right now (attempt %d of %d).", node, m->attempts,
	         e->f->rules.max_attempts);
	b = sentence(e);
	buf_addlit(b, "The node has it until ");
	add_time(b, m->lease_until, e->f->s->now);
	buf_addlit(b, ".");
	if (e->f->lease_status && strcmp(e->f->lease_status, "up") != 0) {
		buf_addf(sentence(e), "The node is not up (%s); when its time is over, the message is taken back.",
		         e->f->lease_status);
		act(e, "checkNode", "See why the node is not up.");
	} else {
		act(e, "wait", "Wait for the receiver's answer.");
	}
}

static void explain_ended(struct explainer *e)
{
	const struct message *m = e->f->m;
	struct buf *b = sentence(e);

	e->reason = message_status_name(m->status);
	switch (m->status) {
	case MESSAGE_SENT:
		buf_addlit(b, "The receiver accepted it at ");
		add_time(b, m->sent_at, e->f->s->now);
		buf_addlit(b, ".");
		if (m->message_id)
			buf_addf(sentence(e), "The receiver calls it %s.", m->message_id);
		break;
	case MESSAGE_FAILED:
		buf_addf(b, "It failed for good, after %d %s.", m->attempts,
		         m->attempts == 1 ? "attempt" : "attempts");
		act(e, "fixReceiver", "Remove the cause first, or it fails again.");
		act(e, "replay", "Replay it: it is pending again, with all its attempts.");
		break;
	case MESSAGE_CANCELLED:
		buf_addlit(b, "It was cancelled, and is not sent.");
		break;
	case MESSAGE_UNKNOWN:
		buf_addlit(b, "Nobody knows whether the receiver has it, and in strict mode it is not sent twice.");
		act(e, "lookAtReceiver", "Look for it at the receiver, by its Idempotency-Key.");
		break;
	case MESSAGE_INVALID:
		buf_addlit(b, "It breaks the rules for messages, so it was not sent when its turn came.");
		break;
	case MESSAGE_PENDING:
	case MESSAGE_SENDING:
		break;
	}
}

/* --- writing ------------------------------------------------------------------------------------------ */

static void write_queue(struct json_out *j, const struct explainer *e)
{
	if (!explain_in_queue(e->f->m, &e->f->rules))
		return;
	json_key(j, "queue");
	json_open_object(j);
	json_kv_int(j, "ahead", MIN_OF(e->f->ahead, (uint32_t)EXPLAIN_AHEAD_MAX));
	json_kv_bool(j, "atLeast", e->f->ahead > EXPLAIN_AHEAD_MAX);
	json_end(j);
	if (!e->has_beat)
		return;
	json_key(j, "beat");
	json_open_object(j);
	json_kv_int(j, "fromNow", e->from_now);
	json_kv_int(j, "number", e->number);
	json_kv_time(j, "at", e->estimated);
	json_end(j);
}

static void write_lease(struct json_out *j, const struct explain_facts *f)
{
	char node[NODE_NAME_MAX + 1];

	if (f->m->status != MESSAGE_SENDING)
		return;
	node_name(f->m, node);
	json_key(j, "lease");
	json_open_object(j);
	json_kv_str(j, "node", node);
	json_kv_str(j, "owner", f->m->owner ? f->m->owner : "");
	json_kv_time(j, "until", f->m->lease_until);
	json_kv_bool(j, "ended", f->m->lease_until <= f->s->now);
	if (f->lease_status)
		json_kv_str(j, "nodeStatus", f->lease_status);
	json_end(j);
}

static void write_scheduler(struct json_out *j, const struct scheduler *s)
{
	const struct pacing *p = &s->pacing;
	char interval[DURATION_TEXT];

	json_key(j, "scheduler");
	json_open_object(j);
	json_kv_bool(j, "running", p->running);
	json_kv_str(j, "interval", duration_format(p->interval, interval));
	json_kv_double(j, "intervalSeconds", (double)p->interval / (double)USEC_PER_SEC);
	json_kv_int(j, "batchSize", p->batch);
	json_kv_time(j, "nextRunAt", p->running ? MAX_OF(pacing_next_at(p), s->now) : 0);
	json_end(j);
}

static void write_words(struct json_out *j, const struct explainer *e)
{
	json_kv_str(j, "summary", e->sentences[0].data);
	json_key(j, "sentences");
	json_open_array(j);
	for (size_t i = 0; i < e->sentences_n; i++)
		json_str(j, e->sentences[i].data);
	json_end(j);
}

static void write_actions(struct json_out *j, const struct explainer *e)
{
	json_key(j, "actions");
	json_open_array(j);
	for (size_t i = 0; i < e->actions_n; i++) {
		json_open_object(j);
		json_kv_str(j, "action", e->actions[i].action);
		json_kv_str(j, "text", e->actions[i].text);
		json_end(j);
	}
	json_end(j);
}

static void write_all(struct json_out *j, const struct explainer *e)
{
	const struct message *m = e->f->m;

	json_open_object(j);
	json_key(j, "id");
	render_id(j, m->id, e->f->ids);
	json_kv_str(j, "status", message_status_name(m->status));
	json_kv_str(j, "reason", e->reason);
	write_words(j, e);
	json_kv_time(j, "now", e->f->s->now);
	if (m->status == MESSAGE_PENDING)
		json_kv_time(j, "dueAt", m->due_at);
	if (e->estimated)
		json_kv_time(j, "estimatedAt", e->estimated);
	write_queue(j, e);
	write_lease(j, e->f);
	if (m->last_error) {
		json_key(j, "lastError");
		json_open_object(j);
		json_kv_str(j, "text", m->last_error);
		json_kv_str(j, "meaning", explain_error(m->last_error));
		json_end(j);
	}
	json_key(j, "attempts");
	json_open_object(j);
	json_kv_int(j, "made", m->attempts);
	json_kv_int(j, "most", e->f->rules.max_attempts);
	json_end(j);
	write_scheduler(j, e->f->s);
	write_actions(j, e);
	json_end(j);
}

void explain(struct json_out *j, const struct explain_facts *f)
{
	struct explainer e = {.f = f};

	for (size_t i = 0; i < SENTENCES_MAX; i++)
		buf_init(&e.sentences[i]);
	if (f->m->status == MESSAGE_PENDING)
		explain_pending(&e);
	else if (f->m->status == MESSAGE_SENDING)
		explain_sending(&e);
	else
		explain_ended(&e);
	if (f->m->last_error)
		buf_addf(sentence(&e), "Last error: %s. %s", f->m->last_error, explain_error(f->m->last_error));
	write_all(j, &e);
	for (size_t i = 0; i < SENTENCES_MAX; i++)
		buf_release(&e.sentences[i]);
}
