#include "site.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "text.h"

#define HOST_MAX 253

static bool is_name(const char *s, size_t len)
{
	if (!len || len > HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-._", s[i]))
			return false;
	return true;
}

static bool has(const struct site *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n; i++)
		if (strlen(s->names[i]) == len && strncasecmp(s->names[i], name, len) == 0)
			return true;
	return false;
}

static int add(struct site *s, const char *name, size_t len, struct error *err)
{
	if (!is_name(name, len))
		return error_set(err, ERR_CONFIG, "SERVER_ALLOWED_HOSTS: %.*s is no host name",
		                 (int)MIN_OF(len, 300), name);
	if (has(s, name, len))
		return OK;
	if (s->n == SITE_NAMES_MAX)
		return error_set(err, ERR_CONFIG, "SERVER_ALLOWED_HOSTS: more than %d names", SITE_NAMES_MAX);
	s->names[s->n++] = xstrndup(name, len);
	return OK;
}

int site_init(struct site *s, const char *names, const char *own, struct error *err)
{
	const char *at = names;
	int code = OK;

	*s = (struct site){.n = 0};
	while (code == OK && *at) {
		const char *start = at + strspn(at, " \t");
		size_t len = strcspn(start, ",");
		const char *next = start + len;

		while (len && (start[len - 1] == ' ' || start[len - 1] == '\t'))
			len--;
		if (len)
			code = add(s, start, len, err);
		at = *next ? next + 1 : next;
	}
	s->own = xstrdup(own);
	if (code != OK)
		site_release(s);
	return code;
}

void site_release(struct site *s)
{
	while (s->n)
		free(s->names[--s->n]);
	free(s->own);
	s->own = NULL;
}

/* The length of the name or address in "name:port"; brackets included. 0: it is neither. */
static size_t host_length(const char *host)
{
	const size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	const char *port = host + MIN_OF(len, strlen(host));
	int64_t n;

	if (!*port)
		return len <= strlen(host) ? len : 0;
	if (*port != ':' || !text_to_i64(port + 1, strlen(port + 1), 0, 65535, &n))
		return 0;
	return len;
}

static bool is_address(const char *host, size_t len)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	const bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';

	if (brackets) {
		host++;
		len -= 2;
	}
	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	return inet_pton(brackets ? AF_INET6 : AF_INET, text, bytes) == 1;
}

static bool is_local_name(const char *host, size_t len)
{
	static const char local[] = ".localhost";
	const size_t local_len = sizeof(local) - 1;

	return !memchr(host, '.', len) ||
	       (len > local_len && strncasecmp(host + len - local_len, local, local_len) == 0);
}

bool site_host_allowed(const struct site *s, const char *host, bool loopback)
{
	const size_t len = host_length(host);

	if (is_address(host, len))
		return true;
	if (!is_name(host, len))
		return false;
	return is_local_name(host, len) || has(s, host, len) || (!loopback && !s->n) ||
	       (strlen(s->own) == len && strncasecmp(s->own, host, len) == 0);
}

bool site_is_own(const struct site *s, const char *url, const char *host)
{
	const char *start = strstr(url, "://");
	char authority[HOST_MAX + sizeof(":65535")];
	size_t len;

	if (!start)
		return false; /* "null": a sandbox, a file */
	start += 3;
	len = strcspn(start, "/?#");
	if (len >= sizeof(authority))
		return false;
	memcpy(authority, start, len);
	authority[len] = '\0';
	if (strcasecmp(authority, host) == 0)
		return true;
	len = host_length(authority);
	return is_name(authority, len) && has(s, authority, len);
}
