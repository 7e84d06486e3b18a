/* Claims and outcomes as leases of another herald: one round trip each, however many messages. */
#include "store_http.h"

#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "json_out.h"
#include "lease_token.h"
#include "store_rules.h"
#include "text.h"

/* So many outcomes are one call; the server takes twice as many. */
#define OUTCOMES_PER_CALL 1024

/* Hears the server's time: an answer was written between the question and now. */
static void learn_clock(struct hs_db *db, usec_t there)
{
	atomic_store(&db->clock, there - clock_mono());
}

static void kv_seconds(struct json_out *j, const char *key, usec_t t)
{
	json_kv_double(j, key, (double)t / (double)USEC_PER_SEC);
}

int hs_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct hs_session *s = session;
	json_t *doc cleanup(hs_free_doc) = NULL;
	struct claim_batch b;
	struct json_out j;
	int rc;

	if (r->unpaced)
		return error_set(err, ERR_CONFIG, "claims beside the beat need the database");
	buf_clear(&s->body);
	j = json_begin(&s->body);
	json_open_object(&j);
	json_kv_int(&j, "limit", MIN_OF(r->want, HS_LEASE_MAX));
	kv_seconds(&j, "leaseSeconds", r->lease);
	json_kv_str(&j, "node", r->node);
	if (r->forced)
		json_kv_bool(&j, "whenStopped", true);
	/* Where retries are no business of this node's, the other side gives them with the rest. */
	if (r->retry_free)
		json_kv_bool(&j, "retries", r->free_retries);
	json_end(&j);
	rc = hs_call(s, HS_MESSAGES, "/api/v1/messages/lease", &s->body, &doc, err);
	if (rc)
		return rc;
	if (!hs_read_lease(doc, &b))
		return hs_not_understood(s, ERR_UNCERTAIN, err);
	learn_clock(s->db, b.now);
	*ret = b;
	return OK;
}

static void write_text(struct json_out *j, const char *key, const char *text, size_t max)
{
	if (!text)
		return;
	json_key(j, key);
	json_strn(j, text, text_stored(text, max));
}

static void write_outcome(struct json_out *j, const struct settlement *o)
{
	const struct lease_token t = {.fence = o->fence, .run = o->run, .attempt = MAX_OF(o->attempt, 1)};
	char token[LEASE_TOKEN_TEXT];

	json_open_object(j);
	json_kv_int(j, "id", o->id);
	json_kv_str(j, "token", lease_token_format(&t, token));
	json_kv_str(j, "outcome", verdict_name(o->verdict));
	if (o->verdict == VERDICT_SENT)
		write_text(j, "messageId", o->message_id, MESSAGE_PROVIDER_ID_MAX);
	else
		write_text(j, "error", o->error, MESSAGE_ERROR_MAX);
	if (o->verdict == VERDICT_RETRY)
		kv_seconds(j, "retryInSeconds", o->retry_in);
	if (o->http_status > 0)
		json_kv_int(j, "httpStatus", o->http_status);
	if (o->started_at > 0)
		json_kv_time(j, "startedAt", o->started_at);
	if (o->duration > 0)
		json_kv_double(j, "durationMs", (double)o->duration / (double)USEC_PER_MSEC);
	json_end(j);
}

static int settle_some(struct hs_session *s, struct settlement *o, size_t n, struct settle_result *ret,
                       struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	struct json_out j;
	int rc;

	buf_clear(&s->body);
	j = json_begin(&s->body);
	json_open_object(&j);
	json_key(&j, "outcomes");
	json_open_array(&j);
	for (size_t i = 0; i < n; i++)
		write_outcome(&j, &o[i]);
	json_end(&j);
	json_end(&j);
	rc = hs_call(s, HS_MESSAGES, "/api/v1/messages/lease/outcomes", &s->body, &doc, err);
	if (!rc && !hs_read_outcomes(doc, o, n, ret))
		rc = hs_not_understood(s, ERR_UNCERTAIN, err);
	return rc;
}

int hs_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret, struct error *err)
{
	struct settle_result result = {.applied = 0};
	size_t part;
	int rc = OK;

	/* What an earlier call has settled stays settled: a repetition finds the fence gone and is harmless. */
	for (size_t i = 0; !rc && i < n; i += part) {
		part = MIN_OF(n - i, (size_t)OUTCOMES_PER_CALL);
		rc = settle_some(session, s + i, part, &result, err);
	}
	if (!rc)
		*ret = result;
	return rc;
}

static int renew_some(struct hs_session *s, const struct lease_ref *refs, size_t n, usec_t lease, size_t *ret,
                      struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	char token[LEASE_TOKEN_TEXT];
	struct json_out j;
	int rc;

	buf_clear(&s->body);
	j = json_begin(&s->body);
	json_open_object(&j);
	kv_seconds(&j, "leaseSeconds", lease);
	json_key(&j, "leases");
	json_open_array(&j);
	for (size_t i = 0; i < n; i++) {
		const struct lease_token t = {.fence = refs[i].fence, .attempt = 1};

		json_open_object(&j);
		json_kv_int(&j, "id", refs[i].id);
		json_kv_str(&j, "token", lease_token_format(&t, token));
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
	rc = hs_call(s, HS_MESSAGES, "/api/v1/messages/lease/extend", &s->body, &doc, err);
	if (!rc && !hs_read_extended(doc, ret))
		rc = hs_not_understood(s, ERR_UNCERTAIN, err);
	return rc;
}

int hs_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease, size_t *ret_renewed,
               struct error *err)
{
	size_t renewed = 0, some = 0, part;
	int rc = OK;

	for (size_t i = 0; !rc && i < n; i += part) {
		part = MIN_OF(n - i, (size_t)OUTCOMES_PER_CALL);
		rc = renew_some(session, refs + i, part, lease, &some, err);
		renewed += some;
	}
	if (!rc)
		*ret_renewed = renewed;
	return rc;
}

/* The server looks after its leases itself. */
int hs_recover(void *session, const struct recover_request *r, struct recover_result *ret, struct error *err)
{
	(void)session;
	(void)r;
	(void)err;
	*ret = (struct recover_result){.next_expiry = USEC_NEVER};
	return OK;
}
