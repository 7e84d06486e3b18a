/* The envelope, errors, keys, headers and shapes of the API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "auth.h"
#include "headers.h"
#include "http.h"
#include "render.h"
#include "request.h"

/* --- envelope */

static void success(void **state)
{
	struct answer a;
	struct json_out j;

	(void)state;
	answer_init(&a);
	j = answer_begin(&a, 201, NULL);
	json_int(&j, 5);
	answer_end(&j);
	assert_int_equal(a.status, 201);
	assert_string_equal(a.body.data, "{\"success\":true,\"data\":5}");
	j = answer_begin(&a, 200, "Done");
	json_str(&j, "x");
	answer_end(&j);
	assert_string_equal(a.body.data, "{\"success\":true,\"message\":\"Done\",\"data\":\"x\"}");
	answer_release(&a);
}

static void page(void **state)
{
	struct answer a;
	struct json_out j;

	(void)state;
	answer_init(&a);
	j = answer_page_begin(&a);
	json_int(&j, 1);
	answer_page_end(&j, &(struct page_totals){.page = 2, .size = 10, .total = 21, .next = "abc"});
	assert_string_equal(a.body.data, "{\"success\":true,\"data\":[1],\"page\":2,\"pageSize\":10,\"totalCount\":21,"
	                                 "\"totalPages\":3,\"nextCursor\":\"abc\"}");
	j = answer_page_begin(&a);
	answer_page_end(&j, &(struct page_totals){.page = 1, .size = 10, .total = 0, .next = ""});
	assert_string_equal(a.body.data, "{\"success\":true,\"data\":[],\"page\":1,\"pageSize\":10,\"totalCount\":0,"
	                                 "\"totalPages\":0}");
	j = answer_page_begin(&a);
	answer_page_end(&j, &(struct page_totals){.page = 1, .size = 10, .total = 100, .next = "abc", .more = true});
	assert_string_equal(a.body.data, "{\"success\":true,\"data\":[],\"page\":1,\"pageSize\":10,\"totalCount\":100,"
	                                 "\"totalPages\":10,\"totalCountExact\":false,\"nextCursor\":\"abc\"}");
	answer_release(&a);
}

static void errors(void **state)
{
	struct answer a;

	(void)state;
	answer_init(&a);
	answer_error(&a, API_NO_SUCH_MESSAGE);
	assert_int_equal(a.status, 404);
	assert_string_equal(a.body.data, "{\"success\":false,\"error\":\"Message not found\",\"code\":404002}");
	answer_clear(&a);

	details_add(&a.details, "page", "must be %d", 1);
	details_add_json(&a.details, "limit", "5");
	details_add_row(&a.details, 3, "a\"b", "x");
	answer_error(&a, API_INVALID);
	assert_string_equal(a.body.data,
	                    "{\"success\":false,\"error\":\"Validation failed\",\"code\":422001,\"details\":"
	                    "{\"page\":\"must be 1\",\"limit\":5,\"3.a\\\"b\":\"x\"}}");
	answer_clear(&a);
	assert_int_equal(a.details.n, 0);

	/* The contract fixes these two to the byte. */
	answer_error(&a, API_UNAUTHORIZED);
	assert_string_equal(a.body.data, "{\"success\":false,\"error\":\"Invalid or missing API key\"}");
	answer_error(&a, API_NO_KEY_CONFIGURED);
	assert_string_equal(a.body.data, "{\"success\":false,\"error\":\"API key is not configured for this endpoint "
	                                 "group\"}");
	answer_error(&a, API_OVERLOADED);
	assert_int_equal(a.retry_after, 1);
	answer_release(&a);
}

