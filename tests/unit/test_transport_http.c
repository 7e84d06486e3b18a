/* The webhook client against a server that behaves. */
#include "loopback.h"

static void accept_all(struct conn *c)
{
	while (hear(c) && say(c, OK_ANSWER))
		;
}

static void test_request(void **state)
{
	struct server *s = server_start(accept_all);
	struct client c;
	struct transport_options o = default_options();
	struct transport_request r = {
		.body = "{\"to\":1}", .body_len = 8, .key = "k-1",
		.timestamp = "1700000000", .signature = "v1,abc v1,def",
	};

	(void)state;
	o.auth_key = "secret";
	client_open(&c, s->port, o);
	assert_true(transport_start(c.transport, &r));
	client_finish(&c);
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(c.status, 202);
	assert_string_equal(c.body.data, "{\"message\":\"x\"}");
	assert_false(c.body_cut);
	assert_string_equal(c.error, "-");
	assert_string_equal(c.captured, "-");
	assert_string_equal(c.retry_after, "-");
	assert_true(c.duration > 0);
	assert_true(server_heard_body(s, "{\"to\":1}"));
	assert_true(server_heard(s, "POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_true(server_heard(s, "\r\nContent-Type: application/json\r\n"));
	assert_true(server_heard(s, "\r\nContent-Length: 8\r\n"));
	assert_true(server_heard(s, "\r\nIdempotency-Key: k-1\r\n"));
	assert_true(server_heard(s, "\r\nwebhook-id: k-1\r\n"));
	assert_true(server_heard(s, "\r\nwebhook-timestamp: 1700000000\r\n"));
	assert_true(server_heard(s, "\r\nwebhook-signature: v1,abc v1,def\r\n"));
	assert_true(server_heard(s, "\r\nx-ins-auth-key: secret\r\n"));
	assert_true(server_heard(s, "\r\nUser-Agent: herald/test\r\n"));

	/* The slot is used again: nothing of the first request may stay. */
	r.key = "k-2-longer";
	r.timestamp = r.signature = NULL;
	assert_true(transport_start(c.transport, &r));
	client_finish(&c);
	assert_true(server_heard(s, "\r\nIdempotency-Key: k-2-longer\r\n"));
	assert_false(server_heard(s, "k-1"));
	assert_false(server_heard(s, "webhook-timestamp"));
	assert_false(server_heard(s, "webhook-signature"));
	assert_int_equal(server_conns(s), 1);
	client_close(&c);
	server_stop(s);
}

static void test_large_body(void **state)
{
	struct server *s = server_start(accept_all);
	struct client c;
	size_t len = 400000;
	char *body = xmalloc(len + 1);
	struct transport_request r = {.body = body, .body_len = len, .key = "large"};

	(void)state;
	for (size_t i = 0; i < len; i++)
		body[i] = (char)('a' + i % 26);
	body[len] = '\0';
	client_open(&c, s->port, default_options());
	assert_true(transport_start(c.transport, &r));
	client_finish(&c);
	assert_int_equal(c.status, 202);
	assert_true(server_heard_body(s, body));
	assert_false(server_heard(s, "Expect"));
	client_close(&c);
	server_stop(s);
	free(body);
}

static void slow_down_then_accept(struct conn *c)
{
	if (hear(c) && say(c, "HTTP/1.1 429 Too Many Requests\r\nretry-after:\t Wed, 21 Oct 2026 07:28:00 GMT \r\n"
	                      "X-ID:  provider 7 \r\nX-Id: second\r\nContent-Length: 0\r\n\r\n") &&
	    hear(c))
		say(c, "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "2\r\nok\r\n0\r\nX-Id: a trailer\r\nRetry-After: 5\r\n\r\n");
	stall(c);
}

static void test_headers_of_answer(void **state)
{
	struct server *s = server_start(slow_down_then_accept);
	struct client c;
	struct transport_options o = default_options();

	(void)state;
	o.capture_header = "x-id";
	client_open(&c, s->port, o);
	client_post(&c, "a");
	assert_int_equal(c.status, 429);
	assert_string_equal(c.retry_after, "Wed, 21 Oct 2026 07:28:00 GMT");
	assert_string_equal(c.captured, "provider 7");
	assert_string_equal(c.error, "-");
	client_post(&c, "b");
	assert_int_equal(c.status, 202);
	assert_string_equal(c.body.data, "ok");
	assert_string_equal(c.retry_after, "-");
	assert_string_equal(c.captured, "-");
	client_close(&c);
	server_stop(s);
}

static void interim_then_accept(struct conn *c)
{
	while (hear(c) && say(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Id: early\r\n\r\n") &&
	       say(c, OK_ANSWER))
		;
}

static void test_interim_answers(void **state)
{
	struct server *s = server_start(interim_then_accept);
	struct client c;
	struct transport_options o = default_options();

	(void)state;
	o.capture_header = "X-Id";
	client_open(&c, s->port, o);
	client_post(&c, "a");
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(c.status, 202);
	assert_string_equal(c.captured, "-");
	client_close(&c);
	server_stop(s);
}

static void move_or_gone(struct conn *c)
{
	char text[200];

	snprintf(text, sizeof(text),
	         "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:%d/other\r\nContent-Length: 0\r\n\r\n",
	         c->server->port);
	if (hear(c) && say(c, text) && hear(c))
		say(c, "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\nbye!");
	stall(c);
}

static void test_answers_that_refuse(void **state)
{
	struct server *s = server_start(move_or_gone);
	struct client c;

	(void)state;
	client_open(&c, s->port, default_options());
	client_post(&c, "moved");
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(c.status, 301);
	assert_int_equal(server_seen(s, "moved"), 1);
	client_post(&c, "gone");
	assert_int_equal(c.status, 410);
	assert_string_equal(c.body.data, "bye!");
	assert_int_equal(server_requests(s), 2);
	client_close(&c);
	server_stop(s);
}

static void test_limit(void **state)
{
	struct server *s = server_start(stall);
	struct client c;
	struct transport_options o = default_options();

	(void)state;
	o.max_concurrent = 3;
	client_open(&c, s->port, o);
	for (int i = 0; i < 3; i++)
		assert_true(client_start(&c, "k"));
	assert_false(client_start(&c, "k"));
	assert_int_equal(transport_in_flight(c.transport), 3);
	while (server_conns(s) < 3)
		client_step(&c, 10 * USEC_PER_MSEC);
	assert_false(client_start(&c, "k"));

	/* In flight when closed: no callback, no leak. */
	client_close(&c);
	assert_int_equal(c.done, 0);
	server_stop(s);
}

static int to_start;

static void start_next(struct client *c)
{
	char key[16];

	/* The result's memory must outlive the start of another request from within the callback. */
	assert_string_equal(c->body.data, "{\"message\":\"x\"}");
	if (to_start > 0) {
		snprintf(key, sizeof(key), "n%d", to_start--);
		assert_true(client_start(c, key));
		assert_true(transport_in_flight(c->transport) <= 4);
	}
}

static void test_many(void **state)
{
	struct server *s = server_start(accept_all);
	struct client c;
	struct transport_options o = default_options();
	char key[16];

	(void)state;
	o.max_concurrent = 4;
	client_open(&c, s->port, o);
	c.also = start_next;
	to_start = 500;
	for (int i = 0; i < 4; i++) {
		snprintf(key, sizeof(key), "n%d", to_start--);
		assert_true(client_start(&c, key));
	}
	client_finish(&c);
	assert_int_equal(c.done, 500);
	assert_int_equal(c.by_end[ATTEMPT_ANSWERED], 500);
	assert_int_equal(server_requests(s), 500);
	for (int i = 1; i <= 500; i++) {
		snprintf(key, sizeof(key), "n%d", i);
		assert_int_equal(server_seen(s, key), 1);
	}
	assert_true(server_conns(s) <= 4);
	client_close(&c);
	server_stop(s);
}

static void test_timeout_when_idle(void **state)
{
	struct server *s = server_start(accept_all);
	struct client c;

	(void)state;
	client_open(&c, s->port, default_options());
	assert_true(transport_timeout(c.transport) == USEC_NEVER);
	assert_int_equal(transport_in_flight(c.transport), 0);
	assert_true(client_start(&c, "k"));
	assert_true(transport_timeout(c.transport) == 0);
	client_finish(&c);
	client_close(&c);
	server_stop(s);
}

static void test_bad_options(void **state)
{
	struct transport *t;
	struct transport_options o = default_options();
	struct error err = ERROR_INIT;
	static const char *const bad[] = {"", "ftp://127.0.0.1/", "http://", "http://[::1", "fake:nobody"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		o.url = bad[i];
		assert_int_equal(transport_open(&t, &o, &err), ERR_CONFIG);
		assert_int_not_equal(err.text[0], '\0');
	}
	o.url = "https://127.0.0.1/";
	o.ca_file = "/nonexistent/ca.pem";
	assert_int_equal(transport_open(&t, &o, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_large_body),
		cmocka_unit_test(test_headers_of_answer),
		cmocka_unit_test(test_interim_answers),
		cmocka_unit_test(test_answers_that_refuse),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_timeout_when_idle),
		cmocka_unit_test(test_bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
