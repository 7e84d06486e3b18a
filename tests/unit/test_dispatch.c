/*
 * The dispatcher as a whole, over each store of this build and the transport that exists on paper: what
 * is claimed, when, how outcomes end in the store, and how it stops.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "cache.h"
#include "dispatch.h"
#include "log.h"
#include "queue.h"
#include "store.h"
#include "text.h"
#include "transport_fake.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MANY 20000
#else
#define MANY 100000
#endif

#define PATIENCE (60 * USEC_PER_SEC)

struct rig {
	struct store *store;
	struct store_session *session;
	struct cache *cache;
	struct fake_script *webhook, *alerts;
	struct dispatch *d;
	struct dispatch_options o;
	struct arena arena;
	char url[64], alert_url[64];
	size_t answered; /* some_wait_in_hand() */
};

/* Faults to inject: store_settle() is linked through here. */
static atomic_int settle_faults, settle_fault_code, settle_calls;
int __real_store_settle(struct store_session *c, struct settlement *s, size_t n, struct settle_result *ret,
                        struct error *err);
int __wrap_store_settle(struct store_session *c, struct settlement *s, size_t n, struct settle_result *ret,
                        struct error *err);
int __wrap_store_settle(struct store_session *c, struct settlement *s, size_t n, struct settle_result *ret,
                        struct error *err)
{
	int code = atomic_load(&settle_fault_code);

	atomic_fetch_add(&settle_calls, 1);
	if (atomic_load(&settle_faults) > 0) {
		atomic_fetch_sub(&settle_faults, 1);
		/* Uncertain here means done, and the answer lost. */
		if (code == ERR_UNCERTAIN && __real_store_settle(c, s, n, ret, err))
			fail_msg("settle: %s", err->text);
		return error_set(err, code, "injected");
	}
	return __real_store_settle(c, s, n, ret, err);
}

static atomic_int renewed;
int __real_store_renew(struct store_session *c, const struct lease_ref *refs, size_t n, usec_t lease,
                       size_t *ret_renewed, struct error *err);
int __wrap_store_renew(struct store_session *c, const struct lease_ref *refs, size_t n, usec_t lease,
                       size_t *ret_renewed, struct error *err);
int __wrap_store_renew(struct store_session *c, const struct lease_ref *refs, size_t n, usec_t lease,
                       size_t *ret_renewed, struct error *err)
{
	int rc = __real_store_renew(c, refs, n, lease, ret_renewed, err);

	if (!rc)
		atomic_fetch_add(&renewed, (int)*ret_renewed);
	return rc;
}

/* The clocks, which a test may put forward: both as if the process had been asleep, one as if the machine had
 * been suspended. A wait in a queue goes by the kernel's own, so there it is the true one. */
static _Atomic usec_t asleep, suspended;
static _Thread_local bool in_queue;
/* How long any other thread than the test's own is kept from running whenever it looks at the clock. */
static _Atomic usec_t others_sleep;
static _Thread_local bool is_test;
struct queue_item *__real_queue_wait(struct queue *q, size_t most, usec_t timeout, size_t *ret_n);
struct queue_item *__wrap_queue_wait(struct queue *q, size_t most, usec_t timeout, size_t *ret_n);
struct queue_item *__wrap_queue_wait(struct queue *q, size_t most, usec_t timeout, size_t *ret_n)
{
	struct queue_item *items;

	in_queue = true;
	items = __real_queue_wait(q, most, timeout, ret_n);
	in_queue = false;
	return items;
}
usec_t __real_clock_mono(void);
usec_t __wrap_clock_mono(void);
usec_t __wrap_clock_mono(void)
{
	if (!is_test && atomic_load(&others_sleep))
		usleep((useconds_t)atomic_load(&others_sleep));
	return __real_clock_mono() + (in_queue ? 0 : atomic_load(&asleep));
}

usec_t __real_clock_boot(void);
usec_t __wrap_clock_boot(void);
usec_t __wrap_clock_boot(void)
{
	return __real_clock_boot() + (in_queue ? 0 : atomic_load(&asleep) + atomic_load(&suspended));
}

static char directory[] = "/tmp/herald-dispatch-XXXXXX";
static bool on_disk;

static struct message_rules rules;

static struct rig rig_new(void)
{
	static int serial;
	struct rig r = {0};
	char url[128] = "memory:";
	struct store_options so = {.url = url};
	struct cache_options co = {.url = "memory:", .max_entries = 1000};
	struct error err = ERROR_INIT;

