/*
 * Any bytes as a URL: the parts lie within the text, any bytes can be encoded into a password, and what is
 * shown of a URL holds neither its password nor, for http, a lone user name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct url_part part, const char *text, size_t len)
{
	if (part.s && (part.s < text || part.len > len || part.s + part.len > text + len))
		abort();
}

/* The mask may show up anywhere; what is hidden may be so short that it occurs elsewhere by chance. */
static void check_redacted(const char *text, size_t len, const struct url *u, enum url_kind kind)
{
	struct url_part hidden = u->password;
	struct buf shown = BUF_INIT;
	size_t before, after;

	if (!hidden.s && kind == URL_HTTP)
		hidden = u->user;
	url_redact(&shown, text, len);
	if (hidden.s) {
		/* Everything around it is kept (but for secret parts of the query), itself is the mask. */
		before = (size_t)(hidden.s - text);
		if (shown.len < before + 8 || memcmp(shown.data, text, before) != 0 ||
		    memcmp(shown.data + before, "********", 8) != 0)
			abort();
		after = before + 8;
		if (shown.data[after] != '@')
			abort();
	}
	buf_release(&shown);
}

static void check_encoding(const char *text, size_t len)
{
	struct buf out = BUF_INIT;
	struct url u;
	size_t encoded;

	buf_addstr(&out, "http://u:");
	url_encode(&out, text, len);
	encoded = out.len - 9;
	buf_addstr(&out, "@h/");
	if (out.len <= URL_MAX && !memchr(text, '\0', len) &&
	    (url_parse(out.data, out.len, URL_HTTP, &u, NULL) != OK || u.password.len != encoded ||
	     u.host.len != 1))
		abort();
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1); /* exact bounds: one byte beyond is not ours to read */
	struct buf out = BUF_INIT;

	memcpy(text, data, size);
	text = xrealloc(text, size ? size : 1);
	for (int kind = URL_HTTP; kind <= URL_REDIS; kind++) {
		struct url u;

		if (url_parse(text, size, (enum url_kind)kind, &u, NULL) != OK)
			continue;
		check_within(u.scheme, text, size);
		check_within(u.user, text, size);
		check_within(u.password, text, size);
		check_within(u.host, text, size);
		check_within(u.path, text, size);
		check_within(u.query, text, size);
		if (u.port < 0 || u.port > 65535 || (u.hosts > 0 && u.host.len == 0))
			abort();
		check_redacted(text, size, &u, (enum url_kind)kind);
	}
	url_redact(&out, text, size);
	check_encoding(text, size);
	buf_release(&out);
	free(text);
	return 0;
}
