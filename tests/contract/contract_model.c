/*
 * The driver under test against the memory driver: the same random walk of operations over both has to
 * give the same answers all the way. The seed of a walk that fails is in the message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "text.h"

#define CLAIMS_KEPT 40

struct walk {
	struct store_session *a, *b; /* under test, and reference */
	bool exclusive; /* both are */
	uint64_t random;
	int64_t ids; /* the highest one given out */
	struct {
		struct claimed m;
		int64_t run;
	} claims[CLAIMS_KEPT]; /* also those that are over */
	size_t n_claims;
};

static uint64_t dice(struct walk *w, uint64_t sides)
{
	/* xorshift64: the same walk for the same seed on every machine */
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % sides;
}

#define SAME(a, b, field) assert_int_equal((a).field, (b).field)

static void same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void same_message(const struct message *a, const struct message *b)
{
	SAME(*a, *b, id);
	SAME(*a, *b, status);
	SAME(*a, *b, attempts);
	SAME(*a, *b, lost);
	SAME(*a, *b, fence);
	same_text(a->owner, b->owner);
	same_text(a->phone, b->phone);
	same_text(a->content, b->content);
	same_text(a->message_id, b->message_id);
	same_text(a->last_error, b->last_error);
	same_text(a->idempotency_key, b->idempotency_key);
	same_text(a->metadata, b->metadata);
	SAME(*a, *b, send_at);
	SAME(*a, *b, due_at);
	SAME(*a, *b, lease_until);
	SAME(*a, *b, started_at);
	SAME(*a, *b, sent_at);
	SAME(*a, *b, created_at);
	SAME(*a, *b, updated_at);
}

static void same_end(const struct run_end *a, const struct run_end *b)
{
	SAME(*a, *b, run);
	SAME(*a, *b, claimed);
	SAME(*a, *b, sent);
	SAME(*a, *b, failed);
	SAME(*a, *b, retried);
	SAME(*a, *b, all_failed_in_a_row);
	SAME(*a, *b, all_failed);
}

static void same_scheduler(const struct scheduler *a, const struct scheduler *b)
{
	SAME(*a, *b, pacing.running);
	SAME(*a, *b, pacing.interval);
	SAME(*a, *b, pacing.batch);
	SAME(*a, *b, pacing.beat_at);
	SAME(*a, *b, pacing.epoch);
	SAME(*a, *b, pacing.left);
	SAME(*a, *b, now);
	SAME(*a, *b, last_run_at);
	SAME(*a, *b, runs_count);
	SAME(*a, *b, messages_sent);
	SAME(*a, *b, all_failed_in_a_row);
	SAME(*a, *b, last_alert_at);
}

/* --- the steps --------------------------------------------------------------------------------------------- */

static void step_insert(struct walk *w)
{
	static const char *const texts[] = {"one", "two"}, *const metadata[] = {NULL, NULL, "{}"};
	struct message_draft da[9], db[9];
	struct insert_group ga[3], gb[3];
	char keys[9][8];
	size_t n = 1 + dice(w, 3), i, j, k = 0;

	for (i = 0; i < n; i++) {
		ga[i] = (struct insert_group){.drafts = &da[k], .n = 1 + dice(w, 3)};
		gb[i] = (struct insert_group){.drafts = &db[k], .n = ga[i].n};
		for (j = 0; j < ga[i].n; j++, k++) {
			snprintf(keys[k], sizeof(keys[k]), "k%d", (int)dice(w, 30));
			da[k] = (struct message_draft){
				.phone = dice(w, 4) ? "+1234567" : "+7654321",
				.content = texts[dice(w, 4) == 0],
				.idempotency_key = dice(w, 2) ? keys[k] : NULL,
				.metadata = metadata[dice(w, 3)],
				.send_at = dice(w, 5) ? 0 : test_clock() + (usec_t)dice(w, 5) * unit(),
			};
			db[k] = da[k];
		}
	}
	assert_int_equal(store_insert(w->a, ga, n, NULL), store_insert(w->b, gb, n, NULL));
	for (i = 0; i < n; i++)
		SAME(ga[i], gb[i], stored);
	for (i = 0; i < k; i++) {
		SAME(da[i], db[i], result);
		SAME(da[i], db[i], id);
		SAME(da[i], db[i], created_at);
		w->ids = MAX_OF(w->ids, da[i].id);
	}
}

