#include "message.h"

#include <string.h>

#include "attr.h"
#include "text.h"

/*
 * From which states each event is legal, one bit per state. The whole state machine is this table: what
 * is not in it does not happen.
 */
#define FROM(status) (1u << MESSAGE_##status)
static const unsigned legal_from[MESSAGE_EVENT_COUNT] = {
	[EVENT_CLAIM] = FROM(PENDING),
	/* A success that arrives after its lease ran out finds the row taken back: pending or unknown. */
	[EVENT_SUCCESS] = FROM(PENDING) | FROM(SENDING) | FROM(UNKNOWN),
	[EVENT_RETRY] = FROM(SENDING),
	[EVENT_FAIL] = FROM(SENDING),
	[EVENT_PARK] = FROM(SENDING),
	[EVENT_RELEASE] = FROM(SENDING),
	[EVENT_EXPIRE] = FROM(SENDING),
	[EVENT_CANCEL] = FROM(PENDING),
	[EVENT_REPLAY] = FROM(FAILED),
	[EVENT_REJECT] = FROM(SENDING),
};
#undef FROM

static const char *const status_names[MESSAGE_STATUS_COUNT] = {
	[MESSAGE_PENDING] = "pending",     [MESSAGE_SENDING] = "sending",
	[MESSAGE_SENT] = "sent",           [MESSAGE_FAILED] = "failed",
	[MESSAGE_CANCELLED] = "cancelled", [MESSAGE_UNKNOWN] = "unknown",
	[MESSAGE_INVALID] = "invalid",
};

bool message_may(enum message_status from, enum message_event event)
{
	if ((unsigned)from >= MESSAGE_STATUS_COUNT || (unsigned)event >= MESSAGE_EVENT_COUNT)
		return false;
	return legal_from[event] >> from & 1;
}

const char *message_status_name(enum message_status s)
{
	return (unsigned)s < MESSAGE_STATUS_COUNT ? status_names[s] : "?";
}

bool message_status_parse(const char *text, enum message_status *ret)
{
	for (unsigned i = 0; i < MESSAGE_STATUS_COUNT; i++) {
		if (!strcmp(text, status_names[i])) {
			*ret = (enum message_status)i;
			return true;
		}
	}
	return false;
}

bool phone_valid(const char *s)
{
	size_t digits = 0;

	if (s[0] != '+' || s[1] == '0')
		return false;
	for (s++; *s >= '0' && *s <= '9'; s++)
		digits++;
	return !*s && digits >= 2 && digits <= 15;
}

size_t content_cut(const char *content, size_t len, size_t max_points, bool *ret_cut)
{
	/* A code point takes at least one byte, so most contents need not be counted. */
	*ret_cut = len > max_points && utf8_length(content, len) > max_points;
	return *ret_cut ? utf8_prefix(content, len, max_points - 3) : len;
}
