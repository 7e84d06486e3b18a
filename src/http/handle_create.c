/*
 * Creates: from body to drafts, to the writer, and, after the commit, to the answer. No session of our own is used:
 * the writer's shared transactions are what makes many small creates cheap.
 */
#include <string.h>

#include "batch.h"
#include "body.h"
#include "feed.h"
#include "handler.h"
#include "http_internal.h"
#include "render.h"

/* On the writer's thread, for each job of a commit: so nothing is done here but to hand it on. */
static void stored(struct insert_job *job, int code, const struct error *err)
{
	struct request *r = container_of(job, struct request, job);

	r->insert_code = code;
	if (code != OK)
		handler_store_error(r, "insert", code, err);
	request_answered(r);
}

static enum handled submit(struct request *r, struct message_draft *drafts, size_t n,
                           void (*finish)(struct request *r))
{
	r->job.group = (struct insert_group){.drafts = drafts, .n = n};
	r->job.done = stored;
	r->finish = finish;
	if (writer_submit(r->http->o.writer, &r->job))
		return HANDLED_LATER;
	r->finish = NULL;
	answer_error(&r->answer, API_OVERLOADED);
	return HANDLED_DONE;
}

/* The key may come in either place; two different ones are a mistake that must not pass. */
static bool take_key(struct request *r, struct message_draft *m)
{
	const struct request_headers *h = &r->headers;

	if (!h->has_idempotency_key)
		return true;
	if (h->bad_idempotency_key) {
		details_add(&r->answer.details, "Idempotency-Key",
		            "must be given once, with 1 to 255 visible ASCII characters");
		return false;
	}
	if (m->idempotency_key && strcmp(m->idempotency_key, h->idempotency_key) != 0) {
		details_add(&r->answer.details, "idempotencyKey", "differs from the header Idempotency-Key");
		return false;
	}
	m->idempotency_key = h->idempotency_key;
	return true;
}

static void count(const struct request *r, size_t created)
{
	if (r->http->o.feed && created)
		feed_accepted(r->http->o.feed, (uint32_t)created);
}

static void finish_create(struct request *r)
{
	const struct message_draft *m = &r->draft;
	struct json_out j;

	if (r->insert_code != OK)
		return;
	if (m->result == INSERT_CONFLICT) {
		answer_error(&r->answer, API_KEY_REUSED);
		return;
	}
	r->created = m->result == INSERT_CREATED;
	r->answer.replayed = !r->created;
	count(r, r->created);
	j = answer_begin(&r->answer, 201, NULL);
	render_created(&j, m, r->http->o.ids);
	answer_end(&j);
}

enum handled handle_create(struct request *r, struct store_session *c)
{
	struct details *d = &r->answer.details;
	const struct http *h = r->http;
	bool nul;

	(void)c;
	if (!handler_no_query(r))
		return HANDLED_DONE;
	if (!r->body.len) {
		details_add(d, "body", "is empty");
		answer_error(&r->answer, API_MALFORMED_JSON);
	} else if (body_json(r->body.data, r->body.len, SIZE_MAX, &r->doc, &nul, d) != OK) {
		answer_error(&r->answer, nul ? API_INVALID : API_MALFORMED_JSON);
	} else if (!body_draft(r->doc, h->o.rules, SIZE_MAX, &r->arena, &r->draft, d) ||
	           !take_key(r, &r->draft)) {
		answer_error(&r->answer, API_INVALID);
	} else {
		return submit(r, &r->draft, 1, finish_create);
	}
	return HANDLED_DONE;
}

static void conflicts(struct request *r)
{
	const struct insert_group *g = &r->job.group;

	for (size_t i = 0; i < g->n; i++)
		if (g->drafts[i].result == INSERT_CONFLICT)
			details_add_row(&r->answer.details, i, "idempotencyKey",
			                "was used before with another body");
	answer_error(&r->answer, API_KEY_REUSED);
}

static void finish_batch(struct request *r)
{
	const struct insert_group *g = &r->job.group;
	size_t created = 0;
	struct json_out j;

	if (r->insert_code != OK)
		return;
	if (!g->stored) {
		conflicts(r);
		return;
	}
	for (size_t i = 0; i < g->n; i++)
		created += g->drafts[i].result == INSERT_CREATED;
	r->created = created > 0;
	count(r, created);
	j = answer_begin(&r->answer, 201, NULL);
	json_open_object(&j);
	json_kv_int(&j, "created", (int64_t)created);
	json_kv_int(&j, "repeated", (int64_t)(g->n - created));
	if (r->headers.return_minimal) {
		r->answer.minimal = true;
	} else {
		json_key(&j, "ids");
		json_open_array(&j);
		for (size_t i = 0; i < g->n; i++)
			render_id(&j, g->drafts[i].id, r->http->o.ids);
		json_end(&j);
	}
	json_end(&j);
	answer_end(&j);
}

enum handled handle_batch(struct request *r, struct store_session *c)
{
	enum batch_format format = r->headers.ndjson ? BATCH_LINES : BATCH_ARRAY;
	struct details *d = &r->answer.details;
	struct message_draft *drafts;
	enum api_error why;
	size_t n;

	(void)c;
	if (!handler_no_query(r))
		return HANDLED_DONE;
	if (r->headers.has_idempotency_key) {
		details_add(d, "Idempotency-Key", "is for single creates; give each row its idempotencyKey");
		answer_error(&r->answer, API_INVALID);
		return HANDLED_DONE;
	}
	if (batch_parse(format, r->body.data, r->body.len, r->http->o.rules, &r->arena, &drafts, &n, d,
	                &why) != OK) {
		answer_error(&r->answer, why);
		return HANDLED_DONE;
	}
	buf_release(&r->body); /* the drafts have their own copies */
	return submit(r, drafts, n, finish_batch);
}
