#include "cache_redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"

struct redis_tls {
	SSL_CTX *ctx;
	BIO_METHOD *socket;
};

/*
 * OpenSSL's own socket BIO uses write(2), which raises SIGPIPE on a connection that the server has left;
 * a library cannot ask for that signal to be ignored. This one sends with MSG_NOSIGNAL.
 */
static int socket_write(BIO *b, const char *data, int len)
{
	ssize_t n = send((int)(intptr_t)BIO_get_data(b), data, (size_t)len, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)n;
}

static int socket_read(BIO *b, char *data, int len)
{
	ssize_t n = recv((int)(intptr_t)BIO_get_data(b), data, (size_t)len, 0);

	BIO_clear_retry_flags(b);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return (int)n;
}

static long socket_ctrl(BIO *b, int command, long number, void *pointer)
{
	(void)b;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static int last_error(struct error *err, int code, const char *what)
{
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return error_set(err, code, "%s: %s", what, reason ? reason : "no reason given");
}

int redis_tls_new(struct redis_tls **ret, struct error *err)
{
	struct redis_tls *t = xcalloc(1, sizeof(*t));

	ERR_clear_error();
	t->ctx = SSL_CTX_new(TLS_client_method());
	t->socket = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "herald socket");
	if (!t->ctx || !t->socket || !BIO_meth_set_write(t->socket, socket_write) ||
	    !BIO_meth_set_read(t->socket, socket_read) || !BIO_meth_set_ctrl(t->socket, socket_ctrl) ||
	    !SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) ||
	    !SSL_CTX_set_default_verify_paths(t->ctx)) {
		redis_tls_free(t);
		return last_error(err, ERR_CONFIG, "TLS cannot be set up");
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	*ret = t;
	return OK;
}

void redis_tls_free(struct redis_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->socket);
	free(t);
}

/* An address is compared with the certificate's addresses, a name with its names and sent as SNI. */
static int expect_host(SSL *ssl, const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host);
}

int redis_tls_session(SSL **ret, struct redis_tls *t, int fd, const char *host, struct error *err)
{
	SSL *ssl = SSL_new(t->ctx);
	BIO *bio = BIO_new(t->socket);

	ERR_clear_error();
	if (!ssl || !bio || !expect_host(ssl, host)) {
		SSL_free(ssl);
		BIO_free(bio);
		return last_error(err, ERR_TRANSIENT, "TLS session");
	}
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	*ret = ssl;
	return OK;
}

int redis_tls_error(struct error *err, const SSL *ssl)
{
	long verified = SSL_get_verify_result(ssl);

	if (verified == X509_V_OK)
		return last_error(err, ERR_TRANSIENT, "TLS");
	ERR_clear_error();
	return error_set(err, ERR_CONFIG, "TLS: the server's certificate is not accepted: %s",
	                 X509_verify_cert_error_string(verified));
}
