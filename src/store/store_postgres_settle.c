/*
 * Recording outcomes and prolonging leases.
 *
 * Nearly every outcome is reported by the holder of the claim. Those are written by one statement that
 * takes the row only if it is still `sending` under that fence. What it leaves over (somebody else came
 * first, or a second report in the same batch) is read under a lock and judged by the shared rule.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

struct settler {
	struct settlement *s;
	size_t n;
	struct settle_result result;
	int64_t by_state[ROW_STATE_COUNT];
	struct run_outcomes outcomes;
};

/* What is known of the row, to write one settlement. */
struct entry {
	struct settlement *s;
	bool there, applies;
	int state;
	int64_t fence, owner, run;
};

/* The columns of a settlement that the statements below unnest; the first is $1. */
#define SETTLEMENT                                                                                 \
	"unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::bigint[],"    \
	"$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::bigint[],$12::bigint[],"        \
	"$13::text[],$14::text[]) WITH ORDINALITY AS d(" SQL_ATTEMPT_NUMBERS                       \
	",fence,next,retry_in,owner,message_id,error,n)"
/* What a settlement does to a row: 1 is VERDICT_RETRY, 4 VERDICT_RELEASE. */
#define CHANGES                                                                                    \
	"state=d.next,state_at=CASE d.verdict WHEN 1 THEN d.now+d.retry_in"                        \
	" WHEN 4 THEN m.due_at ELSE d.now END,"                                                    \
	"due_at=CASE d.verdict WHEN 1 THEN d.now+d.retry_in ELSE m.due_at END,"                    \
	"updated_at=d.now,said=CASE d.verdict WHEN 4 THEN m.said ELSE d.seq END,"                  \
	"lost=CASE d.verdict WHEN 4 THEN m.lost ELSE 0 END,"                                       \
	"attempts=m.attempts-(d.verdict=4)::int"
#define ATTEMPT_COLUMNS SQL_ATTEMPT_NUMBERS ",owner,message_id,error"
#define ATTEMPTS "INSERT INTO herald_attempts(" ATTEMPT_COLUMNS ") SELECT " ATTEMPT_COLUMNS

static void add_settlements(struct pg_args *args, const struct entry *e, size_t n)
{
	static const size_t longest[] = {MESSAGE_PROVIDER_ID_MAX, MESSAGE_ERROR_MAX};
	struct pg_table rows cleanup(pg_table_release) = {
		.numbers_n = SQL_ATTEMPT_NUMBERS_N + 4, .texts_n = 2, .longest = longest};
	int64_t numbers[SQL_ATTEMPT_NUMBERS_N + 4];
	size_t i;

	for (i = 0; i < n; i++) {
		const struct settlement *s = e[i].s;
		const struct sql_attempt a = sql_attempt_settled(s, e[i].fence == s->fence ? e[i].owner : 0);

		sql_attempt_numbers(&a, numbers);
		numbers[SQL_ATTEMPT_NUMBERS_N] = s->fence;
		numbers[SQL_ATTEMPT_NUMBERS_N + 1] = settlement_state(s, !e[i].run);
		numbers[SQL_ATTEMPT_NUMBERS_N + 2] = s->retry_in;
		numbers[SQL_ATTEMPT_NUMBERS_N + 3] = a.owner;
		pg_table_row(&rows, numbers, (const char *const[]){a.message_id, a.error});
	}
	pg_add_table(args, &rows);
}

static void note_applied(struct settler *se, const struct entry *e, int from, int64_t run, usec_t now)
{
	int next = settlement_state(e->s, !e->run);

	e->s->applied = true;
	e->s->sent_at = next == MESSAGE_SENT ? now : 0;
	se->result.applied++;
	se->by_state[from]--;
	se->by_state[next]++;
	if (from == MESSAGE_SENDING)
		run_outcomes_add(&se->outcomes, run, e->s->verdict);
}

/* With the transaction's beginning: all those that come from the claim's holder. The sum hides the state
 * from the planner, which shall find the rows by id and not go through all that are being sent. */
static int settle_held(struct pg_session *s, struct settler *se, const struct entry *e, size_t n,
                       struct error *err)
{
	static const char sql[] =
		"WITH t AS MATERIALIZED (SELECT " PG_NOW " AS now),"
		" d AS (SELECT * FROM t," SETTLEMENT "),"
		" u AS (UPDATE herald_messages m SET " CHANGES " FROM d"
		" WHERE m.id=d.message AND m.state+0=1 AND m.fence=d.fence"
		" RETURNING d.n,m.run AS held_for,d.now,d.message,d.seq,d.attempt,d.run,m.owner,d.verdict,"
		"d.http_status,d.started_at,d.duration,d.message_id,d.error),"
		" a AS (" ATTEMPTS " FROM u WHERE verdict<>4"
		" ON CONFLICT DO NOTHING)"
		" SELECT n,held_for,now FROM u";
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call = {.sql = sql, .args = &args};
	const PGresult *res;
	int rc, i;

