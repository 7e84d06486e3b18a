/* The URL checker: what it takes apart, what it refuses, what it hides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "url.h"

static int parse(const char *text, enum url_kind kind, struct url *ret)
{
	return url_parse(text, strlen(text), kind, ret, NULL);
}

static void assert_part(struct url_part part, const char *expected)
{
	if (!expected) {
		assert_null(part.s);
		return;
	}
	assert_non_null(part.s);
	assert_int_equal(part.len, strlen(expected));
	assert_memory_equal(part.s, expected, part.len);
}

static void test_parts(void **state)
{
	struct url u;

	(void)state;
	assert_int_equal(parse("https://me:p%40ss@sms.example.com:8443/a/b?x=1&y=/?", URL_HTTP, &u), OK);
	assert_part(u.scheme, "https");
	assert_part(u.user, "me");
	assert_part(u.password, "p%40ss");
	assert_part(u.host, "sms.example.com");
	assert_int_equal(u.port, 8443);
	assert_int_equal(u.hosts, 1);
	assert_part(u.path, "/a/b");
	assert_part(u.query, "x=1&y=/?");

	assert_int_equal(parse("HTTP://[::1]", URL_HTTP, &u), OK);
	assert_part(u.host, "::1");
	assert_int_equal(u.port, 0);
	assert_part(u.user, NULL);
	assert_part(u.path, NULL);
	assert_part(u.query, NULL);

	assert_int_equal(parse("http://h?q", URL_HTTP, &u), OK);
	assert_part(u.host, "h");
	assert_part(u.query, "q");

	assert_int_equal(parse("redis://:secret@cache:6380/2", URL_REDIS, &u), OK);
	assert_part(u.user, "");
	assert_part(u.password, "secret");

	assert_int_equal(parse("mongodb://a:1,b:2,[::1]:3/db?replicaSet=rs", URL_DATABASE, &u), OK);
	assert_int_equal(u.hosts, 3);
	assert_part(u.host, "a");
	assert_int_equal(u.port, 1);

	assert_int_equal(parse("postgres://%2Frun%2Fpostgresql/db", URL_DATABASE, &u), OK);
	assert_part(u.host, "%2Frun%2Fpostgresql");

	assert_int_equal(parse("mysql://u:p@a:3307,b/db?ssl-mode=required", URL_DATABASE, &u), OK);
	assert_part(u.host, "a");
	assert_int_equal(u.port, 3307);
	assert_int_equal(u.hosts, 2);
	assert_int_equal(parse("mariadb://a/db", URL_DATABASE, &u), OK);

	assert_int_equal(parse("sqlite:/var/lib/a b#?.db", URL_DATABASE, &u), OK);
	assert_part(u.path, "/var/lib/a b#?.db");
	assert_int_equal(u.hosts, 0);
	assert_int_equal(parse("memory:", URL_DATABASE, &u), OK);
}

static void test_refused(void **state)
{
	static const struct {
		enum url_kind kind;
		const char *text;
	} bad[] = {
		{URL_HTTP, ""},
		{URL_HTTP, "example.com"},
		{URL_HTTP, "//example.com"},
		{URL_HTTP, "ftp://example.com"},
		{URL_HTTP, "redis://example.com"},
		{URL_HTTP, "http:/example.com"},
		{URL_HTTP, "http:example.com"},
		{URL_HTTP, "http://"},
		{URL_HTTP, "http:///path"},
		{URL_HTTP, "http://:80/"},
		{URL_HTTP, "http://h:/"},
		{URL_HTTP, "http://h:0/"},
		{URL_HTTP, "http://h:65536/"},
		{URL_HTTP, "http://h:-1/"},
		{URL_HTTP, "http://h:8o/"},
		{URL_HTTP, "http://a b/"},
		{URL_HTTP, "http://a..b/"},
		{URL_HTTP, "http://.a/"},
		{URL_HTTP, "http://-a/"},
		{URL_HTTP, "http://a,b/"},
		{URL_HTTP, "http://a%41/"},
		{URL_HTTP, "http://b\xc3\xbc" "cher.example/"},
		{URL_HTTP, "http://[::1/"},
		{URL_HTTP, "http://[1.2.3.4]/"},
		{URL_HTTP, "http://[::1]x/"},
		{URL_HTTP, "http://::1/"},
		{URL_HTTP, "http://u@v@h/"},
		{URL_HTTP, "http://u:p:q@h/"},
		{URL_HTTP, "http://h/#frag"},
		{URL_HTTP, "http://h/a b"},
		{URL_HTTP, "http://h/%"},
		{URL_HTTP, "http://h/%4"},
		{URL_HTTP, "http://h/%zz"},
		{URL_HTTP, "http://h/%00"},
		{URL_HTTP, "http://h/?q=\n"},
		{URL_HTTP, "http://h/\\"},
		{URL_HTTP, "http://good.example\\@evil.example/"},
		{URL_DATABASE, "sqlite:"},
		{URL_DATABASE, "sqlite://herald.db"},
		{URL_DATABASE, "sqlite:///herald.db"},
		{URL_DATABASE, "sqlite::memory:"},
		{URL_DATABASE, "sqlite:a\nb"},
		{URL_DATABASE, "sqlite:\xff"},
		{URL_DATABASE, "memory:x"},
		{URL_DATABASE, "mysql://a,/db"},
		{URL_DATABASE, "mongodb://a,/db"},
		{URL_DATABASE, "herald.db"},
		{URL_REDIS, "http://h"},
	};
	struct url u = {.port = 77};
	struct error err;
	char text[URL_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (url_parse(bad[i].text, strlen(bad[i].text), bad[i].kind, &u, &err) != ERR_INVALID)
			fail_msg("accepted: %s", bad[i].text);
		assert_true(err.text[0] != '\0');
	}
	assert_int_equal(url_parse("http://h/\0x", 11, URL_HTTP, &u, NULL), ERR_INVALID);
	memset(text, 'a', sizeof(text));
	memcpy(text, "http://h/", 9);
	assert_int_equal(url_parse(text, URL_MAX + 1, URL_HTTP, &u, NULL), ERR_INVALID);
	assert_int_equal(u.port, 77);
	assert_int_equal(url_parse(text, URL_MAX, URL_HTTP, &u, NULL), OK);
}

static void test_redact(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"postgres://u:p@h/d", "postgres://u:********@h/d"},
		{"postgres://u@h/d", "postgres://u@h/d"},
		{"postgres://h/d?sslmode=on&Password=p", "postgres://h/d?sslmode=on&Password=********"},
		{"redis://:p@h", "redis://:********@h"},
		{"https://token@h/", "https://********@h/"},
		{"https://h/?%74oken=p&q&a=1", "https://h/?%74oken=********&q&a=1"},
		{"https://h/p", "https://h/p"},
		{"sqlite:my.db", "sqlite:my.db"},
		{"postgres://u:p/w@h/d", "postgres:********"},
		{"u:p@h", "********"},
		{"nonsense", "********"},
		{"", "********"},
	};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&out);
		url_redact(&out, cases[i].text, strlen(cases[i].text));
		assert_string_equal(out.data, cases[i].shown);
	}
	buf_release(&out);
}

static void test_encode(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	url_encode(&out, "a b/\xc3\xbc~%", 8);
	assert_string_equal(out.data, "a%20b%2F%C3%BC~%25");
	buf_release(&out);
}

static void test_hosts(void **state)
{
	(void)state;
	assert_true(url_host_valid("::1", 3));
	assert_true(url_host_valid("127.0.0.1", 9));
	assert_true(url_host_valid("my_service", 10));
	assert_false(url_host_valid("[::1]", 5));
	assert_false(url_host_valid("", 0));
	assert_false(url_host_valid("h:80", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_redact), cmocka_unit_test(test_encode),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