	log_init(LOG_OFF, LOG_LOGFMT, 2);
	atomic_store(&settle_faults, 0);
	atomic_store(&renewed, 0);
	atomic_store(&asleep, 0);
	atomic_store(&suspended, 0);
	atomic_store(&others_sleep, 0);
	serial++;
	if (on_disk)
		snprintf(url, sizeof(url), "sqlite:%s/%d.db", directory, serial);
	if (store_open(&r.store, &so, &err) || store_session_open(r.store, &r.session, &err) ||
	    cache_open(&r.cache, &co, &err))
		fail_msg("%s", err.text);
	snprintf(r.url, sizeof(r.url), "fake:webhook-%d", serial);
	snprintf(r.alert_url, sizeof(r.alert_url), "fake:alert-%d", serial);
	r.webhook = fake_script_new(r.url + 5);
	r.alerts = fake_script_new(r.alert_url + 5);
	rules = (struct message_rules){.max_content = 1000};
	r.o = (struct dispatch_options){
		.store = r.store,
		.cache = r.cache,
		.node_id = "test",
		.webhook_timeout = 10 * USEC_PER_SEC,
		.message_id_from = "json:/messageId",
		.policy = {.max_attempts = 5, .backoff = {20 * USEC_PER_MSEC}, .backoff_n = 1},
		.rules = &rules,
		.concurrency = 16,
		.lease = 40 * USEC_PER_SEC,
		.max_lost_claims = 3,
	};
	for (int status = 200; status < 300; status++)
		r.o.policy.success[status / 64] |= UINT64_C(1) << (status % 64);
	return r;
}

static void pace(struct rig *r, bool running, usec_t interval, uint32_t batch)
{
	struct scheduler_defaults def = {.auto_start = running, .interval = interval, .batch = batch};
	struct scheduler s;

	assert_int_equal(store_scheduler_init(r->session, &def, &s, NULL), OK);
}

static void change(struct rig *r, struct scheduler_change c)
{
	struct scheduler s;
	bool changed;

	assert_int_equal(store_scheduler_change(r->session, &c, &s, &changed, NULL), OK);
	if (r->d)
		dispatch_poke(r->d);
}

static void run(struct rig *r)
{
	struct error err = ERROR_INIT;

	r->o.webhook_url = r->o.webhook_url ? r->o.webhook_url : r->url;
	if (dispatch_open(&r->d, &r->o, &err) || dispatch_start(r->d, &err))
		fail_msg("%s", err.text);
}

static int64_t create(struct rig *r, const char *content, usec_t send_at)
{
	struct message_draft draft = {.phone = "+905551234567", .content = content, .send_at = send_at};
	struct insert_group g = {.drafts = &draft, .n = 1};

	assert_int_equal(store_insert(r->session, &g, 1, NULL), OK);
	if (r->d)
		dispatch_poke(r->d);
	return draft.id;
}

static void create_many(struct rig *r, size_t n)
{
	struct message_draft *drafts = xcalloc(n, sizeof(*drafts));
	struct insert_group g = {.drafts = drafts, .n = n};

	for (size_t i = 0; i < n; i++)
		drafts[i] = (struct message_draft){.phone = "+905551234567", .content = "one of many"};
	assert_int_equal(store_insert(r->session, &g, 1, NULL), OK);
	free(drafts);
	if (r->d)
		dispatch_poke(r->d);
}

static struct message get(struct rig *r, int64_t id)
{
	struct message m;

	assert_int_equal(store_get(r->session, id, &r->arena, &m, NULL), OK);
	return m;
}

static struct message wait_status(struct rig *r, int64_t id, enum message_status want)
{
	usec_t until = clock_mono() + PATIENCE;

	for (;;) {
		struct message m = get(r, id);

		if (m.status == want)
			return m;
		if (clock_mono() > until)
			fail_msg("message %lld is %s, not %s (%s)", (long long)id, message_status_name(m.status),
			         message_status_name(want), m.last_error ? m.last_error : "");
		usleep(1000);
	}
}

static struct store_counts counts(struct rig *r)
{
	struct store_counts c;

	assert_int_equal(store_counts(r->session, &c, NULL), OK);
	return c;
}

static void wait_count(struct rig *r, enum message_status status, int64_t n)
{
	usec_t until = clock_mono() + PATIENCE;

	while (counts(r).by_status[status] != n) {
		if (clock_mono() > until)
			fail_msg("%lld messages are %s, not %lld", (long long)counts(r).by_status[status],
			         message_status_name(status), (long long)n);
		usleep(2000);
	}
}

static struct scheduler scheduler(struct rig *r)
{
	struct scheduler s;

	assert_int_equal(store_scheduler_get(r->session, &s, NULL), OK);
	return s;
}

static void rig_free(struct rig *r)
{
	atomic_store(&asleep, 0); /* the close waits by the true clock */
	dispatch_close(r->d);
	arena_release(&r->arena);
	store_session_close(r->session);
	store_close(r->store);
	cache_close(r->cache);
	fake_script_free(r->webhook);
	fake_script_free(r->alerts);
}

static void answer(struct rig *r, int status)
{
	fake_script_push(r->webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = status});
}

static void always(struct rig *r, struct fake_outcome o)
{
	fake_script_otherwise(r->webhook, &o);
}

/* --- one message ------------------------------------------------------------------------------------- */

