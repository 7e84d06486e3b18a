/* Opening a MySQL or MariaDB database: what is refused, with which words, and that several may be first. Without
 * HERALD_TEST_MYSQL_URL only what needs no server is tested. */
#include <mysql.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "contract.h"
#include "text.h"

static const char *server;

/* The error of opening; its text must not hold the password. */
static int open_error(const char *url, struct error *err)
{
	const struct store_options options = {.url = url};
	struct store *s;
	int rc = store_open(&s, &options, err);

	if (!rc)
		fail_msg("opened: %s", url);
	assert_null(strstr(err->text, "secret"));
	return rc;
}

static void test_urls_that_are_none(void **state)
{
	static const char *const bad[][2] = {
		{"mysql:", "mysql://user:password@host:port/database"},
		{"mysql:host/db", "mysql://user:password@host:port/database"},
		{"mysql://", "host"},
		{"mysql://u:secret@/db", "host"},
		{"mysql://u:secret@h", "database"},
		{"mysql://u:secret@h/", "database"},
		{"mysql://u:secret@h:0/db", "port"},
		{"mysql://u:secret@h:70000/db", "port"},
		{"mysql://u:secret@h,/db", "host"},
		{"mysql://u:secret@[::1/db", "brackets"},
		{"mysql://u:secret%4@h/db", "hexadecimal"},
		{"mysql://u:secret%00@h/db", "hexadecimal"},
		{"mysql://u:secret@h/db?x", "name=value"},
		{"mysql://u:secret@h/db?charset=latin1", "no parameter charset"},
		{"mysql://u:secret@h/db?ssl-mode=maybe", "ssl-mode"},
	};
	struct error err = ERROR_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(open_error(bad[i][0], &err), ERR_CONFIG);
		if (!strstr(err.text, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], err.text);
	}
}

/* It may come yet: nothing for the operator to change. */
static void test_nobody_there(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(open_error("mysql://u:secret@127.0.0.1:1,127.0.0.1:2/db", &err), ERR_TRANSIENT);
	assert_non_null(strstr(err.text, "127.0.0.1:1"));
	assert_int_equal(open_error("mysql://u:secret@h/db?socket=/nowhere/socket", &err), ERR_TRANSIENT);
}

/* The server's URL with another user information, host part or database. */
static char *url_with(const char *user, const char *more_hosts, const char *database)
{
	const char *at = strchr(server, '@'), *slash = strchr(at, '/');

	return xasprintf("mysql://%.*s%s%.*s/%s", (int)(user ? (int)strlen(user) : (int)(at - server - 8)),
	                 user ? user : server + 8, more_hosts ? more_hosts : "@",
	                 (int)(slash - at - 1), at + 1, database);
}

/* An empty database; skips the test when there is no server. */
static char *fresh(void)
{
	char *url = server ? fresh_database(server) : NULL;

	if (!server)
		skip();
	assert_non_null(url);
	return url;
}

static bool exec_in(const char *url, const char *sql)
{
	char *text = xstrdup(url + 8), *password = strchr(text, ':'), *host = strchr(text, '@');
	char *port = strchr(host, ':'), *database = strchr(host, '/');
	MYSQL *c = mysql_init(NULL);
	bool done;

	*password = *host = *port = *database = '\0';
	done = mysql_real_connect(c, host + 1, text, password + 1, database + 1,
	                          (unsigned)strtoul(port + 1, NULL, 10), NULL,
	                          CLIENT_MULTI_STATEMENTS) &&
	       !mysql_query(c, sql);
	/* All of them, or closing the connection cuts the rest off. */
	while (done && mysql_more_results(c))
		done = mysql_next_result(c) == 0;
	if (!done)
		print_error("%s\n", mysql_error(c));
	mysql_close(c);
	free(text);
	return done;
}

static void test_refused_by_the_server(void **state)
{
	struct error err = ERROR_INIT;
	char *url;

	(void)state;
	if (!server)
		skip();
	url = url_with("herald:secret", NULL, "herald");
	assert_int_equal(open_error(url, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "Access denied"));
	free(url);
	url = url_with(NULL, NULL, "no_such_database");
	assert_int_equal(open_error(url, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "no_such_database"));
	free(url);
	url = url_with(NULL, NULL, "herald?ssl-mode=required");
	assert_int_equal(open_error(url, &err), ERR_CONFIG);
	free(url);
}

