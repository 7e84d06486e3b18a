#include "store_http.h"

#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "lease_token.h"
#include "message_uuid.h"
#include "text.h"

/* --- fields ------------------------------------------------------------------------------------------------- */

static bool whole(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return false;
	*ret = json_integer_value(v);
	return true;
}

static bool whole32(const json_t *o, const char *key, uint32_t *ret)
{
	int64_t n;

	if (!whole(o, key, 0, UINT32_MAX, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool number(const json_t *o, const char *key, double min, double max, double *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_number(v) || !(json_number_value(v) >= min && json_number_value(v) <= max))
		return false;
	*ret = json_number_value(v);
	return true;
}

static bool truth(const json_t *o, const char *key, bool *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = json_is_true(v);
	return json_is_boolean(v);
}

/* null or absent: `otherwise`. */
static bool when(const json_t *o, const char *key, usec_t otherwise, usec_t *ret)
{
	const json_t *v = json_object_get(o, key);

	*ret = otherwise;
	if (!v || json_is_null(v))
		return true;
	return json_is_string(v) && clock_parse(json_string_value(v), json_string_length(v), ret);
}

static const char *text(const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);

	return json_is_string(v) && json_string_length(v) <= max ? json_string_value(v) : NULL;
}

/* As shown with either MESSAGE_ID_FORMAT. */
static bool message_id(const json_t *o, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_string(v))
		return message_uuid_parse(json_string_value(v), json_string_length(v), ret);
	return whole(o, key, 1, MESSAGE_ID_MAX, ret);
}

static const json_t *data_of(const json_t *doc)
{
	return json_is_true(json_object_get(doc, "success")) ? json_object_get(doc, "data") : NULL;
}

/* --- documents ---------------------------------------------------------------------------------------------- */

bool hs_read_protocol(const json_t *doc, int64_t *ret_protocol, const char **ret_version)
{
	const json_t *info = json_object_get(doc, "info");
	const char *title = text(info, "title", 100), *version = text(info, "version", 100);

	if (!title || !version || strcmp(title, "herald") != 0)
		return false;
	*ret_version = version;
	*ret_protocol = 0;
	(void)!whole(info, "x-lease-protocol", 1, INT32_MAX, ret_protocol);
	return true;
}

bool hs_read_health(const json_t *doc, usec_t *ret_now)
{
	return when(doc, "timestamp", 0, ret_now) && *ret_now;
}

static bool read_leased(const json_t *o, struct arena *a, int64_t run, struct claimed *ret)
{
	const char *phone = text(o, "phoneNumber", MESSAGE_PHONE_MAX);
	const char *content = text(o, "content", MESSAGE_CONTENT_MAX_BYTES);
	const char *token = text(o, "token", LEASE_TOKEN_TEXT);
	struct lease_token t;

	if (!phone || !content || !token || !lease_token_parse(token, strlen(token), &t) || t.run != run ||
	    !message_id(o, "id", &ret->id) || !when(o, "createdAt", 0, &ret->created_at))
		return false;
	ret->fence = t.fence;
	ret->attempt = t.attempt;
	ret->phone = arena_strdup(a, phone);
	ret->content = arena_strdup(a, content);
	ret->content_len = strlen(content);
	return true;
}

static bool read_run_end(const json_t *o, struct run_end *ret)
{
	struct run_end e;

	if (!whole(o, "run", 1, INT64_MAX, &e.run) || !whole32(o, "claimed", &e.claimed) ||
	    !whole32(o, "sent", &e.sent) || !whole32(o, "failed", &e.failed) ||
	    !whole32(o, "retried", &e.retried) ||
	    !whole32(o, "consecutiveAllFailCount", &e.all_failed_in_a_row) || !truth(o, "allFailed", &e.all_failed))
		return false;
	*ret = e;
	return true;
}

static bool read_beat(const json_t *o, enum pacing_answer *ret)
{
	static const char *const names[] = {
		[PACING_STOPPED] = "stopped", [PACING_WAIT] = "wait", [PACING_JOIN] = "join", [PACING_OPEN] = "open",
	};
	const char *beat = text(o, "beat", 20);

	for (size_t i = 0; beat && i < ARRAY_SIZE(names); i++) {
		if (strcmp(beat, names[i]) == 0) {
			*ret = (enum pacing_answer)i;
			return true;
		}
	}
	return false;
}

