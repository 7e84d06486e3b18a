#include "render_feed.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "render.h"

#define PHONE_SHOWN 3 /* characters of a masked number, if it is at least twice as long, besides the first */

/* A bullet for each character that is hidden; those beyond ASCII, which PHONE_PATTERN may allow, always are. */
static void render_phone(struct json_out *j, const char *phone, bool whole)
{
	char masked[3 * MESSAGE_PHONE_MAX + 1], *out = masked;
	const size_t len = strlen(phone), tail = len > 2 * PHONE_SHOWN ? len - PHONE_SHOWN : len;

	if (whole) {
		json_kv_str(j, "phoneNumber", phone);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)phone[i];

		if (c < 0x80 && (!i || i >= tail)) {
			*out++ = phone[i];
		} else if ((c & 0xc0) != 0x80) {
			memcpy(out, "\xe2\x80\xa2", 3); /* a bullet */
			out += 3;
		}
	}
	*out = '\0';
	json_kv_str(j, "phoneNumber", masked);
}

void render_feed_attempt(struct json_out *j, const struct feed_event *e, const char *node, enum id_format ids,
                         bool whole)
{
	char text[32];

	json_key(j, "messageId");
	render_id(j, e->attempt.message, ids);
	render_phone(j, e->attempt.phone, whole);
	json_kv_str(j, "status", verdict_name(e->attempt.verdict));
	json_kv_int(j, "attempt", e->attempt.attempt);
	if (e->attempt.http_status)
		json_kv_int(j, "httpStatus", e->attempt.http_status);
	json_kv_double(j, "durationMs", (double)e->attempt.duration / (double)USEC_PER_MSEC);
	if (*e->attempt.error && (whole || !e->attempt.http_status)) {
		json_kv_str(j, "error", e->attempt.error);
	} else if (*e->attempt.error) {
		snprintf(text, sizeof(text), "HTTP %d", e->attempt.http_status);
		json_kv_str(j, "error", text);
	}
	if (e->attempt.run)
		json_kv_int(j, "run", e->attempt.run);
	json_kv_str(j, "node", node);
	json_kv_time(j, "at", e->at);
}

void render_feed_alert(struct json_out *j, const struct feed_event *e)
{
	char text[160];

	if (e->alert.gone)
		snprintf(text, sizeof(text), "The webhook answered 410 Gone in run %lld; the scheduler was stopped",
		         (long long)e->alert.run);
	else
		snprintf(text, sizeof(text), "Every message failed in the last %u runs", e->alert.failures);
	json_kv_str(j, "alert", "consecutive_all_fail");
	json_kv_int(j, "runNumber", e->alert.run);
	json_kv_int(j, "consecutiveFailures", e->alert.failures);
	json_kv_int(j, "messagesInBatch", e->alert.messages);
	json_kv_time(j, "timestamp", e->at);
	json_kv_str(j, "message", text);
}

void render_feed_counts(struct json_out *j, const struct feed_counts *c)
{
	int64_t total = 0;

	for (int s = 0; s < MESSAGE_STATUS_COUNT; s++) {
		json_kv_int(j, message_status_name((enum message_status)s), c->counts.by_status[s]);
		total += c->counts.by_status[s];
	}
	json_kv_int(j, "total", total);
	json_kv_int(j, "inFlight", c->in_flight);
	json_key(j, "perSecond");
	json_open_object(j);
	json_kv_int(j, "accepted", c->second.accepted);
	json_kv_int(j, "sent", c->second.sent);
	json_kv_int(j, "retried", c->second.retried);
	json_kv_int(j, "failed", c->second.failed);
	json_kv_int(j, "unknown", c->second.unknown);
	json_end(j);
	json_kv_int(j, "skippedAttempts", (int64_t)c->skipped);
	json_kv_time(j, "at", c->at);
}