static void test_a_message_is_sent(void **state)
{
	struct rig r = rig_new();
	struct cache_page page;
	struct attempt_page attempts;
	const struct fake_request *req;

	(void)state;
	pace(&r, true, 0, 2);
	int64_t id = create(&r, "hello \"you\"", 0);
	r.o.webhook_secrets = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
	run(&r);
	struct message m = wait_status(&r, id, MESSAGE_SENT);
	assert_string_equal(m.message_id, "fake-1");
	assert_int_equal(m.attempts, 1);
	assert_int_equal(fake_script_count(r.webhook), 1);

	req = fake_script_request(r.webhook, 0);
	assert_string_equal(req->body, "{\"to\":\"+905551234567\",\"content\":\"hello \\\"you\\\"\"}");
	assert_int_equal(strtoll(req->key, NULL, 10), id);
	assert_non_null(req->timestamp);
	assert_true(text_starts_with(req->signature, "v1,"));

	assert_int_equal(store_attempts(r.session, id, &attempts, NULL), OK);
	assert_int_equal(attempts.n, 1);
	assert_int_equal(attempts.items[0].http_status, 202);
	assert_true(attempts.items[0].started_at <= m.sent_at + PATIENCE);
	assert_true(attempts.items[0].started_at >= m.created_at);
	attempt_page_release(&attempts);

	/* The cache is filled after the commit that made it "sent". */
	for (usec_t until = clock_mono() + PATIENCE;;) {
		assert_int_equal(cache_list(r.cache, "", 10, &page, NULL), OK);
		if (page.n || clock_mono() > until)
			break;
		cache_page_release(&page);
		usleep(1000);
	}
	assert_int_equal(page.n, 1);
	assert_int_equal(page.items[0].id, id);
	assert_string_equal(page.items[0].message_id, "fake-1");
	assert_int_equal(page.items[0].sent_at, m.sent_at);
	cache_page_release(&page);
	rig_free(&r);
}

static void test_long_content_is_cut(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	rules.max_content = 5;
	int64_t id = create(&r, "şşşşşşş", 0);
	run(&r);
	wait_status(&r, id, MESSAGE_SENT);
	assert_string_equal(fake_script_request(r.webhook, 0)->body,
	                    "{\"to\":\"+905551234567\",\"content\":\"şş...\"}");
	rig_free(&r);
}

/* What breaks the rules at its turn is not sent; what comes behind it is. */
static void test_invalid_is_not_sent(void **state)
{
	struct rig r = rig_new();
	struct message m;

	(void)state;
	pace(&r, true, 0, 2);
	message_rules_release(&rules);
	assert_int_equal(message_rules_init(&rules, NULL, 5, true, NULL), OK);
	int64_t empty = create(&r, "", 0), longer = create(&r, "şşşşşş", 0), good = create(&r, "şşşşş", 0);
	run(&r);
	wait_status(&r, empty, MESSAGE_INVALID);
	wait_status(&r, longer, MESSAGE_INVALID);
	wait_status(&r, good, MESSAGE_SENT);
	assert_string_equal(fake_script_request(r.webhook, 0)->body,
	                    "{\"to\":\"+905551234567\",\"content\":\"şşşşş\"}");
	assert_int_equal(store_get(r.session, longer, &r.arena, &m, NULL), OK);
	assert_string_equal(m.last_error, "the content is longer than MESSAGE_MAX_CONTENT_LENGTH");
	rig_free(&r);

	r = rig_new();
	pace(&r, true, 0, 2);
	assert_int_equal(message_rules_init(&rules, "^[+]91", 1000, false, NULL), OK);
	int64_t id = create(&r, "x", 0);
	run(&r);
	wait_status(&r, id, MESSAGE_INVALID);
	assert_int_equal(store_get(r.session, id, &r.arena, &m, NULL), OK);
	assert_string_equal(m.last_error, "the phone number does not match PHONE_PATTERN");
	rig_free(&r);
	message_rules_release(&rules);
}

static void test_send_at_is_waited_for(void **state)
{
	struct rig r = rig_new();
	usec_t begin = clock_mono();

	(void)state;
	pace(&r, true, 0, 2);
	int64_t id = create(&r, "later", clock_wall() + 200 * USEC_PER_MSEC);
	run(&r);
	wait_status(&r, id, MESSAGE_SENT);
	assert_true(fake_script_request(r.webhook, 0)->at - begin >= 199 * USEC_PER_MSEC);
	rig_free(&r);
}

static void test_lifo(void **state)
{
	static const char *const contents[] = {"1", "2", "3", "4", "5"};
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	r.o.order = ORDER_LIFO;
	r.o.concurrency = 1;
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		create(&r, contents[i], 0);
		usleep(1000); /* its own microsecond */
	}
	run(&r);
	wait_count(&r, MESSAGE_SENT, 5);
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++)
		assert_non_null(strstr(fake_script_request(r.webhook, i)->body, (const char *[]){
			"\"5\"", "\"4\"", "\"3\"", "\"2\"", "\"1\""}[i]));
	rig_free(&r);
}

static void test_without_a_url_nothing_is_claimed(void **state)
{
	struct rig r = rig_new();
	struct dispatch_run ran;

	(void)state;
	pace(&r, true, 0, 2);
	r.o.webhook_url = "";
	int64_t id = create(&r, "waits", 0);
	run(&r);
	assert_int_equal(dispatch_run_now(r.d, &ran, NULL), ERR_CONFIG);
	usleep(50000);
	assert_int_equal(get(&r, id).status, MESSAGE_PENDING);
	assert_int_equal(dispatch_finish(r.d, PATIENCE), 0);
	rig_free(&r);
}