	add_settlements(&args, e, n);
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	res = call.res;
	for (i = 0; i < PQntuples(res); i++)
		note_applied(se, &e[pg_i64(res, i, 0) - 1], MESSAGE_SENDING, pg_i64(res, i, 1),
		             pg_i64(res, i, 2));
	pg_calls_clear(&call, 1);
	return OK;
}

/* --- what is left over ------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->s->id != y->s->id)
		return x->s->id < y->s->id ? -1 : 1;
	return (x->s > y->s) - (x->s < y->s);
}

/* Locks the rows and reads into the entries how they stand. */
static int lock_rows(struct pg_session *s, struct entry *e, size_t n, usec_t *ret_now,
                     struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = "SELECT id,state,fence,owner,run FROM herald_messages"
	                " WHERE id=ANY($1::bigint[]) ORDER BY id FOR UPDATE",
	         .args = &args},
		{.sql = "SELECT " PG_NOW},
	};
	const PGresult *res;
	size_t at;
	int rc, i;

	pg_add_i64_array(&args, n);
	for (at = 0; at < n; at++)
		pg_item_i64(&args, e[at].s->id);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	res = calls[0].res;
	for (i = 0, at = 0; i < PQntuples(res); i++, at++) {
		while (e[at].s->id != pg_i64(res, i, 0))
			at++;
		e[at].there = true;
		e[at].state = (int)pg_i64(res, i, 1);
		e[at].fence = pg_i64(res, i, 2);
		e[at].owner = pg_i64(res, i, 3);
		e[at].run = pg_i64(res, i, 4);
	}
	*ret_now = pg_i64(calls[1].res, 0, 0);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
}

static size_t pick(struct entry *to, const struct entry *from, size_t n, bool applied)
{
	size_t i, picked = 0;

	for (i = 0; i < n; i++) {
		if (from[i].there && (!applied || from[i].applies))
			to[picked++] = from[i];
	}
	return picked;
}

/* One settlement per message, each judged by the row as it stands. */
static int settle_judged(struct pg_session *s, struct settler *se, struct entry *e, size_t n,
                         struct error *err)
{
	struct pg_args rows cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args records cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[2];
	struct entry *some;
	size_t calls_n = 0, picked, i;
	usec_t now;
	int rc = lock_rows(s, e, n, &now, err);

	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		e[i].applies = e[i].there && settlement_applies(e[i].state, e[i].fence, e[i].s);
		if (e[i].applies)
			note_applied(se, &e[i], e[i].state, e[i].run, now);
	}
	some = xcalloc(n, sizeof(*some));
	picked = pick(some, e, n, true);
	if (picked) {
		add_settlements(&rows, some, picked);
		pg_add_i64(&rows, now);
		calls[calls_n++] = (struct pg_call){
			.sql = "WITH d AS (SELECT *,$15::bigint AS now FROM " SETTLEMENT ")"
			       " UPDATE herald_messages m SET " CHANGES " FROM d WHERE m.id=d.message",
			.args = &rows};
	}
	picked = pick(some, e, n, false);
	if (picked) {
		add_settlements(&records, some, picked);
		calls[calls_n++] = (struct pg_call){
			.sql = ATTEMPTS " FROM " SETTLEMENT " WHERE verdict<>4 ON CONFLICT DO NOTHING",
			.args = &records};
	}
	free(some);
	if (calls_n)
		rc = pg_run(s, calls, calls_n, err);
	if (!rc)
		pg_calls_clear(calls, calls_n);
	return rc;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static void note_ended(void *arg, const struct run_end *end)
{
	settle_result_add(arg, end);
}

/* Moves the first entry of each message to the front, in order; returns how many. */
static size_t first_of_each(struct entry *e, size_t n)
{
	struct entry *later = xcalloc(n, sizeof(*later));
	size_t first = 0, rest = 0, i;

	for (i = 0; i < n; i++) {
		if (first && e[first - 1].s->id == e[i].s->id)
			later[rest++] = e[i];
		else
			e[first++] = e[i];
	}
	memcpy(e + first, later, rest * sizeof(*later));
	free(later);
	return first;
}

