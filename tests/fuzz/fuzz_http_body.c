/* Bodies of the API. The first byte chooses what the rest is: a message, a scheduler change, a batch as an array or
 * as lines, or what the lease routes take. Whatever is taken must hold what the store relies on, and whatever is refused must say why in JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "body.h"
#include "lease_body.h"
#include "render.h"
#include "text.h"

#define MAX_CONTENT 20
static const struct message_rules rules = {.max_content = MAX_CONTENT};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void require_json(const char *text, size_t len)
{
	json_t *doc = json_loadb(text, len, 0, NULL);

	require(doc != NULL);
	json_decref(doc);
}

static void check_draft(const struct message_draft *m)
{
	struct buf out = BUF_INIT;
	struct json_out j = json_begin(&out);
	size_t len = strlen(m->content);

	require(phone_valid(m->phone));
	require(len && utf8_valid(m->content, len) && utf8_length(m->content, len) <= MAX_CONTENT);
	require(!m->idempotency_key ||
	        text_is_token(m->idempotency_key, strlen(m->idempotency_key), MESSAGE_KEY_MAX));
	require(!m->metadata || strlen(m->metadata) <= MESSAGE_METADATA_MAX);
	render_created(&j, m, ID_NUMBER);
	require_json(out.data, out.len);
	buf_release(&out);
}

static void check_refusal(struct details *d, enum api_error e)
{
	struct answer a;

	require(d->n > 0);
	answer_init(&a);
	buf_release(&a.details.members);
	a.details = *d;
	answer_error(&a, e);
	require_json(a.body.data, a.body.len);
	*d = a.details;
	a.details.members = (struct buf)BUF_INIT;
	answer_release(&a);
}

static void one_batch(enum batch_format format, const char *text, size_t len, struct arena *a, struct details *d)
{
	struct message_draft *drafts;
	enum api_error error;
	size_t n;

	if (batch_parse(format, text, len, &rules, a, &drafts, &n, d, &error) != OK) {
		check_refusal(d, error);
		return;
	}
	require(n > 0 && n <= BATCH_ROWS_MAX);
	for (size_t i = 0; i < n; i++)
		check_draft(&drafts[i]);
}

static void one_body(bool message, const char *text, size_t len, struct arena *a, struct details *d)
{
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct message_draft m;
	json_t *doc;
	bool nul;

	if (body_json(text, len, SIZE_MAX, &doc, &nul, d) != OK) {
		check_refusal(d, nul ? API_INVALID : API_MALFORMED_JSON);
		return;
	}
	if (message && body_draft(doc, &rules, SIZE_MAX, a, &m, d)) {
		check_draft(&m);
	} else if (!message && body_scheduler_change(doc, &c, d)) {
		require(c.interval >= -1 && c.batch != 0 && c.batch <= PACING_BATCH_MAX && c.failure_rate <= 1);
	} else {
		check_refusal(d, API_INVALID);
	}
	json_decref(doc);
}

static void check_outcome(const struct lease_outcome *o)
{
	require(o->token.fence > 0 && o->token.run >= 0 && o->token.attempt > 0);
	require(o->verdict < VERDICT_COUNT && o->verdict != VERDICT_LOST && o->retry_in >= -1 && o->duration >= 0 && o->http_status >= 0);
}

static bool lease_doc(char kind, json_t *doc, struct arena *a, struct details *d)
{
	struct lease_extension e;
	struct lease_outcome one, *many;
	struct node_report node;
	struct lease_ask ask;
	bool good = false;
	size_t n;

	switch (kind) {
	case 'L':
		good = lease_body_ask(doc, &ask, d);
		require(!good || (ask.limit >= 1 && ask.limit <= LEASE_LIMIT_MAX && ask.lease >= 0));
		break;
	case 'C':
	case 'F':
		good = kind == 'C' ? lease_body_commit(doc, &one, d) : lease_body_fail(doc, &one, d);
		if (good)
			check_outcome(&one);
		break;
	case 'O':
		good = lease_body_outcomes(doc, a, &many, &n, d);
		for (size_t i = 0; good && i < n; i++) {
			require(many[i].id >= 1);
			check_outcome(&many[i]);
		}
		break;
	case 'E':
	case 'X':
		good = lease_body_extend(doc, kind == 'E' ? 7 : 0, a, &e, d);
		for (size_t i = 0; good && i < e.n; i++)
			require(e.refs[i].id >= 1 && e.refs[i].fence >= 1);
		break;
	default:
		good = lease_body_node(doc, &node, d);
		require(!good || (*node.node && *node.boot && *node.version && *node.role));
		break;
	}
	return good;
}

static void one_lease(char kind, const char *text, size_t len, struct arena *a, struct details *d)
{
	json_t *doc;
	bool nul;

	if (body_json(text, len, SIZE_MAX, &doc, &nul, d) != OK) {
		check_refusal(d, nul ? API_INVALID : API_MALFORMED_JSON);
		return;
	}
	if (!lease_doc(kind, doc, a, d))
		check_refusal(d, API_INVALID);
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct details d = {.members = BUF_INIT};
	struct arena a = ARENA_INIT;
	const char *text;

	if (!size)
		return 0;
	text = (const char *)data + 1;
	size--;
	switch (data[0]) {
	case 'a':
		one_batch(BATCH_ARRAY, text, size, &a, &d);
		break;
	case 'l':
		one_batch(BATCH_LINES, text, size, &a, &d);
		break;
	case 'L':
	case 'C':
	case 'F':
	case 'O':
	case 'E':
	case 'X':
	case 'N':
		one_lease((char)data[0], text, size, &a, &d);
		break;
	default:
		one_body(data[0] == 'm', text, size, &a, &d);
		break;
	}
	arena_release(&a);
	buf_release(&d.members);
	return 0;
}
