#include "cache_layout.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_out.h"
#include "message.h"
#include "message_uuid.h"
#include "text.h"

static const char *const field_names[] = {
	[FIELD_NONE] = "",
	[FIELD_ID] = "{id}",
	[FIELD_UUID] = "{uuid}",
	[FIELD_MESSAGE_ID] = "{messageId}",
	[FIELD_SENT_AT] = "{sentAt}",
};

/* ---- templates ---- */

/* The first placeholder in the text; FIELD_NONE when there is none. */
static enum cache_field find_field(const char *text, const char **ret_at)
{
	enum cache_field found = FIELD_NONE;

	*ret_at = text + strlen(text);
	for (int f = FIELD_ID; f <= FIELD_SENT_AT; f++) {
		const char *at = strstr(text, field_names[f]);

		if (at && at < *ret_at) {
			*ret_at = at;
			found = (enum cache_field)f;
		}
	}
	return found;
}

static int template_init(struct cache_template *ret, const char *name, const char *text, struct error *err)
{
	const char *at, *other;
	enum cache_field field = find_field(text, &at);
	const char *after = at + strlen(field_names[field]);

	if (find_field(after, &other) != FIELD_NONE)
		return error_set(err, ERR_CONFIG, "%s: more than one placeholder", name);
	ret->field = field;
	ret->before = xstrndup(text, (size_t)(at - text));
	ret->after = xstrdup(after);
	return OK;
}

/* Of two templates, only one can tell which text between them was filled in. */
static bool template_match(const struct cache_template *t, const char *text, size_t len, const char **ret,
                           size_t *ret_len)
{
	size_t before = strlen(t->before), after = strlen(t->after);

	if (len < before + after || memcmp(text, t->before, before) ||
	    memcmp(text + len - after, t->after, after))
		return false;
	*ret = text + before;
	*ret_len = len - before - after;
	return true;
}

/* SCAN's patterns give meaning to some characters. */
static void add_glob(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("*?[]\\", *text))
			buf_addch(out, '\\');
		buf_addch(out, *text);
	}
}

static int key_init(struct cache_layout *l, const char *key, struct error *err)
{
	struct buf pattern = BUF_INIT;
	int rc = template_init(&l->key, "CACHE_KEY", key, err);

	if (rc)
		return rc;
	if (l->list && l->key.field != FIELD_NONE)
		return error_set(err, ERR_CONFIG, "CACHE_KEY: the key of a list holds no placeholder");
	if (!l->list && l->key.field != FIELD_ID && l->key.field != FIELD_UUID &&
	    l->key.field != FIELD_MESSAGE_ID)
		return error_set(err, ERR_CONFIG, "CACHE_KEY: needs one of {id}, {uuid} and {messageId}");
	add_glob(&pattern, l->key.before);
	if (!l->list)
		buf_addch(&pattern, '*');
	add_glob(&pattern, l->key.after);
	l->pattern = buf_detach(&pattern, NULL);
	return OK;
}

/* A member is one placeholder, or JSON that is written as it is. */
static int member_init(struct cache_member *m, const char *name, const json_t *v, struct error *err)
{
	const char *text = json_string_value(v), *at;
	enum cache_field field = text ? find_field(text, &at) : FIELD_NONE;

	if (field != FIELD_NONE && strcmp(text, field_names[field]))
		return error_set(err, ERR_CONFIG, "CACHE_VALUE: %s: a placeholder in JSON stands alone", name);
	m->name = xstrdup(name);
	m->field = field;
	if (field == FIELD_NONE) {
		char *dump = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

		if (!dump)
			panic("JSON that was read cannot be written");
		m->literal = xstrdup(dump);
		free(dump);
	}
	return OK;
}

static int members_init(struct cache_layout *l, json_t *object, struct error *err)
{
	const char *name;
	json_t *v;
	int rc = OK;

	if (json_object_size(object) > CACHE_VALUE_MEMBERS)
		return error_set(err, ERR_CONFIG, "CACHE_VALUE: more than %d members", CACHE_VALUE_MEMBERS);
	json_object_foreach(object, name, v) {
		rc = member_init(&l->members[l->members_n], name, v, err);
		if (rc)
			return rc;
		l->members_n++;
	}
	return OK;
}