static bool read_batch(const json_t *data, struct claim_batch *b)
{
	const json_t *messages = json_object_get(data, "messages"), *ended = json_object_get(data, "runEnded"), *m;
	double lateness = 0;
	size_t i;

	if (!json_is_array(messages) || json_array_size(messages) > HS_LEASE_MAX ||
	    !read_beat(data, &b->answer) || !truth(data, "more", &b->more) || !when(data, "now", 0, &b->now) ||
	    !b->now || !when(data, "leaseUntil", 0, &b->lease_until) ||
	    !when(data, "nextRunAt", USEC_NEVER, &b->next_at) ||
	    !number(data, "failureRate", 0, 1, &b->failure_rate) || (ended && !read_run_end(ended, &b->ended)))
		return false;
	if (json_object_get(data, "run") && !whole(data, "run", 1, INT64_MAX, &b->run))
		return false;
	if (json_object_get(data, "latenessMs") && !number(data, "latenessMs", 0, 1e15, &lateness))
		return false;
	b->lateness = (usec_t)(lateness * (double)USEC_PER_MSEC);
	b->items = arena_calloc(&b->arena, json_array_size(messages) + 1, sizeof(*b->items));
	json_array_foreach(messages, i, m) {
		if (!read_leased(m, &b->arena, b->run, &b->items[i]))
			return false;
	}
	b->n = json_array_size(messages);
	return !b->n || b->lease_until;
}

bool hs_read_lease(const json_t *doc, struct claim_batch *ret)
{
	struct claim_batch b = {.n = 0};

	if (!read_batch(data_of(doc), &b)) {
		claim_batch_release(&b);
		return false;
	}
	*ret = b;
	return true;
}

bool hs_read_outcomes(const json_t *doc, struct settlement *s, size_t n, struct settle_result *ret)
{
	const json_t *data = data_of(doc), *outcomes = json_object_get(data, "outcomes"), *o;
	const json_t *runs = json_object_get(data, "runsEnded");
	struct settle_result r = *ret;
	int64_t id;
	size_t i;

	if (!json_is_array(outcomes) || json_array_size(outcomes) != n || !json_is_array(runs))
		return false;
	json_array_foreach(outcomes, i, o) {
		if (!message_id(o, "id", &id) || id != s[i].id || !truth(o, "applied", &s[i].applied) ||
		    !when(o, "sentAt", 0, &s[i].sent_at))
			return false;
		r.applied += s[i].applied;
	}
	json_array_foreach(runs, i, o) {
		struct run_end end;

		if (!read_run_end(o, &end))
			return false;
		if (r.ended_n < ARRAY_SIZE(r.ended))
			r.ended[r.ended_n] = end;
		r.ended_n++;
	}
	*ret = r;
	return true;
}

bool hs_read_extended(const json_t *doc, size_t *ret)
{
	uint32_t n;

	if (!whole32(data_of(doc), "extended", &n))
		return false;
	*ret = n;
	return true;
}

bool hs_read_counts(const json_t *doc, struct store_counts *ret)
{
	const json_t *data = data_of(doc);
	struct store_counts c;

	if (!json_is_object(data))
		return false;
	for (int i = 0; i < MESSAGE_STATUS_COUNT; i++) {
		const char *name = message_status_name((enum message_status)i);

		/* A server of another version may not know a status; then there are none. */
		c.by_status[i] = 0;
		if (json_object_get(data, name) && !whole(data, name, 0, INT64_MAX, &c.by_status[i]))
			return false;
	}
	*ret = c;
	return true;
}

bool hs_read_scheduler(const json_t *doc, usec_t now, struct scheduler *ret, bool *ret_changed)
{
	const json_t *data = data_of(doc);
	struct scheduler s = {.now = now};
	double seconds;
	usec_t next;

	if (!truth(data, "running", &s.pacing.running) ||
	    !number(data, "intervalSeconds", 0, (double)(DURATION_MAX / USEC_PER_SEC), &seconds) ||
	    !whole32(data, "batchSize", &s.pacing.batch) || !number(data, "failureRate", 0, 1, &s.failure_rate) ||
	    !when(data, "lastRunAt", 0, &s.last_run_at) || !when(data, "nextRunAt", 0, &next) ||
	    !whole(data, "runsCount", 0, INT64_MAX, &s.runs_count) ||
	    !whole(data, "messagesSent", 0, INT64_MAX, &s.messages_sent) ||
	    !whole32(data, "consecutiveAllFailCount", &s.all_failed_in_a_row) ||
	    !when(data, "lastAlertSentAt", 0, &s.last_alert_at))
		return false;
	s.pacing.interval = (usec_t)(seconds * (double)USEC_PER_SEC + 0.5);
	/* All that is told of the beat is when the next one is due. */
	s.pacing.epoch = s.runs_count;
	s.pacing.beat_at = next && s.last_run_at ? MAX_OF(next - s.pacing.interval, 0) : s.last_run_at;
	*ret_changed = json_is_true(json_object_get(doc, "changed"));
	*ret = s;
	return true;
}

