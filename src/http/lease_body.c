#include "lease_body.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "message_uuid.h"
#include "text.h"

#define WHOLE SIZE_MAX /* not a row of a list */

static void complain(struct details *d, size_t row, const char *field, const char *why)
{
	if (row == WHOLE)
		details_add(d, field, "%s", why);
	else
		details_add_row(d, row, field, "%s", why);
}

static bool object(const json_t *doc, size_t row, struct details *d)
{
	if (!json_is_object(doc))
		complain(d, row, row == WHOLE ? "body" : "", "must be an object");
	return json_is_object(doc);
}

static int64_t read_whole(const json_t *v, size_t row, const char *name, int64_t min, int64_t max,
                          struct details *d)
{
	const json_int_t n = json_is_integer(v) ? json_integer_value(v) : min - 1;
	char why[80];

	if (n >= min && n <= max)
		return n;
	snprintf(why, sizeof(why), "must be a whole number from %lld to %lld", (long long)min, (long long)max);
	complain(d, row, name, why);
	return min;
}

static bool read_seconds(const json_t *v, double min, double max, usec_t *ret)
{
	const double n = json_is_number(v) ? json_number_value(v) : -1;

	if (!(n >= min && n <= max))
		return false;
	*ret = (usec_t)(n * (double)USEC_PER_SEC);
	return true;
}

static bool read_lease(const json_t *v, usec_t *ret, struct details *d)
{
	if (read_seconds(v, LEASE_SECONDS_MIN, LEASE_SECONDS_MAX, ret))
		return true;
	details_add(d, "leaseSeconds", "must be a number from 0.1 to 86400");
	return false;
}

static void read_bool(const json_t *v, const char *name, bool *ret, struct details *d)
{
	if (json_is_boolean(v))
		*ret = json_is_true(v);
	else
		details_add(d, name, "must be true or false");
}

static void read_name(const json_t *v, const char *name, size_t max, const char **ret, struct details *d)
{
	if (json_is_string(v) && text_is_token(json_string_value(v), json_string_length(v), max))
		*ret = json_string_value(v);
	else
		details_add(d, name, "must be a string of 1 to %zu visible ASCII characters", max);
}

bool lease_body_ask(json_t *doc, struct lease_ask *ret, struct details *d)
{
	struct lease_ask ask = {.holder = "client", .limit = LEASE_LIMIT_DEFAULT};
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!object(doc, WHOLE, d))
		return false;
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "limit") == 0) {
			ask.limit = (uint32_t)read_whole(v, WHOLE, name, 1, LEASE_LIMIT_MAX, d);
		} else if (strcmp(name, "leaseSeconds") == 0) {
			(void)!read_lease(v, &ask.lease, d);
		} else if (strcmp(name, "node") == 0) {
			read_name(v, name, NODE_ID_MAX, &ask.holder, d);
		} else if (strcmp(name, "whenStopped") == 0) {
			read_bool(v, name, &ask.when_stopped, d);
		} else if (strcmp(name, "retries") == 0) {
			bool retries = false;

			read_bool(v, name, &retries, d);
			ask.source = retries ? LEASE_RETRIES : LEASE_BEAT;
		} else {
			details_add(d, name, "is not a field of this request");
		}
	}
	if (d->n != before)
		return false;
	*ret = ask;
	return true;
}

static void read_token(const json_t *v, size_t row, struct lease_token *ret, struct details *d)
{
	if (!json_is_string(v) || !lease_token_parse(json_string_value(v), json_string_length(v), ret))
		complain(d, row, "token", "must be the token that came with the lease");
}

static void read_id(const json_t *v, size_t row, int64_t *ret, struct details *d)
{
	*ret = json_is_integer(v) ? json_integer_value(v) : 0;
	if (json_is_string(v) && message_uuid_parse(json_string_value(v), json_string_length(v), ret))
		return;
	if (*ret < 1 || *ret > MESSAGE_ID_MAX)
		complain(d, row, "id", "must be the id of a message");
}

static void read_outcome(const json_t *v, size_t row, enum verdict *ret, struct details *d)
{
	for (int i = 0; json_is_string(v) && i < VERDICT_COUNT; i++) {
		if (i != VERDICT_LOST && strcmp(json_string_value(v), verdict_name((enum verdict)i)) == 0) {
			*ret = (enum verdict)i;
			return;
		}
	}
	complain(d, row, "outcome", "must be one of sent, retry, failed, unknown, release, invalid");
}

