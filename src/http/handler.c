#include "handler.h"

#include "log.h"

bool handler_query(struct request *r, struct query *q, unsigned allowed)
{
	query_init(q);
	if (query_parse(q, r->query, r->query_len, allowed, &r->answer.details))
		return true;
	query_release(q);
	answer_error(&r->answer, API_INVALID);
	return false;
}

bool handler_no_query(struct request *r)
{
	struct query q;

	if (!handler_query(r, &q, 0))
		return false;
	query_release(&q);
	return true;
}

void handler_store_error(struct request *r, const char *what, int code, const struct error *err)
{
	enum api_error e = API_INTERNAL;

	if (code == ERR_TRANSIENT)
		e = API_STORE_DOWN;
	else if (code == ERR_UNCERTAIN)
		e = API_UNCERTAIN;
	else if (code == ERR_PERMANENT)
		e = API_STORE_REFUSES;
	log_error("a database call for the API failed", kv_str("call", what), kv_str("kind", error_name(code)),
	          kv_str("error", err->text), kv_str("correlation_id", r->headers.correlation_id));
	answer_error(&r->answer, e);
	r->store_failed = true;
}