static int value_init(struct cache_layout *l, const char *value, struct error *err)
{
	json_t *root = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	int rc;

	l->json = root && json_is_object(root);
	rc = l->json ? members_init(l, root, err) : template_init(&l->value, "CACHE_VALUE", value, err);
	json_decref(root);
	return rc;
}

static unsigned bit(enum cache_field f)
{
	return f == FIELD_NONE ? 0 : 1U << f;
}

static unsigned fields_held(const struct cache_layout *l)
{
	unsigned holds = bit(l->key.field) | bit(l->value.field);

	for (size_t i = 0; i < l->members_n; i++)
		holds |= bit(l->members[i].field);
	/* Both spell the same. */
	if (holds & bit(FIELD_UUID))
		holds |= bit(FIELD_ID);
	return holds;
}

int cache_layout_init(struct cache_layout *ret, bool list, const char *key, const char *value,
                      struct error *err)
{
	struct cache_layout l = {.list = list};
	int rc;

	if (!key || !*key)
		key = list ? "sent_messages" : "sent_message:{id}";
	if (!value || !*value)
		value = CACHE_VALUE_DEFAULT;
	if (strlen(key) > CACHE_TEMPLATE_MAX || strlen(value) > CACHE_TEMPLATE_MAX)
		return error_set(err, ERR_CONFIG, "CACHE_KEY and CACHE_VALUE: at most %d bytes each",
		                 CACHE_TEMPLATE_MAX);
	rc = key_init(&l, key, err);
	if (!rc)
		rc = value_init(&l, value, err);
	if (rc) {
		cache_layout_release(&l);
		return rc;
	}
	l.holds = fields_held(&l);
	*ret = l;
	return OK;
}

static void template_release(struct cache_template *t)
{
	free(t->before);
	free(t->after);
}

void cache_layout_release(struct cache_layout *l)
{
	template_release(&l->key);
	template_release(&l->value);
	for (size_t i = 0; i < l->members_n; i++) {
		free(l->members[i].name);
		free(l->members[i].literal);
	}
	free(l->pattern);
	*l = (struct cache_layout){0};
}

/* ---- writing ---- */

bool cache_layout_takes(const struct cache_layout *l, const struct cache_entry *e)
{
	return l->key.field != FIELD_MESSAGE_ID || (e->message_id && *e->message_id);
}

void cache_layout_blank(const struct cache_layout *l, struct cache_entry *e)
{
	if (!(l->holds & bit(FIELD_ID)))
		e->id = 0;
	if (!(l->holds & bit(FIELD_MESSAGE_ID)))
		e->message_id = NULL;
	if (!(l->holds & bit(FIELD_SENT_AT)))
		e->sent_at = 0;
}

static size_t message_id_len(const struct cache_entry *e)
{
	return e->message_id ? strnlen(e->message_id, MESSAGE_PROVIDER_ID_MAX) : 0;
}

static void add_field(struct buf *out, enum cache_field field, const struct cache_entry *e)
{
	char text[MAX_OF(MESSAGE_UUID_TEXT, CLOCK_TEXT)];

	switch (field) {
	case FIELD_NONE:
		return;
	case FIELD_ID:
		buf_addi64(out, e->id);
		return;
	case FIELD_UUID:
		message_uuid_format(e->id, text);
		buf_addstr(out, text);
		return;
	case FIELD_MESSAGE_ID:
		buf_add(out, e->message_id ? e->message_id : "", message_id_len(e));
		return;
	case FIELD_SENT_AT:
		buf_addstr(out, clock_format(e->sent_at, text));
		return;
	}
}

static void add_template(struct buf *out, const struct cache_template *t, const struct cache_entry *e)
{
	buf_addstr(out, t->before);
	add_field(out, t->field, e);
	buf_addstr(out, t->after);
}

void cache_layout_key(const struct cache_layout *l, const struct cache_entry *e, struct buf *out)
{
	add_template(out, &l->key, e);
}

