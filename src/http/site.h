/*
 * Which sites may talk to this server through somebody's browser. A page of another site can make a browser send a
 * request here; it tells by Origin, Referer or Sec-Fetch-Site. And a name of another site can be made to point here
 * (DNS rebinding), so that its pages count as ours; the browser tells by Host. Pure; thread-safe. Foreign bytes come
 * in here.
 */
#ifndef HERALD_SITE_H
#define HERALD_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include "attr.h"
#include "error.h"

#define SITE_NAMES_MAX 32

struct site {
	char *names[SITE_NAMES_MAX];
	size_t n;
	char *own;
};

/* names: separated by commas, spaces around each ignored; own: SERVER_HOST; both may be "".
 * ERR_CONFIG: not a host name (without a port), or too many. */
must_check int site_init(struct site *s, const char *names, const char *own, struct error *err);
void site_release(struct site *s);

/*
 * Whether `host` (a Host header: name or address, perhaps with a port) can only mean this server. Addresses do; so do
 * names without a dot and those below localhost, which no stranger can have; so do our own and those of the list.
 * loopback: the server listens on a loopback address, where another name is not to be expected; elsewhere it is good
 * enough as long as there is no list.
 */
bool site_host_allowed(const struct site *s, const char *host, bool loopback);

/* Whether the page of `url` (an Origin or Referer header) is one of the server that was asked for as `host`: the same host
 * and port, or, behind a proxy that changes Host, a name of the list. The scheme may differ, for TLS ends at
 * proxies. */
bool site_is_own(const struct site *s, const char *url, const char *host);

#endif
