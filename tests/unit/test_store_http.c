/* What the driver `http` takes from an answer: whether a change may have been made, although it cannot be told. */
#include "loopback.h"

#include "store_http.h"

static struct server *server;
static struct hs_db db;
static struct hs_session session;

static const char *_Atomic status_line, *_Atomic body; /* status_line NULL: the connection ends without an answer */

/* Both are looked at once, and nothing is left to be said when the client has it all: it goes on at once, and the test
 * sets what comes next. */
static void behave(struct conn *c)
{
	const char *status, *text;
	char whole[400];

	while (hear(c) && (status = status_line)) {
		text = body;
		snprintf(whole, sizeof(whole), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(text),
		         text);
		if (!say(c, whole))
			return;
	}
}

static int setup(void **state)
{
	(void)state;
	server = server_start(behave);
	db.base = xasprintf("http://127.0.0.1:%d", server->port);
	session = (struct hs_session){.db = &db, .body = BUF_INIT, .answer = BUF_INIT};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hs_session_release(&session);
	free(db.base);
	server_stop(server);
	return 0;
}

/* --- one call of each verb ---------------------------------------------------------------------------------- */

static int claim(struct error *err)
{
	const struct claim_request r = {.node = "n", .owner = "n/b", .want = 1, .lease = 60 * USEC_PER_SEC};
	struct claim_batch b;

	return hs_claim(&session, &r, &b, err);
}

static int settle(struct error *err)
{
	struct settlement s = {.id = 1, .fence = 1, .attempt = 1, .verdict = VERDICT_SENT};
	struct settle_result result;

	return hs_settle(&session, &s, 1, &result, err);
}

static int renew(struct error *err)
{
	const struct lease_ref ref = {.id = 1, .fence = 1};
	size_t n;

	return hs_renew(&session, &ref, 1, 60 * USEC_PER_SEC, &n, err);
}

static int stop(struct error *err)
{
	const struct scheduler_change change = {.running = 0, .interval = -1, .batch = -1, .failure_rate = -1};
	struct scheduler s;
	bool changed;

	return hs_scheduler_change(&session, &change, &s, &changed, err);
}

static int node_seen(struct error *err)
{
	const struct node_report r = {.node = "n", .boot = "b", .version = "1", .role = "worker"};

	return hs_node_seen(&session, &r, err);
}

static int counts(struct error *err)
{
	struct store_counts c;

	return hs_counts(&session, &c, err);
}

static int scheduler_get(struct error *err)
{
	struct scheduler s;

	return hs_scheduler_get(&session, &s, err);
}

static int runs(struct error *err)
{
	struct run_page p;

	return hs_runs(&session, 0, 0, 10, &p, err);
}

/* node_seen looks at nothing in a document that is one. */
static int (*const changes[])(struct error *err) = {claim, settle, renew, stop, node_seen};
static int (*const looks[])(struct error *err) = {counts, scheduler_get, runs};

static void expect(int (*const *calls)(struct error *err), size_t n, int code)
{
	struct error err;

	for (size_t i = 0; i < n; i++) {
		err = (struct error)ERROR_INIT;
		if (calls[i](&err) != code || err.code != code)
			fail_msg("call %zu to \"%s\" \"%s\": %s (%s) instead of %s", i, status_line ? status_line : "",
			         body ? body : "", error_name(err.code), err.text, error_name(code));
	}
}

/* --- tests -------------------------------------------------------------------------------------------------- */

static void an_answer_says_what_became_of_the_call(void **state)
{
	static const struct {
		const char *status, *body;
		int change, look;
	} rows[] = {
		/* It arrived, and what came back is spoilt. */
		{"200 OK", "<html>Welcome</html>", ERR_UNCERTAIN, ERR_CONFIG},
		{"200 OK", "", ERR_UNCERTAIN, ERR_CONFIG},
		{"200 OK", "{\"success\":true,\"data\":{", ERR_UNCERTAIN, ERR_CONFIG},
		{"204 No Content", "", ERR_UNCERTAIN, ERR_CONFIG},
		{"202 Accepted", "{}", ERR_UNCERTAIN, ERR_CONFIG},
		{NULL, NULL, ERR_UNCERTAIN, ERR_TRANSIENT},
		/* A proxy's word. */
		{"500 Internal Server Error", "<html></html>", ERR_UNCERTAIN, ERR_PERMANENT},
		{"502 Bad Gateway", "<html></html>", ERR_UNCERTAIN, ERR_TRANSIENT},
		{"504 Gateway Timeout", "", ERR_UNCERTAIN, ERR_TRANSIENT},
		{"520 Unknown", "", ERR_UNCERTAIN, ERR_CONFIG},
		/* It was not done, and whoever says so knows. */
		{"302 Found", "", ERR_CONFIG, ERR_CONFIG},
		{"401 Unauthorized", "{\"success\":false,\"error\":\"no\"}", ERR_CONFIG, ERR_CONFIG},
		{"404 Not Found", "{\"code\":404001}", ERR_CONFIG, ERR_CONFIG},
		{"404 Not Found", "{\"code\":404002}", ERR_NOT_FOUND, ERR_NOT_FOUND},
		{"405 Method Not Allowed", "<html></html>", ERR_CONFIG, ERR_CONFIG},
		{"409 Conflict", "{\"code\":409001}", ERR_CONFLICT, ERR_CONFLICT},
		{"422 Unprocessable", "{\"code\":422001}", ERR_CONFIG, ERR_CONFIG},
		{"429 Too Many Requests", "", ERR_TRANSIENT, ERR_TRANSIENT},
		{"500 Internal Server Error", "{\"code\":500001}", ERR_PERMANENT, ERR_PERMANENT},
		{"503 Service Unavailable", "{\"code\":503001}", ERR_TRANSIENT, ERR_TRANSIENT},
		{"503 Service Unavailable", "{\"code\":503003}", ERR_UNCERTAIN, ERR_UNCERTAIN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		status_line = rows[i].status;
		body = rows[i].body;
		expect(changes, ARRAY_SIZE(changes), rows[i].change);
		expect(looks, ARRAY_SIZE(looks), rows[i].look);
	}
}

static void a_document_of_another_kind(void **state)
{
	(void)state;
	status_line = "200 OK";
	body = "{\"success\":true,\"data\":null}";
	expect(changes, ARRAY_SIZE(changes) - 1, ERR_UNCERTAIN);
	expect(looks, ARRAY_SIZE(looks), ERR_PERMANENT);
}

static void nothing_leaves_where_nobody_listens(void **state)
{
	int port, fd = refusing_loopback(&port);

	(void)state;
	free(db.base);
	db.base = xasprintf("http://127.0.0.1:%d", port);
	expect(changes, ARRAY_SIZE(changes), ERR_TRANSIENT);
	expect(looks, ARRAY_SIZE(looks), ERR_TRANSIENT);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_says_what_became_of_the_call, setup, teardown),
		cmocka_unit_test_setup_teardown(a_document_of_another_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_leaves_where_nobody_listens, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
