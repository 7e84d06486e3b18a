/* The webhook client over TLS: it sends nothing to whom it cannot trust. */
#include "loopback.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

static SSL_CTX *server_context;
static char ca_file[64];

/* A self-signed certificate for `name`, as "IP:…" or "DNS:…"; its own authority in ca_file. */
static void make_certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_EXTENSION *san;
	X509V3_CTX v3;
	FILE *f;
	int fd;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)"herald test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509V3_set_ctx_nodb(&v3);
	X509V3_set_ctx(&v3, cert, cert, NULL, NULL, 0);
	san = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, name);
	assert_non_null(san);
	X509_add_ext(cert, san, -1);
	X509_EXTENSION_free(san);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);

	server_context = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(server_context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_context, key), 1);
	snprintf(ca_file, sizeof(ca_file), "/tmp/herald-ca-XXXXXX");
	fd = mkstemp(ca_file);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void drop_certificate(void)
{
	unlink(ca_file);
	SSL_CTX_free(server_context);
}

/* Reads one request whose body ends with its first closing brace. */
static bool hear_tls(struct conn *c, SSL *ssl)
{
	char chunk[4096];
	int n;

	buf_clear(&c->in);
	while (!memchr(c->in.data, '}', c->in.len)) {
		n = SSL_read(ssl, chunk, sizeof(chunk));
		if (n <= 0)
			return false;
		buf_add(&c->in, chunk, (size_t)n);
	}
	pthread_mutex_lock(&c->server->lock);
	c->server->keys_n++;
	pthread_mutex_unlock(&c->server->lock);
	return true;
}

/* Answers the first two requests of a connection, reads the third, and resets. */
static void behave_tls(struct conn *c)
{
	SSL *ssl = SSL_new(server_context);

	SSL_set_fd(ssl, c->fd);
	if (SSL_accept(ssl) == 1) {
		for (int i = 0; i < 2 && hear_tls(c, ssl); i++)
			SSL_write(ssl, OK_ANSWER, sizeof(OK_ANSWER) - 1);
		hear_tls(c, ssl);
		reset(c);
	}
	SSL_free(ssl);
}

static void open_tls(struct client *c, int port, const char *ca)
{
	struct transport_options o = default_options();
	char url[64];

	o.ca_file = ca;
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/hook", port);
	client_open_url(c, url, o);
}

static void refused(const char *name, bool trusted)
{
	struct server *s;
	struct client c;

	make_certificate(name);
	s = server_start(behave_tls);
	open_tls(&c, s->port, trusted ? ca_file : NULL);
	client_post(&c, "k");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	assert_string_not_equal(c.error, "-");
	client_close(&c);
	assert_int_equal(server_requests(s), 0);
	server_stop(s);
	drop_certificate();
}

static void test_unknown_authority(void **state)
{
	(void)state;
	refused("IP:127.0.0.1", false);
}

static void test_wrong_name(void **state)
{
	(void)state;
	refused("DNS:elsewhere.invalid", true);
}

static void test_no_tls_at_all(void **state)
{
	struct server *s = server_start(stall);
	struct transport_options o = default_options();
	struct client c;
	char url[64];

	(void)state;
	o.connect_timeout = 200 * USEC_PER_MSEC;
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", s->port);
	client_open_url(&c, url, o);
	client_post(&c, "k");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	client_close(&c);
	server_stop(s);
}

/* A client that trusts the server it has. */
static struct server *trusted(struct client *c)
{
	struct server *s;

	make_certificate("IP:127.0.0.1");
	s = server_start(behave_tls);
	open_tls(c, s->port, ca_file);
	return s;
}

static void end(struct server *s, struct client *c)
{
	client_close(c);
	server_stop(s);
	drop_certificate();
}

static void test_trusted(void **state)
{
	struct client c;
	struct server *s = trusted(&c);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		client_post(&c, "a");
		assert_int_equal(c.end, ATTEMPT_ANSWERED);
		assert_int_equal(c.status, 202);
		client_post(&c, "b");
		assert_int_equal(c.end, ATTEMPT_ANSWERED);
		assert_int_equal(server_conns(s), i + 1);
		/* No quiet resend here either. */
		client_post(&c, "c");
		assert_int_equal(c.end, ATTEMPT_BROKEN);
		assert_int_equal(server_requests(s), 3 * (i + 1));
	}
	end(s, &c);
}

/* Reading all of a system's takes 30 ms, in which the one thread does nothing else. */
static void test_authorities_are_not_read_for_each_connection(void **state)
{
	struct client c;
	struct server *s = trusted(&c);

	(void)state;
	client_post(&c, "a");
	assert_int_equal(c.status, 202);
	unlink(ca_file);
	client_post(&c, "b");
	client_post(&c, "the server ends this connection");
	client_post(&c, "a");
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(server_conns(s), 2);
	end(s, &c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_authority),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_no_tls_at_all),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_authorities_are_not_read_for_each_connection),
	};

	signal(SIGPIPE, SIG_IGN); /* OpenSSL's writes raise it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
