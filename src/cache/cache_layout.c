#include "cache_layout.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_out.h"
#include "message.h"
#include "message_uuid.h"
#include "text.h"

/* ---- templates ---- */

static void template_init(struct cache_template *ret, const char *text)
{
	const char *at;
	enum cache_field field = cache_field_find(text, &at);
	const char *after = at + strlen(cache_field_names[field]);

	ret->field = field;
	ret->before = xstrndup(text, (size_t)(at - text));
	ret->after = xstrdup(after);
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

static void key_init(struct cache_layout *l, const char *key)
{
	struct buf pattern = BUF_INIT;

	template_init(&l->key, key);
	add_glob(&pattern, l->key.before);
	if (!l->list)
		buf_addch(&pattern, '*');
	add_glob(&pattern, l->key.after);
	l->pattern = buf_detach(&pattern, NULL);
}

/* A member is one placeholder, or JSON that is written as it is. */
static void member_init(struct cache_member *m, const char *name, const json_t *v)
{
	const char *text = json_string_value(v), *at;
	enum cache_field field = text ? cache_field_find(text, &at) : FIELD_NONE;

	m->name = xstrdup(name);
	m->field = field;
	if (field == FIELD_NONE) {
		char *dump = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

		if (!dump)
			panic("JSON that was read cannot be written");
		m->literal = xstrdup(dump);
		free(dump);
	}
}

static void value_init(struct cache_layout *l, const char *value)
{
	json_t *root = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
	const char *name;
	json_t *v;

	l->json = root && json_is_object(root);
	if (l->json)
		json_object_foreach(root, name, v)
			member_init(&l->members[l->members_n++], name, v);
	else
		template_init(&l->value, value);
	json_decref(root);
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

	rc = cache_template_check(list, key, value, err);
	if (rc)
		return rc;
	key_init(&l, key && *key ? key : list ? CACHE_LIST_KEY_DEFAULT : CACHE_KEY_DEFAULT);
	value_init(&l, value && *value ? value : CACHE_VALUE_DEFAULT);
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
