/*
 * TLS for connections to Redis, by OpenSSL: hiredis has it only since 1.0, and Debian 12 ships 0.14. The
 * server's certificate must be valid for the host's name or address and lead to an authority that this
 * machine trusts; SSL_CERT_FILE and SSL_CERT_DIR name others. TLS 1.2 and above.
 */
#ifndef HERALD_CACHE_REDIS_TLS_H
#define HERALD_CACHE_REDIS_TLS_H

#include <openssl/ssl.h>

#include "error.h"

struct redis_tls; /* thread-safe once made; outlives its sessions */

must_check int redis_tls_new(struct redis_tls **ret, struct error *err);
void redis_tls_free(struct redis_tls *t); /* NULL is fine */

/* A client session over the connected, non-blocking socket, which stays the caller's. The handshake is yet
 * to come (SSL_connect). The caller frees it with SSL_free. */
must_check int redis_tls_session(SSL **ret, struct redis_tls *t, int fd, const char *host,
                                 struct error *err);

/* Sets ERR_CONFIG for a certificate that was refused, else ERR_TRANSIENT, with OpenSSL's reason. */
int redis_tls_error(struct error *err, const SSL *ssl);

#endif
