/* From the outcome on the wire to the message's fate: the whole table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery.h"
#include "text.h"

static struct delivery_policy policy(void)
{
	struct delivery_policy p = {
		.max_attempts = 5,
		.backoff = {5 * USEC_PER_SEC, USEC_PER_MINUTE, 5 * USEC_PER_MINUTE},
		.backoff_n = 3,
	};

	for (int status = 200; status < 300; status++)
		p.success[status / 64] |= UINT64_C(1) << (status % 64);
	return p;
}

static struct delivery_judgement judge(const struct delivery_policy *p, enum attempt_end end, int status,
                                       int attempt)
{
	struct delivery_outcome o = {.end = end, .status = status};

	return delivery_judge(p, &o, attempt, 0);
}

static enum verdict expected_of_status(int status)
{
	if (status >= 200 && status < 300)
		return VERDICT_SENT;
	if (status == 408 || status == 429 || status >= 500)
		return VERDICT_RETRY;
	return VERDICT_FAILED;
}

static void test_every_status(void **state)
{
	struct delivery_policy p = policy();

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		p.strict = strict;
		for (int status = 100; status < 600; status++) {
			for (int attempt = 1; attempt <= 6; attempt++) {
				struct delivery_judgement j = judge(&p, ATTEMPT_ANSWERED, status, attempt);
				enum verdict want = expected_of_status(status);

				if (want == VERDICT_RETRY && attempt >= 5)
					want = VERDICT_FAILED;
				if (j.verdict != want)
					fail_msg("status %d, attempt %d: %s", status, attempt,
					         verdict_name(j.verdict));
				assert_int_equal(j.gone, status == 410);
				assert_int_equal(j.retry_in > 0, want == VERDICT_RETRY);
			}
		}
	}
}

static void test_without_an_answer(void **state)
{
	static const struct {
		enum attempt_end end;
		bool strict;
		int attempt;
		enum verdict want;
	} table[] = {
		{ATTEMPT_NOT_SENT, false, 1, VERDICT_RETRY},  {ATTEMPT_NOT_SENT, true, 1, VERDICT_RETRY},
		{ATTEMPT_NOT_SENT, false, 5, VERDICT_FAILED}, {ATTEMPT_NOT_SENT, true, 5, VERDICT_FAILED},
		{ATTEMPT_REHEARSED, false, 1, VERDICT_RETRY}, {ATTEMPT_REHEARSED, true, 4, VERDICT_RETRY},
		{ATTEMPT_REHEARSED, true, 5, VERDICT_FAILED}, {ATTEMPT_BROKEN, false, 1, VERDICT_RETRY},
		{ATTEMPT_BROKEN, false, 5, VERDICT_FAILED},   {ATTEMPT_BROKEN, true, 1, VERDICT_UNKNOWN},
		{ATTEMPT_BROKEN, true, 5, VERDICT_UNKNOWN},
	};
	struct delivery_policy p = policy();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		p.strict = table[i].strict;
		struct delivery_judgement j = judge(&p, table[i].end, 0, table[i].attempt);

		if (j.verdict != table[i].want)
			fail_msg("row %zu: %s", i, verdict_name(j.verdict));
		assert_false(j.gone);
	}
}

static void test_success_is_what_the_operator_says(void **state)
{
	struct delivery_policy p = policy();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(p.success); i++)
		p.success[i] = 0;
	p.success[202 / 64] |= UINT64_C(1) << (202 % 64);
	p.success[302 / 64] |= UINT64_C(1) << (302 % 64);
	assert_int_equal(judge(&p, ATTEMPT_ANSWERED, 202, 1).verdict, VERDICT_SENT);
	assert_int_equal(judge(&p, ATTEMPT_ANSWERED, 302, 1).verdict, VERDICT_SENT);
	/* The receiver took it, if not as agreed: sending it again would make it two. */
	assert_int_equal(judge(&p, ATTEMPT_ANSWERED, 200, 1).verdict, VERDICT_FAILED);
	assert_false(delivery_success(&p, 640));
	assert_false(delivery_success(&p, -1));
	assert_false(delivery_success(&p, 0));
}

static void test_backoff_steps(void **state)
{
	struct delivery_policy p = policy();
	struct delivery_outcome o = {.end = ATTEMPT_ANSWERED, .status = 503};

	(void)state;
	assert_int_equal(retry_backoff(&p, 1, 0), 5 * USEC_PER_SEC);
	assert_int_equal(retry_backoff(&p, 2, 0), USEC_PER_MINUTE);
	assert_int_equal(retry_backoff(&p, 3, 0), 5 * USEC_PER_MINUTE);
	assert_int_equal(retry_backoff(&p, 4, 0), 5 * USEC_PER_MINUTE);
	assert_int_equal(retry_backoff(&p, 1000, 0), 5 * USEC_PER_MINUTE);
	assert_int_equal(retry_backoff(&p, 0, 0), 5 * USEC_PER_SEC);
	for (int i = 0; i < 10000; i++) {
		usec_t wait = retry_backoff(&p, 2, random_unit());

		assert_true(wait >= USEC_PER_MINUTE && wait < USEC_PER_MINUTE * 12 / 10);
	}
	assert_int_equal(delivery_judge(&p, &o, 2, 0).retry_in, USEC_PER_MINUTE);
}

static void test_retry_after_counts_when_longer(void **state)
{
	struct delivery_policy p = policy();
	struct delivery_outcome o = {.end = ATTEMPT_ANSWERED, .status = 429};

	(void)state;
	o.retry_after = 2 * USEC_PER_SEC;
	assert_int_equal(delivery_judge(&p, &o, 1, 0).retry_in, 5 * USEC_PER_SEC);
	o.retry_after = 7 * USEC_PER_SEC;
	assert_int_equal(delivery_judge(&p, &o, 1, 0).retry_in, 7 * USEC_PER_SEC);
	assert_true(delivery_judge(&p, &o, 1, 0.99).retry_in > 8 * USEC_PER_SEC);
	o.retry_after = 9 * USEC_PER_HOUR;
	assert_int_equal(delivery_judge(&p, &o, 1, 0).retry_in, 9 * USEC_PER_HOUR);
	o.retry_after = USEC_NEVER;
	assert_int_equal(delivery_judge(&p, &o, 1, 0).retry_in, RETRY_AFTER_MAX);
	assert_int_equal(delivery_judge(&p, &o, 1, 0.99).retry_in, RETRY_AFTER_MAX);
	/* It promises no attempt that is not there. */
	assert_int_equal(delivery_judge(&p, &o, 5, 0).verdict, VERDICT_FAILED);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(verdict_name(VERDICT_SENT), "sent");
	assert_string_equal(verdict_name(VERDICT_RETRY), "retry");
	assert_string_equal(verdict_name(VERDICT_FAILED), "failed");
	assert_string_equal(verdict_name(VERDICT_UNKNOWN), "unknown");
	assert_string_equal(verdict_name(VERDICT_RELEASE), "release");
	assert_string_equal(verdict_name(VERDICT_LOST), "lost");
	assert_string_equal(verdict_name(VERDICT_INVALID), "invalid");
	assert_string_equal(verdict_name((enum verdict)VERDICT_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_status),
		cmocka_unit_test(test_without_an_answer),
		cmocka_unit_test(test_success_is_what_the_operator_says),
		cmocka_unit_test(test_backoff_steps),
		cmocka_unit_test(test_retry_after_counts_when_longer),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
