/* The scripted receiver, on which the tests of the dispatcher stand. */
#include "loopback.h"
#include "transport_fake.h"

static void test_default(void **state)
{
	struct fake_script *s = fake_script_new("plain");
	struct transport_request r = {
		.body = "{}", .body_len = 2, .key = "k", .timestamp = "1", .signature = "v1,x",
	};
	struct client c;

	(void)state;
	client_open_url(&c, "fake:plain", default_options());
	assert_true(transport_timeout(c.transport) == USEC_NEVER);
	assert_true(transport_start(c.transport, &r));
	assert_int_equal(c.done, 0);
	assert_true(transport_timeout(c.transport) == 0);
	client_finish(&c);
	assert_int_equal(c.end, ATTEMPT_ANSWERED);
	assert_int_equal(c.status, 202);
	assert_string_equal(c.body.data, "{\"message\":\"Accepted\",\"messageId\":\"fake-1\"}");
	assert_string_equal(c.error, "-");
	assert_int_equal(fake_script_count(s), 1);
	assert_string_equal(fake_script_request(s, 0)->body, "{}");
	assert_string_equal(fake_script_request(s, 0)->key, "k");
	assert_string_equal(fake_script_request(s, 0)->timestamp, "1");
	assert_string_equal(fake_script_request(s, 0)->signature, "v1,x");
	client_close(&c);
	fake_script_free(s);
}

static void test_script(void **state)
{
	struct fake_script *s = fake_script_new("scripted");
	struct client c;

	(void)state;
	fake_script_push(s, &(struct fake_outcome){.end = ATTEMPT_NOT_SENT, .error = "refused"});
	fake_script_push(s, &(struct fake_outcome){.end = ATTEMPT_BROKEN, .delay = 20 * USEC_PER_MSEC});
	fake_script_push(s, &(struct fake_outcome){
		.end = ATTEMPT_ANSWERED, .status = 429, .body = "slow", .retry_after = "7", .captured = "id",
	});
	fake_script_otherwise(s, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 500, .body = ""});
	client_open_url(&c, "fake:scripted", default_options());
	client_post(&c, "a");
	assert_int_equal(c.end, ATTEMPT_NOT_SENT);
	assert_string_equal(c.error, "refused");
	client_post(&c, "b");
	assert_int_equal(c.end, ATTEMPT_BROKEN);
	assert_true(c.duration >= 20 * USEC_PER_MSEC);
	client_post(&c, "c");
	assert_int_equal(c.status, 429);
	assert_string_equal(c.body.data, "slow");
	assert_string_equal(c.retry_after, "7");
	assert_string_equal(c.captured, "id");
	client_post(&c, "d");
	assert_int_equal(c.status, 500);
	assert_int_equal(c.body.len, 0);
	client_close(&c);
	fake_script_free(s);
}

static void *release_later(void *arg)
{
	struct fake_script *s = arg;

	if (fake_script_wait(s, 2, 10 * USEC_PER_SEC))
		fake_script_release(s);
	return NULL;
}

static void test_release_from_another_thread(void **state)
{
	struct fake_script *s = fake_script_new("held");
	struct client c;
	pthread_t thread;

	(void)state;
	fake_script_otherwise(s, &(struct fake_outcome){
		.end = ATTEMPT_ANSWERED, .status = 202, .delay = USEC_NEVER,
	});
	client_open_url(&c, "fake:held", default_options());
	assert_false(fake_script_wait(s, 1, USEC_PER_MSEC));
	assert_true(client_start(&c, "a"));
	client_step(&c, USEC_PER_MSEC);
	assert_int_equal(c.done, 0);
	assert_int_equal(thread_start(&thread, "release", release_later, s, NULL), OK);
	assert_true(client_start(&c, "b"));
	client_finish(&c);
	thread_join(thread);
	assert_int_equal(c.done, 2);

	/* A release ends what waits now, not what comes later. */
	assert_true(client_start(&c, "c"));
	client_step(&c, USEC_PER_MSEC);
	assert_int_equal(transport_in_flight(c.transport), 1);
	client_close(&c);
	assert_int_equal(c.done, 2);
	fake_script_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_release_from_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
