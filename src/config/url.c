#include "url.h"

#include <arpa/inet.h>
#include <string.h>

#include "text.h"

enum url_shape {
	SHAPE_AUTHORITY, /* scheme://[user[:password]@]host[:port][/path][?query] */
	SHAPE_HOSTS,     /* the same, with several hosts separated by commas */
	SHAPE_PATH,      /* scheme:PATH */
	SHAPE_BARE,      /* scheme: */
};

static const struct scheme {
	const char *name;
	enum url_kind kind;
	enum url_shape shape;
} schemes[] = {
	{"http", URL_HTTP, SHAPE_AUTHORITY},
	{"https", URL_HTTP, SHAPE_AUTHORITY},
	{"sqlite", URL_DATABASE, SHAPE_PATH},
	{"memory", URL_DATABASE, SHAPE_BARE},
	{"postgres", URL_DATABASE, SHAPE_HOSTS},
	{"postgresql", URL_DATABASE, SHAPE_HOSTS},
	{"mysql", URL_DATABASE, SHAPE_HOSTS},
	{"mariadb", URL_DATABASE, SHAPE_HOSTS},
	{"mongodb", URL_DATABASE, SHAPE_HOSTS},
	{"redis", URL_REDIS, SHAPE_AUTHORITY},
	{"rediss", URL_REDIS, SHAPE_AUTHORITY},
};

static const char *const allowed_schemes[] = {
	[URL_HTTP] = "http:// or https://",
	[URL_DATABASE] = "sqlite:PATH, postgres://, mysql://, mongodb://, http:// or memory:",
	[URL_REDIS] = "redis:// or rediss://",
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_unreserved(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

static bool among(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Only unreserved characters, sub-delimiters, those of `more`, and whole %XX escapes (not of NUL: no
 * consumer of ours could hold it). */
static bool chars_valid(const char *s, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++) {
		if (is_unreserved(s[i]) || among(s[i], "!$&'()*+,;=") || among(s[i], more))
			continue;
		if (s[i] != '%' || len - i < 3 || !is_hex(s[i + 1]) || !is_hex(s[i + 2]))
			return false;
		if (s[i + 1] == '0' && s[i + 2] == '0')
			return false;
		i += 2;
	}
	return true;
}

static bool ipv6_valid(const char *s, size_t len)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr ignored;

	if (len == 0 || len >= sizeof(text) || memchr(s, '\0', len))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &ignored) == 1;
}

static bool host_name_valid(const char *s, size_t len)
{
	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_unreserved(s[i]) || s[i] == '~')
			return false;
		if (s[i] == '.' && (i == 0 || s[i - 1] == '.'))
			return false;
	}
	return s[0] != '-';
}

bool url_host_valid(const char *s, size_t len)
{
	return host_name_valid(s, len) || ipv6_valid(s, len);
}

static struct url_part part(const char *from, const char *to)
{
	return (struct url_part){.s = from, .len = (size_t)(to - from)};
}

/* One host[:port]; encoded: the host may hold %XX (a socket directory of postgres). */
static int parse_host(const char *s, const char *end, bool encoded, struct url_part *ret_host, int *ret_port,
                      struct error *err)
{
	const char *host_end, *port_from = NULL;
	int64_t port = 0;

	if (s < end && *s == '[') {
		const char *close = memchr(s, ']', (size_t)(end - s));

		if (!close || !ipv6_valid(s + 1, (size_t)(close - s - 1)))
			return error_set(err, ERR_INVALID, "the host in brackets is not an IPv6 address");
		*ret_host = part(s + 1, close);
		host_end = close + 1;
		if (host_end < end && *host_end != ':')
			return error_set(err, ERR_INVALID, "unexpected characters behind the host");
	} else {
		const char *colon = memchr(s, ':', (size_t)(end - s));

		host_end = colon ? colon : end;
		*ret_host = part(s, host_end);
		if (ret_host->len == 0)
			return error_set(err, ERR_INVALID, "the host is missing");
		if (!host_name_valid(ret_host->s, ret_host->len) &&
		    !(encoded && memchr(ret_host->s, '%', ret_host->len) &&
		      chars_valid(ret_host->s, ret_host->len, "")))
			return error_set(err, ERR_INVALID, "the host is not a host name or an address");
	}
	if (host_end < end)
		port_from = host_end + 1;
	if (port_from && !(port_from < end && is_digit(*port_from) &&
	                   text_to_i64(port_from, (size_t)(end - port_from), 1, 65535, &port)))
		return error_set(err, ERR_INVALID, "the port is not a number from 1 to 65535");
	*ret_port = (int)port;
	return OK;
}