/* --- failures ---------------------------------------------------------------------------------------- */

static void test_retries_until_it_works(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	answer(&r, 503);
	fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_NOT_SENT, .error = "refused"});
	int64_t id = create(&r, "x", 0);
	run(&r);
	struct message m = wait_status(&r, id, MESSAGE_SENT);
	assert_int_equal(m.attempts, 3);
	assert_int_equal(fake_script_count(r.webhook), 3);
	for (size_t i = 1; i < 3; i++) {
		const struct fake_request *a = fake_script_request(r.webhook, i - 1);
		const struct fake_request *b = fake_script_request(r.webhook, i);

		assert_string_equal(a->key, b->key);
		assert_string_equal(a->body, b->body);
		assert_true(b->at - a->at >= 19 * USEC_PER_MSEC);
	}
	rig_free(&r);
}

static void test_free_retries_do_not_wait_for_the_beat(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, USEC_PER_HOUR, 1);
	r.o.policy.retry_free = true;
	answer(&r, 503);
	answer(&r, 503);
	int64_t id = create(&r, "x", 0);
	run(&r);
	assert_int_equal(wait_status(&r, id, MESSAGE_SENT).attempts, 3);
	assert_int_equal(scheduler(&r).pacing.epoch, 1);
	rig_free(&r);
}

static void test_the_last_try_and_lasting_failures(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	r.o.policy.max_attempts = 2;
	r.o.concurrency = 1;
	always(&r, (struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 500, .body = "out of\norder"});
	fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 400,
	                                                   .body = "bad \xff number"});
	int64_t first = create(&r, "x", 0), second = create(&r, "y", 0);
	run(&r);
	struct message m = wait_status(&r, first, MESSAGE_FAILED);
	assert_int_equal(m.attempts, 1);
	assert_string_equal(m.last_error, "HTTP 400: bad ");
	m = wait_status(&r, second, MESSAGE_FAILED);
	assert_int_equal(m.attempts, 2);
	assert_string_equal(m.last_error, "HTTP 500: out of order");
	rig_free(&r);
}

static void test_retry_after(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 429,
	                                                   .retry_after = "3600"});
	int64_t id = create(&r, "x", 0);
	run(&r);
	assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
	wait_count(&r, MESSAGE_SENDING, 0);
	struct message m = wait_status(&r, id, MESSAGE_PENDING);
	assert_true(m.due_at - m.created_at >= USEC_PER_HOUR);
	assert_true(m.due_at - m.created_at < 2 * USEC_PER_HOUR);
	assert_int_equal(m.attempts, 1);
	rig_free(&r);
}

static void test_a_broken_exchange(void **state)
{
	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct rig r = rig_new();

		pace(&r, true, 0, 2);
		r.o.policy.strict = strict;
		fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_BROKEN, .error = "reset"});
		int64_t id = create(&r, "x", 0);
		run(&r);
		struct message m = wait_status(&r, id, strict ? MESSAGE_UNKNOWN : MESSAGE_SENT);
		assert_int_equal(m.attempts, strict ? 1 : 2);
		if (strict)
			assert_string_equal(m.last_error, "reset");
		assert_int_equal(fake_script_count(r.webhook), strict ? 1 : 2);
		rig_free(&r);
	}
}

static void test_rehearsal_sends_nothing(void **state)
{
	struct rig r = rig_new();
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;

	(void)state;
	pace(&r, true, 0, 2);
	c.failure_rate = 1;
	change(&r, c);
	r.o.policy.max_attempts = 3;
	create_many(&r, 50);
	run(&r);
	wait_count(&r, MESSAGE_FAILED, 50);
	assert_int_equal(fake_script_count(r.webhook), 0);
	assert_non_null(strstr(get(&r, 1).last_error, "failureRate"));
	assert_int_equal(get(&r, 1).attempts, 3);
	rig_free(&r);
}

/* --- the beat ---------------------------------------------------------------------------------------- */

/* Whatever happened, runs opened an interval apart and claimed at most a batch. Returns how many claimed. */
static size_t check_runs(struct rig *r, usec_t interval, uint32_t batch)
{
	struct run_page p;
	size_t busy = 0;

	assert_int_equal(store_runs(r->session, 0, 0, 1000, &p, NULL), OK);
	for (size_t i = 0; i < p.n; i++) {
		assert_true(p.items[i].claimed <= batch);
		busy += p.items[i].claimed > 0;
		if (i)
			assert_true(p.items[i - 1].started_at - p.items[i].started_at >= interval);
	}
	run_page_release(&p);
	return busy;
}

