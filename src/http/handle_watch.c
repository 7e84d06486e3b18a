/* For those who watch: the stream of events, the figures for charts. */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "feed.h"
#include "handler.h"
#include "http_internal.h"
#include "stream.h"

enum handled handle_events(struct request *r, struct store_session *c)
{
	(void)c;
	if (!handler_no_query(r))
		return HANDLED_DONE;
	if (!r->http->o.feed || atomic_load(&r->http->stopping)) {
		answer_error(&r->answer, API_OVERLOADED);
		return HANDLED_DONE;
	}
	/* A HEAD has no body, so there is nothing to follow. */
	if (r->method == METHOD_GET && !stream_open(r)) {
		answer_error(&r->answer, API_OVERLOADED);
		return HANDLED_DONE;
	}
	r->answer.status = 200;
	r->answer.content_type = "text/event-stream";
	return HANDLED_DONE;
}

static const struct {
	const char *name;
	enum { FIGURE_COUNT, FIGURE_BACKLOG, FIGURE_TIME } kind;
	size_t offset;
} figures[] = {
	{"accepted", FIGURE_COUNT, offsetof(struct history_bucket, accepted)},
	{"sent", FIGURE_COUNT, offsetof(struct history_bucket, sent)},
	{"retried", FIGURE_COUNT, offsetof(struct history_bucket, retried)},
	{"failed", FIGURE_COUNT, offsetof(struct history_bucket, failed)},
	{"unknown", FIGURE_COUNT, offsetof(struct history_bucket, unknown)},
	{"backlog", FIGURE_BACKLOG, offsetof(struct history_bucket, backlog)},
	{"p50Ms", FIGURE_TIME, offsetof(struct history_bucket, p50)},
	{"p95Ms", FIGURE_TIME, offsetof(struct history_bucket, p95)},
	{"p99Ms", FIGURE_TIME, offsetof(struct history_bucket, p99)},
};

static void render_figure(struct json_out *j, const struct history_bucket *b, size_t i)
{
	const char *at = (const char *)b + figures[i].offset;
	int64_t backlog;
	uint32_t count;
	int32_t time;

	switch (figures[i].kind) {
	case FIGURE_COUNT:
		memcpy(&count, at, sizeof(count));
		json_int(j, count);
		return;
	case FIGURE_BACKLOG:
		memcpy(&backlog, at, sizeof(backlog));
		if (backlog < 0)
			json_put_null(j);
		else
			json_int(j, backlog);
		return;
	case FIGURE_TIME:
		memcpy(&time, at, sizeof(time));
		if (time < 0)
			json_put_null(j);
		else
			json_double(j, time / 1000.0);
		return;
	}
}

static void answer_history(struct request *r, enum history_resolution resolution, usec_t since)
{
	struct history_bucket *buckets cleanup(free_ptr) = NULL;
	struct json_out j = answer_begin(&r->answer, 200, NULL);
	usec_t start;
	size_t n = feed_history(r->http->o.feed, resolution, since, &start, &buckets);

	json_open_object(&j);
	json_kv_str(&j, "node", r->http->o.node_id);
	json_kv_str(&j, "resolution", resolution == HISTORY_SECOND ? "second" : "minute");
	json_kv_int(&j, "stepSeconds", resolution == HISTORY_SECOND ? 1 : 60);
	json_kv_int(&j, "start", start / USEC_PER_SEC);
	json_kv_int(&j, "points", (int64_t)n);
	for (size_t f = 0; f < ARRAY_SIZE(figures); f++) {
		json_key(&j, figures[f].name);
		json_open_array(&j);
		for (size_t i = 0; i < n; i++)
			render_figure(&j, &buckets[i], f);
		json_end(&j);
	}
	json_end(&j);
	answer_end(&j);
}

enum handled handle_history(struct request *r, struct store_session *c)
{
	struct query q;

	(void)c;
	if (!handler_query(r, &q, QUERY_RESOLUTION | QUERY_SINCE))
		return HANDLED_DONE;
	if (r->http->o.feed)
		answer_history(r, q.resolution, q.since);
	else
		answer_error(&r->answer, API_OVERLOADED);
	query_release(&q);
	return HANDLED_DONE;
}
