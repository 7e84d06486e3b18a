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
	struct scheduler_row row = {.config_batch = 0};
	struct my_row r;

	if (!my_row(b, reply, &r))
		return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
	row.s.pacing.running = my_int(&r, 0) != 0;
	row.s.pacing.interval = my_int(&r, 1);
	row.s.pacing.batch = (uint32_t)my_int(&r, 2);
	row.s.pacing.beat_at = my_int(&r, 3);
	row.s.pacing.epoch = my_int(&r, 4);
	row.s.pacing.left = (uint32_t)my_int(&r, 5);
	row.s.failure_rate = r.values[6] ? strtod(r.values[6], NULL) : 0;
	row.s.last_alert_at = my_int(&r, 7);
	row.config_interval = my_int(&r, 8);
	row.config_batch = (uint32_t)my_int(&r, 9);
	row.s.pacing.not_before = my_int(&r, 10);
	row.job = my_int(&r, 11);
	/* Every beat is a run, and runs are numbered by beats. */
	row.s.last_run_at = row.s.pacing.beat_at;
	row.s.runs_count = row.s.pacing.epoch;
	*ret = row;
	return OK;
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
		if (ret->ended_n < ARRAY_SIZE(ret->ended))
			ret->ended[ret->ended_n] = end;
		ret->ended_n++;
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

void my_attempt_add(struct my_session *s, struct my_batch *b, const struct my_attempt *a, bool first)
{
	struct buf *sql = first ? my_begin(b) : &b->sql;
	const int64_t numbers[] = {a->message, a->seq,          a->attempt, a->run,
	                           a->owner,   (int)a->verdict, a->http_status, a->started_at,
	                           a->duration};
	size_t i;

	if (first)
		buf_addlit(sql, "INSERT INTO herald_attempts(message,seq,attempt,run,owner,verdict,"
		                "http_status,started_at,duration,message_id,error) VALUES");
	else
		buf_addch(sql, ',');
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		buf_addch(sql, i ? ',' : '(');
		buf_addi64(sql, numbers[i]);
	}
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

void my_message(const struct my_row *r, struct arena *arena, struct message *ret)
{
	usec_t state_at = my_int(r, 2);
	int64_t fence = my_int(r, 5);
	struct message m = {
		.id = my_int(r, 0),
		.status = row_status((int)my_int(r, 1)),
		.attempts = (int)my_int(r, 3),
		.lost = (int)my_int(r, 4),
		.fence = fence,
		.due_at = my_int(r, 6),
		.started_at = fence ? my_int(r, 7) : 0,
		.created_at = my_int(r, 8),
		.updated_at = my_int(r, 9),
		.send_at = my_int(r, 10),
		.phone = my_text(r, 11, arena),
		.content = my_text(r, 12, arena),
		.idempotency_key = my_text(r, 13, arena),
		.metadata = my_text(r, 14, arena),
		.message_id = my_text(r, 15, arena),
		.last_error = my_text(r, 16, arena),
	};

	if (m.status == MESSAGE_SENDING) {
		m.owner = my_text(r, 17, arena);
		m.lease_until = state_at;
	} else if (m.status == MESSAGE_SENT) {
		m.sent_at = state_at;
	}
	*ret = m;
}

size_t my_message_query(struct my_batch *b, int64_t id)
{
	buf_addf(my_begin(b),
	         "SELECT " MY_MESSAGE_COLUMNS " FROM herald_messages m" MY_MESSAGE_JOINS
	         " WHERE m.id=%lld",
	         (long long)id);
	return b->n - 1;
}

int my_message_read(const struct my_batch *b, size_t reply, int64_t id, struct arena *arena,
                    struct message *ret, struct error *err)
{
	struct my_row r;

	if (!my_row(b, reply, &r))
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
	my_message(&r, arena, ret);
	return OK;
}
