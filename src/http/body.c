#include "body.h"

#include <stdint.h>
#include <string.h>

#include "text.h"

static void complain(struct details *d, size_t row, const char *field, const char *why)
{
	if (row == SIZE_MAX)
		details_add(d, field, "%s", why);
	else
		details_add_row(d, row, field, "%s", why);
}

int body_json(const char *text, size_t len, size_t row, json_t **ret, bool *ret_nul, struct details *d)
{
	json_error_t e;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

	*ret_nul = false;
	if (doc) {
		*ret = doc;
		return OK;
	}
	/* Well-formed, but PostgreSQL and C strings cannot hold it. */
	if (json_error_code(&e) == json_error_null_character ||
	    json_error_code(&e) == json_error_null_byte_in_key) {
		*ret_nul = true;
		complain(d, row, row == SIZE_MAX ? "body" : "", "must not hold the character U+0000");
	} else if (row == SIZE_MAX) {
		details_add(d, "body", "line %d, column %d: %s", e.line, e.column, e.text);
	} else {
		details_add_row(d, row, "", "column %d: %s", e.column, e.text);
	}
	return ERR_INVALID;
}

static void draft_phone(const json_t *v, const struct message_rules *rules, size_t row,
                        struct message_draft *m, struct details *d)
{
	if (!json_is_string(v))
		complain(d, row, "phoneNumber", "must be a string");
	else if (message_rules_takes_phone(rules, json_string_value(v)))
		m->phone = json_string_value(v);
	else if (rules->park)
		complain(d, row, "phoneNumber", "must have 1 to 20 bytes");
	else if (rules->patterned)
		complain(d, row, "phoneNumber", "must match the pattern that is configured (PHONE_PATTERN)");
	else
		complain(d, row, "phoneNumber", "must be in E.164 form, e.g. +905551234567");
}

static void draft_content(const json_t *v, const struct message_rules *rules, size_t row,
                          struct message_draft *m, struct details *d)
{
	const size_t max = rules->max_content;
	size_t len, points;

	if (!json_is_string(v)) {
		complain(d, row, "content", "must be a string");
		return;
	}
	len = json_string_length(v);
	if (message_rules_takes_content(rules, json_string_value(v), len)) {
		m->content = json_string_value(v);
		return;
	}
	points = utf8_length(json_string_value(v), len);
	if (!len)
		complain(d, row, "content", "must not be empty");
	else if (rules->park)
		complain(d, row, "content", "must have at most 400000 bytes");
	else if (row == SIZE_MAX)
		details_add(d, "content", "must have at most %zu characters, has %zu", max, points);
	else
		details_add_row(d, row, "content", "must have at most %zu characters, has %zu", max, points);
}

static void draft_send_at(const json_t *v, size_t row, struct message_draft *m, struct details *d)
{
	if (json_is_null(v))
		return;
	if (!json_is_string(v) || !clock_parse(json_string_value(v), json_string_length(v), &m->send_at))
		complain(d, row, "sendAt", "must be a time like \"2026-01-02T03:04:05Z\"");
}

static void draft_key(const json_t *v, size_t row, struct message_draft *m, struct details *d)
{
	if (json_is_null(v))
		return;
	if (!json_is_string(v) || !text_is_token(json_string_value(v), json_string_length(v), MESSAGE_KEY_MAX))
		complain(d, row, "idempotencyKey", "must be a string of 1 to 255 visible ASCII characters");
	else
		m->idempotency_key = json_string_value(v);
}

/* Compact and with sorted keys: the same metadata is the same text, however it was written. */
static void draft_metadata(const json_t *v, size_t row, struct arena *a, struct message_draft *m,
                           struct details *d)
{
	const size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
	char text[MESSAGE_METADATA_MAX];
	size_t len;

