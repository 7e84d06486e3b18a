#include "cache_redis_layout.h"

#include <jansson.h>
#include <string.h>

#include "json_out.h"
#include "message.h"
#include "text.h"

#define PREFIX "sent_message:"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

static void key(struct buf *out, int64_t id)
{
	buf_addlit(out, PREFIX);
	buf_addi64(out, id);
}

/* Only as key() writes it: "sent_message:007" is somebody else's. */
static bool id_of_key(const char *text, size_t len, int64_t *ret)
{
	return len > PREFIX_LEN && !memcmp(text, PREFIX, PREFIX_LEN) && text[PREFIX_LEN] != '0' &&
	       text_to_i64(text + PREFIX_LEN, len - PREFIX_LEN, 1, MESSAGE_ID_MAX, ret);
}

static void encode(struct buf *out, const struct cache_entry *e)
{
	struct json_out j = json_begin(out);

	json_open_object(&j);
	json_key(&j, "messageId");
	if (e->message_id)
		json_strn(&j, e->message_id, strnlen(e->message_id, MESSAGE_PROVIDER_ID_MAX));
	else
		json_put_null(&j);
	json_kv_time(&j, "sentAt", e->sent_at);
	json_end(&j);
}

static bool read_value(json_t *root, struct arena *a, struct cache_entry *ret)
{
	json_t *id = json_object_get(root, "messageId"), *at = json_object_get(root, "sentAt");
	const char *text = NULL;
	usec_t sent_at = 0;

	if (id && json_is_string(id))
		text = json_string_value(id);
	else if (id && !json_is_null(id))
		return false;
	if (text && json_string_length(id) > MESSAGE_PROVIDER_ID_MAX)
		return false;
	if (at && json_is_string(at)) {
		if (!clock_parse(json_string_value(at), json_string_length(at), &sent_at))
			return false;
	} else if (!at || !json_is_null(at)) {
		return false;
	}
	ret->message_id = text && *text ? arena_strdup(a, text) : NULL;
	ret->sent_at = sent_at;
	return true;
}

static bool decode(const char *value, size_t len, struct arena *a, struct cache_entry *ret)
{
	json_t *root;
	bool ok;

	if (len > REDIS_VALUE_MAX)
		return false;
	root = json_loadb(value, len, JSON_REJECT_DUPLICATES, NULL);
	ok = root && json_is_object(root) && read_value(root, a, ret);
	json_decref(root);
	return ok;
}

static void put(struct redis_link *l, const struct cache_entry *e, usec_t ttl)
{
	struct buf k = BUF_INIT, value = BUF_INIT, ms = BUF_INIT;

	key(&k, e->id);
	encode(&value, e);
	/* Redis counts in milliseconds and takes no zero. */
	buf_addi64(&ms, MAX_OF(ttl / USEC_PER_MSEC, 1));
	redis_link_add(l, ttl ? 5 : 3, (const char *const[]){"SET", k.data, value.data, "PX", ms.data},
	               (const size_t[]){3, k.len, value.len, 2, ms.len});
	buf_release(&k);
	buf_release(&value);
	buf_release(&ms);
}

static void drop(struct redis_link *l, int64_t id)
{
	struct buf k = BUF_INIT;

	key(&k, id);
	redis_link_add(l, 2, (const char *const[]){"DEL", k.data}, (const size_t[]){3, k.len});
	buf_release(&k);
}

const struct redis_layout redis_layout_sent_message = {
	.pattern = PREFIX "*",
	.put = put,
	.drop = drop,
	.key = key,
	.id_of_key = id_of_key,
	.decode = decode,
	.encode = encode,
};
