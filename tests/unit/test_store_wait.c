/* A database that is not there when herald starts: the front door stands in for it until it is. The driver
 * is the one in memory, whose opening fails as each test says. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "store_driver.h"

static struct store_driver driver;
static _Atomic int failure; /* of the next openings */
static _Atomic int sessions_fail;
static _Atomic int opens, opened, closed, welcomed, open_at_once;

static int flaky_open(void **ret, const struct driver_options *o, struct error *err)
{
	int code = atomic_load(&failure);

	atomic_fetch_add(&opens, 1);
	assert_int_equal(atomic_fetch_add(&open_at_once, 1), 0);
	usleep(2000);
	atomic_fetch_sub(&open_at_once, 1);
	if (code)
		return error_set(err, code, "nobody answers");
	atomic_fetch_add(&opened, 1);
	return store_driver_memory.open(ret, o, err);
}

static void counting_close(void *db)
{
	atomic_fetch_add(&closed, 1);
	store_driver_memory.close(db);
}

static int flaky_session(void *db, void **ret, struct error *err)
{
	if (atomic_load(&sessions_fail))
		return error_set(err, ERR_TRANSIENT, "no connection");
	return store_driver_memory.session_open(db, ret, err);
}

int __wrap_store_driver_find(const char *url, const struct store_driver **ret, const char **ret_rest,
                             struct error *err);
int __wrap_store_driver_find(const char *url, const struct store_driver **ret, const char **ret_rest,
                             struct error *err)
{
	if (strncmp(url, "flaky:", 6) != 0)
		return error_set(err, ERR_CONFIG, "no such driver");
	*ret = &driver;
	*ret_rest = url + 6;
	return OK;
}

static int prepare(struct store *s, struct store_session *c, void *arg, struct error *err)
{
	const struct scheduler_defaults d = {.auto_start = true, .interval = 5, .batch = 7};
	struct scheduler now;
	int found, needed;

	atomic_fetch_add(&welcomed, 1);
	store_schema(s, &found, &needed);
	assert_int_equal(needed, driver.schema);
	if (arg && atomic_fetch_sub((_Atomic int *)arg, 1) > 0)
		return error_set(err, ERR_UNCERTAIN, "the connection broke");
	return store_scheduler_init(c, &d, &now, err);
}

static int setup(void **state)
{
	(void)state;
	driver = store_driver_memory;
	driver.open = flaky_open;
	driver.close = counting_close;
	driver.session_open = flaky_session;
	failure = sessions_fail = opens = opened = closed = welcomed = 0;
	return 0;
}

static struct store *open_waiting(void *arg)
{
	const struct store_options options = {
		.url = "flaky:", .wait = true, .on_open = prepare, .on_open_arg = arg};
	struct store *s = NULL;

	assert_int_equal(store_open(&s, &options, NULL), OK);
	return s;
}

static int until_it_works(struct store_session *c)
{
	usec_t until = clock_mono() + 60 * USEC_PER_SEC;
	struct error err = ERROR_INIT;
	int failures = 0;

	while (store_ping(c, &err)) {
		assert_int_equal(err.code, ERR_TRANSIENT);
		if (clock_mono() >= until)
			fail_msg("%s", err.text);
		failures++;
		usleep(1000);
	}
	return failures;
}

static void test_every_verb_fails_until_it_is_there(void **state)
{
	struct store *s;
	struct store_session *early, *late;
	struct message_draft draft = {.phone = "+905551234567", .content = "Hello"};
	struct insert_group group = {.drafts = &draft, .n = 1};
	struct error err = ERROR_INIT;
	struct scheduler now;

	(void)state;
	failure = ERR_TRANSIENT;
	s = open_waiting(NULL);
	assert_int_equal(store_session_open(s, &early, &err), OK);
	assert_int_equal(store_insert(early, &group, 1, &err), ERR_TRANSIENT);
	assert_string_equal(err.text, "the database is not there yet: nobody answers");
	assert_int_equal(store_scheduler_get(early, &now, NULL), ERR_TRANSIENT);
	assert_int_equal(welcomed, 0);

	failure = OK;
	until_it_works(early);
	assert_int_equal(opened, 1);
	assert_int_equal(welcomed, 1);
	/* What is done on opening is done before anyone gets in. */
	assert_int_equal(store_scheduler_get(early, &now, &err), OK);
	assert_int_equal(now.pacing.batch, 7);
	assert_int_equal(store_insert(early, &group, 1, &err), OK);
	assert_int_equal(store_session_open(s, &late, &err), OK);
	assert_int_equal(store_ping(late, &err), OK);
	store_session_close(early);
	store_session_close(late);
	store_close(s);
	assert_int_equal(closed, 1);
}

