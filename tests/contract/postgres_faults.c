/*
 * What the PostgreSQL driver does when the server, or the way to it, misbehaves; and about its schema when
 * several nodes come at once or another version was there. Needs HERALD_TEST_POSTGRES_URL.
 *
 * Connections go through a proxy that can be told to break one at the moment of a COMMIT.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "alloc.h"
#include "store.h"

static PGconn *side; /* past the proxy */
static char *proxied_url;
static struct error err;

#define OKAY(call)                                                                                 \
	do {                                                                                       \
		int rc_ = (call);                                                                  \
		if (rc_)                                                                           \
			fail_msg("%s: %s: %s", #call, error_name(rc_), err.text);                  \
	} while (0)

/* --- the proxy --------------------------------------------------------------------------------------------- */

enum breakage {
	BREAK_NOTHING,
	BREAK_REQUEST, /* the COMMIT does not arrive */
	BREAK_ANSWER,  /* it does, and its answer does not */
	BREAK_ALWAYS,  /* nobody gets through */
};
static _Atomic int breakage;
static _Atomic int broken; /* how often */
static int listener, server_port;

static bool pass_on(int from, int to, char *data, size_t size, ssize_t *ret)
{
	*ret = read(from, data, size);
	return *ret > 0 && write(to, data, (size_t)*ret) == *ret;
}

static void relay(int client, int server)
{
	struct pollfd p[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
	static _Thread_local char data[65536];
	int expected;
	ssize_t n;

	while (poll(p, 2, -1) > 0) {
		if (p[1].revents && !pass_on(server, client, data, sizeof(data), &n))
			return;
		if (!p[0].revents)
			continue;
		n = read(client, data, sizeof(data));
		if (n <= 0)
			return;
		/* A statement's text is seen when it is prepared: with a session's first transaction. */
		if (memmem(data, (size_t)n, "COMMIT", 6)) {
			expected = BREAK_REQUEST;
			if (atomic_compare_exchange_strong(&breakage, &expected, BREAK_NOTHING)) {
				atomic_fetch_add(&broken, 1);
				return;
			}
			expected = BREAK_ANSWER;
			if (atomic_compare_exchange_strong(&breakage, &expected, BREAK_NOTHING)) {
				atomic_fetch_add(&broken, 1);
				if (write(server, data, (size_t)n) != n)
					return;
				/* Once it answers, it is done. */
				n = read(server, data, sizeof(data));
				return;
			}
		}
		if (write(server, data, (size_t)n) != n)
			return;
	}
}

static void *serve(void *arg)
{
	int client = (int)(intptr_t)arg, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_port = htons((uint16_t)server_port),
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	if (atomic_load(&breakage) != BREAK_ALWAYS && !connect(server, (struct sockaddr *)&a, sizeof(a)))
		relay(client, server);
	close(client);
	close(server);
	return NULL;
}

static void *accept_all(void *arg)
{
	pthread_t t;
	int client;

	(void)arg;
	while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)client))
			abort();
		pthread_detach(t);
	}
	return NULL;
}

static int start_proxy(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	pthread_t t;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&a, &len) || pthread_create(&t, NULL, accept_all, NULL))
		return -1;
	pthread_detach(t);
	return ntohs(a.sin_port);
}

/* --- around each test -------------------------------------------------------------------------------------- */

static char *ask(const char *sql)
{
	PGresult *res = PQexec(side, sql);
	char *answer = NULL;

	if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(side));
	if (PQntuples(res))
		answer = xstrdup(PQgetvalue(res, 0, 0));
	PQclear(res);
	return answer;
}

static void assert_answer(const char *sql, const char *expected)
{
	char *answer = ask(sql);

	assert_string_equal(answer, expected);
	free(answer);
}

static int fresh(void **state)
{
	(void)state;
	atomic_store(&breakage, BREAK_NOTHING);
	atomic_store(&broken, 0);
	free(ask("SET client_min_messages=error; DROP SCHEMA IF EXISTS herald_faults CASCADE;"
	         "CREATE SCHEMA herald_faults; SET search_path=herald_faults"));
	return 0;
}

static struct store *open_store(const char *url)
{
	const struct store_options options = {.url = url};
	struct store *s = NULL;

