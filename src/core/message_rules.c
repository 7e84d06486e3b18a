#include "message_rules.h"

#include <string.h>

#include "message.h"
#include "text.h"

int message_rules_init(struct message_rules *ret, const char *pattern, size_t max_content, bool park,
                       struct error *err)
{
	struct message_rules r = {.max_content = max_content, .park = park};
	char why[200];
	int rc;

	if (pattern && *pattern) {
		rc = regcomp(&r.pattern, pattern, REG_EXTENDED | REG_NOSUB);
		if (rc) {
			regerror(rc, &r.pattern, why, sizeof(why));
			return error_set(err, ERR_CONFIG, "PHONE_PATTERN: %s", why);
		}
		r.patterned = true;
	}
	*ret = r;
	return OK;
}

void message_rules_release(struct message_rules *r)
{
	if (r->patterned)
		regfree(&r->pattern);
	*r = (struct message_rules){0};
}

bool message_rules_phone(const struct message_rules *r, const char *phone)
{
	size_t len = strnlen(phone, MESSAGE_PHONE_MAX + 1);

	/* The store's own limits hold whatever the pattern says. */
	if (!len || len > MESSAGE_PHONE_MAX || !utf8_valid(phone, len))
		return false;
	return r->patterned ? !regexec(&r->pattern, phone, 0, NULL, 0) : phone_valid(phone);
}

bool message_rules_takes_phone(const struct message_rules *r, const char *phone)
{
	size_t len = strnlen(phone, MESSAGE_PHONE_MAX + 1);

	if (!r->park)
		return message_rules_phone(r, phone);
	return len && len <= MESSAGE_PHONE_MAX && utf8_valid(phone, len);
}

/* A code point takes at least one byte, so most contents need not be counted. */
static bool too_long(const struct message_rules *r, const char *content, size_t len)
{
	return len > r->max_content && utf8_length(content, len) > r->max_content;
}

bool message_rules_takes_content(const struct message_rules *r, const char *content, size_t len)
{
	return r->park ? len <= MESSAGE_CONTENT_MAX_BYTES : len && !too_long(r, content, len);
}

const char *message_rules_broken(const struct message_rules *r, const char *phone, const char *content,
                                 size_t content_len)
{
	if (!message_rules_phone(r, phone))
		return r->patterned ? "the phone number does not match PHONE_PATTERN"
		                    : "the phone number is not in E.164 format";
	if (!content_len)
		return "the content is empty";
	if (r->park && too_long(r, content, content_len))
		return "the content is longer than MESSAGE_MAX_CONTENT_LENGTH";
	return NULL;
}