static int settle_entries(struct pg_session *s, struct settler *se, struct entry *e, size_t n,
                          struct error *err)
{
	size_t first = first_of_each(e, n), kept = 0, i;
	int rc = settle_held(s, se, e, first, err);

	if (rc)
		return rc;
	for (i = 0; i < n; i++) {
		if (!e[i].s->applied)
			e[kept++] = e[i];
	}
	qsort(e, kept, sizeof(*e), by_id);
	while (!rc && kept) {
		first = first_of_each(e, kept);
		rc = settle_judged(s, se, e, first, err);
		e += first;
		kept -= first;
	}
	return rc;
}

static int settle_body(struct pg_session *s, void *arg, struct error *err)
{
	struct settler *se = arg;
	struct entry *e = xcalloc(se->n, sizeof(*e));
	size_t i;
	int rc;

	*se = (struct settler){.s = se->s, .n = se->n};
	for (i = 0; i < se->n; i++) {
		se->s[i].applied = false;
		se->s[i].sent_at = 0;
		/* For the holder of a claim, fence and run are those of the row. */
		e[i] = (struct entry){.s = &se->s[i], .run = se->s[i].run};
	}
	qsort(e, se->n, sizeof(*e), by_id);
	rc = settle_entries(s, se, e, se->n, err);
	free(e);
	if (!rc && se->result.applied)
		rc = pg_account(s, se->by_state, &se->outcomes, note_ended, &se->result, err);
	run_outcomes_release(&se->outcomes);
	return rc ? rc : pg_commit(s, err);
}

int pg_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret,
              struct error *err)
{
	struct settler se = {.s = s, .n = n};
	int rc = n ? pg_transact(session, settle_body, &se, err) : OK;

	if (!rc)
		*ret = se.result;
	return rc;
}

/* --- leases ------------------------------------------------------------------------------------------------ */

struct renewer {
	const struct lease_ref *refs;
	size_t n;
	usec_t lease;
	size_t renewed;
};

static int by_ref(const void *a, const void *b)
{
	const struct lease_ref *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->fence > y->fence) - (x->fence < y->fence);
}

/* How many of the references, in order, name the row: a caller may name it twice. */
static size_t count_refs(const struct lease_ref *refs, size_t n, const struct lease_ref *row)
{
	const struct lease_ref *at = bsearch(row, refs, n, sizeof(*refs), by_ref), *end;

	if (!at)
		return 0;
	for (end = at + 1; end < refs + n && !by_ref(end, row); end++)
		continue;
	while (at > refs && !by_ref(at - 1, row))
		at--;
	return (size_t)(end - at);
}

static int renew_refs(struct pg_session *s, struct renewer *re, const struct lease_ref *refs,
                      struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call call = {
		.sql = "WITH t AS MATERIALIZED (SELECT " PG_NOW "+$3::bigint AS until)"
		       " UPDATE herald_messages m SET state_at=t.until"
		       " FROM t,unnest($1::bigint[],$2::bigint[]) AS d(id,fence)"
		       " WHERE m.id=d.id AND m.state+0=1 AND m.fence=d.fence"
		       " RETURNING m.id,m.fence",
		.args = &args,
	};
	const PGresult *res;
	size_t i;
	int rc, row;

	pg_add_i64_array(&args, re->n);
	for (i = 0; i < re->n; i++)
		pg_item_i64(&args, refs[i].id);
	pg_add_i64_array(&args, re->n);
	for (i = 0; i < re->n; i++)
		pg_item_i64(&args, refs[i].fence);
	pg_add_i64(&args, re->lease);
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	res = call.res;
	re->renewed = 0;
	for (row = 0; row < PQntuples(res); row++) {
		const struct lease_ref found = {pg_i64(res, row, 0), pg_i64(res, row, 1)};

		re->renewed += count_refs(refs, re->n, &found);
	}
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int renew_body(struct pg_session *s, void *arg, struct error *err)
{
	struct renewer *re = arg;
	struct lease_ref *refs = xcalloc(re->n, sizeof(*refs));
	int rc;

	memcpy(refs, re->refs, re->n * sizeof(*refs));
	qsort(refs, re->n, sizeof(*refs), by_ref);
	rc = renew_refs(s, re, refs, err);
	free(refs);
	return rc;
}

int pg_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
             size_t *ret_renewed, struct error *err)
{
	struct renewer re = {.refs = refs, .n = n, .lease = lease};
	int rc = n ? pg_transact(session, renew_body, &re, err) : OK;

	if (!rc)
		*ret_renewed = re.renewed;
	return rc;
}
