/* The small value parsers: what they accept, written in its canonical form, reads back as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_status_set(const char *text, size_t len, struct buf *out)
{
	struct status_set a, b;

	if (status_set_parse(text, len, 200, 399, &a, NULL) != OK)
		return;
	for (int code = -1; code <= 640; code++)
		if (status_set_has(&a, code) && (code < 200 || code > 399))
			abort();
	status_set_format(&a, out);
	if (status_set_parse(out->data, out->len, 200, 399, &b, NULL) != OK ||
	    memcmp(&a, &b, sizeof(a)) != 0)
		abort();
}

static void check_durations(const char *text, size_t len, struct buf *out)
{
	struct duration_list a, b;

	if (duration_list_parse(text, len, 0, 10 * USEC_PER_HOUR, &a, NULL) != OK)
		return;
	if (a.n < 1 || a.n > DURATION_LIST_MAX)
		abort();
	duration_list_format(&a, out);
	if (duration_list_parse(out->data, out->len, 0, 10 * USEC_PER_HOUR, &b, NULL) != OK || a.n != b.n)
		abort();
	for (size_t i = 0; i < a.n; i++)
		if (a.at[i] != b.at[i] || a.at[i] < 0 || a.at[i] > 10 * USEC_PER_HOUR)
			abort();
}

static void check_keys(const char *text, size_t len, struct buf *out)
{
	struct config_list keys;
	struct buf again = BUF_INIT;

	if (api_keys_parse(text, len, &keys, NULL) == OK) {
		for (size_t i = 0; i < keys.n; i++)
			if (keys.at[i].len < 8 || strlen(keys.at[i].data) != keys.at[i].len)
				abort();
		config_list_release(&keys);
	}
	if (signing_keys_parse(text, len, out, NULL) == OK &&
	    (signing_keys_parse(out->data, out->len, &again, NULL) != OK || again.len != out->len ||
	     memcmp(again.data, out->data, out->len) != 0))
		abort();
	buf_release(&again);
}

static void check_size(const char *text, size_t len, struct buf *out)
{
	int64_t a, b;

	if (!size_parse(text, len, &a))
		return;
	size_format(a, out);
	if (a < 0 || !size_parse(out->data, out->len, &b) || a != b)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size ? size : 1); /* exact bounds */
	struct buf out = BUF_INIT;

	memcpy(text, data, size);
	check_status_set(text, size, &out);
	buf_clear(&out);
	check_durations(text, size, &out);
	buf_clear(&out);
	check_keys(text, size, &out);
	buf_clear(&out);
	check_size(text, size, &out);
	(void)message_id_check(text, size, NULL);
	buf_release(&out);
	free(text);
	return 0;
}