static void test_the_next_host_when_the_first_is_away(void **state)
{
	struct error err = ERROR_INIT;
	char *empty, *url;
	struct store_session *c;
	struct store *s;

	(void)state;
	empty = fresh();
	url = url_with(NULL, "@127.0.0.1:1,", strrchr(empty, '/') + 1);
	s = open_store(url);
	assert_okay(store_session_open(s, &c, &err), &err, "session");
	assert_okay(store_ping(c, &err), &err, "ping");
	store_session_close(c);
	store_close(s);
	free(url);
	free(empty);
}

/* As a replica is. Where it is the only one, herald takes what it gets. */
static void test_one_of_several_that_is_read_only_is_passed_over(void **state)
{
	struct error err = ERROR_INIT;
	char *empty, *url;

	(void)state;
	empty = fresh();
	url = url_with(NULL, "@127.0.0.1:1,", strrchr(empty, '/') + 1);
	store_close(open_store(url));
	assert_true(exec_in(empty, "SET GLOBAL read_only=1"));
	assert_int_equal(open_error(url, &err), ERR_TRANSIENT);
	store_close(open_store(empty));
	assert_true(exec_in(empty, "SET GLOBAL read_only=0"));
	store_close(open_store(url));
	free(url);
	free(empty);
}

static void test_a_missing_schema_is_not_made_when_it_must_not_be(void **state)
{
	char *url = fresh();
	const struct store_options options = {.url = url, .read_only_schema = true};
	struct error err = ERROR_INIT;
	struct store *s;

	(void)state;
	assert_int_equal(store_open(&s, &options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "herald migrate"));
	store_close(open_store(url));
	assert_int_equal(store_open(&s, &options, &err), OK);
	store_close(s);
	free(url);
}

static void test_tables_that_are_not_ours(void **state)
{
	struct error err = ERROR_INIT;
	char *url;

	(void)state;
	url = fresh();
	assert_true(exec_in(url, "CREATE TABLE herald_messages(a INT)"));
	assert_int_equal(open_error(url, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "not herald's"));
	free(url);
}

static void test_a_newer_schema(void **state)
{
	struct error err = ERROR_INIT;
	char *url;

	(void)state;
	url = fresh();
	store_close(open_store(url));
	assert_true(exec_in(url, "UPDATE herald_schema SET version=1000"));
	assert_int_equal(open_error(url, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "newer herald"));
	free(url);
}

/* As the first release left it; and half way from there. */
#define TO_SCHEMA_1                                                                                \
	"ALTER TABLE herald_totals DROP COLUMN n_invalid;"                                         \
	"ALTER TABLE herald_messages DROP INDEX herald_messages_phone;"                            \
	"ALTER TABLE herald_scheduler DROP COLUMN not_before,DROP COLUMN job;DROP TABLE herald_jobs,herald_commits;" \
	"UPDATE herald_schema SET version=1"

static void test_an_older_schema(void **state)
{
	static const char *const left[] = {TO_SCHEMA_1, "UPDATE herald_schema SET version=1"};
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct store_session *c;
	int found, current;
	struct store *s;
	size_t i;
	char *url;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(left); i++) {
		url = fresh();
		store_close(open_store(url));
		assert_true(exec_in(url, "INSERT INTO herald_totals(slot,n_pending,n_sending,n_sent,n_failed,"
		                         "n_cancelled,n_unknown,n_retrying,delivered) VALUES(9,1,2,3,4,5,6,7,3)"));
		assert_true(exec_in(url, left[i]));
		s = open_store(url);
		store_schema(s, &found, &current);
		assert_int_equal(found, 1);
		assert_true(current > 1);
		assert_okay(store_session_open(s, &c, &err), &err, "session");
		assert_okay(store_counts(c, &counts, &err), &err, "counts");
		assert_int_equal(counts.by_status[MESSAGE_PENDING], 8);
		assert_int_equal(counts.by_status[MESSAGE_UNKNOWN], 6);
		assert_int_equal(counts.by_status[MESSAGE_INVALID], 0);
		store_session_close(c);
		store_close(s);
		free(url);
	}
}

