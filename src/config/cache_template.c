#include "cache_template.h"

#include <jansson.h>
#include <string.h>

const char *const cache_field_names[] = {
	[FIELD_NONE] = "",
	[FIELD_ID] = "{id}",
	[FIELD_UUID] = "{uuid}",
	[FIELD_MESSAGE_ID] = "{messageId}",
	[FIELD_SENT_AT] = "{sentAt}",
};

enum cache_field cache_field_find(const char *text, const char **ret_at)
{
	enum cache_field found = FIELD_NONE;

	*ret_at = text + strlen(text);
	for (int f = FIELD_ID; f <= FIELD_SENT_AT; f++) {
		const char *at = strstr(text, cache_field_names[f]);

		if (at && at < *ret_at) {
			*ret_at = at;
			found = (enum cache_field)f;
		}
	}
	return found;
}

static int check_text(const char *name, const char *text, enum cache_field *ret, struct error *err)
{
	const char *at;
	enum cache_field field = cache_field_find(text, &at);

	if (cache_field_find(at + strlen(cache_field_names[field]), &at) != FIELD_NONE)
		return error_set(err, ERR_CONFIG, "%s: more than one placeholder", name);
	*ret = field;
	return OK;
}

static int check_key(bool list, const char *key, struct error *err)
{
	enum cache_field field;
	int rc = check_text("CACHE_KEY", key, &field, err);

	if (rc)
		return rc;
	if (list && field != FIELD_NONE)
		return error_set(err, ERR_CONFIG, "CACHE_KEY: the key of a list holds no placeholder");
	if (!list && field != FIELD_ID && field != FIELD_UUID && field != FIELD_MESSAGE_ID)
		return error_set(err, ERR_CONFIG, "CACHE_KEY: needs one of {id}, {uuid} and {messageId}");
	return OK;
}

/* A member is one placeholder, or JSON that is written as it is. */
static int check_members(json_t *object, struct error *err)
{
	const char *name, *text, *at;
	enum cache_field field;
	json_t *v;

	if (json_object_size(object) > CACHE_VALUE_MEMBERS)
		return error_set(err, ERR_CONFIG, "CACHE_VALUE: more than %d members", CACHE_VALUE_MEMBERS);
	json_object_foreach(object, name, v) {
		text = json_string_value(v);
		field = text ? cache_field_find(text, &at) : FIELD_NONE;
		if (field != FIELD_NONE && strcmp(text, cache_field_names[field]))
			return error_set(err, ERR_CONFIG, "CACHE_VALUE: %s: a placeholder in JSON stands alone", name);
	}
	return OK;
}

static int check_value(const char *value, struct error *err)
{
	json_t *root = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	enum cache_field ignored;
	int rc = root && json_is_object(root) ? check_members(root, err)
	                                      : check_text("CACHE_VALUE", value, &ignored, err);

	json_decref(root);
	return rc;
}

int cache_template_check(bool list, const char *key, const char *value, struct error *err)
{
	int rc;

	if (!key || !*key)
		key = list ? CACHE_LIST_KEY_DEFAULT : CACHE_KEY_DEFAULT;
	if (!value || !*value)
		value = CACHE_VALUE_DEFAULT;
	if (strlen(key) > CACHE_TEMPLATE_MAX || strlen(value) > CACHE_TEMPLATE_MAX)
		return error_set(err, ERR_CONFIG, "CACHE_KEY and CACHE_VALUE: at most %d bytes each",
		                 CACHE_TEMPLATE_MAX);
	rc = check_key(list, key, err);
	return rc ? rc : check_value(value, err);
}
