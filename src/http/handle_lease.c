/*
 * Leases: messages for senders outside this process. What they report is settled under the fence in their token, so
 * that of two who had the same message the later claim decides; but a success is believed whoever brings it.
 */
#include <stdio.h>

#include "body.h"
#include "delivery.h"
#include "handler.h"
#include "http_internal.h"
#include "lease_body.h"
#include "leasing.h"
#include "render.h"

/* Parses the body; r->doc stays NULL when an optional one is missing. False: the request is answered. */
static bool read_body(struct request *r)
{
	bool nul;

	if (!handler_no_query(r))
		return false;
	if (!r->http->o.leasing) {
		answer_error(&r->answer, API_NO_SUCH_PATH);
		return false;
	}
	if (!r->body.len && r->route->body == BODY_OPTIONAL_JSON)
		return true;
	if (body_json(r->body.data, r->body.len, SIZE_MAX, &r->doc, &nul, &r->answer.details) == OK)
		return true;
	answer_error(&r->answer, nul ? API_INVALID : API_MALFORMED_JSON);
	return false;
}

/* --- taking ------------------------------------------------------------------------------------------------- */

static void render_leased(struct json_out *j, const struct claimed *m, const struct claim_batch *b,
                          enum id_format ids)
{
	const struct lease_token t = {m->fence, b->run, m->attempt, b->now};
	char token[LEASE_TOKEN_TEXT], key[DELIVERY_KEY_TEXT];

	json_open_object(j);
	json_key(j, "id");
	render_id(j, m->id, ids);
	json_kv_str(j, "phoneNumber", m->phone);
	json_kv_str(j, "content", m->content);
	json_kv_int(j, "attempt", m->attempt);
	json_kv_str(j, "token", lease_token_format(&t, token));
	json_kv_str(j, "deliveryKey",
	            delivery_key(m->id, m->created_at, m->phone, m->content, m->content_len, key));
	render_instant(j, "createdAt", m->created_at);
	json_end(j);
}

static void render_lease(struct json_out *j, const struct claim_batch *b, enum id_format ids)
{
	static const char *const beats[] = {
		[PACING_STOPPED] = "stopped",
		[PACING_WAIT] = "wait",
		[PACING_JOIN] = "join",
		[PACING_OPEN] = "open",
	};

	json_open_object(j);
	json_key(j, "messages");
	json_open_array(j);
	for (size_t i = 0; i < b->n; i++)
		render_leased(j, &b->items[i], b, ids);
	json_end(j);
	json_kv_int(j, "count", (int64_t)b->n);
	if (b->run)
		json_kv_int(j, "run", b->run);
	json_kv_str(j, "beat", beats[b->answer]);
	json_kv_bool(j, "more", b->more);
	render_instant(j, "now", b->now);
	if (b->n)
		render_instant(j, "leaseUntil", b->lease_until);
	render_instant(j, "nextRunAt", b->next_at == USEC_NEVER ? 0 : b->next_at);
	if (b->answer == PACING_OPEN)
		json_kv_double(j, "latenessMs", (double)b->lateness / (double)USEC_PER_MSEC);
	json_kv_double(j, "failureRate", b->failure_rate);
	if (b->ended.run) {
		json_key(j, "runEnded");
		render_run_end(j, &b->ended);
	}
	json_end(j);
}

enum handled handle_lease(struct request *r, struct store_session *c)
{
	struct lease_ask ask = {.holder = "client", .limit = LEASE_LIMIT_DEFAULT};
	struct error err = ERROR_INIT;
	struct claim_batch batch;
	struct json_out j;
	int code;

	if (!read_body(r))
		return HANDLED_DONE;
	if (r->doc && !lease_body_ask(r->doc, &ask, &r->answer.details)) {
		answer_error(&r->answer, API_INVALID);
		return HANDLED_DONE;
	}
	code = leasing_claim(r->http->o.leasing, c, &ask, &batch, &err);
	if (code != OK) {
		handler_store_error(r, "lease", code, &err);
		return HANDLED_DONE;
	}
	j = answer_begin(&r->answer, 200, NULL);
	render_lease(&j, &batch, r->http->o.ids);
	answer_end(&j);
	claim_batch_release(&batch);
	return HANDLED_DONE;
}

