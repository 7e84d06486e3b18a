/*
 * Keys and values of the cache as an operator writes them: text with placeholders. What is allowed is said here, so
 * that a faulty one is an error of the configuration; what they mean, in cache_layout.h. Pure.
 */
#ifndef HERALD_CACHE_TEMPLATE_H
#define HERALD_CACHE_TEMPLATE_H

#include <stdbool.h>

#include "error.h"

#define CACHE_VALUE_MEMBERS 16
#define CACHE_TEMPLATE_MAX 512 /* bytes */

#define CACHE_KEY_DEFAULT "sent_message:{id}"
#define CACHE_LIST_KEY_DEFAULT "sent_messages"
#define CACHE_VALUE_DEFAULT "{\"messageId\":\"{messageId}\",\"sentAt\":\"{sentAt}\"}"

enum cache_field { FIELD_NONE, FIELD_ID, FIELD_UUID, FIELD_MESSAGE_ID, FIELD_SENT_AT };
extern const char *const cache_field_names[]; /* "{id}"; "" for FIELD_NONE */

/* The first placeholder in the text, and where; FIELD_NONE and the text's end when there is none. */
enum cache_field cache_field_find(const char *text, const char **ret_at);

/* key, value: NULL or "" for the default. ERR_CONFIG names CACHE_KEY or CACHE_VALUE. */
must_check int cache_template_check(bool list, const char *key, const char *value, struct error *err);

#endif
