/*
 * A small strict URL checker (RFC 3986 without fragments), for the URLs that an operator configures.
 * Strict, since a URL that two parsers read differently sends messages or credentials to the wrong
 * place. Pure; thread-safe.
 */
#ifndef HERALD_URL_H
#define HERALD_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "error.h"

#define URL_MAX 2048

/* A part of the parsed text, not NUL-terminated, not decoded. s is NULL when the part is absent. */
struct url_part {
	const char *s;
	size_t len;
};

struct url {
	struct url_part scheme;   /* as written; compare without case */
	struct url_part user;     /* before ':' in the user information */
	struct url_part password; /* behind it */
	struct url_part host;     /* the first one; an IPv6 address without its brackets */
	int port;                 /* of the first host; 0 when not given */
	size_t hosts;             /* more than 1 only for postgres, mysql and mongodb */
	struct url_part path;     /* from its '/', or, for sqlite:, the file's path, raw */
	struct url_part query;    /* behind '?' */
};

enum url_kind { URL_HTTP, URL_DATABASE, URL_REDIS };

/*
 * Checks the text and its scheme: URL_HTTP takes http and https; URL_DATABASE these and sqlite, memory, postgres,
 * postgresql, mysql, mariadb and mongodb; URL_REDIS redis and rediss. OK, or ERR_INVALID with a text that does
 * not quote the URL (it may hold a password). The parts point into text.
 */
must_check int url_parse(const char *text, size_t len, enum url_kind kind, struct url *ret,
                         struct error *err);

/* A host name, an IPv4 address or an IPv6 address without brackets. */
must_check bool url_host_valid(const char *s, size_t len);

/* Percent-encodes everything but RFC 3986 unreserved characters; fit for any part of a URL. */
void url_encode(struct buf *out, const char *s, size_t len);

#define URL_MASK "********"

/*
 * Appends the URL with every credential replaced by URL_MASK: passwords, a user name that stands alone
 * (a token) in http, and query values whose name speaks of a password, secret, token, key or signature.
 * Works on any bytes: of what does not parse, it shows the scheme and nothing else.
 */
void url_redact(struct buf *out, const char *text, size_t len);

#endif
