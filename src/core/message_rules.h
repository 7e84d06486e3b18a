/*
 * What a message must be like to be sent. Creates are checked against it, and every message once more when its
 * turn comes: it may be older than a change of the rules, or come from elsewhere. Compiled once, then
 * read-only: thread-safe.
 */
#ifndef HERALD_MESSAGE_RULES_H
#define HERALD_MESSAGE_RULES_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct message_rules {
	bool patterned; /* else the phone is E.164 */
	regex_t pattern;
	size_t max_content; /* code points */
	bool park; /* creates that break the rules are taken; at their turn they become invalid */
};

/* pattern: a POSIX extended regular expression that phone numbers match, anywhere unless it is anchored; NULL
 * or "": E.164. ERR_CONFIG with the reason. The caller releases. */
must_check int message_rules_init(struct message_rules *ret, const char *pattern, size_t max_content,
                                  bool park, struct error *err);
void message_rules_release(struct message_rules *r); /* a zeroed one is fine */

/* phone: any text, of at most MESSAGE_PHONE_MAX bytes for true. */
bool message_rules_phone(const struct message_rules *r, const char *phone);

/* Whether a create may bring it: as above, or, when broken rules are parked, whatever can be stored. */
bool message_rules_takes_phone(const struct message_rules *r, const char *phone);
bool message_rules_takes_content(const struct message_rules *r, const char *content, size_t len);

/* Why the message is not to be sent, for last_error; NULL: it is. Content that is too long is cut when it is sent
 * (content_cut()) unless such messages are parked. content: valid UTF-8. */
const char *message_rules_broken(const struct message_rules *r, const char *phone, const char *content,
                                 size_t content_len);

#endif
