/*
 * Recording outcomes and prolonging leases. The rows are locked and read, judged here by the shared rule, and
 * written with one statement per kind of outcome, however many rows there are:
 *
 *	START TRANSACTION; SELECT … WHERE id IN (…) FOR UPDATE; the clock
 *	UPDATE … WHERE id IN (…) per kind; INSERT the attempts; lock the runs
 *	UPDATE the runs, the totals; COMMIT
 */
#include "alloc.h"
#include "store_mysql.h"

struct settled_row {
	int64_t id, fence, owner, run;
	int state;
	bool changed; /* in the statements that are being gathered */
};

/* An applied outcome that is not yet in a statement. */
struct change {
	const struct settlement *s;
	const struct settled_row *row;
	int state;
};

struct settler {
	struct my_session *s;
	struct settlement *settlements;
	size_t n;
	usec_t now;
	struct settled_row *rows; /* by id */
	size_t rows_n;
	struct change *changes;
	size_t changes_n;
	struct my_batch q;
	struct my_totals totals;
	struct my_runs runs;
	struct settle_result result;
	bool written; /* something of it is in the database */
};

static int by_id(const void *a, const void *b)
{
	const struct settled_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Adds "SELECT … WHERE id IN (…) FOR UPDATE" as often as needed, in the order of the ids, so that of two
 * transactions with rows in common one waits for the other. Forced to go by id: a plan that reads
 * the whole of a small table would lock it. */
static void lock_rows(struct my_batch *q, int64_t *ids, size_t n)
{
	struct buf *sql = NULL;
	size_t i;

	qsort(ids, n, sizeof(*ids), by_number);
	for (i = 0; i < n; i++) {
		if (i % MY_LIST_MAX == 0) {
			if (sql)
				buf_addlit(sql, ") ORDER BY id FOR UPDATE");
			sql = my_begin(q);
			buf_addlit(sql, "SELECT id,fence,owner,run,state FROM herald_messages"
			                " FORCE INDEX(PRIMARY) WHERE id IN (");
		} else {
			buf_addch(sql, ',');
		}
		buf_addi64(sql, ids[i]);
	}
	if (sql)
		buf_addlit(sql, ") ORDER BY id FOR UPDATE");
}

/* Begins the transaction; *ret_rows, sorted by id, is the caller's. */
static int begin(struct my_session *s, int64_t *ids, size_t n, struct settled_row **ret_rows,
                 size_t *ret_n, usec_t *ret_now, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct settled_row *rows;
	struct my_row r;
	size_t i, first, clock, count = 0;
	int rc;

	my_start(s, &q);
	first = q.n;
	lock_rows(&q, ids, n);
	/* Behind the locks, which may have had to be waited for. */
	clock = my_add(&q, "SELECT " MY_NOW);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rows = xcalloc(n, sizeof(*rows));
	for (i = first; i < clock; i++) {
		/* An id that was asked for in two lists comes twice. */
		while (count < n && my_row(&q, i, &r)) {
			if (count && rows[count - 1].id == my_int(&r, 0))
				continue;
			rows[count++] = (struct settled_row){
				.id = my_int(&r, 0),
				.fence = my_int(&r, 1),
				.owner = my_int(&r, 2),
				.run = my_int(&r, 3),
				.state = (int)my_int(&r, 4),
			};
		}
	}
	*ret_now = my_row(&q, clock, &r) ? my_int(&r, 0) : 0;
	*ret_rows = rows;
	*ret_n = count;
	return OK;
}

static struct settled_row *find_row(struct settled_row *rows, size_t n, int64_t id)
{
	const struct settled_row key = {.id = id};

	return n ? bsearch(&key, rows, n, sizeof(key), by_id) : NULL;
}

/* --- the statements --------------------------------------------------------------------------------------- */

/* What a list of changes of one kind has in common. */
static bool of_kind(const struct change *c, enum verdict v, int state)
{
	return c->s->verdict == v && c->state == state && c->s->fence == c->row->fence;
}

static void begin_update(struct settler *se, int state)
{
	buf_addf(my_begin(&se->q),
	         "UPDATE herald_messages FORCE INDEX(PRIMARY) SET state=%d,updated_at=%lld", state,
	         (long long)se->now);
}

/* ",state_at=ELT(FIELD(id, ids), times)": each row gets its own. */
static void add_times(struct settler *se, const struct change *const *list, size_t n)
{
	struct buf *sql = &se->q.sql;
	size_t i;

	buf_addlit(sql, ",state_at=ELT(FIELD(id");
	for (i = 0; i < n; i++) {
		buf_addch(sql, ',');
		buf_addi64(sql, list[i]->s->id);
	}
	buf_addch(sql, ')');
	for (i = 0; i < n; i++) {
		buf_addch(sql, ',');
		buf_addi64(sql, se->now + list[i]->s->retry_in);
	}
	/* Assignments are carried out from left to right. */
	buf_addlit(sql, "),due_at=state_at");
}

static void write_kind(struct settler *se, const struct change *const *list, size_t n)
{
	struct buf *sql = &se->q.sql;
	const struct change *first = list[0];
	enum verdict v = first->s->verdict;
	size_t i;

	begin_update(se, first->state);
	if (v == VERDICT_RELEASE)
		buf_addlit(sql, ",state_at=due_at,attempts=attempts-1");
	else if (v == VERDICT_RETRY)
		add_times(se, list, n);
	else
		buf_addf(sql, ",state_at=%lld", (long long)se->now);
	/* The numbers of attempts rise by a fixed step per fence (attempt_seq). */
	if (v != VERDICT_RELEASE)
		buf_addf(sql, ",lost=0,said=fence*%lld+%lld",
		         (long long)(attempt_seq(1, v) - attempt_seq(0, v)), (long long)attempt_seq(0, v));
	buf_addlit(sql, " WHERE id IN (");
	for (i = 0; i < n; i++) {
		if (i)
			buf_addch(sql, ',');
		buf_addi64(sql, list[i]->s->id);
	}
	buf_addch(sql, ')');
}

/* A success of an earlier claim: rare, so it gets a statement of its own. */
static void write_late(struct settler *se, const struct change *c)
{
	begin_update(se, c->state);
	buf_addf(&se->q.sql, ",state_at=%lld,lost=0,said=%lld WHERE id=%lld", (long long)se->now,
	         (long long)attempt_seq(c->s->fence, c->s->verdict), (long long)c->s->id);
}

/* Turns what has been gathered into statements. */
static void write_changes(struct settler *se)
{
	const struct change *list[MY_LIST_MAX];
	size_t i, n;
	int v, state;

	for (v = VERDICT_SENT; se->changes_n && v < VERDICT_COUNT; v++) {
		for (state = 0; state < ROW_STATE_COUNT; state++) {
			n = 0;
			for (i = 0; i < se->changes_n; i++) {
				if (!of_kind(&se->changes[i], (enum verdict)v, state))
					continue;
				list[n++] = &se->changes[i];
				if (n == MY_LIST_MAX) {
					write_kind(se, list, n);
					n = 0;
				}
			}
			if (n)
				write_kind(se, list, n);
		}
	}
	for (i = 0; i < se->changes_n; i++) {
		if (se->changes[i].s->fence != se->changes[i].row->fence)
			write_late(se, &se->changes[i]);
	}
	se->changes_n = 0;
	for (i = 0; i < se->rows_n; i++)
		se->rows[i].changed = false;
}

static void apply(struct settler *se, struct settlement *s, struct settled_row *row)
{
	int next = settlement_state(s, !row->run);

	/* A second outcome of the same row (a success behind a failure) goes by what the first left. */
	if (row->changed)
		write_changes(se);
	row->changed = true;
	se->changes[se->changes_n++] = (struct change){.s = s, .row = row, .state = next};
	s->applied = true;
	se->result.applied++;
	se->totals.by_state[row->state]--;
	se->totals.by_state[next]++;
	if (next == MESSAGE_SENT) {
		s->sent_at = se->now;
		se->totals.delivered++;
	}
	if (row->state == MESSAGE_SENDING)
		my_runs_count(&se->runs, row->run, s->verdict);
	row->state = next;
}

/* In as many packets as they take: what receivers say may be long. */
static int write_attempts(struct settler *se, struct error *err)
{
	const struct settlement *s;
	const struct settled_row *row;
	struct sql_attempt a;
	bool first = true;
	size_t i;
	int rc;

	for (i = 0; i < se->n; i++) {
		s = &se->settlements[i];
		row = find_row(se->rows, se->rows_n, s->id);
		if (!row || s->verdict == VERDICT_RELEASE)
			continue;
		a = sql_attempt_settled(s, row->fence == s->fence ? row->owner : 0);
		my_attempt_add(se->s, &se->q, &a, first);
		first = se->q.sql.len > se->s->packet;
		if (!first)
			continue;
		my_attempts_end(&se->q);
		rc = my_run(se->s, &se->q, err);
		if (rc)
			return rc;
		my_batch_clear(&se->q);
		se->written = true;
	}
	if (!first)
		my_attempts_end(&se->q);
	return OK;
}

/* --- settling --------------------------------------------------------------------------------------------- */

static int settle_rows(struct settler *se, struct error *err)
{
	struct settled_row *row;
	struct settlement *s;
	size_t i, lock;
	int rc;

	for (i = 0; i < se->n; i++) {
		s = &se->settlements[i];
		row = find_row(se->rows, se->rows_n, s->id);
		if (row && settlement_applies(row->state, row->fence, s))
			apply(se, s, row);
	}
	write_changes(se);
	rc = write_attempts(se, err);
	if (rc)
		return rc;
	if (!se->q.n && !se->written) {
		my_abandon(se->s);
		return OK;
	}
	lock = my_runs_lock(&se->runs, &se->q);
	rc = my_run(se->s, &se->q, err);
	if (!rc)
		rc = my_runs_judge(se->s, &se->runs, &se->q, lock, &se->result, err);
	if (rc)
		return rc;
	my_batch_clear(&se->q);
	my_runs_write(&se->runs, &se->q);
	if (se->result.applied)
		my_totals_add(se->s, &se->q, &se->totals);
	return my_commit(se->s, &se->q, NULL, err);
}

static void settler_release(struct settler *se)
{
	free(se->rows);
	free(se->changes);
	my_runs_release(&se->runs);
	my_batch_release(&se->q);
}

static int settle_some(struct my_session *s, void *arg, struct error *err)
{
	struct settler *before = arg, *se = arg;
	struct settlement *settlements = before->settlements;
	size_t i, n = before->n;
	int64_t *ids cleanup(free_ptr) = xcalloc(n, sizeof(*ids));
	int rc;

	settler_release(se);
	*se = (struct settler){.s = s, .settlements = settlements, .n = n, .q = MY_BATCH_INIT};
	for (i = 0; i < n; i++) {
		settlements[i].applied = false;
		settlements[i].sent_at = 0;
		ids[i] = settlements[i].id;
	}
	se->changes = xcalloc(n, sizeof(*se->changes));
	rc = begin(s, ids, n, &se->rows, &se->rows_n, &se->now, err);
	return rc ? rc : settle_rows(se, err);
}

int my_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret,
              struct error *err)
{
	struct settler se = {.settlements = s, .n = n, .q = MY_BATCH_INIT};
	int rc = n ? my_transact(session, settle_some, &se, err) : OK;

