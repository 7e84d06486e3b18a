/* Leases: how long they hold, and what becomes of a claim whose owner is gone. */
#include "contract.h"

static int64_t claimed(struct fixture *f, uint32_t n, struct claimed *m)
{
	schedule(f, 0, 1);
	add(f, n);
	return claim_n(f, n, m);
}

static void test_a_lease_holds_until_its_end(void **state)
{
	struct fixture *f = *state;
	struct recover_result r;
	struct claimed m;
	struct message now;
	usec_t until;

	claimed(f, 1, &m);
	until = get(f, m.id).lease_until;
	pass(2 * unit());
	r = recover(f);
	assert_int_equal(r.pending + r.failed + r.unknown, 0);
	assert_int_equal(r.next_expiry, until);
	assert_false(r.more);
	pass(10 * unit());
	r = recover(f);
	assert_int_equal(r.pending, 1);
	assert_int_equal(r.next_expiry, USEC_NEVER);
	now = get(f, m.id);
	assert_int_equal(now.status, MESSAGE_PENDING);
	assert_int_equal(now.attempts, 1); /* stays charged */
	assert_int_equal(now.lost, 1);
	assert_true(now.due_at >= until);
	assert_string_equal(now.last_error, "lease ran out");
	claim_n(f, 1, &m);
	assert_int_equal(m.attempt, 2);
	assert_int_equal(m.fence, 2);
}

static void test_with_nothing_in_flight_there_is_nothing_to_do(void **state)
{
	struct fixture *f = *state;
	struct recover_result r = recover(f);

	assert_int_equal(r.pending + r.failed + r.unknown, 0);
	assert_int_equal(r.next_expiry, USEC_NEVER);
}

/* Whoever leased it over the API outlives this process. */
static void test_an_owner_outside_keeps_its_lease(void **state)
{
	struct fixture *f = *state;
	struct claim_request r = claim_request(1);
	struct recover_request request = recover_request();
	struct recover_result result;
	struct claim_batch b;
	int64_t id;

	schedule(f, 0, 1);
	id = add(f, 1);
	r.owner = "worker" STORE_OWNER_OUTSIDE;
	b = claim_as(f, &r);
	assert_int_equal(b.n, 1);
	claim_batch_release(&b);
	request.owner = "node/next-boot";
	OKAY(store_recover(f->c, &request, &result, &f->err));
	assert_int_equal(result.pending, 0);
	assert_int_equal(status_of(f, id), MESSAGE_SENDING);
	pass(11 * unit());
	OKAY(store_recover(f->c, &request, &result, &f->err));
	assert_int_equal(result.pending, 1);
}

/* One process owns the store: another owner is one of the past. */
static void test_another_owner_is_dead_when_the_store_is_ours_alone(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct recover_result r;
	struct claimed m[2];

	claimed(f, 2, m);
	request.owner = "node/next-boot";
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.pending, can(f, STORE_EXCLUSIVE) ? 2 : 0);
}

static void test_renewal_prolongs(void **state)
{
	struct fixture *f = *state;
	struct lease_ref refs[3];
	struct claimed m[3];
	size_t n = 99;
	usec_t before;
	int64_t run;

	run = claimed(f, 3, m);
	before = get(f, m[0].id).lease_until;
	pass(2 * unit());
	assert_true(settle(f, &m[2], run, VERDICT_SENT));
	refs[0] = (struct lease_ref){m[0].id, m[0].fence};
	refs[1] = (struct lease_ref){m[1].id, m[1].fence + 1};
	refs[2] = (struct lease_ref){m[2].id, m[2].fence};
	OKAY(store_renew(f->c, refs, 3, 20 * unit(), &n, &f->err));
	assert_int_equal(n, 1);
	assert_true(get(f, m[0].id).lease_until >= before + 12 * unit());
	assert_int_equal(get(f, m[1].id).lease_until, before);
	pass(12 * unit());
	assert_int_equal(recover(f).pending, 1);
	assert_int_equal(status_of(f, m[0].id), MESSAGE_SENDING);
	assert_int_equal(status_of(f, m[1].id), MESSAGE_PENDING);
	assert_int_equal(store_renew(f->c, refs, 1, 0, &n, &f->err), ERR_INVALID);
}

