/* Rows that several verbs of the MySQL driver read and write. */
#include "alloc.h"
#include "store_mysql.h"
#include "text.h"

void my_totals_add(struct my_session *s, struct my_batch *b, const struct my_totals *t)
{
	static const char *const columns[ROW_STATE_COUNT] = {
		"n_pending", "n_sending", "n_sent", "n_failed", "n_cancelled", "n_unknown", "n_retrying",
		"n_invalid",
	};
	struct buf *sql = my_begin(b);
	int i;

	buf_addlit(sql, "INSERT INTO herald_totals(slot,n_pending,n_sending,n_sent,n_failed,n_cancelled,"
	                "n_unknown,n_retrying,n_invalid,delivered) VALUES(");
	buf_addu64(sql, s->slot);
	for (i = 0; i < ROW_STATE_COUNT; i++) {
		buf_addch(sql, ',');
		buf_addi64(sql, t->by_state[i]);
	}
	buf_addch(sql, ',');
	buf_addi64(sql, t->delivered);
	buf_addlit(sql, ") ON DUPLICATE KEY UPDATE delivered=delivered+");
	buf_addi64(sql, t->delivered);
	for (i = 0; i < ROW_STATE_COUNT; i++) {
		if (t->by_state[i])
			buf_addf(sql, ",%s=%s+(%lld)", columns[i], columns[i], (long long)t->by_state[i]);
	}
}

/* One name per process, as a rule, so the last one is enough to remember. */
int my_owner(struct my_session *s, const char *owner, int64_t *ret, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct buf *sql;
	int rc;

	if (!s->owner || strcmp(s->owner, owner) != 0) {
		sql = my_begin(&b);
		buf_addlit(sql, "INSERT INTO herald_owners(owner) VALUES(");
		my_quote_text(s, sql, owner);
		buf_addlit(sql, ") ON DUPLICATE KEY UPDATE id=LAST_INSERT_ID(id)");
		rc = my_run(s, &b, err);
		if (rc)
			return rc;
		free(s->owner);
		s->owner = xstrdup(owner);
		s->owner_id = (int64_t)b.replies[0].insert_id;
	}
	*ret = s->owner_id;
	return OK;
}

int my_scheduler_row(const struct my_batch *b, size_t reply, struct scheduler_row *ret,
                     struct error *err)
{
	struct my_rows rows = my_rows(b, reply);

	return sql_scheduler(&rows.sql, ret, err);
}

void my_scheduler_write(struct my_batch *b, const char *how, const struct scheduler_row *row, const char *where)
{
	const struct pacing *p = &row->s.pacing;

	buf_addf(my_begin(b),
	         "%s herald_scheduler SET one=1,running=%d,beat_interval=%lld,batch=%u,beat_at=%lld,"
	         "epoch=%lld,remaining=%u,failure_rate=%.17g,last_alert_at=%lld,config_interval=%lld,"
	         "config_batch=%u,not_before=%lld,job=%lld%s",
	         how, p->running, (long long)p->interval, p->batch, (long long)p->beat_at,
	         (long long)p->epoch, p->left, row->s.failure_rate, (long long)row->s.last_alert_at,
	         (long long)row->config_interval, row->config_batch, (long long)p->not_before,
	         (long long)row->job, where);
}

/* --- runs ------------------------------------------------------------------------------------------------- */

struct my_run *my_runs_get(struct my_runs *runs, int64_t id)
{
	size_t i;

	/* What one transaction is about belongs to few runs, mostly the last one seen. */
	for (i = runs->n; i-- > 0;) {
		if (runs->items[i].id == id)
			return &runs->items[i];
	}
	if (runs->n == runs->cap) {
		runs->cap = runs->cap ? 2 * runs->cap : 8;
		runs->items = xreallocarray(runs->items, runs->cap, sizeof(*runs->items));
	}
	runs->items[runs->n] = (struct my_run){.id = id};
	return &runs->items[runs->n++];
}

void my_runs_count(struct my_runs *runs, int64_t id, enum verdict v)
{
	if (id)
		run_tally_add(&my_runs_get(runs, id)->add, v);
}

