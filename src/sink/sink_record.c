#include "sink_record.h"

#include <jansson.h>

#include "json_out.h"
#include "text.h"

#define SHOWN_POINTS 60

/* The two fields of a message in *ret_root, which the caller releases; false when it is something else. */
static bool parse(const struct sink_record *r, json_t **ret_root, json_t **ret_to, json_t **ret_content)
{
	json_t *root = json_loadb(r->body, r->body_len, 0, NULL);

	*ret_to = json_object_get(root, "to");
	*ret_content = json_object_get(root, "content");
	*ret_root = root;
	return json_is_string(*ret_to) && json_is_string(*ret_content);
}

void sink_record_json(struct buf *out, const struct sink_record *r)
{
	struct json_out j = json_begin(out);
	json_t *root, *to, *content;
	bool message = parse(r, &root, &to, &content);

	json_open_object(&j);
	json_kv_int(&j, "at", r->at);
	json_kv_str(&j, "key", r->key);
	json_kv_str(&j, "to", message ? json_string_value(to) : NULL);
	json_kv_str(&j, "content", message ? json_string_value(content) : NULL);
	json_kv_int(&j, "status", r->status);
	json_kv_str(&j, "messageId", r->message_id);
	if (!message) {
		json_key(&j, "body");
		json_strn(&j, r->body, r->body_len);
	}
	json_end(&j);
	buf_addch(out, '\n');
	json_decref(root);
}

/* Quoted as JSON, so that no control character reaches the terminal. */
static void add_cut(struct buf *out, const char *s, size_t len)
{
	size_t keep = utf8_valid(s, len) ? utf8_prefix(s, len, SHOWN_POINTS) : MIN_OF(len, SHOWN_POINTS);

	json_quote(out, s, keep);
	if (keep < len)
		buf_addlit(out, "...");
}

void sink_record_text(struct buf *out, const struct sink_record *r)
{
	json_t *root, *to, *content;
	bool message = parse(r, &root, &to, &content);
	char at[CLOCK_TEXT];

	buf_addstr(out, clock_format(r->at, at));
	buf_addf(out, " %d ", r->status);
	if (message) {
		add_cut(out, json_string_value(to), json_string_length(to));
		buf_addch(out, ' ');
		add_cut(out, json_string_value(content), json_string_length(content));
	} else {
		add_cut(out, r->body, r->body_len);
	}
	buf_addlit(out, " key=");
	add_cut(out, r->key ? r->key : "", r->key ? strlen(r->key) : 0);
	buf_addch(out, '\n');
	json_decref(root);
}