	if (!rc)
		*ret = se.result;
	settler_release(&se);
	return rc;
}

/* --- renewing --------------------------------------------------------------------------------------------- */

struct renewer {
	const struct lease_ref *refs;
	size_t n;
	usec_t lease;
	size_t renewed;
};

static void write_leases(struct my_batch *q, const int64_t *ids, size_t n, usec_t until)
{
	struct buf *sql = my_begin(q);
	size_t i;

	buf_addf(sql, "UPDATE herald_messages FORCE INDEX(PRIMARY) SET state_at=%lld WHERE id IN (",
	         (long long)until);
	for (i = 0; i < n; i++) {
		if (i)
			buf_addch(sql, ',');
		buf_addi64(sql, ids[i]);
	}
	buf_addch(sql, ')');
}

static int renew(struct my_session *s, void *arg, struct error *err)
{
	struct renewer *re = arg;
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	int64_t *ids cleanup(free_ptr) = xcalloc(re->n, sizeof(*ids));
	struct settled_row *rows cleanup(free_ptr) = NULL;
	const struct settled_row *row;
	size_t i, rows_n = 0, alive = 0;
	usec_t now;
	int rc;

	re->renewed = 0;
	for (i = 0; i < re->n; i++)
		ids[i] = re->refs[i].id;
	rc = begin(s, ids, re->n, &rows, &rows_n, &now, err);
	if (rc)
		return rc;
	for (i = 0; i < re->n; i++) {
		row = find_row(rows, rows_n, re->refs[i].id);
		if (row && row->state == MESSAGE_SENDING && row->fence == re->refs[i].fence)
			ids[alive++] = row->id;
	}
	if (!alive) {
		my_abandon(s);
		return OK;
	}
	for (i = 0; i < alive; i += MY_LIST_MAX)
		write_leases(&q, ids + i, MIN_OF(alive - i, MY_LIST_MAX), now + re->lease);
	rc = my_commit(s, &q, NULL, err);
	if (!rc)
		re->renewed = alive;
	return rc;
}

int my_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
             size_t *ret_renewed, struct error *err)
{
	struct renewer re = {.refs = refs, .n = n, .lease = lease};
	int rc = n ? my_transact(session, renew, &re, err) : OK;

	if (!rc)
		*ret_renewed = re.renewed;
	return rc;
}
