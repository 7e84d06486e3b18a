/* Text to value and back, one case per type. */
#include <regex.h>
#include <string.h>

#include "alloc.h"
#include "json_out.h"
#include "option.h"
#include "text.h"
#include "url.h"

/* Quoting more of a wrong value would help nobody. */
#define QUOTE_MAX 64

static void *field(const struct option *o, struct config *cfg)
{
	return (char *)cfg + o->offset;
}

static const void *field_const(const struct option *o, const struct config *cfg)
{
	return (const char *)cfg + o->offset;
}

static bool is_text(const struct option *o)
{
	return o->type == OPTION_STRING || o->type == OPTION_PATH || o->type == OPTION_HTTP_URL ||
	       o->type == OPTION_DATABASE_URL || o->type == OPTION_REDIS_URL ||
	       o->type == OPTION_SIGNING_KEYS || o->type == OPTION_MESSAGE_ID;
}

static bool is_url(const struct option *o)
{
	return o->type == OPTION_HTTP_URL || o->type == OPTION_DATABASE_URL || o->type == OPTION_REDIS_URL;
}

static enum url_kind url_kind(const struct option *o)
{
	return o->type == OPTION_HTTP_URL ? URL_HTTP : o->type == OPTION_REDIS_URL ? URL_REDIS : URL_DATABASE;
}

/* The word's index in o->allowed, or -1. */
static int word_index(const struct option *o, const char *text, size_t len)
{
	const char *word = o->allowed;

	for (int i = 0; *word; i++) {
		size_t n = strcspn(word, " ");

		if (n == len && memcmp(word, text, len) == 0)
			return i;
		word += n + (word[n] == ' ');
	}
	return -1;
}

static void word_at(const struct option *o, int index, struct buf *out)
{
	const char *word = o->allowed;

	for (; index > 0; index--)
		word += strcspn(word, " ") + 1;
	buf_add(out, word, strcspn(word, " "));
}

static void number_range(const struct option *o, struct buf *out)
{
	char text[DURATION_TEXT];
	const int64_t bound[2] = {o->min, o->max};

	if (o->zero)
		buf_addlit(out, "0, or ");
	for (int i = 0; i < 2; i++) {
		if (i > 0)
			buf_addlit(out, " to ");
		if (o->type == OPTION_INT)
			buf_addi64(out, bound[i]);
		else if (o->type == OPTION_SIZE)
			size_format(bound[i], out);
		else
			buf_addstr(out, duration_format(bound[i], text));
	}
}

void option_allowed(const struct option *o, struct buf *out)
{
	if (o->allowed) {
		for (const char *word = o->allowed; *word;) {
			size_t n = strcspn(word, " ");
			bool last = word[n] == '\0';

			if (word != o->allowed)
				buf_addstr(out, last ? " or " : ", ");
			buf_add(out, word, n);
			word += n + !last;
		}
		return;
	}
	switch (o->type) {
	case OPTION_STRING:
		if (o->check == CHECK_HOST)
			buf_addlit(out, "a host name, an IPv4 or an IPv6 address");
		else if (o->check == CHECK_HOST_OR_SOCKET)
			buf_addlit(out, "a host name, an IPv4 or an IPv6 address, or an absolute path");
		else if (o->check == CHECK_TOKEN || o->check == CHECK_HEADER_VALUE)
			buf_addf(out, "up to %d visible ASCII characters", (int)o->max);
		else if (o->check == CHECK_PATTERN)
			buf_addf(out, "a regular expression of up to %d bytes", (int)o->max);
		else
			buf_addf(out, "text of up to %d bytes", (int)o->max);
		break;
	case OPTION_PATH:
		buf_addlit(out, "the path of a file");
		break;
	case OPTION_HTTP_URL:
		buf_addlit(out, "an http:// or https:// URL");
		break;
	case OPTION_DATABASE_URL:
		buf_addlit(out, "sqlite:PATH, postgres://..., mysql://..., mongodb://..., http://... or memory:");
		break;
	case OPTION_REDIS_URL:
		buf_addlit(out, "a redis:// or rediss:// URL");
		break;
	case OPTION_INT:
	case OPTION_SIZE:
	case OPTION_DURATION:
		number_range(o, out);
		break;
	case OPTION_BOOL:
		buf_addlit(out, "true or false");
		break;
	case OPTION_DURATIONS:
		buf_addf(out, "1 to %d durations, separated by commas, each ", DURATION_LIST_MAX);
		number_range(o, out);
		break;
	case OPTION_STATUS_SET:
		buf_addlit(out, "codes and ranges within 200-399, e.g. 200-299,304");
		break;
	case OPTION_KEYS:
		buf_addf(out, "up to %d keys, separated by commas, each 8 to 256 visible ASCII characters",
		         CONFIG_LIST_MAX);
		break;
	case OPTION_SIGNING_KEYS:
		buf_addf(out, "up to %d keys, separated by spaces or commas, each whsec_ and base64",
		         CONFIG_LIST_MAX);
		break;
	case OPTION_MESSAGE_ID:
		buf_addlit(out, "json:/POINTER or header:NAME");
		break;
	case OPTION_ENUM: /* always has .allowed */
		break;
	}
}

