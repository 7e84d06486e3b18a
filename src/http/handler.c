#include "handler.h"

#include <string.h>

#include "http_internal.h"
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

bool handler_param(const struct request *r, const char *name, struct buf *out)
{
	const char *at = r->query, *end = r->query + r->query_len;
	const size_t name_len = strlen(name);

	buf_clear(out);
	while (at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		const size_t len = (size_t)((stop ? stop : end) - at);

		if (len >= name_len && memcmp(at, name, name_len) == 0 && (len == name_len || at[name_len] == '=')) {
			if (len > name_len && !query_decode(out, at + name_len + 1, len - name_len - 1, true))
				buf_clear(out);
			return true;
		}
		at += len + 1;
	}
	return false;
}

struct scheduler_change handler_turn(const struct request *r, bool on)
{
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;

	change.running = on;
	change.first_after_interval = r->http->o.first_after_interval;
	change.job_name = r->http->o.job_name;
	return change;
}

struct dispatch *handler_dispatch(const struct request *r)
{
	return r->http->o.dispatch;
}

struct cache *handler_cache(const struct request *r)
{
	return r->http->o.cache;
}

struct leasing *handler_leasing(const struct request *r)
{
	return r->http->o.leasing;
}

const void *handler_profile(const struct request *r)
{
	return r->http->o.profile;
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
}
