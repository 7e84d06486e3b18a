#include "contract.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"

#define START (INT64_C(1790000000) * USEC_PER_SEC)

const char *contract_url;
static _Atomic usec_t clock_now;
static bool turned; /* the clock is ours */
static bool in_database;
static struct arena texts;

usec_t test_clock(void)
{
	return turned ? atomic_load(&clock_now) : clock_wall_steady();
}

usec_t unit(void)
{
	return turned ? USEC_PER_MINUTE : 250 * USEC_PER_MSEC;
}

void pass(usec_t d)
{
	if (!turned) {
		usleep((useconds_t)d);
		return;
	}
	atomic_fetch_add(&clock_now, d);
	if (in_database && !database_clock(test_clock()))
		abort();
}

bool turns_clock(void)
{
	return turned;
}

void set_back(usec_t d)
{
	assert_true(turned);
	pass(-d);
}

bool can(const struct fixture *f, enum store_capability capability)
{
	return (store_capabilities(f->store) & capability) != 0;
}

void assert_okay(int rc, const struct error *err, const char *what)
{
	if (rc)
		fail_msg("%s: %s: %s", what, error_name(rc), err->text);
}

struct store *open_store(const char *url)
{
	const struct store_options options = {.url = url, .clock = test_clock};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	assert_okay(store_open(&s, &options, &err), &err, "store_open");
	return s;
}

static void open_fixture(struct fixture *f)
{
	f->store = open_store(f->url);
	in_database = database_clock(atomic_load(&clock_now));
	turned = in_database || can(f, STORE_LOCAL_CLOCK);
	OKAY(store_session_open(f->store, &f->c, &f->err));
}

/* Whatever the database is named. */
static void remove_files(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

void empty(struct fixture *f)
{
	store_session_close(f->c);
	store_close(f->store);
	if (strstr(contract_url, "%s")) {
		remove_files(f->dir);
		assert_int_equal(mkdir(f->dir, 0700), 0);
	} else {
		free(f->url);
		f->url = fresh_database(contract_url);
		assert_non_null(f->url);
	}
	open_fixture(f);
}

void reopen(struct fixture *f)
{
	store_session_close(f->c);
	store_close(f->store);
	open_fixture(f);
}

int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const char *where = strstr(contract_url, "%s");

	snprintf(f->dir, sizeof(f->dir), "/tmp/herald-contract-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->url = where ? xasprintf("%.*s%s%s", (int)(where - contract_url), contract_url, f->dir,
	                           where + 2)
	               : fresh_database(contract_url);
	if (!f->url)
		return -1;
	atomic_store(&clock_now, START);
	open_fixture(f);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	check_invariants(f);
	store_session_close(f->c);
	store_close(f->store);
	remove_files(f->dir);
	arena_release(&texts);
	free(f->url);
	free(f);
	return 0;
}

/* --- doing ------------------------------------------------------------------------------------------------- */

void schedule(struct fixture *f, usec_t interval, uint32_t batch)
{
	const struct scheduler_defaults d = {.auto_start = true, .interval = interval, .batch = batch};
	struct scheduler s;

	OKAY(store_scheduler_init(f->c, &d, &s, &f->err));
}

int64_t add(struct fixture *f, size_t n)
{
	struct message_draft *drafts = xcalloc(n, sizeof(*drafts));
	struct insert_group group = {.drafts = drafts, .n = n};
	int64_t first;
	size_t i;

	for (i = 0; i < n; i++)
		drafts[i] = (struct message_draft){.phone = "+905551234567", .content = "Hello"};
	OKAY(store_insert(f->c, &group, 1, &f->err));
	assert_true(group.stored);
	first = drafts[0].id;
	for (i = 0; i < n; i++)
		assert_int_equal(drafts[i].id, first + (int64_t)i);
	free(drafts);
	return first;
}

int64_t add_at(struct fixture *f, usec_t send_at)
{
	struct message_draft draft = {.phone = "+905551234567", .content = "Later", .send_at = send_at};
	struct insert_group group = {.drafts = &draft, .n = 1};

	OKAY(store_insert(f->c, &group, 1, &f->err));
	return draft.id;
}

struct claim_request claim_request(uint32_t want)
{
	return (struct claim_request){
		.node = "node",
		.owner = "node/boot",
		.want = want,
		.lease = 10 * unit(),
	};
}

struct claim_batch claim_as(struct fixture *f, const struct claim_request *r)
{
	struct claim_batch b;

	OKAY(store_claim(f->c, r, &b, &f->err));
	return b;
}

struct claim_batch claim(struct fixture *f, uint32_t want)
{
	const struct claim_request r = claim_request(want);

	return claim_as(f, &r);
}

int64_t claim_n(struct fixture *f, uint32_t n, struct claimed *ret)
{
	struct claim_batch b = claim(f, n);
	int64_t run = b.run;

	assert_int_equal(b.n, n);
	memcpy(ret, b.items, n * sizeof(*ret));
	claim_batch_release(&b);
	return run;
}

void claim_none(struct fixture *f)
{
	struct claim_batch b = claim(f, 1);

	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
}