static void test_strict_parks_what_is_lost(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct recover_result r;
	struct claimed m;

	claimed(f, 1, &m);
	pass(20 * unit());
	request.strict = true;
	request.max_attempts = 1;
	request.max_lost = 1;
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.unknown, 1);
	assert_int_equal(status_of(f, m.id), MESSAGE_UNKNOWN);
	check_counts(f, "unknown=1");
}

static void test_poison_fails_after_so_many_losses_in_a_row(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct recover_result r;
	struct claimed m;
	int64_t run;
	int i;

	request.max_lost = 3;
	run = claimed(f, 1, &m);
	/* Two losses, then an outcome: the count starts again. */
	for (i = 0; i < 2; i++) {
		pass(20 * unit());
		OKAY(store_recover(f->c, &request, &r, &f->err));
		assert_int_equal(r.pending, 1);
		assert_int_equal(get(f, m.id).lost, i + 1);
		run = claim_n(f, 1, &m);
	}
	assert_true(settle(f, &m, run, VERDICT_RETRY));
	assert_int_equal(get(f, m.id).lost, 0);
	pass(2 * unit());
	for (i = 0; i < 3; i++) {
		claim_n(f, 1, &m);
		pass(20 * unit());
		OKAY(store_recover(f->c, &request, &r, &f->err));
		assert_int_equal(r.pending, i < 2);
		assert_int_equal(r.failed, i == 2);
	}
	assert_int_equal(status_of(f, m.id), MESSAGE_FAILED);
	assert_string_equal(get(f, m.id).last_error, "lease ran out");
}

static void test_a_release_is_no_outcome(void **state)
{
	struct fixture *f = *state;
	struct claimed m;
	int64_t run;

	claimed(f, 1, &m);
	pass(20 * unit());
	recover(f);
	run = claim_n(f, 1, &m);
	assert_true(settle(f, &m, run, VERDICT_RELEASE));
	assert_int_equal(get(f, m.id).lost, 1);
}

static void test_the_last_attempt_is_not_given_back(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct recover_result r;
	struct claimed m;

	request.max_attempts = 2;
	claimed(f, 1, &m);
	pass(20 * unit());
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.pending, 1);
	claim_n(f, 1, &m);
	pass(20 * unit());
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.failed, 1);
}

static void test_the_limit_is_kept(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct recover_result r;
	struct claimed m[5];

	claimed(f, 5, m);
	pass(20 * unit());
	request.limit = 2;
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.pending, 2);
	assert_true(r.more);
	check_counts(f, "pending=2 sending=3");
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_true(r.more);
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.pending, 1);
	assert_false(r.more);
	request.limit = 0;
	assert_int_equal(store_recover(f->c, &request, &r, &f->err), ERR_INVALID);
}

static void test_lost_retries_may_run_beside_the_beat(void **state)
{
	struct fixture *f = *state;
	struct recover_request request = recover_request();
	struct claim_request beat = claim_request(5), retries = claim_request(5);
	struct recover_result r;
	struct claim_batch b;
	struct claimed m;

	claimed(f, 1, &m);
	pass(20 * unit());
	request.retry_free = true;
	OKAY(store_recover(f->c, &request, &r, &f->err));
	assert_int_equal(r.pending, 1);
	check_counts(f, "pending=1");
	beat.retry_free = retries.retry_free = retries.free_retries = true;
	b = claim_as(f, &beat);
	assert_int_equal(b.n, 0);
	claim_batch_release(&b);
	b = claim_as(f, &retries);
	assert_int_equal(b.n, 1);
	claim_batch_release(&b);
}

const struct CMUnitTest recover_tests[] = {
	TEST(test_a_lease_holds_until_its_end),
	TEST(test_with_nothing_in_flight_there_is_nothing_to_do),
	TEST(test_an_owner_outside_keeps_its_lease),
	TEST(test_another_owner_is_dead_when_the_store_is_ours_alone),
	TEST(test_renewal_prolongs),
	TEST(test_strict_parks_what_is_lost),
	TEST(test_poison_fails_after_so_many_losses_in_a_row),
	TEST(test_a_release_is_no_outcome),
	TEST(test_the_last_attempt_is_not_given_back),
	TEST(test_the_limit_is_kept),
	TEST(test_lost_retries_may_run_beside_the_beat),
};
GROUP_END(recover);