/* --- outcomes ----------------------------------------------------------------------------------------------- */

static struct settlement settlement_of(const struct leasing *l, const struct lease_outcome *o)
{
	struct settlement s = {
		.id = o->id,
		.fence = o->token.fence,
		.run = o->token.run,
		.attempt = o->token.attempt,
		.verdict = o->verdict,
		.http_status = o->http_status,
		.started_at = o->started_at ? o->started_at : o->token.leased_at,
		.duration = o->duration,
		.message_id = o->verdict == VERDICT_SENT ? o->message_id : NULL,
		.error = o->verdict == VERDICT_SENT ? NULL : o->error,
	};

	if (o->verdict == VERDICT_RETRY && o->retry_in >= 0) {
		s.retry_in = o->retry_in;
	} else if (o->verdict == VERDICT_RETRY) {
		const struct delivery_judgement j = leasing_judge(l, o->token.attempt, true);

		s.verdict = j.verdict;
		s.retry_in = j.retry_in;
	}
	return s;
}

/* The message as it is now, or why the report did not count. */
static void answer_settled(struct request *r, struct store_session *c, const struct settlement *s,
                           const char *done)
{
	struct error err = ERROR_INIT;
	struct message m;
	struct json_out j;
	int code = store_get(c, r->id, &r->arena, &m, &err);

	if (code == ERR_NOT_FOUND) {
		answer_error(&r->answer, API_NO_SUCH_MESSAGE);
	} else if (code != OK) {
		handler_store_error(r, "get", code, &err);
	} else if (!s->applied && !(s->verdict == VERDICT_SENT && m.status == MESSAGE_SENT &&
	                            m.fence == s->fence)) {
		details_add(&r->answer.details, "status", "%s", message_status_name(m.status));
		answer_error(&r->answer, API_LEASE_LOST);
	} else {
		/* A commit that is repeated, since its answer was lost, is not a conflict with itself. */
		j = answer_begin(&r->answer, 200, done);
		render_message(&j, &m, r->http->o.ids);
		answer_end(&j);
	}
}

static enum handled settle_one(struct request *r, struct store_session *c, struct lease_outcome *o,
                               const char *done)
{
	struct error err = ERROR_INIT;
	struct settle_result result;
	struct settlement s;
	int code;

	o->id = r->id;
	s = settlement_of(r->http->o.leasing, o);
	code = leasing_settle(r->http->o.leasing, c, &s, 1, &result, &err);
	if (code == OK)
		answer_settled(r, c, &s, done);
	else
		handler_store_error(r, "settle", code, &err);
	return HANDLED_DONE;
}

enum handled handle_commit(struct request *r, struct store_session *c)
{
	struct lease_outcome o;

	if (!read_body(r))
		return HANDLED_DONE;
	if (lease_body_commit(r->doc, &o, &r->answer.details))
		return settle_one(r, c, &o, "Message committed");
	answer_error(&r->answer, API_INVALID);
	return HANDLED_DONE;
}

enum handled handle_fail(struct request *r, struct store_session *c)
{
	struct lease_outcome o;

	if (!read_body(r))
		return HANDLED_DONE;
	if (lease_body_fail(r->doc, &o, &r->answer.details))
		return settle_one(r, c, &o, "Failure recorded");
	answer_error(&r->answer, API_INVALID);
	return HANDLED_DONE;
}

