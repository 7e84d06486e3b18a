#include "headers.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

void headers_new_correlation_id(char out[CORRELATION_MAX + 1])
{
	/* A UUID of version 4: a name, not a secret, hence the fast generator. */
	static const char hex[] = "0123456789abcdef";
	uint64_t high = (random_u64() & ~UINT64_C(0xf000)) | 0x4000;
	uint64_t low = (random_u64() & ~(UINT64_C(3) << 62)) | UINT64_C(1) << 63;
	char *at = out;

	for (int i = 0; i < 32; i++) {
		uint64_t half = i < 16 ? high : low;

		if (i == 8 || i == 12 || i == 16 || i == 20)
			*at++ = '-';
		*at++ = hex[half >> (60 - 4 * (i % 16)) & 15];
	}
	*at = '\0';
}

static bool name_is(const char *name, size_t len, const char *wanted, size_t wanted_len)
{
	return len == wanted_len && strncasecmp(name, wanted, len) == 0;
}
#define NAME_IS(wanted) name_is(name, name_len, wanted, sizeof(wanted) - 1)

static void take_content_length(struct headers *h, const char *value, size_t len)
{
	int64_t n = 0;

	/* Two lengths, even equal ones, are how requests are smuggled past a proxy. */
	if (h->has_content_length || !text_to_i64(value, len, 0, INT64_MAX, &n) || value[0] == '-')
		h->malformed = true;
	h->has_content_length = true;
	h->content_length = (uint64_t)n;
}

static void take_encoding(struct headers *h, const char *value, size_t len)
{
	if (h->chunked || !name_is(value, len, "chunked", 7))
		h->malformed = true;
	h->chunked = true;
}

static void take_idempotency_key(struct request_headers *keep, const char *value, size_t len)
{
	if (keep->has_idempotency_key || !text_is_token(value, len, MESSAGE_KEY_MAX)) {
		keep->bad_idempotency_key = true;
	} else {
		memcpy(keep->idempotency_key, value, len);
		keep->idempotency_key[len] = '\0';
	}
	keep->has_idempotency_key = true;
}

/* RFC 9110 section 5.6.2 */
static bool is_name(const char *s, size_t len)
{
	static const char other[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < len; i++) {
		const char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(other, c))))
			return false;
	}
	return len > 0;
}

static bool is_value(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

void headers_take(struct headers *h, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct request_headers *keep = h->keep;

	h->count++;
	h->bytes += name_len + value_len + 4;
	h->malformed |= !is_name(name, name_len) || !is_value(value, value_len);
	if (NAME_IS("x-ins-auth-key")) {
		h->api_key = value;
	} else if (NAME_IS("authorization")) {
		h->authorization = value;
	} else if (NAME_IS("content-type")) {
		h->content_type = value;
	} else if (NAME_IS("content-length")) {
		take_content_length(h, value, value_len);
	} else if (NAME_IS("transfer-encoding")) {
		take_encoding(h, value, value_len);
	} else if (NAME_IS("idempotency-key")) {
		take_idempotency_key(keep, value, value_len);
	} else if (NAME_IS("host")) {
		h->hosts++;
		h->host = value;
	} else if (NAME_IS("origin")) {
		h->origin = value;
	} else if (NAME_IS("referer")) {
		h->referer = value;
	} else if (NAME_IS("sec-fetch-site")) {
		h->fetch_site = value;
	} else if (NAME_IS("expect")) {
		h->expects_continue = true;
	} else if (NAME_IS("accept-encoding")) {
		h->encodings = true;
		keep->takes_gzip |= strcasestr(value, "gzip") != NULL;
	} else if (NAME_IS("if-none-match")) {
		value_len = MIN_OF(value_len, (size_t)IF_NONE_MATCH_MAX);
		memcpy(keep->if_none_match, value, value_len);
		keep->if_none_match[value_len] = '\0';
	} else if (NAME_IS("last-event-id")) {
		value_len = MIN_OF(value_len, (size_t)LAST_EVENT_ID_MAX);
		memcpy(keep->last_event_id, value, value_len);
		keep->last_event_id[value_len] = '\0';
	} else if (NAME_IS("prefer")) {
		keep->return_minimal |= strcasestr(value, "return=minimal") != NULL;
	} else if (NAME_IS("x-correlation-id")) {
		if (text_is_token(value, value_len, CORRELATION_MAX))
			memcpy(keep->correlation_id, value, value_len + 1);
	}
}

static enum MHD_Result take(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
                            const char *value, size_t value_len)
{
	(void)kind;
	headers_take(cls, name, name_len, value ? value : "", value ? value_len : 0);
	return MHD_YES;
}

void headers_read(struct MHD_Connection *mhd, const char *version, struct headers *ret,
                  struct request_headers *keep)
{
	*ret = (struct headers){.keep = keep};
	MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, take, ret);
	if (!*keep->correlation_id)
		headers_new_correlation_id(keep->correlation_id);
	keep->takes_gzip |= !ret->encodings;
	ret->malformed |= ret->chunked && ret->has_content_length;
	ret->malformed |= ret->hosts > 1 || (!ret->hosts && strcmp(version, "HTTP/1.0") != 0);
	ret->has_body = ret->chunked || ret->content_length > 0 || ret->malformed;
}

static const char *skip_blank(const char *s)
{
	return s + strspn(s, " \t");
}

bool media_type_json(const char *text, bool lines, bool *ret_lines)
{
	static const char json[] = "application/json", ndjson[] = "application/x-ndjson";

	if (!text)
		return false;
	if (lines && strncasecmp(text, ndjson, sizeof(ndjson) - 1) == 0) {
		*ret_lines = true;
		text += sizeof(ndjson) - 1;
	} else if (strncasecmp(text, json, sizeof(json) - 1) == 0) {
		text += sizeof(json) - 1;
	} else {
		return false;
	}
	text = skip_blank(text);
	if (!*text)
		return true;
	if (*text != ';')
		return false;
	text = skip_blank(text + 1);
	if (strncasecmp(text, "charset=", 8) != 0)
		return false;
	text += 8;
	if (strncasecmp(text, "\"utf-8\"", 7) == 0)
		text += 7;
	else if (strncasecmp(text, "utf-8", 5) == 0)
		text += 5;
	else
		return false;
	return *skip_blank(text) == '\0';
}
