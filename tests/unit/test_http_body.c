/* Bodies: messages, batches, scheduler changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "alloc.h"
#include "batch.h"
#include "body.h"

struct fixture {
	struct message_rules rules;
	struct arena arena;
	struct details details;
	json_t *doc;
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->details.members = (struct buf)BUF_INIT;
	f->rules.max_content = 10;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	arena_release(&f->arena);
	buf_release(&f->details.members);
	json_decref(f->doc);
	free(f);
	return 0;
}

static void reset(struct fixture *f)
{
	json_decref(f->doc);
	f->doc = NULL;
	buf_clear(&f->details.members);
	f->details.n = 0;
}

static bool draft(struct fixture *f, const char *text, struct message_draft *ret)
{
	bool nul;

	reset(f);
	assert_int_equal(body_json(text, strlen(text), SIZE_MAX, &f->doc, &nul, &f->details), OK);
	return body_draft(f->doc, &f->rules, SIZE_MAX, &f->arena, ret, &f->details);
}

static void whole_message(void **state)
{
	struct fixture *f = *state;
	struct message_draft m;

	assert_true(draft(f,
	                  "{\"content\":\"\\ud83d\\udc4b0123456\\u00e9x\",\"phoneNumber\":\"+15551234567\","
	                  "\"metadata\":{ \"b\" : 1, \"a\" : [ true, null ] },\"idempotencyKey\":\"k\","
	                  "\"sendAt\":\"1970-01-01T00:00:01Z\"}",
	                  &m));
	assert_string_equal(m.phone, "+15551234567");
	assert_string_equal(m.content, "\xf0\x9f\x91\x8b"
	                               "0123456\xc3\xa9x");
	assert_string_equal(m.idempotency_key, "k");
	assert_int_equal(m.send_at, USEC_PER_SEC);
	/* One text for one meaning: the store compares it. */
	assert_string_equal(m.metadata, "{\"a\":[true,null],\"b\":1}");
}

static void optional_fields_may_be_null(void **state)
{
	struct message_draft m;

	assert_true(draft(*state,
	                  "{\"content\":\"x\",\"phoneNumber\":\"+15551234567\",\"metadata\":null,"
	                  "\"idempotencyKey\":null,\"sendAt\":null}",
	                  &m));
	assert_null(m.metadata);
	assert_null(m.idempotency_key);
	assert_int_equal(m.send_at, 0);
}

static void faults_of_a_message(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"[]", "{\"body\":\"must be an object\""},
		{"5", "{\"body\":\"must be an object\""},
		{"{}", "{\"content\":\"is required\",\"phoneNumber\":\"is required\""},
		{"{\"content\":\"01234567890\",\"phoneNumber\":\"+15551234567\"}",
		 "{\"content\":\"must have at most 10 characters, has 11\""},
		{"{\"content\":null,\"phoneNumber\":[]}",
		 "{\"content\":\"must be a string\",\"phoneNumber\":\"must be a string\""},
		{"{\"content\":\"x\",\"phoneNumber\":\"+15551234567\",\"a\\\"b\":1}",
		 "{\"a\\\"b\":\"is not a field of a message\""},
	};
	struct fixture *f = *state;
	struct message_draft m;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_false(draft(f, cases[i].text, &m));
		assert_string_equal(f->details.members.data, cases[i].why);
	}
}

static void malformed_json(void **state)
{
	static const char *const texts[] = {"", "{", "nul", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "\"\xff\"",
	                                    "\"\\ud800\"", "1 2", "[1e999]"};
	struct fixture *f = *state;
	bool nul;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		reset(f);
		assert_int_equal(body_json(texts[i], strlen(texts[i]), SIZE_MAX, &f->doc, &nul, &f->details),
		                 ERR_INVALID);
		assert_false(nul);
		assert_int_equal(f->details.n, 1);
	}
	reset(f);
	assert_int_equal(body_json("[\"\\u0000\"]", 10, SIZE_MAX, &f->doc, &nul, &f->details), ERR_INVALID);
	assert_true(nul);
}

/* --- batches */

static int batch(struct fixture *f, enum batch_format format, const char *text, struct message_draft **ret,
                 size_t *ret_n, enum api_error *ret_error)
{
	reset(f);
	return batch_parse(format, text, strlen(text), &f->rules, &f->arena, ret, ret_n, &f->details, ret_error);
}

#define ROW(content) "{\"phoneNumber\":\"+15551234567\",\"content\":\"" content "\"}"

static void batches(void **state)
{
	static const struct {
		enum batch_format format;
		const char *text;
	} cases[] = {
		{BATCH_ARRAY, "[" ROW("[a,]}") "," ROW("\\\"b\\\\") "]"},
		{BATCH_ARRAY, " \n[ " ROW("[a,]}") " ,\t" ROW("\\\"b\\\\") " ] \r\n"},
		{BATCH_LINES, ROW("[a,]}") "\n" ROW("\\\"b\\\\")},
		{BATCH_LINES, "\r\n\n " ROW("[a,]}") " \r\n\t\n" ROW("\\\"b\\\\") "\n\n"},
	};
	struct message_draft *drafts;
	enum api_error error;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(batch(*state, cases[i].format, cases[i].text, &drafts, &n, &error), OK);
		assert_int_equal(n, 2);
		assert_string_equal(drafts[0].content, "[a,]}");
		assert_string_equal(drafts[1].content, "\"b\\");
	}
}