static void test_beats_over_stops_starts_and_pokes(void **state)
{
	struct rig r = rig_new();
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;

	(void)state;
	pace(&r, true, 50 * USEC_PER_MSEC, 2);
	create_many(&r, 20);
	run(&r);
	for (int i = 0; i < 40; i++) {
		usleep(3000);
		if (i % 5 == 0) {
			c.running = i / 5 % 2;
			change(&r, c);
		}
		dispatch_poke(r.d);
	}
	c.running = 1;
	change(&r, c);
	wait_count(&r, MESSAGE_SENT, 20);
	assert_int_equal(check_runs(&r, 50 * USEC_PER_MSEC, 2), 10);
	rig_free(&r);
}

static void test_a_restart_does_not_shorten_the_interval(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 60 * USEC_PER_MSEC, 1);
	create_many(&r, 6);
	for (int i = 0; i < 6; i++) {
		run(&r);
		assert_true(fake_script_wait(r.webhook, (size_t)i + 1, PATIENCE));
		dispatch_finish(r.d, PATIENCE);
		dispatch_close(r.d);
		r.d = NULL;
	}
	assert_int_equal(counts(&r).by_status[MESSAGE_SENT], 6);
	assert_int_equal(check_runs(&r, 60 * USEC_PER_MSEC, 1), 6);
	rig_free(&r);
}

/* A beat larger than the slots is taken in parts and still counts as one. */
static void test_a_beat_larger_than_the_slots(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, USEC_PER_HOUR, 100);
	r.o.concurrency = 8;
	create_many(&r, 150);
	run(&r);
	wait_count(&r, MESSAGE_SENT, 100);
	usleep(30000);
	assert_int_equal(fake_script_count(r.webhook), 100);
	assert_int_equal(check_runs(&r, USEC_PER_HOUR, 100), 1);
	rig_free(&r);
}

static void test_run_now(void **state)
{
	struct rig r = rig_new();
	struct dispatch_run ran;
	struct error err = ERROR_INIT;

	(void)state;
	pace(&r, false, USEC_PER_HOUR, 20);
	r.o.concurrency = 8;
	create_many(&r, 50);
	run(&r);
	assert_int_equal(dispatch_run_now(r.d, &ran, &err), OK);
	assert_int_equal(ran.run, 1);
	assert_true(ran.claimed >= 1 && ran.claimed <= 8);
	/* The whole beat follows, though the scheduler is stopped. */
	wait_count(&r, MESSAGE_SENT, 20);
	assert_int_equal(dispatch_run_now(r.d, &ran, &err), ERR_CONFLICT);
	assert_true(ran.next_at > clock_wall() + USEC_PER_HOUR / 2);
	assert_int_equal(fake_script_count(r.webhook), 20);
	dispatch_stop_claiming(r.d);
	assert_int_equal(dispatch_run_now(r.d, &ran, &err), ERR_TRANSIENT);
	rig_free(&r);
}

/* --- 410 and alerts ---------------------------------------------------------------------------------- */

static void wait_alerted(struct rig *r)
{
	usec_t until = clock_mono() + PATIENCE;

	while (!scheduler(r).last_alert_at) {
		assert_true(clock_mono() < until);
		usleep(1000);
	}
}

static void test_gone_stops_and_alerts(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	r.o.alert_url = r.alert_url;
	r.o.concurrency = 4;
	always(&r, (struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 410, .delay = 2000});
	create_many(&r, 500);
	run(&r);
	assert_true(fake_script_wait(r.alerts, 1, PATIENCE));
	assert_false(scheduler(&r).pacing.running);
	wait_alerted(&r);
	wait_count(&r, MESSAGE_SENDING, 0);
	/* What was in flight failed; nothing more was begun. */
	assert_true(counts(&r).by_status[MESSAGE_FAILED] <= 4);
	assert_int_equal(fake_script_count(r.alerts), 1);
	const char *body = fake_script_request(r.alerts, 0)->body;
	assert_true(text_starts_with(body, "{\"alert\":\"consecutive_all_fail\",\"runNumber\":1,"
	                                   "\"consecutiveFailures\":1,\"messagesInBatch\":"));
	assert_non_null(strstr(body, "410"));
	rig_free(&r);
}

static void test_alert_after_failed_runs(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 15 * USEC_PER_MSEC, 2);
	r.o.alert_url = r.alert_url;
	r.o.alert_after = 2;
	always(&r, (struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 400});
	/* The alert's receiver is not well, either: it is tried again. */
	fake_script_push(r.alerts, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 500});
	create_many(&r, 10);
	run(&r);
	wait_count(&r, MESSAGE_FAILED, 10);
	assert_true(fake_script_wait(r.alerts, 3, PATIENCE));
	wait_alerted(&r);
	usleep(50000);
	assert_int_equal(fake_script_count(r.alerts), 3); /* runs 2 (twice) and 4 of 5 */
	assert_string_equal(fake_script_request(r.alerts, 0)->body, fake_script_request(r.alerts, 1)->body);
	assert_string_equal(fake_script_request(r.alerts, 0)->key, fake_script_request(r.alerts, 1)->key);
	assert_non_null(strstr(fake_script_request(r.alerts, 0)->body,
	                       "\"consecutiveFailures\":2,\"messagesInBatch\":2,"));
	assert_non_null(strstr(fake_script_request(r.alerts, 2)->body, "\"consecutiveFailures\":4,"));
	rig_free(&r);
}