	OKAY(store_open(&s, &options, &err));
	return s;
}

static int add_keyed(struct store_session *c, const char *key, struct message_draft *d)
{
	struct insert_group g = {.drafts = d, .n = 1};

	*d = (struct message_draft){.phone = "+905551234567", .content = "Hello", .idempotency_key = key};
	return store_insert(c, &g, 1, &err);
}

struct pair {
	struct store *store;
	struct store_session *c;
};

static struct pair open_pair(void)
{
	const struct scheduler_defaults d = {.auto_start = true, .interval = 0, .batch = 1};
	struct pair p = {.store = open_store(proxied_url)};
	struct store_session *other;
	struct scheduler s;

	OKAY(store_session_open(p.store, &other, &err));
	OKAY(store_scheduler_init(other, &d, &s, &err));
	store_session_close(other);
	OKAY(store_session_open(p.store, &p.c, &err));
	return p;
}

static void close_pair(struct pair *p)
{
	store_session_close(p->c);
	store_close(p->store);
}

/* --- commits ----------------------------------------------------------------------------------------------- */

static void insert_under(enum breakage how)
{
	struct pair p = open_pair();
	struct message_draft d;

	atomic_store(&breakage, how);
	OKAY(add_keyed(p.c, NULL, &d));
	assert_int_equal(atomic_load(&broken), 1);
	assert_int_equal(d.result, INSERT_CREATED);
	assert_answer("SELECT count(*) FROM herald_messages", "1");
	assert_answer("SELECT sum(pending) FROM herald_counts", "1");
	assert_answer("SELECT max(id)=min(id) FROM herald_messages", "t");
	close_pair(&p);
}

static void test_an_insert_whose_commit_is_answered_to_nobody(void **state)
{
	(void)state;
	insert_under(BREAK_ANSWER);
}

static void test_an_insert_whose_commit_does_not_arrive(void **state)
{
	(void)state;
	insert_under(BREAK_REQUEST);
}

static void claim_and_settle_under(enum breakage how)
{
	struct claim_request r = {.node = "n", .owner = "n/1", .want = 10, .lease = USEC_PER_MINUTE};
	struct pair p = open_pair();
	struct store_session *other;
	struct settle_result result;
	struct settlement s;
	struct claim_batch b;
	struct message_draft d;

	OKAY(store_session_open(p.store, &other, &err));
	OKAY(add_keyed(other, NULL, &d));

	atomic_store(&breakage, how);
	OKAY(store_claim(p.c, &r, &b, &err));
	assert_int_equal(atomic_load(&broken), 1);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.items[0].attempt, 1);
	assert_int_equal(b.items[0].fence, 1);
	s = (struct settlement){.id = b.items[0].id, .fence = 1, .run = b.run, .attempt = 1,
	                        .verdict = VERDICT_SENT, .http_status = 202, .started_at = b.now};
	claim_batch_release(&b);

	store_session_close(p.c);
	OKAY(store_session_open(p.store, &p.c, &err));
	atomic_store(&breakage, how);
	OKAY(store_settle(p.c, &s, 1, &result, &err));
	assert_int_equal(atomic_load(&broken), 2);
	assert_true(s.applied);
	assert_int_equal(result.applied, 1);
	assert_answer("SELECT state FROM herald_messages", "2");
	assert_answer("SELECT count(*) FROM herald_attempts", "1");
	assert_answer("SELECT sum(sending)*10+sum(sent) FROM herald_counts", "1");
	assert_answer("SELECT claimed*10+sent FROM herald_runs", "11");
	store_session_close(other);
	close_pair(&p);
}

static void test_a_claim_and_a_settlement_whose_commit_is_answered_to_nobody(void **state)
{
	(void)state;
	claim_and_settle_under(BREAK_ANSWER);
}

static void test_a_claim_and_a_settlement_whose_commit_does_not_arrive(void **state)
{
	(void)state;
	claim_and_settle_under(BREAK_REQUEST);
}

/* --- connections ------------------------------------------------------------------------------------------- */

