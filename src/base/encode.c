#include "text.h"

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char alphabet_plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void hex_encode(const void *data, size_t len, char *out)
{
	const unsigned char *u = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = hex_lower[u[i] >> 4];
		*out++ = hex_lower[u[i] & 15];
	}
	*out = '\0';
}

static void encode64(struct buf *out, const void *data, size_t len, const char *alphabet, bool pad)
{
	const unsigned char *u = data;
	uint32_t bits;
	size_t i, rest, c;
	char four[4];

	buf_reserve(out, len / 3 * 4 + 4);
	for (i = 0; i < len; i += 3) {
		rest = MIN_OF(len - i, (size_t)3);
		bits = (uint32_t)u[i] << 16;
		if (rest > 1)
			bits |= (uint32_t)u[i + 1] << 8;
		if (rest > 2)
			bits |= u[i + 2];
		for (c = 0; c < 4; c++)
			four[c] = c <= rest ? alphabet[bits >> (18 - 6 * c) & 63] : '=';
		buf_add(out, four, pad ? 4 : rest + 1);
	}
}

/* The value of one digit, or -1. '+' and '/' belong to the plain alphabet, '-' and '_' to the url one. */
static int digit64(char c, const char *alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == alphabet[62])
		return 62;
	if (c == alphabet[63])
		return 63;
	return -1;
}

static bool decode64(struct buf *out, const char *text, size_t len, const char *alphabet)
{
	size_t before = out->len;
	uint32_t bits = 0;
	unsigned have = 0;
	int digit;

	if (len % 4 == 1)
		return false;
	buf_reserve(out, len / 4 * 3 + 3);
	for (size_t i = 0; i < len; i++) {
		digit = digit64(text[i], alphabet);
		if (digit < 0) {
			buf_truncate(out, before);
			return false;
		}
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_addch(out, (char)(bits >> have & 0xff));
		}
	}
	if (bits & ((1u << have) - 1)) {
		buf_truncate(out, before);
		return false;
	}
	return true;
}

void base64url_encode(struct buf *out, const void *data, size_t len)
{
	encode64(out, data, len, alphabet_url, false);
}

bool base64url_decode(struct buf *out, const char *text, size_t len)
{
	return decode64(out, text, len, alphabet_url);
}

void base64_encode(struct buf *out, const void *data, size_t len)
{
	encode64(out, data, len, alphabet_plain, true);
}

bool base64_decode(struct buf *out, const char *text, size_t len)
{
	size_t padding = 0;

	if (len % 4)
		return false;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	return decode64(out, text, len - padding, alphabet_plain);
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

void percent_encode(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is_unreserved(s[i])) {
			buf_addch(out, s[i]);
		} else {
			buf_addch(out, '%');
			buf_addch(out, hex_upper[(unsigned char)s[i] >> 4]);
			buf_addch(out, hex_upper[s[i] & 15]);
		}
	}
}
