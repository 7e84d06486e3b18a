/*
 * mysql://USER:PASSWORD@HOST[:PORT][,HOST[:PORT]…]/DATABASE?PARAMETERS. Several hosts are the servers of one
 * cluster; they are tried in the order given, so that all nodes of herald meet at the same one.
 *
 * Parameters: ssl-mode (disabled, preferred, required, verify-ca, verify-identity), ssl-ca, ssl-capath, ssl-cert,
 * ssl-key, ssl-cipher, socket. The library cannot check a certificate without its name, so verify-ca does
 * the same as verify-identity.
 */
#include <strings.h>

#include "alloc.h"
#include "store_mysql.h"
#include "text.h"

#define HOSTS_MAX 16

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The text between the two with its %XX decoded; NULL when they are malformed. */
static char *decode(const char *s, const char *end)
{
	struct buf out = BUF_INIT;
	int high, low;

	for (; s < end; s++) {
		if (*s != '%') {
			buf_addch(&out, *s);
			continue;
		}
		high = end - s > 2 ? hex_value(s[1]) : -1;
		low = high >= 0 ? hex_value(s[2]) : -1;
		if (low < 0 || !(high + low)) {
			buf_release(&out);
			return NULL;
		}
		buf_addch(&out, (char)(high * 16 + low));
		s += 2;
	}
	return buf_detach(&out, NULL);
}

static int bad(struct error *err, const char *what)
{
	return error_set(err, ERR_CONFIG, "the database URL: %s", what);
}

static int take(char **ret, const char *s, const char *end, struct error *err)
{
	*ret = decode(s, end);
	return *ret ? OK : bad(err, "% must be followed by two hexadecimal digits");
}

static int parse_host(struct my_url *u, const char *s, const char *end, struct error *err)
{
	const char *name_end, *port;
	struct my_host *h;
	int64_t number = 3306;

	if (u->hosts_n == HOSTS_MAX)
		return bad(err, "too many hosts");
	if (s < end && *s == '[') {
		name_end = memchr(s, ']', (size_t)(end - s));
		if (!name_end || (name_end + 1 < end && name_end[1] != ':'))
			return bad(err, "the brackets around an IPv6 address");
		port = name_end + 1 < end ? name_end + 2 : NULL;
		s++;
	} else {
		name_end = memchr(s, ':', (size_t)(end - s));
		port = name_end ? name_end + 1 : NULL;
		name_end = name_end ? name_end : end;
	}
	if (s == name_end)
		return bad(err, "the host is missing");
	if (port && !text_to_i64(port, (size_t)(end - port), 1, 65535, &number))
		return bad(err, "the port is not a number from 1 to 65535");
	u->hosts = xreallocarray(u->hosts, u->hosts_n + 1, sizeof(*u->hosts));
	h = &u->hosts[u->hosts_n++];
	h->name = xstrndup(s, (size_t)(name_end - s));
	h->port = (unsigned)number;
	return OK;
}

static int parse_hosts(struct my_url *u, const char *s, const char *end, struct error *err)
{
	const char *comma;
	int rc;

	for (;;) {
		comma = memchr(s, ',', (size_t)(end - s));
		rc = parse_host(u, s, comma ? comma : end, err);
		if (rc || !comma)
			return rc;
		s = comma + 1;
	}
}

static int parse_mode(struct my_url *u, const char *mode, struct error *err)
{
	static const struct {
		const char *name;
		enum my_tls tls;
	} modes[] = {
		{"disabled", MY_TLS_DISABLED},    {"preferred", MY_TLS_PREFERRED},
		{"required", MY_TLS_REQUIRED},    {"verify-ca", MY_TLS_VERIFY},
		{"verify_ca", MY_TLS_VERIFY},     {"verify-identity", MY_TLS_VERIFY},
		{"verify_identity", MY_TLS_VERIFY},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcasecmp(mode, modes[i].name)) {
			u->tls = modes[i].tls;
			return OK;
		}
	}
	return bad(err, "ssl-mode is disabled, preferred, required, verify-ca or verify-identity");
}

static int parse_parameter(struct my_url *u, const char *name, char *value, bool *mode,
                           struct error *err)
{
	const struct {
		const char *name;
		char **to;
	} texts[] = {
		{"ssl-ca", &u->ca},   {"ssl-capath", &u->capath}, {"ssl-cert", &u->cert},
		{"ssl-key", &u->key}, {"ssl-cipher", &u->cipher}, {"socket", &u->socket},
	};
	size_t i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!strcmp(name, texts[i].name)) {
			free(*texts[i].to);
			*texts[i].to = value;
			return OK;
		}
	}
	*mode = !strcmp(name, "ssl-mode");
	rc = *mode ? parse_mode(u, value, err)
	           : error_set(err, ERR_CONFIG,
	                       "the database URL: there is no parameter %s; there are ssl-mode, ssl-ca, "
	                       "ssl-capath, ssl-cert, ssl-key, ssl-cipher and socket",
	                       name);
	free(value);
	return rc;
}

static int parse_query(struct my_url *u, const char *s, struct error *err)
{
	const char *end, *equals;
	bool mode = false, this_is;
	char *name, *value;
	int rc = OK;

	for (; !rc && *s; s = *end ? end + 1 : end) {
		end = s + strcspn(s, "&");
		equals = memchr(s, '=', (size_t)(end - s));
		if (!equals)
			return bad(err, "parameters have the form name=value");
		rc = take(&name, s, equals, err);
		if (rc)
			return rc;
		rc = take(&value, equals + 1, end, err);
		if (!rc) {
			this_is = false;
			rc = parse_parameter(u, name, value, &this_is, err);
			mode |= this_is;
		}
		free(name);
	}
	/* Who names an authority wants it to be asked. */
	if (!mode && (u->ca || u->capath))
		u->tls = MY_TLS_VERIFY;
	return rc;
}

static int parse(struct my_url *u, const char *s, struct error *err)
{
	const char *end, *at, *colon;
	int rc = OK;

	if (strncmp(s, "//", 2) != 0)
		return bad(err, "it has the form mysql://user:password@host:port/database");
	s += 2;
	end = s + strcspn(s, "/?");
	at = memrchr(s, '@', (size_t)(end - s));
	if (at) {
		colon = memchr(s, ':', (size_t)(at - s));
		rc = take(&u->user, s, colon ? colon : at, err);
		if (!rc && colon)
			rc = take(&u->password, colon + 1, at, err);
		s = at + 1;
	}
	if (rc || (rc = parse_hosts(u, s, end, err)))
		return rc;
	if (*end == '/') {
		s = end + 1;
		end = s + strcspn(s, "?");
		rc = take(&u->database, s, end, err);
	}
	if (!rc && (!u->database || !u->database[0]))
		return bad(err, "the name of the database is missing (mysql://host/DATABASE)");
	if (!rc && *end == '?')
		rc = parse_query(u, end + 1, err);
	return rc;
}

int my_url_parse(struct my_url *ret, const char *rest, struct error *err)
{
	struct my_url u = {.tls = MY_TLS_PREFERRED};
	int rc = parse(&u, rest, err);

	if (rc)
		my_url_release(&u);
	else
		*ret = u;
	return rc;
}

void my_url_release(struct my_url *u)
{
	size_t i;

	for (i = 0; i < u->hosts_n; i++)
		free(u->hosts[i].name);
	free(u->hosts);
	free(u->user);
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->password);
	free(u->database);
	free(u->socket);
	free(u->ca);
	free(u->capath);
	free(u->cert);
	free(u->key);
	free(u->cipher);
	*u = (struct my_url){.hosts_n = 0};
}