	if (json_is_null(v))
		return;
	if (!json_is_object(v)) {
		complain(d, row, "metadata", "must be an object");
		return;
	}
	len = json_dumpb(v, text, sizeof(text), flags);
	if (len > sizeof(text))
		complain(d, row, "metadata", "must have at most 4096 bytes of JSON");
	else if (!len)
		complain(d, row, "metadata", "is nested too deeply");
	else
		m->metadata = arena_strndup(a, text, len);
}

bool body_draft(json_t *doc, const struct message_rules *rules, size_t row, struct arena *a,
                struct message_draft *ret, struct details *d)
{
	struct message_draft m = {0};
	bool content = false, phone = false;
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!json_is_object(doc)) {
		complain(d, row, row == SIZE_MAX ? "body" : "", "must be an object");
		return false;
	}
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "phoneNumber") == 0) {
			phone = true;
			draft_phone(v, rules, row, &m, d);
		} else if (strcmp(name, "content") == 0) {
			content = true;
			draft_content(v, rules, row, &m, d);
		} else if (strcmp(name, "sendAt") == 0) {
			draft_send_at(v, row, &m, d);
		} else if (strcmp(name, "idempotencyKey") == 0) {
			draft_key(v, row, &m, d);
		} else if (strcmp(name, "metadata") == 0) {
			draft_metadata(v, row, a, &m, d);
		} else {
			complain(d, row, name, "is not a field of a message");
		}
	}
	if (!content)
		complain(d, row, "content", "is required");
	if (!phone)
		complain(d, row, "phoneNumber", "is required");
	if (d->n != before)
		return false;
	*ret = m;
	return true;
}

void draft_copy(struct message_draft *m, struct arena *a)
{
	m->phone = arena_strdup(a, m->phone);
	m->content = arena_strdup(a, m->content);
	m->idempotency_key = arena_strdup(a, m->idempotency_key);
}

/* A number counts minutes, as the operators of older systems are used to; a text is a duration. */
static bool read_interval(const json_t *v, usec_t *ret)
{
	const double max = 10.0 * 365 * 24 * 60;
	double minutes;

	if (json_is_string(v))
		return duration_parse(json_string_value(v), json_string_length(v), ret);
	if (!json_is_number(v))
		return false;
	minutes = json_number_value(v);
	if (!(minutes >= 1 && minutes <= max))
		return false;
	*ret = (usec_t)(minutes * (double)USEC_PER_MINUTE);
	return true;
}

bool body_scheduler_change(json_t *doc, struct scheduler_change *ret, struct details *d)
{
	struct scheduler_change change = *ret;
	const size_t before = d->n;
	const char *name;
	json_t *v;

	if (!json_is_object(doc)) {
		details_add(d, "body", "must be an object");
		return false;
	}
	json_object_foreach(doc, name, v) {
		if (strcmp(name, "interval") == 0) {
			if (!read_interval(v, &change.interval)) {
				details_add(d, name, "must be a number of minutes, at least 1, or a duration "
				                     "like \"90s\"");
			}
		} else if (strcmp(name, "batchSize") == 0) {
			change.batch = json_is_integer(v) ? json_integer_value(v) : 0;
			if (change.batch < 1 || change.batch > PACING_BATCH_MAX) {
				details_add(d, name, "must be a whole number from 1 to %d", PACING_BATCH_MAX);
			}
		} else if (strcmp(name, "alertedAt") == 0) {
			if (!json_is_string(v) ||
			    !clock_parse(json_string_value(v), json_string_length(v), &change.alerted_at))
				details_add(d, name, "must be a time like \"2026-01-02T03:04:05Z\"");
		} else if (strcmp(name, "failureRate") == 0) {
			change.failure_rate = json_is_number(v) ? json_number_value(v) : -1;
			if (!(change.failure_rate >= 0 && change.failure_rate <= 1))
				details_add(d, name, "must be a number from 0 to 1");
		} else {
			details_add(d, name, "is not a field of this request");
		}
	}
	if (d->n != before)
		return false;
	*ret = change;
	return true;
}