/* Whatever a first start got done before it died, the next one goes on from there. */
static void test_a_migration_that_was_cut_short(void **state)
{
	static const char *const left[] = {
		"DROP TABLE herald_runs,herald_streak;DELETE FROM herald_schema",
		"DELETE FROM herald_streak;DELETE FROM herald_schema",
		"DELETE FROM herald_schema",
	};
	struct error err = ERROR_INIT;
	struct store_session *c;
	struct store *s;
	size_t i;
	char *url;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(left); i++) {
		url = fresh();
		store_close(open_store(url));
		assert_true(exec_in(url, left[i]));
		s = open_store(url);
		assert_okay(store_session_open(s, &c, &err), &err, "session");
		assert_okay(store_ping(c, &err), &err, "ping");
		store_session_close(c);
		store_close(s);
		free(url);
	}
}

static void *open_and_close(void *url)
{
	const struct store_options options = {.url = url};
	struct store *s;

	if (store_open(&s, &options, NULL))
		return url;
	store_close(s);
	return NULL;
}

static void test_many_are_the_first(void **state)
{
	pthread_t threads[8];
	void *failed;
	char *url;
	size_t i;

	(void)state;
	url = fresh();
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, url), 0);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	free(url);
}

/* As many as a node may have in hand, with all that a receiver may say of each, at the smallest packet. */
static void test_outcomes_that_take_several_packets(void **state)
{
	enum { N = 2048 };
	const struct scheduler_defaults defaults = {.auto_start = true, .batch = 1};
	const struct claim_request request = {
		.node = "n", .owner = "n/1", .want = N, .lease = USEC_PER_MINUTE};
	struct message_draft *drafts = xcalloc(N, sizeof(*drafts));
	struct settlement *outcomes = xcalloc(N, sizeof(*outcomes));
	struct insert_group group = {.drafts = drafts, .n = N};
	struct error err = ERROR_INIT;
	struct settle_result result;
	struct scheduler scheduler;
	struct attempt_page page;
	struct store_session *c;
	struct claim_batch b;
	struct store *s;
	char said[501], *url;
	size_t i;

	(void)state;
	memset(said, '\'', 500);
	said[500] = '\0';
	url = fresh();
	assert_true(exec_in(url, "SET GLOBAL max_allowed_packet=1048576"));
	s = open_store(url);
	assert_okay(store_session_open(s, &c, &err), &err, "session");
	assert_okay(store_scheduler_init(c, &defaults, &scheduler, &err), &err, "scheduler");
	for (i = 0; i < N; i++)
		drafts[i] = (struct message_draft){.phone = "+905551234567", .content = said};
	assert_okay(store_insert(c, &group, 1, &err), &err, "insert");
	assert_okay(store_claim(c, &request, &b, &err), &err, "claim");
	assert_int_equal(b.n, N);
	for (i = 0; i < N; i++)
		outcomes[i] = (struct settlement){.id = b.items[i].id, .fence = b.items[i].fence, .run = b.run,
		                                  .attempt = b.items[i].attempt, .verdict = VERDICT_FAILED,
		                                  .http_status = 400, .started_at = b.now, .error = said};
	assert_okay(store_settle(c, outcomes, N, &result, &err), &err, "settle");
	assert_int_equal(result.applied, N);
	assert_okay(store_attempts(c, outcomes[N - 1].id, &page, &err), &err, "attempts");
	assert_int_equal(page.n, 1);
	assert_string_equal(page.items[0].error, said);
	attempt_page_release(&page);
	claim_batch_release(&b);
	assert_true(exec_in(url, "SET GLOBAL max_allowed_packet=DEFAULT"));
	store_session_close(c);
	store_close(s);
	free(drafts);
	free(outcomes);
	free(url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls_that_are_none),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_refused_by_the_server),
		cmocka_unit_test(test_the_next_host_when_the_first_is_away),
		cmocka_unit_test(test_one_of_several_that_is_read_only_is_passed_over),
		cmocka_unit_test(test_a_missing_schema_is_not_made_when_it_must_not_be),
		cmocka_unit_test(test_tables_that_are_not_ours),
		cmocka_unit_test(test_a_newer_schema),
		cmocka_unit_test(test_an_older_schema),
		cmocka_unit_test(test_a_migration_that_was_cut_short),
		cmocka_unit_test(test_many_are_the_first),
		cmocka_unit_test(test_outcomes_that_take_several_packets),
	};

	server = getenv("HERALD_TEST_MYSQL_URL");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
