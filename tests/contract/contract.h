/*
 * What the files of the store's contract suite share. Every test gets a fresh store of the driver under
 * test with one session; after each, the invariants that must hold at any time are checked.
 *
 * Time: with STORE_LOCAL_CLOCK, or where the database's clock can be replaced, the tests turn the clock
 * themselves; else they wait. All durations are therefore multiples of unit().
 */
#ifndef HERALD_CONTRACT_H
#define HERALD_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store.h"

struct fixture {
	char dir[64];
	char *url;
	struct store *store;
	struct store_session *c;
	struct error err;
};

/* "sqlite:%s/herald.db": %s becomes a directory made for the test. */
extern const char *contract_url;

usec_t unit(void);
usec_t test_clock(void); /* what the store under test goes by */
void pass(usec_t d);     /* lets time go on */
void set_back(usec_t d); /* only with turns_clock() */
bool turns_clock(void);
bool can(const struct fixture *f, enum store_capability capability);

/* fresh.c: the URL of an empty database behind the given one; NULL when it cannot be made. */
char *fresh_database(const char *url);
/* Makes the database that fresh_database() made last go by this time; false: it cannot. The store must
 * have been opened. */
bool database_clock(usec_t now);
/* Whether nobody is connected to that database any more; true where that cannot be told. */
bool database_left(void);
struct store *open_store(const char *url);
void empty(struct fixture *f);  /* closes the store and opens a new one */
void reopen(struct fixture *f); /* closes the store and opens it again */

/* Running scheduler with that beat. */
void schedule(struct fixture *f, usec_t interval, uint32_t batch);
/* Stores n messages in one call; returns the id of the first, the others follow. */
int64_t add(struct fixture *f, size_t n);
int64_t add_at(struct fixture *f, usec_t send_at);

struct claim_request claim_request(uint32_t want);
struct claim_batch claim_as(struct fixture *f, const struct claim_request *r);
struct claim_batch claim(struct fixture *f, uint32_t want);
/* Claims exactly n and copies the first `n` items; the texts are gone. */
int64_t claim_n(struct fixture *f, uint32_t n, struct claimed *ret);
void claim_none(struct fixture *f);

struct settlement outcome(const struct claimed *m, int64_t run, enum verdict v);
/* Settles one; returns whether it was applied. */
bool settle(struct fixture *f, const struct claimed *m, int64_t run, enum verdict v);
struct settle_result settle_all(struct fixture *f, struct settlement *s, size_t n);

/* Recovers as the owner of claim_request(), with generous limits. */
struct recover_request recover_request(void);
struct recover_result recover(struct fixture *f);

/* Texts live until the next call. */
struct message get(struct fixture *f, int64_t id);
enum message_status status_of(struct fixture *f, int64_t id);
struct scheduler scheduler(struct fixture *f);
struct run run_of(struct fixture *f, int64_t id);
void check_counts(struct fixture *f, const char *text); /* "pending=1 sent=2": the others are 0 */
void check_invariants(struct fixture *f);

int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define OKAY(call) assert_okay((call), &f->err, #call)
void assert_okay(int rc, const struct error *err, const char *what);

#define GROUP(name) extern const struct CMUnitTest name##_tests[]; extern const size_t name##_count
GROUP(insert);
GROUP(claim);
GROUP(settle);
GROUP(runs);
GROUP(recover);
GROUP(list);
GROUP(steer);
GROUP(nodes);
GROUP(records);
GROUP(threads);
GROUP(durable);
GROUP(model);
#define GROUP_END(name) const size_t name##_count = sizeof(name##_tests) / sizeof(name##_tests[0])

#endif