static void step_claim(struct walk *w)
{
	struct claim_request r = claim_request((uint32_t)(1 + dice(w, 6)));
	struct claim_batch a, b;
	size_t i;

	r.owner = dice(w, 4) || !w->exclusive ? "node/boot" : "other/boot";
	r.order = dice(w, 3) ? ORDER_FIFO : ORDER_LIFO;
	r.forced = !dice(w, 6);
	r.free_retries = !dice(w, 4);
	r.retry_free = r.free_retries || dice(w, 2);
	r.lease = (usec_t)(1 + dice(w, 4)) * unit();
	assert_int_equal(store_claim(w->a, &r, &a, NULL), OK);
	assert_int_equal(store_claim(w->b, &r, &b, NULL), OK);
	SAME(a, b, answer);
	SAME(a, b, n);
	SAME(a, b, run);
	SAME(a, b, now);
	SAME(a, b, lateness);
	SAME(a, b, next_at);
	SAME(a, b, more);
	same_end(&a.ended, &b.ended);
	for (i = 0; i < a.n; i++) {
		SAME(a.items[i], b.items[i], id);
		SAME(a.items[i], b.items[i], fence);
		SAME(a.items[i], b.items[i], attempt);
		SAME(a.items[i], b.items[i], content_len);
		same_text(a.items[i].content, b.items[i].content);
		same_text(a.items[i].phone, b.items[i].phone);
		SAME(a, b, lease_until);
		w->claims[w->n_claims % CLAIMS_KEPT].m = a.items[i];
		w->claims[w->n_claims++ % CLAIMS_KEPT].run = a.run;
	}
	claim_batch_release(&a);
	claim_batch_release(&b);
}

static void step_settle(struct walk *w)
{
	struct settlement a[8], b[8];
	struct settle_result ra, rb;
	size_t n = 1 + dice(w, 8), i, pick;

	if (!w->n_claims)
		return;
	for (i = 0; i < n; i++) {
		pick = dice(w, MIN_OF(w->n_claims, CLAIMS_KEPT));
		a[i] = outcome(&w->claims[pick].m, w->claims[pick].run, (enum verdict)dice(w, 5));
		a[i].retry_free = dice(w, 2);
		a[i].retry_in = (usec_t)dice(w, 3) * unit();
		b[i] = a[i];
	}
	assert_int_equal(store_settle(w->a, a, n, &ra, NULL), OK);
	assert_int_equal(store_settle(w->b, b, n, &rb, NULL), OK);
	SAME(ra, rb, applied);
	SAME(ra, rb, ended_n);
	for (i = 0; i < MIN_OF(ra.ended_n, ARRAY_SIZE(ra.ended)); i++)
		same_end(&ra.ended[i], &rb.ended[i]);
	for (i = 0; i < n; i++) {
		SAME(a[i], b[i], applied);
		SAME(a[i], b[i], sent_at);
	}
}

static void step_renew(struct walk *w)
{
	struct lease_ref refs[6];
	size_t n = 1 + dice(w, 6), i, pick, na = 0, nb = 0;
	usec_t lease = (usec_t)(1 + dice(w, 4)) * unit();

	if (!w->n_claims)
		return;
	for (i = 0; i < n; i++) {
		pick = dice(w, MIN_OF(w->n_claims, CLAIMS_KEPT));
		refs[i] = (struct lease_ref){w->claims[pick].m.id, w->claims[pick].m.fence};
	}
	assert_int_equal(store_renew(w->a, refs, n, lease, &na, NULL), OK);
	assert_int_equal(store_renew(w->b, refs, n, lease, &nb, NULL), OK);
	assert_int_equal(na, nb);
}

