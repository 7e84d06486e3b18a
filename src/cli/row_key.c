#include "row_key.h"

#include <endian.h>
#include <string.h>

#include "text.h"

void row_key_prefix(struct buf *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t begin = out->len;

	for (; *name; name++) {
		if (*name > 0x20 && *name < 0x7f)
			buf_addch(out, *name);
		else
			buf_addf(out, "%%%02X", (unsigned char)*name);
	}
	if (out->len - begin > ROW_KEY_PREFIX_MAX)
		buf_truncate(out, begin + ROW_KEY_PREFIX_MAX);
}

static void put_hex(char *out, uint64_t v, int digits)
{
	for (; digits; digits--, v >>= 4)
		out[digits - 1] = "0123456789abcdef"[v & 15];
}

void row_key_tail(const struct row *row, char out[ROW_KEY_TAIL + 1])
{
	/* The moment and not its spelling: 09:00Z and 10:00+01:00 are the same message. */
	uint64_t h, at = htole64((uint64_t)row->send_at_time);

	h = hash_bytes(row->phone.s, row->phone.len, 0);
	h = hash_bytes(row->content.s, row->content.len, h);
	h = hash_bytes(&at, sizeof(at), h);
	h = hash_bytes(row->metadata.s, row->metadata.len, h);
	out[0] = ':';
	put_hex(out + 1, row->line, 10);
	out[11] = ':';
	put_hex(out + 12, h, 16);
	out[ROW_KEY_TAIL] = '\0';
}