/* --- the store in trouble ------------------------------------------------------------------------------ */

static void test_settles_are_repeated(void **state)
{
	static const int codes[] = {ERR_TRANSIENT, ERR_UNCERTAIN, ERR_PERMANENT};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct rig r = rig_new();

		pace(&r, true, 0, 2);
		create_many(&r, 300);
		atomic_store(&settle_fault_code, codes[i]);
		atomic_store(&settle_faults, 4);
		run(&r);
		wait_count(&r, MESSAGE_SENT, 300);
		assert_int_equal(dispatch_finish(r.d, PATIENCE), 0);
		assert_int_equal(fake_script_count(r.webhook), 300);
		assert_int_equal(scheduler(&r).messages_sent, 300);
		for (int64_t id = 1; id <= 300; id++) {
			struct attempt_page p;

			assert_int_equal(store_attempts(r.session, id, &p, NULL), OK);
			assert_int_equal(p.n, 1);
			attempt_page_release(&p);
		}
		rig_free(&r);
	}
}

static void test_nothing_is_claimed_while_settles_fail(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	atomic_store(&settle_fault_code, ERR_TRANSIENT);
	atomic_store(&settle_faults, 1000000);
	create_many(&r, MANY);
	run(&r);
	assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
	size_t before, now = fake_script_count(r.webhook);
	do { /* until it stands still */
		before = now;
		usleep(100000);
		now = fake_script_count(r.webhook);
	} while (now != before);
	assert_true(now < 10000);
	assert_int_equal(counts(&r).by_status[MESSAGE_SENT], 0);
	atomic_store(&settle_faults, 0);
	wait_count(&r, MESSAGE_SENT, MANY);
	assert_int_equal(fake_script_count(r.webhook), MANY);
	rig_free(&r);
}

static void test_what_cannot_be_settled_keeps_its_lease(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	atomic_store(&settle_fault_code, ERR_TRANSIENT);
	atomic_store(&settle_faults, 1000000);
	atomic_store(&settle_calls, 0);
	int64_t id = create(&r, "x", 0);
	run(&r);
	while (atomic_load(&settle_calls) < 3)
		usleep(1000);
	assert_int_equal(atomic_load(&renewed), 0);
	usec_t lease = get(&r, id).lease_until;
	atomic_store(&asleep, r.o.lease * 6 / 10);
	while (!atomic_load(&renewed)) {
		dispatch_poke(r.d);
		usleep(1000);
	}
	assert_true(get(&r, id).lease_until > lease);
	atomic_store(&settle_faults, 0);
	wait_status(&r, id, MESSAGE_SENT);
	assert_int_equal(fake_script_count(r.webhook), 1);
	rig_free(&r);
}

/* --- lost races -------------------------------------------------------------------------------------- */

static void take_back(struct rig *r, bool strict)
{
	struct recover_request req = {.owner = "someone/else", .last_error = "lost", .strict = strict,
	                              .max_lost = 3, .max_attempts = 5, .limit = 100};
	struct recover_result got;
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;

	c.running = 0;
	change(r, c);
	assert_true(store_capabilities(r->store) & STORE_EXCLUSIVE);
	assert_int_equal(store_recover(r->session, &req, &got, NULL), OK);
	assert_int_equal(got.pending + got.unknown, 1);
}

static void test_a_late_failure_is_an_opinion(void **state)
{
	struct rig r = rig_new();
	struct message m;

	(void)state;
	pace(&r, true, 0, 2);
	fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 400,
	                                                   .delay = USEC_NEVER});
	int64_t id = create(&r, "x", 0);
	run(&r);
	assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
	take_back(&r, false);
	assert_int_equal(store_cancel(r.session, id, &r.arena, &m, NULL), OK);
	fake_script_release(r.webhook);
	assert_int_equal(dispatch_finish(r.d, PATIENCE), 0);
	assert_int_equal(get(&r, id).status, MESSAGE_CANCELLED);
	rig_free(&r);
}

static void test_a_late_success_is_a_fact(void **state)
{
	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct rig r = rig_new();

		pace(&r, true, 0, 2);
		fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 200,
		                                                   .delay = USEC_NEVER});
		int64_t id = create(&r, "x", 0);
		run(&r);
		assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
		take_back(&r, strict);
		assert_int_equal(get(&r, id).status, strict ? MESSAGE_UNKNOWN : MESSAGE_PENDING);
		fake_script_release(r.webhook);
		wait_status(&r, id, MESSAGE_SENT);
		assert_int_equal(fake_script_count(r.webhook), 1);
		rig_free(&r);
	}
}

/* --- load and the end ---------------------------------------------------------------------------------- */