static void answer_outcomes(struct request *r, const struct settlement *s, size_t n,
                            const struct settle_result *result)
{
	struct json_out j = answer_begin(&r->answer, 200, NULL);

	json_open_object(&j);
	json_kv_int(&j, "applied", result->applied);
	json_key(&j, "outcomes");
	json_open_array(&j);
	for (size_t i = 0; i < n; i++) {
		json_open_object(&j);
		json_key(&j, "id");
		render_id(&j, s[i].id, r->http->o.ids);
		json_kv_bool(&j, "applied", s[i].applied);
		if (s[i].applied && s[i].verdict == VERDICT_SENT)
			json_kv_time(&j, "sentAt", s[i].sent_at);
		json_end(&j);
	}
	json_end(&j);
	json_key(&j, "runsEnded");
	json_open_array(&j);
	for (size_t i = 0; i < MIN_OF(result->ended_n, ARRAY_SIZE(result->ended)); i++)
		render_run_end(&j, &result->ended[i]);
	json_end(&j);
	json_end(&j);
	answer_end(&j);
}

enum handled handle_outcomes(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct lease_outcome *outcomes;
	struct settle_result result;
	struct settlement *s;
	size_t n;
	int code;

	if (!read_body(r))
		return HANDLED_DONE;
	if (!lease_body_outcomes(r->doc, &r->arena, &outcomes, &n, &r->answer.details)) {
		answer_error(&r->answer, API_INVALID);
		return HANDLED_DONE;
	}
	s = arena_calloc(&r->arena, n, sizeof(*s));
	for (size_t i = 0; i < n; i++)
		s[i] = settlement_of(r->http->o.leasing, &outcomes[i]);
	code = leasing_settle(r->http->o.leasing, c, s, n, &result, &err);
	if (code == OK)
		answer_outcomes(r, s, n, &result);
	else
		handler_store_error(r, "settle", code, &err);
	return HANDLED_DONE;
}

/* --- longer leases ------------------------------------------------------------------------------------------ */

static enum handled extend(struct request *r, struct store_session *c, int64_t id)
{
	struct error err = ERROR_INIT;
	struct lease_extension e;
	struct json_out j;
	size_t renewed = 0;
	usec_t now = 0;
	int code;

	if (!read_body(r))
		return HANDLED_DONE;
	if (!lease_body_extend(r->doc, id, &r->arena, &e, &r->answer.details)) {
		answer_error(&r->answer, API_INVALID);
		return HANDLED_DONE;
	}
	if (!e.lease)
		e.lease = leasing_duration(r->http->o.leasing);
	/* Asked before: what is promised is then no more than what is so. */
	code = store_now(c, &now, &err);
	if (code == OK)
		code = store_renew(c, e.refs, e.n, e.lease, &renewed, &err);
	if (code != OK) {
		handler_store_error(r, "renew", code, &err);
	} else if (id && !renewed) {
		answer_settled(r, c, &(struct settlement){.verdict = VERDICT_RETRY}, NULL);
	} else {
		j = answer_begin(&r->answer, 200, NULL);
		json_open_object(&j);
		if (!id)
			json_kv_int(&j, "extended", (int64_t)renewed);
		render_instant(&j, "leaseUntil", now + e.lease);
		json_end(&j);
		answer_end(&j);
	}
	return HANDLED_DONE;
}

enum handled handle_extend(struct request *r, struct store_session *c)
{
	return extend(r, c, r->id);
}

enum handled handle_extend_all(struct request *r, struct store_session *c)
{
	return extend(r, c, 0);
}

/* --- nodes without the database ----------------------------------------------------------------------------- */

enum handled handle_node_seen(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct node_report report;
	struct json_out j;
	int code;

	if (!read_body(r))
		return HANDLED_DONE;
	if (!lease_body_node(r->doc, &report, &r->answer.details)) {
		answer_error(&r->answer, API_INVALID);
		return HANDLED_DONE;
	}
	code = store_node_seen(c, &report, &err);
	if (code != OK) {
		handler_store_error(r, "node seen", code, &err);
		return HANDLED_DONE;
	}
	j = answer_begin(&r->answer, 200, NULL);
	json_open_object(&j);
	json_end(&j);
	answer_end(&j);
	return HANDLED_DONE;
}