/* The longest text that is taken; the store cuts what is longer than it keeps. */
#define TEXT_MAX 10000

static void read_text(const json_t *v, size_t row, const char *name, const char **ret, struct details *d)
{
	if (json_is_null(v))
		return;
	if (!json_is_string(v) || json_string_length(v) > TEXT_MAX)
		complain(d, row, name, "must be a string of at most 10000 bytes");
	else
		*ret = json_string_value(v);
}

enum { FIELD_ID = 1, FIELD_OUTCOME = 2, FIELD_MESSAGE_ID = 4, FIELD_ERROR = 8, FIELD_RETRY = 16 };

/* A field that any outcome may have. */
static bool read_circumstance(const char *name, const json_t *v, size_t row, struct lease_outcome *o,
                              struct details *d)
{
	if (strcmp(name, "httpStatus") == 0) {
		o->http_status = (int)read_whole(v, row, name, 0, 999, d);
	} else if (strcmp(name, "startedAt") == 0) {
		if (!json_is_string(v) || !clock_parse(json_string_value(v), json_string_length(v), &o->started_at))
			complain(d, row, name, "must be a time like \"2026-01-02T03:04:05Z\"");
	} else if (strcmp(name, "durationMs") == 0) {
		usec_t thousandfold = 0;

		if (!read_seconds(v, 0, 86400000.0, &thousandfold))
			complain(d, row, name, "must be a number from 0 to 86400000");
		o->duration = thousandfold / 1000;
	} else {
		return false;
	}
	return true;
}

static bool read_one(json_t *doc, size_t row, unsigned fields, struct lease_outcome *ret, struct details *d)
{
	struct lease_outcome o = {.verdict = VERDICT_SENT, .retry_in = -1};
	bool token = false, id = !(fields & FIELD_ID), outcome = !(fields & FIELD_OUTCOME), retry = true;
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!object(doc, row, d))
		return false;
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "token") == 0) {
			token = true;
			read_token(v, row, &o.token, d);
		} else if ((fields & FIELD_ID) && strcmp(name, "id") == 0) {
			id = true;
			read_id(v, row, &o.id, d);
		} else if ((fields & FIELD_OUTCOME) && strcmp(name, "outcome") == 0) {
			outcome = true;
			read_outcome(v, row, &o.verdict, d);
		} else if ((fields & FIELD_MESSAGE_ID) && strcmp(name, "messageId") == 0) {
			read_text(v, row, name, &o.message_id, d);
		} else if ((fields & FIELD_ERROR) && strcmp(name, "error") == 0) {
			read_text(v, row, name, &o.error, d);
		} else if ((fields & FIELD_RETRY) && strcmp(name, "retry") == 0) {
			read_bool(v, name, &retry, d);
		} else if ((fields & FIELD_ERROR) && strcmp(name, "retryInSeconds") == 0) {
			if (!read_seconds(v, 0, 10 * 365 * 86400.0, &o.retry_in))
				complain(d, row, name, "must be a number of seconds, at least 0");
		} else if (!read_circumstance(name, v, row, &o, d)) {
			complain(d, row, name, "is not a field of this request");
		}
	}
	if (!token)
		complain(d, row, "token", "is required");
	if (!id)
		complain(d, row, "id", "is required");
	if (!outcome)
		complain(d, row, "outcome", "is required");
	if (d->n != before)
		return false;
	if (fields & FIELD_RETRY)
		o.verdict = retry ? VERDICT_RETRY : VERDICT_FAILED;
	*ret = o;
	return true;
}

bool lease_body_commit(json_t *doc, struct lease_outcome *ret, struct details *d)
{
	return read_one(doc, WHOLE, FIELD_MESSAGE_ID, ret, d);
}

bool lease_body_fail(json_t *doc, struct lease_outcome *ret, struct details *d)
{
	return read_one(doc, WHOLE, FIELD_ERROR | FIELD_RETRY, ret, d);
}

/* The array under a field, which must be there, with 1 to LEASE_OUTCOMES_MAX elements; NULL when not. Beside it
 * there may be `other` (NULL: nothing). */