struct settlement outcome(const struct claimed *m, int64_t run, enum verdict v)
{
	return (struct settlement){
		.id = m->id,
		.fence = m->fence,
		.run = run,
		.attempt = m->attempt,
		.verdict = v,
		.retry_in = v == VERDICT_RETRY ? unit() : 0,
		.http_status = v == VERDICT_SENT ? 202 : 503,
		.started_at = START,
		.duration = 1500,
		.message_id = v == VERDICT_SENT ? "provider-1" : NULL,
		.error = v == VERDICT_SENT || v == VERDICT_RELEASE ? NULL : "HTTP 503",
	};
}

struct settle_result settle_all(struct fixture *f, struct settlement *s, size_t n)
{
	struct settle_result r;

	OKAY(store_settle(f->c, s, n, &r, &f->err));
	return r;
}

bool settle(struct fixture *f, const struct claimed *m, int64_t run, enum verdict v)
{
	struct settlement s = outcome(m, run, v);
	struct settle_result r = settle_all(f, &s, 1);

	assert_int_equal(r.applied, s.applied);
	return s.applied;
}

struct recover_request recover_request(void)
{
	return (struct recover_request){
		.owner = "node/boot",
		.last_error = "lease ran out",
		.max_lost = 100,
		.max_attempts = 100,
		.limit = 1000,
	};
}

struct recover_result recover(struct fixture *f)
{
	const struct recover_request r = recover_request();
	struct recover_result result;

	OKAY(store_recover(f->c, &r, &result, &f->err));
	return result;
}

/* --- looking ----------------------------------------------------------------------------------------------- */

struct message get(struct fixture *f, int64_t id)
{
	struct message m;

	arena_clear(&texts);
	OKAY(store_get(f->c, id, &texts, &m, &f->err));
	assert_int_equal(m.id, id);
	return m;
}

enum message_status status_of(struct fixture *f, int64_t id)
{
	return get(f, id).status;
}

struct scheduler scheduler(struct fixture *f)
{
	struct scheduler s;

	OKAY(store_scheduler_get(f->c, &s, &f->err));
	return s;
}

struct run run_of(struct fixture *f, int64_t id)
{
	struct run_page page;
	struct run r;

	OKAY(store_runs(f->c, id + 1, 0, 1, &page, &f->err));
	assert_int_equal(page.n, 1);
	assert_int_equal(page.items[0].id, id);
	r = page.items[0];
	r.node = NULL;
	run_page_release(&page);
	return r;
}

void check_counts(struct fixture *f, const char *text)
{
	struct buf found cleanup(buf_release) = BUF_INIT;
	struct store_counts counts;
	int i;

	OKAY(store_counts(f->c, &counts, &f->err));
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++) {
		if (counts.by_status[i])
			buf_addf(&found, "%s%s=%" PRId64, found.len ? " " : "",
			         message_status_name((enum message_status)i), counts.by_status[i]);
	}
	assert_string_equal(found.data, text);
}

/* --- what holds at any time -------------------------------------------------------------------------------- */

/* Walks a list to its end, page by page; returns how many rows and checks that each belongs there, none
 * comes twice, and the order is as promised. */
static int64_t walk(struct fixture *f, int status)
{
	struct list_query q = {.status = status, .limit = 97, .want_total = true};
	struct list_position last = {.at = INT64_MAX, .id = INT64_MAX};
	struct message_page page;
	const struct message *m;
	int64_t n = 0, total;
	usec_t at;
	size_t i;
	bool more;

	do {
		OKAY(store_list(f->c, &q, &page, &f->err));
		for (i = 0; i < page.n; i++) {
			m = &page.items[i];
			assert_true(status < 0 || (int)m->status == status);
			at = status < 0                        ? m->created_at
			     : m->status == MESSAGE_PENDING    ? m->due_at
			     : m->status == MESSAGE_SENDING    ? m->lease_until
			     : m->status == MESSAGE_SENT       ? m->sent_at
			                                       : m->updated_at;
			assert_true(at < last.at || (at == last.at && m->id < last.id));
			last = (struct list_position){.at = at, .id = m->id};
			n++;
		}
		assert_true(page.n == q.limit || !page.more);
		q.after = page.last;
		more = page.more;
		total = page.total;
		message_page_release(&page);
	} while (more);
	assert_int_equal(total, n);
	return n;
}

void check_invariants(struct fixture *f)
{
	struct store_counts counts;
	struct run_page runs;
	struct scheduler s;
	int64_t all = 0, open = 0;
	size_t i;
	int st;

	OKAY(store_counts(f->c, &counts, &f->err));
	for (st = 0; st < MESSAGE_STATUS_COUNT; st++) {
		assert_int_equal(counts.by_status[st], walk(f, st));
		all += counts.by_status[st];
	}
	assert_int_equal(all, walk(f, -1));

	/* What runs have claimed and not got back is being sent (as are free retries, of no run). */
	OKAY(store_runs(f->c, 0, 0, 1000, &runs, &f->err));
	for (i = 0; i < runs.n; i++) {
		const struct run *r = &runs.items[i];
		int64_t back = (int64_t)r->sent + r->failed + r->retried + r->lost;

		assert_true(back <= r->claimed);
		assert_true(!r->finished || back == r->claimed);
		open += r->claimed - back;
	}
	run_page_release(&runs);
	assert_true(open <= counts.by_status[MESSAGE_SENDING]);
	if (store_scheduler_get(f->c, &s, &f->err) == OK) {
		assert_int_equal(s.messages_sent, counts.by_status[MESSAGE_SENT]);
		assert_true(s.pacing.left <= s.pacing.batch);
	}
}