/* The value is quoted only where it is unlikely to be a misplaced credential: numbers, words and the
 * like. */
static int refuse(const struct option *o, const char *text, size_t len, const char *what, struct error *err)
{
	struct buf line = BUF_INIT;
	int r;

	if (!o->secret && (!is_text(o) || o->allowed) && o->type != OPTION_KEYS) {
		size_t n = len;

		if (n > QUOTE_MAX)
			for (n = QUOTE_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
				;
		json_quote(&line, text, n);
		if (n < len)
			buf_addlit(&line, "...");
		buf_addch(&line, ' ');
	}
	buf_addstr(&line, what);
	r = error_set(err, ERR_INVALID, "%s", line.data);
	buf_release(&line);
	return r;
}

static bool pattern_valid(const char *text, size_t len)
{
	char *copy = xstrndup(text, len);
	regex_t compiled;
	bool valid = !regcomp(&compiled, copy, REG_EXTENDED | REG_NOSUB);

	if (valid)
		regfree(&compiled);
	free(copy);
	return valid;
}

static const char *text_fault(const struct option *o, const char *text, size_t len)
{
	if (o->max > 0 && len > (size_t)o->max)
		return "is too long";
	if (!utf8_valid(text, len))
		return "is not UTF-8";
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return "holds a control character";
	if (o->allowed && word_index(o, text, len) < 0)
		return "is not a known value";
	if (o->check == CHECK_HOST && !url_host_valid(text, len))
		return "is not a host";
	if (o->check == CHECK_HOST_OR_SOCKET && text[0] != '/' && !url_host_valid(text, len))
		return "is not a host";
	if (o->check == CHECK_TOKEN && !text_is_token(text, len, len))
		return "holds other than visible ASCII characters";
	if (o->check == CHECK_PATTERN && !pattern_valid(text, len))
		return "is not a POSIX extended regular expression";
	if (o->check == CHECK_HEADER_VALUE) {
		if (text[0] == ' ' || text[len - 1] == ' ')
			return "begins or ends with a space";
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)text[i] > 0x7e)
				return "holds other than visible ASCII characters";
	}
	return NULL;
}

static int parse_text(const struct option *o, struct config *cfg, const char *text, size_t len,
                      struct error *err)
{
	struct error why = ERROR_INIT;
	struct buf keys = BUF_INIT;
	const char *fault = NULL;
	struct url url;

	if (len == 0) {
		if (o->fallback[0])
			fault = "is empty";
	} else if (is_url(o)) {
		if (url_parse(text, len, url_kind(o), &url, &why) != OK)
			fault = why.text;
	} else if (o->type == OPTION_SIGNING_KEYS) {
		if (signing_keys_parse(text, len, &keys, &why) != OK)
			fault = why.text;
	} else if (o->type == OPTION_MESSAGE_ID) {
		if (message_id_check(text, len, &why) != OK)
			fault = why.text;
	} else {
		fault = text_fault(o, text, len);
	}
	if (fault) {
		buf_release(&keys);
		return refuse(o, text, len, fault, err);
	}
	option_release(o, cfg);
	*(char **)field(o, cfg) = keys.len > 0 ? buf_detach(&keys, NULL) : xstrndup(text, len);
	return OK;
}

static const char *range_fault(const struct option *o, int64_t v)
{
	return (o->zero && v == 0) || (v >= o->min && v <= o->max) ? NULL : "is out of range";
}

/* A bare number in the unit of the name, or any duration. */
static bool parse_duration(const char *text, size_t len, usec_t unit, usec_t *ret)
{
	int64_t n;

	if (unit > 0 && text_to_i64(text, len, 0, INT64_MAX / unit, &n)) {
		*ret = n * unit;
		return true;
	}
	return duration_parse(text, len, ret);
}