static json_t *list_of(json_t *doc, const char *field, const char *other, struct details *d)
{
	json_t *list = json_object_get(doc, field), *v;
	const char *name;

	json_object_foreach(doc, name, v) {
		if (strcmp(name, field) != 0 && !(other && strcmp(name, other) == 0))
			details_add(d, name, "is not a field of this request");
	}
	if (json_is_array(list) && json_array_size(list) >= 1 && json_array_size(list) <= LEASE_OUTCOMES_MAX)
		return list;
	details_add(d, field, "must be an array of 1 to %d elements", LEASE_OUTCOMES_MAX);
	return NULL;
}

bool lease_body_outcomes(json_t *doc, struct arena *a, struct lease_outcome **ret, size_t *ret_n,
                         struct details *d)
{
	const unsigned fields = FIELD_ID | FIELD_OUTCOME | FIELD_MESSAGE_ID | FIELD_ERROR;
	struct lease_outcome *outcomes;
	const size_t before = d->n;
	json_t *list, *v;
	size_t i;

	if (!object(doc, WHOLE, d))
		return false;
	list = list_of(doc, "outcomes", NULL, d);
	if (!list)
		return false;
	outcomes = arena_calloc(a, json_array_size(list), sizeof(*outcomes));
	json_array_foreach(list, i, v)
		(void)!read_one(v, i, fields, &outcomes[i], d);
	if (d->n != before)
		return false;
	*ret = outcomes;
	*ret_n = json_array_size(list);
	return true;
}

static bool read_ref(json_t *doc, size_t row, int64_t id, struct lease_ref *ret, struct details *d)
{
	struct lease_token token = {.fence = 0};
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!object(doc, row, d))
		return false;
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "token") == 0)
			read_token(v, row, &token, d);
		else if (row != WHOLE && strcmp(name, "id") == 0)
			read_id(v, row, &id, d);
		else if (row != WHOLE || strcmp(name, "leaseSeconds") != 0)
			complain(d, row, name, "is not a field of this request");
	}
	if (d->n == before && !token.fence)
		complain(d, row, "token", "is required");
	if (d->n == before && !id)
		complain(d, row, "id", "is required");
	*ret = (struct lease_ref){.id = id, .fence = token.fence};
	return d->n == before;
}

bool lease_body_extend(json_t *doc, int64_t id, struct arena *a, struct lease_extension *ret, struct details *d)
{
	struct lease_extension e = {.n = 1};
	const size_t before = d->n;
	json_t *list = NULL, *v;
	size_t i;

	if (!object(doc, WHOLE, d))
		return false;
	v = json_object_get(doc, "leaseSeconds");
	if (v)
		(void)!read_lease(v, &e.lease, d);
	if (!id) {
		list = list_of(doc, "leases", "leaseSeconds", d);
		if (!list)
			return false;
		e.n = json_array_size(list);
	}
	e.refs = arena_calloc(a, e.n, sizeof(*e.refs));
	if (!list)
		(void)!read_ref(doc, WHOLE, id, e.refs, d);
	json_array_foreach(list, i, v)
		(void)!read_ref(v, i, 0, &e.refs[i], d);
	if (d->n != before)
		return false;
	*ret = e;
	return true;
}

bool lease_body_node(json_t *doc, struct node_report *ret, struct details *d)
{
	struct node_report r = {.leaving = false};
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!object(doc, WHOLE, d))
		return false;
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "node") == 0) {
			read_name(v, name, NODE_ID_MAX, &r.node, d);
		} else if (strcmp(name, "bootId") == 0) {
			read_name(v, name, NODE_BOOT_MAX, &r.boot, d);
		} else if (strcmp(name, "version") == 0) {
			read_name(v, name, NODE_TEXT_MAX, &r.version, d);
		} else if (strcmp(name, "role") == 0) {
			read_name(v, name, NODE_TEXT_MAX, &r.role, d);
		} else if (strcmp(name, "inFlight") == 0) {
			r.in_flight = (uint32_t)read_whole(v, WHOLE, name, 0, UINT32_MAX, d);
		} else if (strcmp(name, "leaving") == 0) {
			read_bool(v, name, &r.leaving, d);
		} else {
			details_add(d, name, "is not a field of this request");
		}
	}
	if (d->n == before && (!r.node || !r.boot || !r.version || !r.role))
		details_add(d, "body", "must have node, bootId, version and role");
	if (d->n != before)
		return false;
	*ret = r;
	return true;
}