static int parse_hosts(const char *s, const char *end, bool several, struct url *u, struct error *err)
{
	do {
		const char *comma = several ? memchr(s, ',', (size_t)(end - s)) : NULL;
		const char *to = comma ? comma : end;
		struct url_part host;
		int port, r;

		r = parse_host(s, to, several, &host, &port, err);
		if (r != OK)
			return r;
		if (u->hosts++ == 0) {
			u->host = host;
			u->port = port;
		}
		s = comma ? comma + 1 : NULL;
	} while (s);
	return OK;
}

static int parse_authority(const char *s, const char *end, bool several, struct url *u, struct error *err)
{
	const char *at = memchr(s, '@', (size_t)(end - s));

	if (at) {
		const char *colon = memchr(s, ':', (size_t)(at - s));

		if (memchr(at + 1, '@', (size_t)(end - at - 1)))
			return error_set(err, ERR_INVALID, "more than one @ (write %%40 within a password)");
		if (!chars_valid(s, (size_t)(at - s), ":") ||
		    (colon && memchr(colon + 1, ':', (size_t)(at - colon - 1))))
			return error_set(err, ERR_INVALID,
			                 "characters in the user name or password must be percent-encoded");
		u->user = part(s, colon ? colon : at);
		if (colon)
			u->password = part(colon + 1, at);
		s = at + 1;
	}
	return parse_hosts(s, end, several, u, err);
}

static int parse_hierarchical(const char *s, const char *end, bool several, struct url *u, struct error *err)
{
	const char *query = memchr(s, '?', (size_t)(end - s));
	const char *path_end = query ? query : end;
	const char *slash = memchr(s, '/', (size_t)(path_end - s));
	const char *authority_end = slash ? slash : path_end;

	if (slash) {
		u->path = part(slash, path_end);
		if (!chars_valid(u->path.s, u->path.len, ":@/"))
			return error_set(err, ERR_INVALID, "characters in the path must be percent-encoded");
	}
	if (query) {
		u->query = part(query + 1, end);
		if (!chars_valid(u->query.s, u->query.len, ":@/?"))
			return error_set(err, ERR_INVALID, "characters in the query must be percent-encoded");
	}
	return parse_authority(s, authority_end, several, u, err);
}

static int parse_file_path(const char *s, const char *end, struct url *u, struct error *err)
{
	size_t len = (size_t)(end - s);

	if (len == 0)
		return error_set(err, ERR_INVALID, "the path behind sqlite: is missing");
	/* To some programs sqlite:///x is relative, to others absolute; and sqlite://x would be /x. */
	if (len >= 2 && s[0] == '/' && s[1] == '/')
		return error_set(err, ERR_INVALID, "write sqlite:PATH, without //");
	if (len == 8 && memcmp(s, ":memory:", 8) == 0)
		return error_set(err, ERR_INVALID, "for a store in memory write memory:");
	if (!utf8_valid(s, len))
		return error_set(err, ERR_INVALID, "the path is not UTF-8");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return error_set(err, ERR_INVALID, "the path holds a control character");
	u->path = part(s, end);
	return OK;
}

static const struct scheme *find_scheme(const char *s, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i].name) == len && strncasecmp(schemes[i].name, s, len) == 0)
			return &schemes[i];
	return NULL;
}