static int by_id(const void *a, const void *b)
{
	const struct my_run *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

size_t my_runs_lock(struct my_runs *runs, struct my_batch *b)
{
	struct buf *sql;
	size_t i;

	if (!runs->n)
		return 0;
	if (runs->n > 1)
		qsort(runs->items, runs->n, sizeof(*runs->items), by_id);
	sql = my_begin(b);
	buf_addlit(sql, "SELECT id,claimed,sent,failed,retried,lost,closed,finished FROM herald_runs"
	                " FORCE INDEX(PRIMARY) WHERE id IN (");
	for (i = 0; i < runs->n; i++) {
		if (i)
			buf_addch(sql, ',');
		buf_addi64(sql, runs->items[i].id);
	}
	buf_addlit(sql, ") ORDER BY id FOR UPDATE");
	return b->n - 1;
}

static void judge_row(struct my_run *run, const struct my_row *r)
{
	struct run_tally *t = &run->now;

	run->there = true;
	/* Differences, so that a claim given back takes one off. */
	t->claimed = (uint32_t)my_int(r, 1) + run->add.claimed;
	t->sent = (uint32_t)my_int(r, 2) + run->add.sent;
	t->failed = (uint32_t)my_int(r, 3) + run->add.failed;
	t->retried = (uint32_t)my_int(r, 4) + run->add.retried;
	t->lost = (uint32_t)my_int(r, 5) + run->add.lost;
	t->closed = my_int(r, 6) || run->close;
	run->finished = my_int(r, 7) != 0;
	run->ends = !run->finished && run_tally_complete(t);
}

static int read_streak(struct my_session *s, struct my_runs *runs, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row r;
	int rc;

	my_add(&b, "SELECT all_failed FROM herald_streak WHERE one=1 FOR UPDATE");
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	if (!my_row(&b, 0, &r))
		return error_set(err, ERR_PERMANENT, "the table herald_streak is empty");
	runs->streak = (uint32_t)my_int(&r, 0);
	return OK;
}

int my_runs_judge(struct my_session *s, struct my_runs *runs, const struct my_batch *b, size_t reply,
                  struct settle_result *ret, struct error *err)
{
	struct run_end end;
	struct my_row r;
	size_t i = 0, ends = 0;
	int rc;

	if (!runs->n)
		return OK;
	/* Both are sorted; a run that is gone (only so many are kept) is passed over. */
	while (my_row(b, reply, &r)) {
		while (i < runs->n && runs->items[i].id < my_int(&r, 0))
			i++;
		if (i == runs->n)
			break;
		judge_row(&runs->items[i], &r);
		ends += runs->items[i].ends;
	}
	if (!ends)
		return OK;
	rc = read_streak(s, runs, err);
	if (rc)
		return rc;
	runs->streak_moved = true;
	for (i = 0; i < runs->n; i++) {
		if (!runs->items[i].ends)
			continue;
		run_end_apply(runs->items[i].id, &runs->items[i].now, &runs->streak, &end);
		settle_result_add(ret, &end);
	}
	return OK;
}

void my_runs_write(const struct my_runs *runs, struct my_batch *b)
{
	const struct my_run *run;
	struct buf *sql;
	size_t i;

	for (i = 0; i < runs->n; i++) {
		run = &runs->items[i];
		if (!run->there)
			continue;
		sql = my_begin(b);
		buf_addf(sql,
		         "UPDATE herald_runs SET claimed=%u,sent=%u,failed=%u,retried=%u,lost=%u,"
		         "closed=%d,finished=%d",
		         run->now.claimed, run->now.sent, run->now.failed, run->now.retried,
		         run->now.lost, run->now.closed, run->finished || run->ends);
		if (run->last_id)
			buf_addf(sql, ",last_id=%lld", (long long)run->last_id);
		buf_addf(sql, " WHERE id=%lld", (long long)run->id);
	}
	if (runs->streak_moved)
		buf_addf(my_begin(b), "UPDATE herald_streak SET all_failed=%u WHERE one=1", runs->streak);
}

void my_runs_release(struct my_runs *runs)
{
	free(runs->items);
	*runs = (struct my_runs){.n = 0};
}

/* --- attempts --------------------------------------------------------------------------------------------- */

void my_attempt_add(struct my_session *s, struct my_batch *b, const struct sql_attempt *a, bool first)
{
	struct buf *sql = first ? my_begin(b) : &b->sql;
	int64_t numbers[SQL_ATTEMPT_NUMBERS_N];

	if (first)
		buf_addlit(sql, "INSERT INTO herald_attempts(" SQL_ATTEMPT_NUMBERS ",owner,message_id,error)"
		                " VALUES(");
	else
		buf_addlit(sql, ",(");
	sql_attempt_numbers(a, numbers);
	my_numbers(sql, numbers, ARRAY_SIZE(numbers));
	buf_addch(sql, ',');
	buf_addi64(sql, a->owner);
	buf_addch(sql, ',');
	my_quote(s, sql, a->message_id, text_stored(a->message_id, MESSAGE_PROVIDER_ID_MAX));
	buf_addch(sql, ',');
	my_quote(s, sql, a->error, text_stored(a->error, MESSAGE_ERROR_MAX));
	buf_addch(sql, ')');
}

/* Not INSERT IGNORE, which would let other faults pass, too. */
void my_attempts_end(struct my_batch *b)
{
	buf_addlit(&b->sql, " ON DUPLICATE KEY UPDATE attempt=herald_attempts.attempt");
}

/* --- messages --------------------------------------------------------------------------------------------- */

size_t my_message_query(struct my_batch *b, int64_t id)
{
	buf_addf(my_begin(b),
	         "SELECT " SQL_MESSAGE_COLUMNS " FROM herald_messages m" SQL_MESSAGE_JOINS
	         " WHERE m.id=%lld",
	         (long long)id);
	return b->n - 1;
}

int my_message_read(const struct my_batch *b, size_t reply, int64_t id, struct arena *arena,
                    struct message *ret, struct error *err)
{
	struct my_rows rows = my_rows(b, reply);

	return sql_message(&rows.sql, id, arena, ret, err);
}