static void step_recover(struct walk *w)
{
	struct recover_request r = recover_request();
	struct recover_result a, b;

	/* To the memory driver, as to all that are exclusive, another owner's leases are dead. */
	r.owner = dice(w, 3) || !w->exclusive ? "node/boot" : "other/boot";
	r.strict = !dice(w, 4);
	r.retry_free = dice(w, 2);
	r.max_lost = (int)(1 + dice(w, 4));
	r.max_attempts = (int)(1 + dice(w, 6));
	r.limit = (uint32_t)(1 + dice(w, 5));
	assert_int_equal(store_recover(w->a, &r, &a, NULL), OK);
	assert_int_equal(store_recover(w->b, &r, &b, NULL), OK);
	SAME(a, b, pending);
	SAME(a, b, unknown);
	SAME(a, b, failed);
	SAME(a, b, next_expiry);
	SAME(a, b, more);
}

static void step_steer(struct walk *w)
{
	struct scheduler_change c = SCHEDULER_CHANGE_NONE;
	struct arena arena = ARENA_INIT;
	struct scheduler sa, sb;
	struct message ma, mb;
	bool ca = false, cb = false;
	int64_t id = (int64_t)dice(w, (uint64_t)w->ids + 2);
	uint32_t na = 0, nb = 0, limit = (uint32_t)(1 + dice(w, 3));
	int rc;

	switch (dice(w, 4)) {
	case 0:
		rc = store_cancel(w->a, id, &arena, &ma, NULL);
		assert_int_equal(rc, store_cancel(w->b, id, &arena, &mb, NULL));
		if (!rc)
			same_message(&ma, &mb);
		arena_release(&arena);
		return;
	case 1:
		assert_int_equal(store_replay(w->a, id, NULL), store_replay(w->b, id, NULL));
		return;
	case 2:
		assert_int_equal(store_replay_some(w->a, limit, &na, NULL), OK);
		assert_int_equal(store_replay_some(w->b, limit, &nb, NULL), OK);
		assert_int_equal(na, nb);
		return;
	default:
		c.running = (int)dice(w, 8) ? 1 : 0;
		c.interval = dice(w, 2) ? -1 : (usec_t)dice(w, 3) * unit();
		c.batch = dice(w, 2) ? -1 : (int64_t)(1 + dice(w, 6));
		assert_int_equal(store_scheduler_change(w->a, &c, &sa, &ca, NULL), OK);
		assert_int_equal(store_scheduler_change(w->b, &c, &sb, &cb, NULL), OK);
		assert_int_equal(ca, cb);
		same_scheduler(&sa, &sb);
	}
}

static void step_list(struct walk *w)
{
	struct list_query q = {
		.status = (int)dice(w, MESSAGE_STATUS_COUNT + 1) - 1,
		.phone = dice(w, 3) ? NULL : "+7654321",
		.since = dice(w, 3) ? 0 : test_clock() - (usec_t)dice(w, 100) * unit(),
		.until = dice(w, 3) ? 0 : test_clock() - (usec_t)dice(w, 50) * unit(),
		.limit = (uint32_t)(1 + dice(w, 10)),
		.offset = dice(w, 3) ? 0 : dice(w, 10),
		.want_total = dice(w, 2),
	};
	struct message_page a, b;
	bool more = true;
	size_t i;

	while (more) {
		assert_int_equal(store_list(w->a, &q, &a, NULL), OK);
		assert_int_equal(store_list(w->b, &q, &b, NULL), OK);
		SAME(a, b, n);
		SAME(a, b, total);
		SAME(a, b, more);
		for (i = 0; i < a.n; i++)
			same_message(&a.items[i], &b.items[i]);
		more = a.more && dice(w, 2);
		q.after = a.last;
		q.offset = 0;
		message_page_release(&a);
		message_page_release(&b);
	}
}

static void same_attempts(struct walk *w, int64_t id)
{
	struct attempt_page a, b;
	size_t i;

	assert_int_equal(store_attempts(w->a, id, &a, NULL), OK);
	assert_int_equal(store_attempts(w->b, id, &b, NULL), OK);
	SAME(a, b, n);
	for (i = 0; i < a.n; i++) {
		SAME(a.items[i], b.items[i], attempt);
		SAME(a.items[i], b.items[i], run);
		SAME(a.items[i], b.items[i], verdict);
		SAME(a.items[i], b.items[i], http_status);
		SAME(a.items[i], b.items[i], started_at);
		SAME(a.items[i], b.items[i], duration);
		same_text(a.items[i].error, b.items[i].error);
		same_text(a.items[i].node, b.items[i].node);
	}
	attempt_page_release(&a);
	attempt_page_release(&b);
}