int url_parse(const char *text, size_t len, enum url_kind kind, struct url *ret, struct error *err)
{
	const char *end = text + len, *colon, *rest;
	const struct scheme *scheme;
	struct url u = {0};
	int r = OK;

	if (len > URL_MAX)
		return error_set(err, ERR_INVALID, "longer than %d bytes", URL_MAX);
	colon = memchr(text, ':', len);
	scheme = colon ? find_scheme(text, (size_t)(colon - text)) : NULL;
	/* The messages may be in another herald's database. */
	if (!scheme || (scheme->kind != kind && !(kind == URL_DATABASE && scheme->kind == URL_HTTP)))
		return error_set(err, ERR_INVALID, "does not begin with %s", allowed_schemes[kind]);
	u.scheme = part(text, colon);
	rest = colon + 1;

	switch (scheme->shape) {
	case SHAPE_AUTHORITY:
	case SHAPE_HOSTS:
		if (end - rest < 2 || rest[0] != '/' || rest[1] != '/')
			return error_set(err, ERR_INVALID, "%s: must be followed by //", scheme->name);
		if (memchr(rest, '#', (size_t)(end - rest)))
			return error_set(err, ERR_INVALID, "a fragment (#) has no meaning here");
		r = parse_hierarchical(rest + 2, end, scheme->shape == SHAPE_HOSTS, &u, err);
		break;
	case SHAPE_PATH:
		r = parse_file_path(rest, end, &u, err);
		break;
	case SHAPE_BARE:
		if (rest != end)
			r = error_set(err, ERR_INVALID, "nothing may follow memory:");
		break;
	}
	if (r == OK)
		*ret = u;
	return r;
}

void url_encode(struct buf *out, const char *s, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (is_unreserved(s[i])) {
			buf_addch(out, s[i]);
		} else {
			buf_addch(out, '%');
			buf_addch(out, digits[c >> 4]);
			buf_addch(out, digits[c & 15]);
		}
	}
}

static bool name_is_secret(const char *s, size_t len)
{
	static const char *const words[] = {"pass", "pwd", "secret", "token", "key", "auth", "sig"};

	for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
		size_t n = strlen(words[w]);

		for (size_t i = 0; i + n <= len; i++)
			if (strncasecmp(s + i, words[w], n) == 0)
				return true;
	}
	return false;
}

static void redact_query(struct buf *out, const char *s, size_t len)
{
	const char *end = s + len;

	for (;;) {
		const char *amp = memchr(s, '&', (size_t)(end - s));
		const char *to = amp ? amp : end;
		const char *eq = memchr(s, '=', (size_t)(to - s));

		/* A name with escapes may spell a secret one: it is treated as such. */
		if (eq && (name_is_secret(s, (size_t)(eq - s)) || memchr(s, '%', (size_t)(eq - s)))) {
			buf_add(out, s, (size_t)(eq - s) + 1);
			buf_addlit(out, URL_MASK);
		} else {
			buf_add(out, s, (size_t)(to - s));
		}
		if (!amp)
			return;
		buf_addch(out, '&');
		s = amp + 1;
	}
}

void url_redact(struct buf *out, const char *text, size_t len)
{
	const char *colon = len <= URL_MAX ? memchr(text, ':', len) : NULL;
	const struct scheme *scheme = colon ? find_scheme(text, (size_t)(colon - text)) : NULL;
	const char *s = text, *end = text + len;
	struct url u;

	if (!scheme) {
		buf_addlit(out, URL_MASK);
		return;
	}
	if (url_parse(text, len, scheme->kind, &u, NULL) != OK) {
		buf_addstr(out, scheme->name);
		buf_addlit(out, ":" URL_MASK);
		return;
	}
	if (u.password.s) {
		buf_add(out, s, (size_t)(u.password.s - s));
		buf_addlit(out, URL_MASK);
		s = u.password.s + u.password.len;
	} else if (u.user.s && scheme->kind == URL_HTTP) {
		buf_add(out, s, (size_t)(u.user.s - s));
		buf_addlit(out, URL_MASK);
		s = u.user.s + u.user.len;
	}
	if (u.query.s) {
		buf_add(out, s, (size_t)(u.query.s - s));
		redact_query(out, u.query.s, u.query.len);
	} else {
		buf_add(out, s, (size_t)(end - s));
	}
}