static const char *parse_number(const struct option *o, const char *text, size_t len, usec_t unit, int64_t *ret)
{
	const char *fault = NULL;
	int64_t v = 0;

	if (o->type == OPTION_INT) {
		if (!text_to_i64(text, len, INT64_MIN, INT64_MAX, &v))
			fault = "is not a whole number";
	} else if (o->type == OPTION_SIZE) {
		if (!size_parse(text, len, &v))
			fault = "is not a number of bytes (as 65536, 64KiB, 16MiB)";
	} else if (!parse_duration(text, len, unit, &v)) {
		fault = unit > 0 ? "is not a duration (a number, or as 500ms, 90s, 2m)"
		                 : "is not a duration (as 500ms, 90s, 2m)";
	}
	if (!fault)
		fault = range_fault(o, v);
	if (!fault)
		*ret = v;
	return fault;
}

int option_parse(const struct option *o, struct config *cfg, const char *text, size_t len, usec_t unit,
                 struct error *err)
{
	struct error why = ERROR_INIT;
	const char *fault = NULL;
	void *to = field(o, cfg);
	int64_t number;

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_HTTP_URL:
	case OPTION_DATABASE_URL:
	case OPTION_REDIS_URL:
	case OPTION_SIGNING_KEYS:
	case OPTION_MESSAGE_ID:
		return parse_text(o, cfg, text, len, err);
	case OPTION_INT:
	case OPTION_SIZE:
	case OPTION_DURATION:
		fault = parse_number(o, text, len, unit, &number);
		if (!fault)
			*(int64_t *)to = number;
		break;
	case OPTION_BOOL:
		if (!text_to_bool(text, len, to))
			fault = "is neither true nor false";
		break;
	case OPTION_ENUM: {
		int index = word_index(o, text, len);

		if (index < 0)
			fault = "is not a known value";
		else
			memcpy(to, &index, sizeof(index)); /* an enum without negative values */
		break;
	}
	case OPTION_DURATIONS:
		if (duration_list_parse(text, len, o->min, o->max, to, &why) != OK)
			fault = why.text;
		break;
	case OPTION_STATUS_SET:
		if (status_set_parse(text, len, 200, 399, to, &why) != OK)
			fault = why.text;
		break;
	case OPTION_KEYS: {
		struct config_list list = {0};

		if (len > 0 && api_keys_parse(text, len, &list, &why) != OK) {
			fault = why.text;
			break;
		}
		option_release(o, cfg);
		*(struct config_list *)to = list;
		break;
	}
	}
	return fault ? refuse(o, text, len, fault, err) : OK;
}

void option_format(const struct option *o, const struct config *cfg, struct buf *out)
{
	const void *from = field_const(o, cfg);
	char text[DURATION_TEXT];

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_HTTP_URL:
	case OPTION_DATABASE_URL:
	case OPTION_REDIS_URL:
	case OPTION_SIGNING_KEYS:
	case OPTION_MESSAGE_ID:
		buf_addstr(out, *(char *const *)from);
		break;
	case OPTION_INT:
		buf_addi64(out, *(const int64_t *)from);
		break;
	case OPTION_SIZE:
		size_format(*(const int64_t *)from, out);
		break;
	case OPTION_DURATION:
		buf_addstr(out, duration_format(*(const usec_t *)from, text));
		break;
	case OPTION_BOOL:
		buf_addstr(out, *(const bool *)from ? "true" : "false");
		break;
	case OPTION_ENUM: {
		int index;

		memcpy(&index, from, sizeof(index));
		word_at(o, index, out);
		break;
	}
	case OPTION_DURATIONS:
		duration_list_format(from, out);
		break;
	case OPTION_STATUS_SET:
		status_set_format(from, out);
		break;
	case OPTION_KEYS: {
		const struct config_list *list = from;

		for (size_t i = 0; i < list->n; i++) {
			if (i > 0)
				buf_addch(out, ',');
			buf_add(out, list->at[i].data, list->at[i].len);
		}
		break;
	}
	}
}

void option_show(const struct option *o, const struct config *cfg, struct buf *out)
{
	struct buf value = BUF_INIT;

	option_format(o, cfg, &value);
	if (value.len > 0 && o->secret)
		buf_addlit(out, OPTION_MASK);
	else if (value.len > 0 && is_url(o))
		url_redact(out, value.data, value.len);
	else
		buf_add(out, value.data, value.len);
	explicit_bzero(value.data, value.len);
	buf_release(&value);
}

void option_release(const struct option *o, struct config *cfg)
{
	if (o->type == OPTION_KEYS) {
		config_list_release(field(o, cfg));
	} else if (is_text(o)) {
		char **text = field(o, cfg);

		if (*text)
			explicit_bzero(*text, strlen(*text));
		free(*text);
		*text = NULL;
	}
}