static void test_tries_are_few(void **state)
{
	struct store *s;
	struct store_session *c;
	int i;

	(void)state;
	failure = ERR_TRANSIENT;
	s = open_waiting(NULL);
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	for (i = 0; i < 10000; i++)
		assert_int_equal(store_ping(c, NULL), ERR_TRANSIENT);
	/* The second try comes 50 ms after the first at the earliest; 10,000 calls take a few of those. */
	assert_true(opens < 100);
	store_session_close(c);
	store_close(s);
	assert_int_equal(closed, 0);
}

static void test_an_opening_that_breaks_off_is_repeated(void **state)
{
	_Atomic int breaks = 2;
	struct store *s;
	struct store_session *c;

	(void)state;
	s = open_waiting(&breaks);
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	until_it_works(c);
	assert_int_equal(welcomed, 3);
	assert_int_equal(opened, 3);
	assert_int_equal(closed, 2);
	store_session_close(c);
	store_close(s);
}

static void test_a_session_is_opened_when_it_can_be(void **state)
{
	struct store *s;
	struct store_session *c;

	(void)state;
	failure = ERR_TRANSIENT;
	s = open_waiting(NULL);
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	failure = OK;
	sessions_fail = 1;
	usleep(150000);
	assert_int_equal(store_ping(c, NULL), ERR_TRANSIENT);
	sessions_fail = 0;
	until_it_works(c);
	store_session_close(c);
	store_close(s);
	assert_int_equal(opened, closed);
}

static void test_what_the_operator_must_change_ends_the_start(void **state)
{
	static const int lasting[] = {ERR_CONFIG, ERR_PERMANENT};
	struct store_options options = {.url = "flaky:", .wait = true};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lasting); i++) {
		failure = lasting[i];
		assert_int_equal(store_open(&s, &options, &err), lasting[i]);
		assert_string_equal(err.text, "nobody answers");
	}
	options.wait = false;
	failure = ERR_TRANSIENT;
	assert_int_equal(store_open(&s, &options, &err), ERR_TRANSIENT);
	options.url = "other:x";
	assert_int_equal(store_open(&s, &options, NULL), ERR_CONFIG);
	assert_null(s);
}

/* Later there is nobody to end: a schema that is too new is said to be so, and looked at again. */
static void test_what_the_operator_must_change_may_come_later(void **state)
{
	struct error err = ERROR_INIT;
	struct store *s;
	struct store_session *c;

	(void)state;
	failure = ERR_TRANSIENT;
	s = open_waiting(NULL);
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	failure = ERR_CONFIG;
	usleep(150000);
	assert_int_equal(store_ping(c, &err), ERR_TRANSIENT);
	assert_int_equal(err.code, ERR_TRANSIENT);
	failure = OK;
	until_it_works(c);
	store_session_close(c);
	store_close(s);
}

static void *knock(void *arg)
{
	struct store_session *c;

	assert_int_equal(store_session_open(arg, &c, NULL), OK);
	until_it_works(c);
	store_session_close(c);
	return NULL;
}

static void test_one_of_many_opens_it_for_all(void **state)
{
	pthread_t threads[8];
	struct store *s;

	(void)state;
	failure = ERR_TRANSIENT;
	s = open_waiting(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, knock, s), 0);
	usleep(20000);
	failure = OK;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(opened, 1);
	assert_int_equal(welcomed, 1);
	store_close(s);
	assert_int_equal(closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_every_verb_fails_until_it_is_there, setup),
		cmocka_unit_test_setup(test_tries_are_few, setup),
		cmocka_unit_test_setup(test_an_opening_that_breaks_off_is_repeated, setup),
		cmocka_unit_test_setup(test_a_session_is_opened_when_it_can_be, setup),
		cmocka_unit_test_setup(test_what_the_operator_must_change_ends_the_start, setup),
		cmocka_unit_test_setup(test_what_the_operator_must_change_may_come_later, setup),
		cmocka_unit_test_setup(test_one_of_many_opens_it_for_all, setup),
	};

	log_init(LOG_OFF, LOG_LOGFMT, STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
