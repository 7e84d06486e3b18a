#include "webhook_answer.h"

#include <jansson.h>
#include <string.h>

#include "alloc.h"
#include "delivery.h"
#include "text.h"

/* Undoes ~1 and ~0 in place; false on any other use of '~'. */
static bool unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (*s == '~') {
			s++;
			if (*s != '0' && *s != '1')
				return false;
			*out++ = *s == '0' ? '~' : '/';
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
	return true;
}

static bool pointer_parse(struct answer_rule *r, const char *pointer)
{
	/* The empty pointer is the whole document. */
	while (*pointer) {
		size_t len;

		if (*pointer++ != '/')
			return false;
		len = strcspn(pointer, "/");
		r->tokens = xreallocarray(r->tokens, r->n + 1, sizeof(*r->tokens));
		r->tokens[r->n] = xstrndup(pointer, len);
		if (!unescape(r->tokens[r->n++]))
			return false;
		pointer += len;
	}
	return true;
}

int answer_rule_init(struct answer_rule *ret, const char *spec, struct error *err)
{
	struct answer_rule r = {0};

	if (text_starts_with(spec, "header:") && text_is_token(spec + 7, strlen(spec + 7), 256)) {
		r.header = xstrdup(spec + 7);
	} else if (!text_starts_with(spec, "json:") || !utf8_valid(spec, strlen(spec)) ||
	           !pointer_parse(&r, spec + 5)) {
		answer_rule_release(&r);
		return error_set(err, ERR_CONFIG,
		                 "the place of the message id must be json: and a JSON pointer, or header: "
		                 "and a name");
	}
	*ret = r;
	return OK;
}

void answer_rule_release(struct answer_rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->tokens[i]);
	free(r->tokens);
	free(r->header);
	*r = (struct answer_rule){0};
}

static const json_t *step(const json_t *at, const char *token)
{
	size_t len = strlen(token);
	int64_t index;

	if (json_is_object(at))
		return json_object_get(at, token);
	/* An index has no leading zero. */
	if (!json_is_array(at) || (len > 1 && *token == '0') || !text_to_i64(token, len, 0, INT32_MAX, &index))
		return NULL;
	return json_array_get(at, (size_t)index);
}

/* Copies what may be stored: UTF-8 without NUL, cut at a code point. */
static size_t take(const char *s, size_t len, char out[MESSAGE_PROVIDER_ID_MAX + 1])
{
	if (!utf8_valid(s, len) || memchr(s, '\0', len))
		return 0;
	if (len > MESSAGE_PROVIDER_ID_MAX)
		for (len = MESSAGE_PROVIDER_ID_MAX; ((unsigned char)s[len] & 0xc0) == 0x80;)
			len--;
	memcpy(out, s, len);
	out[len] = '\0';
	return len;
}

size_t answer_message_id(const struct answer_rule *r, const char *body, size_t len,
                         const char *header_value, char out[MESSAGE_PROVIDER_ID_MAX + 1])
{
	json_t *root;
	const json_t *at;
	size_t n = 0;

	if (r->header)
		return header_value ? take(header_value, strlen(header_value), out) : 0;
	if (!len)
		return 0;

	root = json_loadb(body, len, JSON_DECODE_ANY, NULL);
	at = root;
	for (size_t i = 0; at && i < r->n; i++)
		at = step(at, r->tokens[i]);
	if (json_is_string(at))
		n = take(json_string_value(at), json_string_length(at), out);
	else if (json_is_integer(at))
		n = (size_t)snprintf(out, MESSAGE_PROVIDER_ID_MAX + 1, "%lld", (long long)json_integer_value(at));
	json_decref(root);
	return n;
}

usec_t retry_after_parse(const char *text, usec_t wall)
{
	size_t len = text ? strlen(text) : 0;
	int64_t seconds;
	usec_t at;

	if (!len)
		return 0;
	if (strspn(text, "0123456789") == len) {
		/* More digits than fit are still a wish to be left alone for long. */
		if (!text_to_i64(text, len, 0, RETRY_AFTER_MAX / USEC_PER_SEC, &seconds))
			return RETRY_AFTER_MAX;
		return seconds * USEC_PER_SEC;
	}
	if (!clock_parse_http_date(text, len, &at) || at <= wall)
		return 0;
	return MIN_OF(at - wall, RETRY_AFTER_MAX);
}