static void test_continuous_drain(void **state)
{
	struct rig r = rig_new();
	uint8_t *seen = xcalloc(MANY + 1, 1);

	(void)state;
	pace(&r, true, 0, 2);
	r.o.concurrency = 64;
	create_many(&r, MANY);
	run(&r);
	wait_count(&r, MESSAGE_SENT, MANY);
	assert_int_equal(fake_script_count(r.webhook), MANY);
	for (size_t i = 0; i < MANY; i++)
		seen[strtoll(fake_script_request(r.webhook, i)->key, NULL, 10)]++;
	for (size_t i = 1; i <= MANY; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(dispatch_finish(r.d, PATIENCE), 0);
	assert_int_equal(dispatch_in_flight(r.d), 0);
	free(seen);
	rig_free(&r);
}

static bool some_in_hand(struct rig *r)
{
	usec_t until = clock_mono() + 200 * USEC_PER_MSEC;

	while (counts(r).by_status[MESSAGE_SENDING] <= 8) {
		if (clock_mono() > until)
			return false;
		usleep(1000);
	}
	return true;
}

/* Of 20000 messages, so many are answered; 8 are with a receiver that has stopped to answer, some more wait in hand
 * for their turn. How many is chance, and a matter of speed: none when it stops just before the next claim, or after
 * the machine has held us up for a while. Then it goes on a bit. */
static struct rig some_wait_in_hand(usec_t lease)
{
	struct rig r = rig_new();

	pace(&r, true, 0, 2);
	r.o.concurrency = 8;
	r.o.lease = lease;
	for (int i = 0; i < 10000; i++)
		answer(&r, 202);
	always(&r, (struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 202, .delay = USEC_NEVER});
	create_many(&r, 20000);
	run(&r);
	for (r.answered = 10000;; r.answered += 1008) {
		wait_count(&r, MESSAGE_SENT, (int64_t)r.answered);
		assert_true(fake_script_wait(r.webhook, r.answered + 8, PATIENCE));
		if (some_in_hand(&r))
			return r;
		assert_true(r.answered < 18000);
		for (int i = 0; i < 1000; i++)
			answer(&r, 202);
		fake_script_release(r.webhook);
	}
}

/* What was claimed ahead of time goes back uncharged; what is in flight ends. */
static void test_stop_gives_back_what_has_not_started(void **state)
{
	struct rig r = some_wait_in_hand(40 * USEC_PER_SEC);
	usec_t until = clock_mono() + PATIENCE;

	(void)state;
	while (dispatch_in_flight(r.d) != 8)
		assert_true(clock_mono() < until);
	dispatch_stop_claiming(r.d);
	wait_count(&r, MESSAGE_SENDING, 8);
	fake_script_release(r.webhook);
	assert_int_equal(dispatch_finish(r.d, PATIENCE), 0);
	assert_int_equal(counts(&r).by_status[MESSAGE_SENT], r.answered + 8);
	assert_int_equal(counts(&r).by_status[MESSAGE_PENDING], 20000 - (r.answered + 8));
	assert_int_equal(fake_script_count(r.webhook), r.answered + 8);
	assert_int_equal(get(&r, 20000).attempts, 0);
	rig_free(&r);
}

/* That what was next has been given back; it may have been claimed anew at once. */
static void wait_given_back(struct rig *r, int64_t id)
{
	usec_t until = clock_mono() + PATIENCE;
	struct message m;

	while (m = get(r, id), m.status == MESSAGE_SENDING && m.fence == 1) {
		assert_true(clock_mono() < until);
		usleep(1000);
	}
}

/* Neither may it start when the process was asleep for too long, or the receiver too slow. */
static void test_too_little_lease_left_gives_back(void **state)
{
	struct rig r = some_wait_in_hand(40 * USEC_PER_SEC);
	const int64_t next = (int64_t)r.answered + 9;

	(void)state;
	assert_int_equal(get(&r, next).status, MESSAGE_SENDING);
	assert_int_equal(get(&r, next).fence, 1);
	atomic_store(&asleep, r.o.lease - r.o.webhook_timeout - 4 * USEC_PER_SEC);
	dispatch_poke(r.d);
	wait_given_back(&r, next);
	/* Those in flight stay; for so slow a receiver few are claimed anew. */
	usec_t until = clock_mono() + PATIENCE;
	while (counts(&r).by_status[MESSAGE_SENDING] > 50) {
		assert_true(clock_mono() < until);
		usleep(1000);
	}
	assert_int_equal(fake_script_count(r.webhook), r.answered + 8);
	rig_free(&r);
}

/* Nor when the machine was, which the monotonic clock does not know of. */
static void test_leases_end_while_the_machine_is_suspended(void **state)
{
	struct rig r = some_wait_in_hand(USEC_PER_HOUR);
	const int64_t next = (int64_t)r.answered + 9;

	(void)state;
	assert_int_equal(get(&r, next).status, MESSAGE_SENDING);
	assert_int_equal(get(&r, next).fence, 1);
	atomic_store(&suspended, r.o.lease - r.o.webhook_timeout - 4 * USEC_PER_SEC);
	dispatch_poke(r.d);
	wait_given_back(&r, next);
	assert_int_equal(fake_script_count(r.webhook), r.answered + 8);
	rig_free(&r);
}

static void test_what_is_in_flight_at_the_end_keeps_its_lease(void **state)
{
	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct rig r = rig_new();

		pace(&r, true, 0, 2);
		r.o.policy.strict = strict;
		fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 200,
		                                                   .delay = USEC_NEVER});
		int64_t id = create(&r, "x", 0);
		run(&r);
		assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
		/* Also when the time is over before the dispatcher's thread comes to say so. */
		atomic_store(&others_sleep, strict ? 0 : 100 * USEC_PER_MSEC);
		assert_int_equal(dispatch_finish(r.d, 50 * USEC_PER_MSEC), 1);
		atomic_store(&others_sleep, 0);
		assert_int_equal(get(&r, id).status, MESSAGE_SENDING);
		dispatch_close(r.d);

		/* The next life finds it: nobody knows whether it arrived. */
		run(&r);
		struct message m = wait_status(&r, id, strict ? MESSAGE_UNKNOWN : MESSAGE_SENT);
		assert_int_equal(m.attempts, strict ? 1 : 2);
		assert_int_equal(fake_script_count(r.webhook), strict ? 1 : 2);
		rig_free(&r);
	}
}