/* All there is, at the end of a walk. */
static void same_everything(struct walk *w)
{
	struct store_counts ca, cb;
	struct scheduler sa, sb;
	struct run_page ra, rb;
	struct arena arena = ARENA_INIT;
	struct message ma, mb;
	int64_t id;
	size_t i;

	assert_int_equal(store_counts(w->a, &ca, NULL), OK);
	assert_int_equal(store_counts(w->b, &cb, NULL), OK);
	assert_memory_equal(&ca, &cb, sizeof(ca));
	assert_int_equal(store_scheduler_get(w->a, &sa, NULL), OK);
	assert_int_equal(store_scheduler_get(w->b, &sb, NULL), OK);
	same_scheduler(&sa, &sb);
	for (id = 1; id <= w->ids; id++) {
		assert_int_equal(store_get(w->a, id, &arena, &ma, NULL), OK);
		assert_int_equal(store_get(w->b, id, &arena, &mb, NULL), OK);
		same_message(&ma, &mb);
		arena_clear(&arena);
		same_attempts(w, id);
	}
	arena_release(&arena);
	assert_int_equal(store_runs(w->a, 0, 0, 1000, &ra, NULL), OK);
	assert_int_equal(store_runs(w->b, 0, 0, 1000, &rb, NULL), OK);
	SAME(ra, rb, n);
	SAME(ra, rb, total);
	for (i = 0; i < ra.n; i++) {
		SAME(ra.items[i], rb.items[i], id);
		SAME(ra.items[i], rb.items[i], started_at);
		SAME(ra.items[i], rb.items[i], claimed);
		SAME(ra.items[i], rb.items[i], sent);
		SAME(ra.items[i], rb.items[i], failed);
		SAME(ra.items[i], rb.items[i], retried);
		SAME(ra.items[i], rb.items[i], lost);
		SAME(ra.items[i], rb.items[i], last_id);
		SAME(ra.items[i], rb.items[i], finished);
		same_text(ra.items[i].node, rb.items[i].node);
	}
	run_page_release(&ra);
	run_page_release(&rb);
}

static void step(struct walk *w)
{
	switch (dice(w, 12)) {
	case 0:
	case 1:
		step_insert(w);
		return;
	case 2:
	case 3:
	case 4:
		step_claim(w);
		return;
	case 5:
	case 6:
	case 7:
		step_settle(w);
		return;
	case 8:
		step_renew(w);
		return;
	case 9:
		step_recover(w);
		return;
	case 10:
		step_steer(w);
		return;
	default:
		step_list(w);
	}
}

static void test_random_walks_give_the_same_answers(void **state)
{
	const struct scheduler_defaults d = {.auto_start = true, .interval = 0, .batch = 3};
	struct fixture *f = *state;
	struct walk w;
	struct store *reference;
	struct scheduler s;
	uint64_t seed;
	int i;

	if (!turns_clock())
		skip();
	for (seed = 1; seed <= 12; seed++) {
		print_message("walk with seed %d\n", (int)seed);
		w = (struct walk){.a = f->c,
		                  .exclusive = can(f, STORE_EXCLUSIVE),
		                  .random = seed * UINT64_C(0x9e3779b97f4a7c15)};
		reference = open_store("memory:");
		assert_int_equal(store_session_open(reference, &w.b, NULL), OK);
		assert_int_equal(store_scheduler_init(w.a, &d, &s, NULL), OK);
		assert_int_equal(store_scheduler_init(w.b, &d, &s, NULL), OK);
		for (i = 0; i < 500; i++) {
			step(&w);
			pass((usec_t)dice(&w, 3) * unit() / 2 + (usec_t)dice(&w, 2));
		}
		same_everything(&w);
		check_invariants(f);
		store_session_close(w.b);
		store_close(reference);
		teardown(state);
		assert_int_equal(setup(state), 0);
		f = *state;
	}
}

const struct CMUnitTest model_tests[] = {
	TEST(test_random_walks_give_the_same_answers),
};
GROUP_END(model);
