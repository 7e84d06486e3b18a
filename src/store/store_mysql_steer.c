/* Steering: cancel, replay and the scheduler. */
#include "store_mysql.h"

/* Begins a transaction, locks one message and reads its state (-1: not there) and the clock. */
static int lock_message(struct my_session *s, int64_t id, int *ret_state, usec_t *ret_now,
                        struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row r;
	size_t row, clock;
	int rc;

	my_start(s, &q);
	row = q.n;
	buf_addf(my_begin(&q), "SELECT state FROM herald_messages WHERE id=%lld FOR UPDATE",
	         (long long)id);
	clock = my_add(&q, "SELECT " MY_NOW);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	*ret_state = my_row(&q, row, &r) ? (int)my_int(&r, 0) : -1;
	*ret_now = my_row(&q, clock, &r) ? my_int(&r, 0) : 0;
	return OK;
}

static void move_totals(struct my_session *s, struct my_batch *q, int from, int to, int64_t n)
{
	struct my_totals totals = {.by_state[0] = 0};

	totals.by_state[from] -= n;
	totals.by_state[to] += n;
	my_totals_add(s, q, &totals);
}

struct canceller {
	int64_t id;
	struct arena *arena;
	struct message message;
};

static int cancel(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct canceller *ca = arg;
	bool answered;
	size_t query;
	usec_t now;
	int state, rc = lock_message(s, ca->id, &state, &now, err);

	if (rc)
		return rc;
	if (state >= 0 && row_status(state) != MESSAGE_PENDING)
		return error_set(err, ERR_CONFLICT, "message %lld is %s: only pending ones can be cancelled",
		                 (long long)ca->id, message_status_name(row_status(state)));
	if (state < 0)
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)ca->id);
	buf_addf(my_begin(&q),
	         "UPDATE herald_messages SET state=%d,state_at=%lld,updated_at=%lld WHERE id=%lld",
	         MESSAGE_CANCELLED, (long long)now, (long long)now, (long long)ca->id);
	move_totals(s, &q, state, MESSAGE_CANCELLED, 1);
	query = my_message_query(&q, ca->id);
	rc = my_commit(s, &q, &answered, err);
	if (!rc && !answered) {
		my_batch_clear(&q);
		query = my_message_query(&q, ca->id);
		rc = my_run(s, &q, err);
	}
	return rc ? rc : my_message_read(&q, query, ca->id, ca->arena, &ca->message, err);
}

int my_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct canceller ca = {.id = id, .arena = arena};
	int rc = my_transact(session, cancel, &ca, err);

	if (!rc)
		*ret = ca.message;
	return rc;
}

/* --- replay ----------------------------------------------------------------------------------------------- */

/* A life of its own begins: what was said of the last one stays with its attempts. The fence goes on, so
 * that a late report of the last life cannot pass for one of this. */
static void begin_replay(struct my_batch *q, usec_t now)
{
	buf_addf(my_begin(q),
	         "UPDATE herald_messages FORCE INDEX(PRIMARY) SET state=0,state_at=%lld,due_at=%lld,"
	         "updated_at=%lld,attempts=0,lost=0,said=-1 WHERE id IN (",
	         (long long)now, (long long)now, (long long)now);
}

static int replay(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	int64_t id = *(const int64_t *)arg;
	usec_t now;
	int state, rc = lock_message(s, id, &state, &now, err);

	if (rc)
		return rc;
	if (state != MESSAGE_FAILED)
		return error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
	begin_replay(&q, now);
	buf_addi64(&q.sql, id);
	buf_addch(&q.sql, ')');
	move_totals(s, &q, MESSAGE_FAILED, MESSAGE_PENDING, 1);
	return my_commit(s, &q, NULL, err);
}

int my_replay(void *session, int64_t id, struct error *err)
{
	return my_transact(session, replay, &id, err);
}

struct replayer {
	uint32_t limit, replayed;
};

/* What another replay holds is skipped: it is being done. */
static int replay_some(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch found cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct replayer *re = arg;
	struct my_row r;
	uint32_t n = 0;
	size_t clock;
	usec_t now;
	int rc;

	re->replayed = 0;
	my_start(s, &found);
	clock = my_add(&found, "SELECT " MY_NOW);
	buf_addf(my_begin(&found),
	         "SELECT id FROM herald_messages FORCE INDEX(herald_messages_state) WHERE state=%d"
	         " ORDER BY state_at,id LIMIT %u FOR UPDATE SKIP LOCKED",
	         MESSAGE_FAILED, re->limit);
	rc = my_run(s, &found, err);
	if (rc)
		return rc;
	now = my_row(&found, clock, &r) ? my_int(&r, 0) : 0;
	for (; my_row(&found, clock + 1, &r); n++) {
		if (n % MY_LIST_MAX == 0) {
			if (n)
				buf_addch(&q.sql, ')');
			begin_replay(&q, now);
		} else {
			buf_addch(&q.sql, ',');
		}
		buf_addi64(&q.sql, my_int(&r, 0));
	}
	if (!n) {
		my_abandon(s);
		return OK;
	}
	buf_addch(&q.sql, ')');
	move_totals(s, &q, MESSAGE_FAILED, MESSAGE_PENDING, n);
	rc = my_commit(s, &q, NULL, err);
	if (!rc)
		re->replayed = n;
	return rc;
}