static void test_hurry(void **state)
{
	struct rig r = rig_new();

	(void)state;
	pace(&r, true, 0, 2);
	fake_script_push(r.webhook, &(struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 200,
	                                                   .delay = USEC_NEVER});
	int64_t id = create(&r, "x", 0);
	run(&r);
	assert_true(fake_script_wait(r.webhook, 1, PATIENCE));
	int64_t other = create(&r, "y", 0);
	wait_status(&r, other, MESSAGE_SENT);
	dispatch_hurry(r.d);
	assert_int_equal(dispatch_finish(r.d, USEC_PER_DAY), 1);
	assert_int_equal(get(&r, id).status, MESSAGE_SENDING);
	rig_free(&r);
}

static void test_refusals(void **state)
{
	struct rig r = rig_new();
	struct dispatch_options o = r.o;
	struct error err = ERROR_INIT;
	struct dispatch *d;

	(void)state;
	o.webhook_url = r.url;
	o.lease = o.webhook_timeout + 10 * USEC_PER_SEC;
	assert_int_equal(dispatch_open(&d, &o, &err), ERR_CONFIG);
	o = r.o;
	o.webhook_url = "gopher://x";
	assert_int_equal(dispatch_open(&d, &o, &err), ERR_CONFIG);
	o = r.o;
	o.message_id_from = "xml:/x";
	assert_int_equal(dispatch_open(&d, &o, &err), ERR_CONFIG);
	o = r.o;
	o.webhook_secrets = "whsec_MDEyMzQ1 hunter2";
	assert_int_equal(dispatch_open(&d, &o, &err), ERR_CONFIG);
	assert_null(strstr(err.text, "hunter2"));
	o = r.o;
	o.alert_url = "gopher://x";
	assert_int_equal(dispatch_open(&d, &o, &err), ERR_CONFIG);
	rig_free(&r);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int remove_directory(void **state)
{
	(void)state;
	return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_is_sent),
		cmocka_unit_test(test_long_content_is_cut),
		cmocka_unit_test(test_invalid_is_not_sent),
		cmocka_unit_test(test_send_at_is_waited_for),
		cmocka_unit_test(test_lifo),
		cmocka_unit_test(test_without_a_url_nothing_is_claimed),
		cmocka_unit_test(test_retries_until_it_works),
		cmocka_unit_test(test_free_retries_do_not_wait_for_the_beat),
		cmocka_unit_test(test_the_last_try_and_lasting_failures),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_a_broken_exchange),
		cmocka_unit_test(test_rehearsal_sends_nothing),
		cmocka_unit_test(test_beats_over_stops_starts_and_pokes),
		cmocka_unit_test(test_a_restart_does_not_shorten_the_interval),
		cmocka_unit_test(test_a_beat_larger_than_the_slots),
		cmocka_unit_test(test_run_now),
		cmocka_unit_test(test_gone_stops_and_alerts),
		cmocka_unit_test(test_alert_after_failed_runs),
		cmocka_unit_test(test_settles_are_repeated),
		cmocka_unit_test(test_nothing_is_claimed_while_settles_fail),
		cmocka_unit_test(test_what_cannot_be_settled_keeps_its_lease),
		cmocka_unit_test(test_a_late_failure_is_an_opinion),
		cmocka_unit_test(test_a_late_success_is_a_fact),
		cmocka_unit_test(test_continuous_drain),
		cmocka_unit_test(test_stop_gives_back_what_has_not_started),
		cmocka_unit_test(test_too_little_lease_left_gives_back),
		cmocka_unit_test(test_leases_end_while_the_machine_is_suspended),
		cmocka_unit_test(test_what_is_in_flight_at_the_end_keeps_its_lease),
		cmocka_unit_test(test_hurry),
		cmocka_unit_test(test_refusals),
	};
	int failed;

	is_test = true;
	failed = cmocka_run_group_tests_name("memory", tests, NULL, NULL);
	if (WITH_SQLITE) {
		on_disk = true;
		failed += cmocka_run_group_tests_name("sqlite", tests, make_directory, remove_directory);
	}
	return failed;
}