static void details_are_bounded(void **state)
{
	struct answer a;
	char name[400];

	(void)state;
	answer_init(&a);
	/* 33 code points of 3 bytes fit into 100 bytes, the 34th is not cut in two. */
	for (int i = 0; i < 100; i++)
		memcpy(name + 3 * i, "\xe2\x82\xac", 4);
	details_add(&a.details, name, "x");
	assert_int_equal(a.details.members.len, strlen("{\"\":\"x\"") + 99);
	for (int i = 0; i < 200; i++)
		details_add_row(&a.details, (size_t)i, "f", "x");
	assert_int_equal(a.details.n, 201);
	answer_error(&a, API_INVALID);
	assert_non_null(strstr(a.body.data, "\"98.f\":\"x\",\"more\":\"101 further errors are not listed\"}}"));
	answer_release(&a);
}

static void codes_begin_with_their_status(void **state)
{
	static const int codes[] = {
#define API_ERROR(name, code, retry, text, meaning) code,
#include "errors.def"
#undef API_ERROR
	};

	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(codes); e++) {
		assert_in_range(codes[e], 400001, 599999);
		assert_int_equal(api_error_status((enum api_error)e), codes[e] / 1000);
		for (size_t k = 0; k < e; k++)
			assert_int_not_equal(codes[e], codes[k]);
	}
}

/* docs/api-errors.md is generated; `HERALD_WRITE_DOCS=1` writes it anew. */
static void error_docs_are_current(void **state)
{
	static const char path[] = SOURCE_ROOT "/docs/api-errors.md";
	struct buf wanted = BUF_INIT, found = BUF_INIT;
	char chunk[4096];
	size_t n;
	FILE *f;

	(void)state;
	api_error_docs(&wanted);
	if (getenv("HERALD_WRITE_DOCS")) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(wanted.data, 1, wanted.len, f), wanted.len);
		assert_int_equal(fclose(f), 0);
	}
	f = fopen(path, "r");
	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&found, chunk, n);
	fclose(f);
	assert_string_equal(found.data, wanted.data);
	buf_release(&wanted);
	buf_release(&found);
}

/* --- keys */

static bool has(const struct keyring *k, const char *key)
{
	return keyring_has(k, key, strlen(key));
}

static void keys(void **state)
{
	struct error err = ERROR_INIT;
	struct keyring k;

	(void)state;
	assert_int_equal(keyring_init(&k, " first , second,,third ", &err), OK);
	assert_int_equal(k.n, 3);
	assert_true(has(&k, "first"));
	assert_true(has(&k, "second"));
	assert_true(has(&k, "third"));
	assert_false(has(&k, "secon"));
	assert_false(has(&k, "seconds"));
	assert_false(has(&k, "Second"));
	assert_false(has(&k, ""));
	assert_false(has(&k, "first , second"));

	assert_int_equal(keyring_init(&k, NULL, &err), OK);
	assert_int_equal(k.n, 0);
	assert_false(has(&k, ""));
	assert_int_equal(keyring_init(&k, " , ,", &err), OK);
	assert_int_equal(k.n, 0);
	assert_int_equal(keyring_init(&k, "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g", &err), OK);
	assert_int_equal(k.n, KEYRING_MAX);
	assert_int_equal(keyring_init(&k, "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h", &err), ERR_CONFIG);
}

static void bearer(void **state)
{
	(void)state;
	assert_string_equal(auth_bearer("Bearer k"), "k");
	assert_string_equal(auth_bearer("bEARER   k"), "k");
	assert_string_equal(auth_bearer("Bearer "), "");
	assert_null(auth_bearer("Bearer"));
	assert_null(auth_bearer("Basic k"));
	assert_null(auth_bearer("k"));
}

/* --- headers */

static void take(struct headers *h, const char *name, const char *value)
{
	headers_take(h, name, strlen(name), value, strlen(value));
}

