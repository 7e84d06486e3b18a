/* The URL is split by the same strict checker that config uses, so that both read one and the same host
 * and password in it. */
#include "cache_redis_address.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "text.h"
#include "url.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return (c | 0x20) - 'a' + 10;
}

/* url_parse() has made sure that escapes are whole and that none is a NUL. */
static char *decode(struct url_part p)
{
	char *text = xmalloc(p.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < p.len; i++) {
		if (p.s[i] == '%') {
			text[n++] = (char)(hex_digit(p.s[i + 1]) << 4 | hex_digit(p.s[i + 2]));
			i += 2;
		} else {
			text[n++] = p.s[i];
		}
	}
	text[n] = '\0';
	return text;
}

int redis_address_parse(struct redis_address *ret, const char *url, struct error *err)
{
	struct error why = ERROR_INIT;
	int64_t db = 0;
	struct url u;

	if (url_parse(url, strlen(url), URL_REDIS, &u, &why))
		return error_set(err, ERR_CONFIG, "the cache's URL: %s", why.text);
	if (u.query.s)
		return error_set(err, ERR_CONFIG, "the cache's URL: redis takes no options behind a ?");
	if (u.user.s && !u.password.s)
		return error_set(err, ERR_CONFIG,
		                 "the cache's URL: a user without a password (for a password alone, "
		                 "write a colon before it)");
	if (u.path.len > 1 && !text_to_i64(u.path.s + 1, u.path.len - 1, 0, REDIS_DB_MAX, &db))
		return error_set(err, ERR_CONFIG,
		                 "the cache's URL: the path is not the number of a database, 0 to %d",
		                 REDIS_DB_MAX);

	*ret = (struct redis_address){
		.host = xstrndup(u.host.s, u.host.len),
		.user = u.user.len ? decode(u.user) : NULL,
		.password = u.password.len ? decode(u.password) : NULL,
		.port = u.port ? u.port : REDIS_PORT,
		.db = (int)db,
		.tls = u.scheme.len == strlen("rediss"),
	};
	if (strchr(ret->host, ':'))
		ret->shown = xasprintf("[%s]:%d/%d", ret->host, ret->port, ret->db);
	else
		ret->shown = xasprintf("%s:%d/%d", ret->host, ret->port, ret->db);
	return OK;
}

void redis_address_release(struct redis_address *a)
{
	free(a->host);
	free(a->user);
	free(a->password);
	free(a->shown);
	*a = (struct redis_address){0};
}
