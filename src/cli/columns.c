#include "columns.h"

#include <stdbool.h>
#include <string.h>

/* First the name itself, then its aliases, each followed by a comma. Written as people see them; compared
 * without case, '_', '-' and spaces. */
static const struct {
	enum column column;
	const char *name, *aliases;
} names[] = {
	{COLUMN_PHONE, "phoneNumber",
	 "phone, to, recipient, recipientPhone, recipientPhoneNumber, number, msisdn, mobile, gsm"},
	{COLUMN_CONTENT, "content", "text, message, body, sms"},
	{COLUMN_SEND_AT, "sendAt", "scheduledAt, scheduleAt"},
	{COLUMN_KEY, "idempotencyKey", "key"},
	{COLUMN_METADATA, "metadata", "meta"},
	{COLUMN_KNOWN, "id",
	 "status, attempts, messageId, sentAt, nextAttemptAt, lastError, createdAt, updatedAt"},
};

static bool is_filler(char c)
{
	return c == '_' || c == '-' || c == ' ';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a_len && is_filler(a[i]))
			i++;
		while (k < b_len && is_filler(b[k]))
			k++;
		if (i == a_len || k == b_len)
			return i == a_len && k == b_len;
		if (lower(a[i++]) != lower(b[k++]))
			return false;
	}
}

static bool in_list(const char *name, size_t len, const char *list)
{
	const char *end;

	for (; *list; list = *end ? end + 1 : end) {
		end = strchrnul(list, ',');
		if (same_name(name, len, list, (size_t)(end - list)))
			return true;
	}
	return false;
}

enum column column_parse(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (same_name(name, len, names[i].name, strlen(names[i].name)) ||
		    in_list(name, len, names[i].aliases))
			return names[i].column;
	return COLUMN_UNKNOWN;
}

const char *column_name(enum column c)
{
	return names[c].name;
}

const char *column_aliases(enum column c)
{
	return names[c].aliases;
}
