/* For probes, scrapers and people who look after the service. Open to all, so they tell no secrets. */
#include <string.h>

#include "cache.h"
#include "handler.h"
#include "http_internal.h"

static bool store_is_up(struct store_session *c)
{
	struct error err = ERROR_INIT;

	return c && store_ping(c, &err) == OK;
}

static void component(struct json_out *j, const char *name, const char *status)
{
	json_key(j, name);
	json_open_object(j);
	json_kv_str(j, "status", status);
	json_end(j);
}

static const char *redis_status(const struct http *h)
{
	if (!h->o.redis || !h->o.cache)
		return "disabled";
	switch (cache_health(h->o.cache)) {
	case CACHE_UP:
		return "up";
	case CACHE_DISABLED:
		return "disabled";
	case CACHE_DOWN:
		break;
	}
	return "down";
}

enum handled handle_health(struct request *r, struct store_session *c)
{
	const bool up = store_is_up(c);
	const char *redis = redis_status(r->http);
	const bool degraded = strcmp(redis, "down") == 0;
	struct answer *a = &r->answer;
	struct json_out j;

	a->status = up ? 200 : 503;
	j = json_begin(&a->body);
	json_open_object(&j);
	json_kv_str(&j, "status", !up ? "down" : degraded ? "degraded" : "ok");
	json_kv_time(&j, "timestamp", clock_wall());
	json_key(&j, "components");
	json_open_object(&j);
	component(&j, "database", up ? "up" : "down");
	component(&j, "redis", redis);
	json_end(&j);
	json_end(&j);
	return HANDLED_DONE;
}

static enum handled probe(struct request *r, int status, const char *text)
{
	struct json_out j = json_begin(&r->answer.body);

	r->answer.status = status;
	json_open_object(&j);
	json_kv_str(&j, "status", text);
	json_end(&j);
	return HANDLED_DONE;
}

enum handled handle_livez(struct request *r, struct store_session *c)
{
	(void)c;
	return probe(r, 200, "ok");
}

enum handled handle_readyz(struct request *r, struct store_session *c)
{
	if (atomic_load(&r->http->stopping))
		return probe(r, 503, "stopping");
	if (!store_is_up(c))
		return probe(r, 503, "database down");
	return probe(r, 200, "ok");
}

enum handled handle_metrics(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct store_counts counts;
	bool known = c && store_counts(c, &counts, &err) == OK;

	r->answer.status = 200;
	r->answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
	/* Here, since of threads that each set what they had just counted, the one with the older number may be last. */
	metric_set(r->http->observe.connections, atomic_load(&r->http->connections));
	observe_render(&r->http->observe, known ? &counts : NULL, &r->answer.body);
	return HANDLED_DONE;
}

enum handled handle_openapi(struct request *r, struct store_session *c)
{
	const struct buf *doc = &r->http->openapi;

	(void)c;
	r->answer.status = 200;
	buf_add(&r->answer.body, doc->data, doc->len);
	return HANDLED_DONE;
}