int my_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct replayer re = {.limit = limit};
	int rc = my_transact(session, replay_some, &re, err);

	if (!rc)
		*ret = re.replayed;
	return rc;
}

/* --- the scheduler ---------------------------------------------------------------------------------------- */

/* The figures of struct scheduler that are kept elsewhere, and the clock. */
static const char figures_query[] =
	"SELECT (SELECT all_failed FROM herald_streak WHERE one=1),"
	"(SELECT COALESCE(SUM(delivered),0) FROM herald_totals)," MY_NOW;

static void read_figures(const struct my_batch *q, size_t reply, struct scheduler *s)
{
	struct my_row r;

	if (!my_row(q, reply, &r))
		return;
	s->all_failed_in_a_row = (uint32_t)my_int(&r, 0);
	s->messages_sent = my_int(&r, 1);
	s->now = my_int(&r, 2);
}

/* What a change of the scheduler has begun and ended; row->s.now is set. */
static void write_job(struct my_session *s, struct my_batch *q, const struct scheduler_row *row)
{
	struct buf *sql;

	if (row->job_closed)
		buf_addf(my_begin(q), "UPDATE herald_jobs SET finished_at=%lld,last_run=%lld WHERE id=%lld",
		         (long long)row->s.now, (long long)row->s.pacing.epoch, (long long)row->job_closed);
	if (!row->job_opened)
		return;
	sql = my_begin(q);
	buf_addf(sql, "INSERT INTO herald_jobs(id,started_at,finished_at,first_run,last_run,name)"
	              " VALUES(%lld,%lld,0,%lld,0,",
	         (long long)row->job_opened, (long long)row->s.now, (long long)row->s.pacing.epoch + 1);
	my_quote_text(s, sql, row->job_name);
	buf_addch(sql, ')');
	buf_addf(my_begin(q), "DELETE FROM herald_jobs WHERE id<=%lld",
	         (long long)row->job_opened - JOBS_KEPT);
}

static int steer(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct steering *st = arg;
	size_t query, figures, clock;
	struct my_row now;
	bool fresh = false, answered;
	int rc;

	my_start(s, &q);
	query = my_add(&q, MY_SCHEDULER " FOR UPDATE");
	clock = my_add(&q, "SELECT " MY_NOW);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rc = my_scheduler_row(&q, query, &st->row, err);
	if (rc == ERR_NOT_FOUND && st->defaults) {
		/* Two nodes may come here at once: one of them meets a duplicate and begins anew. */
		fresh = true;
		st->row = scheduler_row_new(st->defaults);
	} else if (rc) {
		return rc;
	}
	if (my_row(&q, clock, &now))
		st->row.s.now = my_int(&now, 0);
	steering_apply(st);
	my_batch_clear(&q);
	my_scheduler_write(&q, fresh ? "INSERT INTO" : "UPDATE", &st->row, fresh ? "" : MY_SCHEDULER_ROW);
	write_job(s, &q, &st->row);
	figures = my_add(&q, figures_query);
	rc = my_commit(s, &q, &answered, err);
	if (!rc && !answered) {
		my_batch_clear(&q);
		figures = my_add(&q, figures_query);
		rc = my_run(s, &q, err);
	}
	if (!rc)
		read_figures(&q, figures, &st->row.s);
	return rc;
}

int my_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                      struct error *err)
{
	struct steering st = {.defaults = d};
	int rc = my_transact(session, steer, &st, err);

	if (!rc)
		*ret = st.row.s;
	return rc;
}

int my_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                        bool *ret_changed, struct error *err)
{
	struct steering st = {.change = change};
	int rc = my_transact(session, steer, &st, err);

	if (rc)
		return rc;
	*ret = st.row.s;
	*ret_changed = st.changed;
	return OK;
}

static int read_scheduler(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct scheduler_row row;
	size_t query = my_add(&q, MY_SCHEDULER), figures = my_add(&q, figures_query);
	int rc = my_run(s, &q, err);

	if (!rc)
		rc = my_scheduler_row(&q, query, &row, err);
	if (rc)
		return rc;
	read_figures(&q, figures, &row.s);
	*(struct scheduler *)arg = row.s;
	return OK;
}

int my_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	return my_transact(session, read_scheduler, ret, err);
}