static bool read_run(const json_t *o, struct arena *a, struct run *ret)
{
	const char *node = text(o, "node", 200);

	if (!whole(o, "id", 1, INT64_MAX, &ret->id) || !when(o, "startedAt", 0, &ret->started_at) ||
	    !whole32(o, "claimed", &ret->claimed) || !whole32(o, "sent", &ret->sent) ||
	    !whole32(o, "failed", &ret->failed) || !whole32(o, "retried", &ret->retried) ||
	    !whole32(o, "lost", &ret->lost) || !truth(o, "finished", &ret->finished))
		return false;
	(void)!message_id(o, "lastMessageId", &ret->last_id);
	ret->node = arena_strdup(a, node ? node : "");
	return true;
}

bool hs_read_runs(const json_t *doc, struct run_page *ret)
{
	const json_t *list = data_of(doc), *o;
	struct run_page p = {.n = 0};
	bool good = json_is_array(list) && whole(doc, "totalCount", 0, INT64_MAX, &p.total);
	size_t i;

	p.items = arena_calloc(&p.arena, json_array_size(list) + 1, sizeof(*p.items));
	json_array_foreach(list, i, o)
		good = good && read_run(o, &p.arena, &p.items[i]);
	if (!good) {
		run_page_release(&p);
		return false;
	}
	p.n = json_array_size(list);
	p.more = json_is_string(json_object_get(doc, "nextCursor"));
	*ret = p;
	return true;
}

static bool read_job(const json_t *o, struct arena *a, struct job *ret)
{
	const char *name = text(o, "name", JOB_NAME_MAX);

	if (!name || !whole(o, "id", 1, INT64_MAX, &ret->id) ||
	    !whole(o, "lastOffset", 0, INT64_MAX, &ret->taken) || !when(o, "startedAt", 0, &ret->started_at))
		return false;
	ret->name = arena_strdup(a, name);
	return !json_object_get(o, "finishedAt") || when(o, "finishedAt", 0, &ret->finished_at);
}

bool hs_read_jobs(const json_t *doc, struct job_page *ret)
{
	const json_t *list = data_of(doc), *o;
	struct job_page p = {.n = 0};
	bool good = json_is_array(list) && whole(doc, "totalCount", 0, INT64_MAX, &p.total);
	size_t i;

	p.items = arena_calloc(&p.arena, json_array_size(list) + 1, sizeof(*p.items));
	json_array_foreach(list, i, o)
		good = good && read_job(o, &p.arena, &p.items[i]);
	if (!good) {
		job_page_release(&p);
		return false;
	}
	p.n = json_array_size(list);
	p.more = json_is_string(json_object_get(doc, "nextCursor"));
	*ret = p;
	return true;
}

static bool read_node(const json_t *o, struct arena *a, struct node *ret)
{
	const char *id = text(o, "id", NODE_ID_MAX), *boot = text(o, "bootId", NODE_BOOT_MAX);
	const char *version = text(o, "version", NODE_TEXT_MAX), *role = text(o, "role", NODE_TEXT_MAX);
	const char *status = text(o, "status", 20);

	if (!id || !boot || !version || !role || !status || !whole32(o, "inFlight", &ret->in_flight) ||
	    !when(o, "startedAt", 0, &ret->started_at) || !when(o, "lastSeenAt", 0, &ret->last_seen))
		return false;
	ret->id = arena_strdup(a, id);
	ret->boot = arena_strdup(a, boot);
	ret->version = arena_strdup(a, version);
	ret->role = arena_strdup(a, role);
	ret->left = strcmp(status, "left") == 0;
	return true;
}

bool hs_read_nodes(const json_t *doc, usec_t now, struct node_page *ret)
{
	const json_t *list = data_of(doc), *o;
	struct node_page p = {.now = now};
	bool good = json_is_array(list);
	size_t i;

	p.items = arena_calloc(&p.arena, json_array_size(list) + 1, sizeof(*p.items));
	json_array_foreach(list, i, o)
		good = good && read_node(o, &p.arena, &p.items[i]);
	if (!good) {
		node_page_release(&p);
		return false;
	}
	p.n = json_array_size(list);
	*ret = p;
	return true;
}