static void test_connections_that_are_cut_are_made_again(void **state)
{
	struct pair p = open_pair();
	struct store_counts counts;
	struct message_draft d;
	int i;

	(void)state;
	for (i = 1; i <= 5; i++) {
		OKAY(add_keyed(p.c, NULL, &d));
		free(ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
		         " WHERE application_name='herald'"));
		OKAY(store_counts(p.c, &counts, &err));
		assert_int_equal(counts.by_status[MESSAGE_PENDING], i);
	}
	close_pair(&p);
}

static void test_a_server_that_is_away_is_said_to_be_so_at_once(void **state)
{
	struct pair p = open_pair();
	struct store_counts counts;
	usec_t start;
	int i;

	(void)state;
	OKAY(store_counts(p.c, &counts, &err));
	atomic_store(&breakage, BREAK_ALWAYS);
	free(ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
	         " WHERE application_name='herald'"));
	assert_int_equal(store_counts(p.c, &counts, &err), ERR_TRANSIENT);
	start = clock_mono();
	for (i = 0; i < 1000; i++)
		assert_int_equal(store_counts(p.c, &counts, &err), ERR_TRANSIENT);
	/* Far less than the 1000 connections that it would have tried without a pause. */
	assert_true(clock_mono() - start < 10 * USEC_PER_SEC);
	atomic_store(&breakage, BREAK_NOTHING);
	for (i = 0; i < 100 && store_counts(p.c, &counts, &err); i++)
		usleep(100000);
	assert_true(i < 100);
	close_pair(&p);
}

static void assert_refused(const char *url, int code, const char *text)
{
	const struct store_options options = {.url = url};
	struct store *s;

	assert_int_equal(store_open(&s, &options, &err), code);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.text);
	assert_null(strstr(err.text, "secret"));
}

static void test_what_cannot_be_opened_is_explained_without_the_password(void **state)
{
	char *url = xasprintf("postgres://herald:secret@127.0.0.1:%d/nothing", server_port);

	(void)state;
	assert_refused(url, ERR_CONFIG, "authentication failed");
	free(url);
	assert_refused("postgres://herald:secret@[::1/x", ERR_CONFIG, "URL");
	assert_refused("postgres://herald:secret@127.0.0.1/x?no_such=1", ERR_CONFIG, "no_such");
	/* Port 1 of the loopback: nobody there. */
	assert_refused("postgres://herald:secret@127.0.0.1:1/x", ERR_TRANSIENT, "refused");
}

/* --- the schema -------------------------------------------------------------------------------------------- */

#define NODES 8

static void *open_as_node(void *arg)
{
	const struct store_options options = {.url = proxied_url};
	struct error own = ERROR_INIT;
	struct store *s;

	if (store_open(&s, &options, &own)) {
		print_error("%s\n", own.text);
		return NULL;
	}
	store_close(s);
	return arg;
}

static void test_many_nodes_migrate_at_once(void **state)
{
	pthread_t nodes[NODES];
	void *fine;
	int i, round;

	for (round = 0; round < 5; round++) {
		fresh(state);
		for (i = 0; i < NODES; i++)
			assert_int_equal(pthread_create(&nodes[i], NULL, open_as_node, nodes), 0);
		for (i = 0; i < NODES; i++) {
			assert_int_equal(pthread_join(nodes[i], &fine), 0);
			assert_non_null(fine);
		}
		assert_answer("SELECT max(version)=count(*) FROM herald_schema", "t");
		assert_answer("SELECT count(*) FROM herald_counts", "64");
	}
}

static void test_a_newer_schema_is_refused(void **state)
{
	(void)state;
	store_close(open_store(proxied_url));
	free(ask("INSERT INTO herald_schema VALUES(1000)"));
	assert_refused(proxied_url, ERR_CONFIG, "newer herald");
}

/* As the first release left it. */
#define TO_SCHEMA_1                                                                                \
	"ALTER TABLE herald_counts DROP COLUMN invalid; ALTER TABLE herald_scheduler DROP COLUMN not_before;" \
	"ALTER TABLE herald_scheduler DROP COLUMN job; DROP TABLE herald_jobs;"                    \
	"DROP TRIGGER herald_phones ON herald_messages; DROP FUNCTION herald_phones_add; DROP TABLE herald_phones;" \
	"DROP TABLE herald_commits;"                                                               \
	"DELETE FROM herald_schema WHERE version>1"