static void malformed_batches(void **state)
{
	static const struct {
		enum batch_format format;
		const char *text;
	} cases[] = {
		{BATCH_ARRAY, ""},
		{BATCH_ARRAY, "{}"},
		{BATCH_ARRAY, "["},
		{BATCH_ARRAY, "[]]"},
		{BATCH_ARRAY, "[,]"},
		{BATCH_ARRAY, "[" ROW("a") ",]"},
		{BATCH_ARRAY, "[" ROW("a") " " ROW("a") "]"},
		{BATCH_ARRAY, "[" ROW("a") "] []"},
		{BATCH_ARRAY, "[" ROW("a")},
		{BATCH_ARRAY, "[\"a]"},
		{BATCH_ARRAY, "[\"a\\"},
		{BATCH_ARRAY, "[}]"},
		{BATCH_ARRAY, "[[}]"},
		{BATCH_LINES, "{"},
		{BATCH_LINES, ROW("a") ROW("a")},
		{BATCH_LINES, ROW("a") "\n["},
	};
	struct message_draft *drafts;
	enum api_error error;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (batch(*state, cases[i].format, cases[i].text, &drafts, &n, &error) == OK)
			fail_msg("%s was taken", cases[i].text);
		if (error != API_MALFORMED_JSON)
			fail_msg("%s: error %d", cases[i].text, (int)error);
	}
}

static void faults_of_rows(void **state)
{
	struct fixture *f = *state;
	struct message_draft *drafts;
	enum api_error error;
	size_t n;

	assert_int_equal(batch(f, BATCH_ARRAY, "[" ROW("a") ",5," ROW("") ",{\"x\":1}]", &drafts, &n, &error),
	                 ERR_INVALID);
	assert_int_equal(error, API_INVALID);
	assert_string_equal(f->details.members.data,
	                    "{\"1\":\"must be an object\",\"2.content\":\"must not be empty\","
	                    "\"3.x\":\"is not a field of a message\",\"3.content\":\"is required\","
	                    "\"3.phoneNumber\":\"is required\"");
	assert_int_equal(batch(f, BATCH_ARRAY, " [ ] ", &drafts, &n, &error), ERR_INVALID);
	assert_int_equal(error, API_INVALID);
	assert_int_equal(batch(f, BATCH_LINES, " \n ", &drafts, &n, &error), ERR_INVALID);
	assert_int_equal(error, API_INVALID);
}

static void batch_of_the_most_rows(void **state)
{
	struct buf text = BUF_INIT;
	struct message_draft *drafts;
	enum api_error error;
	size_t n;

	for (size_t i = 0; i < BATCH_ROWS_MAX; i++)
		buf_addstr(&text, ROW("a") "\n");
	assert_int_equal(batch(*state, BATCH_LINES, text.data, &drafts, &n, &error), OK);
	assert_int_equal(n, BATCH_ROWS_MAX);
	buf_addstr(&text, ROW("a"));
	assert_int_equal(batch(*state, BATCH_LINES, text.data, &drafts, &n, &error), ERR_INVALID);
	assert_int_equal(error, API_INVALID);
	buf_release(&text);
}

/* --- the scheduler */

static bool change(struct fixture *f, const char *text, struct scheduler_change *ret)
{
	bool nul;

	reset(f);
	assert_int_equal(body_json(text, strlen(text), SIZE_MAX, &f->doc, &nul, &f->details), OK);
	return body_scheduler_change(f->doc, ret, &f->details);
}

static void scheduler_changes(void **state)
{
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;

	c.running = 1;
	assert_true(change(*state, "{}", &c));
	assert_int_equal(c.running, 1);
	assert_int_equal(c.interval, -1);
	assert_int_equal(c.batch, -1);
	assert_true(c.failure_rate < 0);
	assert_true(change(*state, "{\"interval\":2,\"batchSize\":5,\"failureRate\":1}", &c));
	assert_int_equal(c.interval, 2 * USEC_PER_MINUTE);
	assert_int_equal(c.batch, 5);
	assert_true(c.failure_rate == 1);
	assert_true(change(*state, "{\"interval\":\"500ms\"}", &c));
	assert_int_equal(c.interval, 500 * USEC_PER_MSEC);
	assert_true(change(*state, "{\"interval\":\"0\"}", &c));
	assert_int_equal(c.interval, 0);
}

static void faults_of_scheduler_changes(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{\"interval\":0}",
		"{\"interval\":0.5}",
		"{\"interval\":-1}",
		"{\"interval\":1e308}",
		"{\"interval\":5256001}",
		"{\"interval\":\"5\"}",
		"{\"interval\":null}",
		"{\"batchSize\":0}",
		"{\"batchSize\":1000001}",
		"{\"batchSize\":2.0}",
		"{\"failureRate\":1.0001}",
		"{\"failureRate\":-0.1}",
		"{\"failureRate\":\"0\"}",
		"{\"running\":true}",
	};
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (change(f, texts[i], &c))
			fail_msg("%s was taken", texts[i]);
		assert_int_equal(f->details.n, 1);
		assert_int_equal(c.interval, -1);
		assert_int_equal(c.batch, -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(optional_fields_may_be_null, set_up, tear_down),
		cmocka_unit_test_setup_teardown(faults_of_a_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_json, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_batches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(faults_of_rows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batch_of_the_most_rows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(scheduler_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(faults_of_scheduler_changes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