static void add_member(struct json_out *j, const struct cache_member *m, const struct cache_entry *e)
{
	char uuid[MESSAGE_UUID_TEXT];

	json_key(j, m->name);
	switch (m->field) {
	case FIELD_NONE:
		json_raw(j, m->literal, strlen(m->literal));
		return;
	case FIELD_ID:
		json_int(j, e->id);
		return;
	case FIELD_UUID:
		message_uuid_format(e->id, uuid);
		json_str(j, uuid);
		return;
	case FIELD_MESSAGE_ID:
		if (e->message_id)
			json_strn(j, e->message_id, message_id_len(e));
		else
			json_put_null(j);
		return;
	case FIELD_SENT_AT:
		json_time(j, e->sent_at);
		return;
	}
}

void cache_layout_value(const struct cache_layout *l, const struct cache_entry *e, struct buf *out)
{
	struct json_out j;

	if (!l->json) {
		add_template(out, &l->value, e);
		return;
	}
	j = json_begin(out);
	json_open_object(&j);
	for (size_t i = 0; i < l->members_n; i++)
		add_member(&j, &l->members[i], e);
	json_end(&j);
}

/* ---- reading ---- */

/* Only as add_field() writes it: "007" is somebody else's. */
static bool read_field(enum cache_field field, const char *text, size_t len, struct arena *a,
                       struct cache_entry *ret)
{
	char uuid[MESSAGE_UUID_TEXT];
	int64_t id;

	switch (field) {
	case FIELD_NONE:
		return !len;
	case FIELD_ID:
		if (len >= MESSAGE_UUID_LEN || !message_id_parse(text, len, &id))
			return false;
		ret->id = id;
		return true;
	case FIELD_UUID:
		if (!message_uuid_parse(text, len, &id))
			return false;
		message_uuid_format(id, uuid);
		if (memcmp(uuid, text, len))
			return false;
		ret->id = id;
		return true;
	case FIELD_MESSAGE_ID:
		if (len > MESSAGE_PROVIDER_ID_MAX || memchr(text, '\0', len) || !utf8_valid(text, len))
			return false;
		ret->message_id = len ? arena_strndup(a, text, len) : NULL;
		return true;
	case FIELD_SENT_AT:
		return clock_parse(text, len, &ret->sent_at);
	}
	return false;
}

static bool read_template(const struct cache_template *t, const char *text, size_t len, struct arena *a,
                          struct cache_entry *ret)
{
	const char *filled;
	size_t n;

	return template_match(t, text, len, &filled, &n) && read_field(t->field, filled, n, a, ret);
}

bool cache_layout_read_key(const struct cache_layout *l, const char *key, size_t len, struct arena *a,
                           struct cache_entry *ret)
{
	/* An entry whose provider id is not known is never under such a key. */
	return read_template(&l->key, key, len, a, ret) &&
	       (l->key.field != FIELD_MESSAGE_ID || ret->message_id);
}

static bool read_member(const struct cache_member *m, const json_t *v, struct arena *a,
                        struct cache_entry *ret)
{
	int64_t id;

	if (m->field == FIELD_NONE)
		return true;
	if (!v)
		return false;
	if (m->field == FIELD_ID) {
		id = json_is_integer(v) ? json_integer_value(v) : 0;
		if (id < 1 || id > MESSAGE_ID_MAX)
			return false;
		ret->id = id;
		return true;
	}
	if (json_is_null(v))
		return m->field != FIELD_UUID;
	return json_is_string(v) && read_field(m->field, json_string_value(v), json_string_length(v), a, ret);
}

bool cache_layout_read_value(const struct cache_layout *l, const char *value, size_t len, struct arena *a,
                             struct cache_entry *ret)
{
	json_t *root;
	bool ok;

	if (len > CACHE_VALUE_MAX)
		return false;
	if (!l->json)
		return read_template(&l->value, value, len, a, ret);
	root = json_loadb(value, len, JSON_REJECT_DUPLICATES, NULL);
	ok = root && json_is_object(root);
	for (size_t i = 0; ok && i < l->members_n; i++)
		ok = read_member(&l->members[i], json_object_get(root, l->members[i].name), a, ret);
	json_decref(root);
	return ok;
}
