/* Taking back claims whose lease has run out. Other owners may well be alive, so only time tells. */
#include "alloc.h"
#include "store_mysql.h"

struct recoverer {
	struct my_session *s;
	const struct recover_request *r;
	usec_t now;
	struct sql_lost *rows;
	size_t n;
	struct my_totals totals;
	struct my_runs runs;
	struct recover_result result;
};

static const char soonest[] = "SELECT state_at FROM herald_messages FORCE INDEX(herald_messages_state)"
			      " WHERE state=1 ORDER BY state_at LIMIT 1";

/* Whether there is anything to take back; most calls find nothing. */
static int look(struct recoverer *re, bool *ret, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row r;
	int rc;

	my_add(&q, soonest);
	my_add(&q, "SELECT " MY_NOW);
	rc = my_run(re->s, &q, err);
	if (rc)
		return rc;
	re->result.next_expiry = my_row(&q, 0, &r) ? my_int(&r, 0) : USEC_NEVER;
	re->now = my_row(&q, 1, &r) ? my_int(&r, 0) : 0;
	*ret = re->result.next_expiry <= re->now;
	return OK;
}

/* What somebody holds at this moment is being settled or renewed, so it is not lost: skipped. */
static int gather(struct recoverer *re, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_rows rows;
	size_t lost;
	int rc;

	my_start(re->s, &q);
	lost = q.n;
	buf_addf(my_begin(&q),
	         "SELECT " SQL_LOST_COLUMNS " FROM herald_messages"
	         " FORCE INDEX(herald_messages_state) WHERE state=1 AND state_at<=%lld"
	         " ORDER BY state_at,id LIMIT %lld FOR UPDATE SKIP LOCKED",
	         (long long)re->now, (long long)re->r->limit + 1);
	rc = my_run(re->s, &q, err);
	if (rc)
		return rc;
	re->rows = xcalloc(mysql_num_rows(q.replies[lost].rows) + 1, sizeof(*re->rows));
	rows = my_rows(&q, lost);
	while (!re->result.more && rows.sql.next(&rows.sql, err) > 0) {
		if (re->n < re->r->limit)
			re->rows[re->n++] = sql_lost_row(&rows.sql, re->r);
		else
			re->result.more = true;
	}
	return OK;
}

static void count(struct recoverer *re)
{
	size_t i;

	for (i = 0; i < re->n; i++) {
		recovered_count(&re->result, re->totals.by_state, re->rows[i].state);
		my_runs_count(&re->runs, re->rows[i].run, VERDICT_LOST);
	}
}

static void write_state(struct recoverer *re, int state, struct my_batch *q)
{
	struct buf *sql = NULL;
	size_t i, n = 0;

	for (i = 0; i < re->n; i++) {
		if (re->rows[i].state != state)
			continue;
		if (n++ % MY_LIST_MAX == 0) {
			if (sql)
				buf_addch(sql, ')');
			sql = my_begin(q);
			buf_addf(sql,
			         "UPDATE herald_messages FORCE INDEX(PRIMARY) SET state=%d,state_at=%lld,"
			         "updated_at=%lld,lost=lost+1,said=fence*%lld+%lld",
			         state, (long long)re->now, (long long)re->now,
			         (long long)(attempt_seq(1, VERDICT_LOST) - attempt_seq(0, VERDICT_LOST)),
			         (long long)attempt_seq(0, VERDICT_LOST));
			if (row_status(state) == MESSAGE_PENDING)
				buf_addf(sql, ",due_at=%lld", (long long)re->now);
			buf_addlit(sql, " WHERE id IN (");
		} else {
			buf_addch(sql, ',');
		}
		buf_addi64(sql, re->rows[i].id);
	}
	if (sql)
		buf_addch(sql, ')');
}

static void write_attempts(struct recoverer *re, struct my_batch *q)
{
	struct sql_attempt a;
	size_t i;

	for (i = 0; i < re->n; i++) {
		a = sql_attempt_lost(&re->rows[i], re->r);
		my_attempt_add(re->s, q, &a, i == 0);
	}
	my_attempts_end(q);
}

static int write_all(struct recoverer *re, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct settle_result unlisted = {.ended_n = 0};
	struct my_row r;
	size_t lock, next;
	bool answered;
	int state, rc;

	for (state = 0; state < ROW_STATE_COUNT; state++)
		write_state(re, state, &q);
	write_attempts(re, &q);
	lock = my_runs_lock(&re->runs, &q);
	rc = my_run(re->s, &q, err);
	if (!rc)
		rc = my_runs_judge(re->s, &re->runs, &q, lock, &unlisted, err);
	if (rc)
		return rc;
	my_batch_clear(&q);
	my_runs_write(&re->runs, &q);
	my_totals_add(re->s, &q, &re->totals);
	next = my_add(&q, soonest);
	rc = my_commit(re->s, &q, &answered, err);
	if (!rc && answered)
		re->result.next_expiry = my_row(&q, next, &r) ? my_int(&r, 0) : USEC_NEVER;
	else
		re->result.next_expiry = re->now; /* look again */
	return rc;
}

static void recoverer_release(struct recoverer *re)
{
	free(re->rows);
	my_runs_release(&re->runs);
}

static int recover_some(struct my_session *s, void *arg, struct error *err)
{
	struct recoverer *re = arg;
	const struct recover_request *r = re->r;
	bool found = false;
	int rc;

	recoverer_release(re);
	*re = (struct recoverer){.s = s, .r = r};
	rc = look(re, &found, err);
	if (rc || !found)
		return rc;
	rc = gather(re, err);
	if (rc)
		return rc;
	if (!re->n) {
		my_abandon(s);
		return OK;
	}
	count(re);
	return write_all(re, err);
}

int my_recover(void *session, const struct recover_request *r, struct recover_result *ret,
               struct error *err)
{
	struct recoverer re = {.r = r};
	int rc = my_transact(session, recover_some, &re, err);

	recoverer_release(&re);
	if (!rc)
		*ret = re.result;
	return rc;
}
