/* Taking back claims whose lease has run out. Other owners may well be alive, so only time tells. */
#include "alloc.h"
#include "store_mysql.h"

struct lost_row {
	int64_t id, fence, owner, run;
	int attempts, lost, state;
	usec_t started_at;
};

struct recoverer {
	struct my_session *s;
	const struct recover_request *r;
	usec_t now;
	struct lost_row *rows;
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
	struct my_row r;
	size_t rows;
	int rc;

	my_start(&q);
	rows = q.n;
	buf_addf(my_begin(&q),
	         "SELECT id,fence,owner,run,attempts,lost,started_at FROM herald_messages"
	         " FORCE INDEX(herald_messages_state) WHERE state=1 AND state_at<=%lld"
	         " ORDER BY state_at,id LIMIT %lld FOR UPDATE SKIP LOCKED",
	         (long long)re->now, (long long)re->r->limit + 1);
	rc = my_run(re->s, &q, err);
	if (rc)
		return rc;
	re->rows = xcalloc(mysql_num_rows(q.replies[rows].rows) + 1, sizeof(*re->rows));
	while (my_row(&q, rows, &r)) {
		if (re->n == re->r->limit) {
			re->result.more = true;
			break;
		}
		re->rows[re->n++] = (struct lost_row){
			.id = my_int(&r, 0),
			.fence = my_int(&r, 1),
			.owner = my_int(&r, 2),
			.run = my_int(&r, 3),
			.attempts = (int)my_int(&r, 4),
			.lost = (int)my_int(&r, 5) + 1,
			.started_at = my_int(&r, 6),
		};
	}
	return OK;
}

static void judge(struct recoverer *re)
{
	struct lost_row *row;
	size_t i;

	for (i = 0; i < re->n; i++) {
		row = &re->rows[i];
		row->state = recovered_state(re->r, row->attempts, row->lost);
		re->totals.by_state[MESSAGE_SENDING]--;
		re->totals.by_state[row->state]++;
		re->result.pending += row_status(row->state) == MESSAGE_PENDING;
		re->result.unknown += row->state == MESSAGE_UNKNOWN;
		re->result.failed += row->state == MESSAGE_FAILED;
		my_runs_count(&re->runs, row->run, VERDICT_LOST);
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
	const struct lost_row *row;
	struct my_attempt a;
	size_t i;

	for (i = 0; i < re->n; i++) {
		row = &re->rows[i];
		a = (struct my_attempt){
			.message = row->id,
			.seq = attempt_seq(row->fence, VERDICT_LOST),
			.run = row->run,
			.owner = row->owner,
			.attempt = row->attempts,
			.verdict = VERDICT_LOST,
			.started_at = row->started_at,
			.error = re->r->last_error,
		};
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
	my_commit(&q);
	rc = my_run(re->s, &q, err);
	if (!rc)
		re->result.next_expiry = my_row(&q, next, &r) ? my_int(&r, 0) : USEC_NEVER;
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
	judge(re);
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
