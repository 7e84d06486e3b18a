/*
 * Byte helpers on foreign bytes. Base64 that is accepted has one spelling only; the functions that know
 * UTF-8 agree with each other; a quoted string is valid UTF-8 without a bare control, whatever went in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_base64(const char *text, size_t size)
{
	struct buf plain = BUF_INIT, again = BUF_INIT;

	if (base64_decode(&plain, text, size)) {
		base64_encode(&again, plain.data, plain.len);
		require(again.len == size && memcmp(again.data, text, size) == 0);
	} else {
		require(plain.len == 0);
	}
	buf_clear(&plain);
	buf_clear(&again);
	if (base64url_decode(&plain, text, size)) {
		base64url_encode(&again, plain.data, plain.len);
		require(again.len == size && memcmp(again.data, text, size) == 0);
	} else {
		require(plain.len == 0);
	}

	/* And any bytes survive the way there and back. */
	buf_clear(&plain);
	buf_clear(&again);
	base64_encode(&again, text, size);
	require(base64_decode(&plain, again.data, again.len));
	require(plain.len == size && memcmp(plain.data, text, size) == 0);
	buf_release(&plain);
	buf_release(&again);
}

static void check_utf8(const char *text, size_t size)
{
	bool valid = utf8_valid(text, size);
	size_t points = 0, at = 0, n;

	while (at < size) {
		n = utf8_sequence(text + at, size - at);
		if (n == 0)
			break;
		require(utf8_valid(text + at, n));
		at += n;
		points++;
	}
	require(valid == (at == size));
	if (!valid)
		return;
	require(utf8_length(text, size) == points);
	n = utf8_prefix(text, size, points / 2);
	require(utf8_valid(text, n) && utf8_length(text, n) == points / 2);
	require(utf8_prefix(text, size, points) == size);
}

static void check_quote(const char *text, size_t size)
{
	struct buf out = BUF_INIT;

	json_quote(&out, text, size);
	require(out.len >= size + 2 && out.data[0] == '"' && out.data[out.len - 1] == '"');
	require(utf8_valid(out.data, out.len));
	for (size_t i = 1; i < out.len - 1; i++) {
		require((unsigned char)out.data[i] >= 0x20 && out.data[i] != '"');
		if (out.data[i] == '\\')
			i++;
	}
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct buf out = BUF_INIT;
	int64_t i;
	double d;
	bool b;

	check_base64(text, size);
	check_utf8(text, size);
	check_quote(text, size);
	if (text_to_i64(text, size, -1000, 1000, &i))
		require(i >= -1000 && i <= 1000);
	if (text_to_double(text, size, 0, 1, &d))
		require(d >= 0 && d <= 1);
	if (text_to_bool(text, size, &b))
		require(size <= 5);
	percent_encode(&out, text, size);
	require(strlen(out.data) == out.len);
	buf_release(&out);
	return 0;
}