static void test_an_older_schema_is_migrated(void **state)
{
	struct store_session *c;
	struct store_counts counts;
	int found, current;
	struct store *s;

	(void)state;
	store_close(open_store(proxied_url));
	free(ask("UPDATE herald_counts SET pending=2,retrying=1,unknown=3 WHERE slot=5"));
	free(ask("INSERT INTO herald_messages(id,state_at,fence,owner,run,said,due_at,started_at,updated_at,created_at,"
	         "send_at,attempts,lost,state,phone,content) VALUES(7,1,0,0,0,-1,1,1,1,1,0,0,0,2,'+905',''),"
	         "(8,1,0,0,0,-1,1,1,1,1,0,0,0,2,'+904','')"));
	free(ask(TO_SCHEMA_1));
	s = open_store(proxied_url);
	store_schema(s, &found, &current);
	assert_int_equal(found, 1);
	assert_true(current > 1);
	assert_int_equal(OK, store_session_open(s, &c, &err));
	assert_int_equal(OK, store_counts(c, &counts, &err));
	assert_int_equal(counts.by_status[MESSAGE_PENDING], 3);
	assert_int_equal(counts.by_status[MESSAGE_UNKNOWN], 3);
	assert_int_equal(counts.by_status[MESSAGE_INVALID], 0);
	assert_answer("SELECT string_agg(phone||'='||id,' ' ORDER BY id) FROM herald_phones", "+905=7 +904=8");
	store_session_close(c);
	store_close(s);
}

static void test_nothing_is_migrated_when_that_is_not_wanted(void **state)
{
	const struct store_options options = {.url = proxied_url, .read_only_schema = true};
	struct store *s;

	(void)state;
	assert_int_equal(store_open(&s, &options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "herald migrate"));
	assert_answer("SELECT to_regclass('herald_schema') IS NULL", "t");
	store_close(open_store(proxied_url));
	OKAY(store_open(&s, &options, &err));
	store_close(s);
}

/* --- the program ------------------------------------------------------------------------------------------- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_an_insert_whose_commit_is_answered_to_nobody, fresh),
		cmocka_unit_test_setup(test_an_insert_whose_commit_does_not_arrive, fresh),
		cmocka_unit_test_setup(test_a_claim_and_a_settlement_whose_commit_is_answered_to_nobody,
	                               fresh),
		cmocka_unit_test_setup(test_a_claim_and_a_settlement_whose_commit_does_not_arrive, fresh),
		cmocka_unit_test_setup(test_connections_that_are_cut_are_made_again, fresh),
		cmocka_unit_test_setup(test_a_server_that_is_away_is_said_to_be_so_at_once, fresh),
		cmocka_unit_test_setup(test_what_cannot_be_opened_is_explained_without_the_password, fresh),
		cmocka_unit_test_setup(test_many_nodes_migrate_at_once, fresh),
		cmocka_unit_test_setup(test_a_newer_schema_is_refused, fresh),
		cmocka_unit_test_setup(test_an_older_schema_is_migrated, fresh),
		cmocka_unit_test_setup(test_nothing_is_migrated_when_that_is_not_wanted, fresh),
	};
	const char *url = getenv("HERALD_TEST_POSTGRES_URL");
	int port = start_proxy(), failed;

	/* The proxy may write to one who has just gone. */
	signal(SIGPIPE, SIG_IGN);
	if (!url || port < 0) {
		fprintf(stderr, "HERALD_TEST_POSTGRES_URL is not set, or no port is free\n");
		return 2;
	}
	side = PQconnectdb(url);
	if (PQstatus(side) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(side));
		return 2;
	}
	server_port = (int)strtol(PQport(side), NULL, 10);
	proxied_url = xasprintf("postgresql://%s:%s@127.0.0.1:%d/%s?options=-csearch_path%%3Dherald_faults",
	                        PQuser(side), PQpass(side), port, PQdb(side));
	failed = cmocka_run_group_tests_name("postgres", tests, NULL, NULL);
	PQfinish(side);
	free(proxied_url);
	return failed ? 1 : 0;
}