static void framing(void **state)
{
	static const struct {
		const char *name, *value, *name2, *value2;
		bool malformed;
	} cases[] = {
		{"Content-Length", "5", "X", "y", false},
		{"content-length", "5", "CONTENT-LENGTH", "5", true},
		{"Content-Length", "-0", "X", "y", true},
		{"Content-Length", "", "X", "y", true},
		{"Content-Length", "5 ", "X", "y", true},
		{"Content-Length", "9223372036854775808", "X", "y", true},
		{"Transfer-Encoding", "chunked", "X", "y", false},
		{"Transfer-Encoding", "Chunked", "X", "y", false},
		{"Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked", true},
		{"Transfer-Encoding", "chunked ", "X", "y", true},
		{"Transfer-Encoding", "gzip, chunked", "X", "y", true},
		{"X", "y\r", "X", "y", true},
		{"X", "y\tz", "X", "\xc3\xa4", false},
		{"X ", "y", "X", "y", true},
		{"", "y", "X", "y", true},
		{"X:", "y", "X", "y", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct request_headers keep = {0};
		struct headers h = {.keep = &keep};

		take(&h, cases[i].name, cases[i].value);
		take(&h, cases[i].name2, cases[i].value2);
		if (h.malformed != cases[i].malformed)
			fail_msg("case %zu: %s: %s", i, cases[i].name, cases[i].value);
		assert_int_equal(h.count, 2);
	}
}

static void kept_headers(void **state)
{
	struct request_headers keep = {0};
	struct headers h = {.keep = &keep};
	char long_id[CORRELATION_MAX + 2];

	(void)state;
	memset(long_id, 'x', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	take(&h, "X-Correlation-Id", long_id);
	assert_string_equal(keep.correlation_id, "");
	take(&h, "x-correlation-ID", long_id + 1);
	assert_string_equal(keep.correlation_id, long_id + 1);
	take(&h, "Idempotency-Key", "k");
	assert_string_equal(keep.idempotency_key, "k");
	assert_false(keep.bad_idempotency_key);
	take(&h, "Idempotency-Key", "k");
	assert_true(keep.bad_idempotency_key);
	take(&h, "Prefer", "wait=5, return=minimal");
	assert_true(keep.return_minimal);
	assert_false(h.malformed);
}

static void media_types(void **state)
{
	bool lines = false;

	(void)state;
	assert_true(media_type_json("application/json", false, &lines));
	assert_true(media_type_json("APPLICATION/JSON ; Charset=UTF-8 ", false, &lines));
	assert_false(lines);
	assert_true(media_type_json("application/x-ndjson; charset=\"utf-8\"", true, &lines));
	assert_true(lines);
	assert_false(media_type_json("application/x-ndjson", false, &lines));
	assert_false(media_type_json("application/json; charset=utf-16", false, &lines));
	assert_false(media_type_json("application/json; charset=utf-8; x=y", false, &lines));
	assert_false(media_type_json("application/json, text/html", false, &lines));
	assert_false(media_type_json("application/json5", false, &lines));
	assert_false(media_type_json("", true, &lines));
	assert_false(media_type_json(NULL, true, &lines));
}

static void correlation_ids(void **state)
{
	char a[CORRELATION_MAX + 1], b[CORRELATION_MAX + 1];

	(void)state;
	headers_new_correlation_id(a);
	headers_new_correlation_id(b);
	assert_int_equal(strlen(a), 36);
	assert_string_not_equal(a, b);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_true(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
}

/* --- shapes */

static void forecast(void **state)
{
	const usec_t now = 1000 * USEC_PER_SEC, hour = USEC_PER_HOUR;
	struct scheduler s = {
		.now = now,
		.pacing = {.running = true, .interval = hour, .batch = 10, .beat_at = now - hour / 2, .epoch = 5}};
	const usec_t next = now + hour / 2;

	(void)state;
	assert_int_equal(scheduler_drains_at(&s, 0), 0);
	assert_int_equal(scheduler_drains_at(&s, 1), next);
	assert_int_equal(scheduler_drains_at(&s, 10), next);
	assert_int_equal(scheduler_drains_at(&s, 11), next + hour);
	s.pacing.left = 4;
	assert_int_equal(scheduler_drains_at(&s, 4), now);
	assert_int_equal(scheduler_drains_at(&s, 14), next);
	assert_int_equal(scheduler_drains_at(&s, 15), next + hour);
	assert_int_equal(scheduler_drains_at(&s, INT64_MAX), 0);
	s.pacing.beat_at = now - 5 * hour; /* overdue: what was left of it is void */
	assert_int_equal(scheduler_drains_at(&s, 1), now);
	assert_int_equal(scheduler_drains_at(&s, 11), now + hour);
	s.pacing.running = false;
	assert_int_equal(scheduler_drains_at(&s, 1), 0);
	s.pacing.running = true;
	s.pacing.interval = 0;
	assert_int_equal(scheduler_drains_at(&s, 1), 0);
}

static void first_answer_is_the_stored_message(void **state)
{
	struct buf created = BUF_INIT, stored = BUF_INIT;
	struct json_out j;
	const struct message_draft d = {.phone = "+1234567",
	                                .content = "c",
	                                .idempotency_key = "k",
	                                .metadata = "{\"a\":1}",
	                                .id = 7,
	                                .created_at = 5 * USEC_PER_SEC,
	                                .send_at = 9 * USEC_PER_SEC};
	const struct message m = {.id = 7,
	                          .phone = "+1234567",
	                          .content = "c",
	                          .idempotency_key = "k",
	                          .metadata = "{\"a\":1}",
	                          .created_at = 5 * USEC_PER_SEC,
	                          .updated_at = 5 * USEC_PER_SEC,
	                          .send_at = 9 * USEC_PER_SEC,
	                          .due_at = 9 * USEC_PER_SEC};

	(void)state;
	j = json_begin(&created);
	render_created(&j, &d, ID_NUMBER);
	j = json_begin(&stored);
	render_message(&j, &m, ID_NUMBER);
	assert_string_equal(created.data, stored.data);
	assert_string_equal(created.data,
	                    "{\"id\":7,\"phoneNumber\":\"+1234567\",\"content\":\"c\",\"status\":\"pending\","
	                    "\"attempts\":0,\"sendAt\":\"1970-01-01T00:00:09.000Z\","
	                    "\"nextAttemptAt\":\"1970-01-01T00:00:09.000Z\",\"idempotencyKey\":\"k\","
	                    "\"metadata\":{\"a\":1},\"createdAt\":\"1970-01-01T00:00:05.000Z\","
	                    "\"updatedAt\":\"1970-01-01T00:00:05.000Z\"}");
	buf_release(&created);
	buf_release(&stored);
}

/* Every name that routes.def uses is one that schemas.json has. */
static void openapi_has_no_loose_ends(void **state)
{
	struct buf text = BUF_INIT;
	json_t *doc, *target;
	json_error_t e;
	const char *at;
	char path[200];

	(void)state;
	http_openapi(&text, "1.2.3");
	doc = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &e);
	if (!doc)
		fail_msg("%s", e.text);
	for (at = text.data; (at = strstr(at, "\"$ref\":\"#/")); at++) {
		char *part, *save = NULL;

		snprintf(path, sizeof(path), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
		target = doc;
		for (part = strtok_r(path, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
			target = json_object_get(target, part);
			if (!target)
				fail_msg("nothing at %.*s", (int)strcspn(at + 8, "\""), at + 8);
		}
	}
	json_decref(doc);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(success),
		cmocka_unit_test(page),
		cmocka_unit_test(errors),
		cmocka_unit_test(details_are_bounded),
		cmocka_unit_test(codes_begin_with_their_status),
		cmocka_unit_test(error_docs_are_current),
		cmocka_unit_test(keys),
		cmocka_unit_test(bearer),
		cmocka_unit_test(framing),
		cmocka_unit_test(kept_headers),
		cmocka_unit_test(media_types),
		cmocka_unit_test(correlation_ids),
		cmocka_unit_test(forecast),
		cmocka_unit_test(first_answer_is_the_stored_message),
		cmocka_unit_test(openapi_has_no_loose_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
