/* Looking at messages, runs and jobs. */
#include "store_mysql.h"

/* Several statements see one moment. The session's usual level has each of them see its own. */
static void begin_snapshot(struct my_batch *q)
{
	my_add(q, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
	my_add(q, "START TRANSACTION WITH CONSISTENT SNAPSHOT");
}

struct getter {
	int64_t id;
	struct arena *arena;
	struct message *ret;
};

static int get(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct getter *g = arg;
	size_t query = my_message_query(&q, g->id);
	int rc = my_run(s, &q, err);

	return rc ? rc : my_message_read(&q, query, g->id, g->arena, g->ret, err);
}

int my_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct getter g = {.id = id, .arena = arena, .ret = ret};

	return my_transact(session, get, &g, err);
}

/* --- counts ----------------------------------------------------------------------------------------------- */

static const char counts_query[] =
	"SELECT COALESCE(SUM(n_pending+n_retrying),0),COALESCE(SUM(n_sending),0),COALESCE(SUM(n_sent),0),"
	"COALESCE(SUM(n_failed),0),COALESCE(SUM(n_cancelled),0),COALESCE(SUM(n_unknown),0),"
	"COALESCE(SUM(n_invalid),0)"
	" FROM herald_totals";

static struct store_counts read_counts(const struct my_batch *q, size_t reply)
{
	struct store_counts counts = {.by_status[0] = 0};
	struct my_row r;
	unsigned i;

	if (my_row(q, reply, &r)) {
		for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
			counts.by_status[i] = my_int(&r, i);
	}
	return counts;
}

static int count_all(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	size_t query = my_add(&q, counts_query);
	int rc = my_run(s, &q, err);

	if (!rc)
		*(struct store_counts *)arg = read_counts(&q, query);
	return rc;
}

int my_counts(void *session, struct store_counts *ret, struct error *err)
{
	return my_transact(session, count_all, ret, err);
}

/* --- lists ------------------------------------------------------------------------------------------------ */

struct lister {
	const struct list_query *q;
	struct message_page *page;
};

static void add_filters(struct my_session *s, struct buf *sql, const struct list_query *q)
{
	if (q->since)
		buf_addf(sql, " AND created_at>=%lld", (long long)q->since);
	if (q->until)
		buf_addf(sql, " AND created_at<%lld", (long long)q->until);
	if (q->phone) {
		buf_addlit(sql, " AND phone=");
		my_quote_text(s, sql, q->phone);
	}
}

/* Rows of one state (or all: -1) as (id, pos), in the order of an index. most: 0 for all of them, without
 * a position. */
static void add_rows(struct my_session *s, struct buf *sql, const struct list_query *q, int state,
                     uint64_t most)
{
	const char *at = state < 0 ? "created_at" : "state_at";
	const char *index = state < 0 ? "herald_messages_created" : "herald_messages_state";

	if (q->phone)
		index = "herald_messages_phone";
	buf_addf(sql, "SELECT id,%s AS pos FROM herald_messages FORCE INDEX(%s) WHERE ", at, index);
	if (state < 0)
		buf_addlit(sql, "created_at>=0");
	else
		buf_addf(sql, "state=%d", state);
	if (most && (q->after.at || q->after.id))
		buf_addf(sql, " AND %s<=%lld AND (%s<%lld OR id<%lld)", at, (long long)q->after.at, at,
		         (long long)q->after.at, (long long)q->after.id);
	add_filters(s, sql, q);
	if (most)
		buf_addf(sql, " ORDER BY %s DESC,id DESC LIMIT %llu", at, (unsigned long long)most);
}

static void add_source(struct my_session *s, struct buf *sql, const struct list_query *q,
                       uint64_t most)
{
	if (q->status != MESSAGE_PENDING) {
		add_rows(s, sql, q, q->status < 0 ? -1 : row_state((enum message_status)q->status), most);
		return;
	}
	buf_addch(sql, '(');
	add_rows(s, sql, q, MESSAGE_PENDING, most);
	buf_addlit(sql, ") UNION ALL (");
	add_rows(s, sql, q, ROW_RETRYING, most);
	buf_addch(sql, ')');
}

/* The inner query finds the page by index; only the rows of the page itself are then read. */
static size_t page_query(struct my_session *s, struct my_batch *b, const struct list_query *q)
{
	const uint64_t limit = (uint64_t)q->limit + 1;
	struct buf *sql = my_begin(b);

	buf_addlit(sql, "SELECT STRAIGHT_JOIN " SQL_MESSAGE_COLUMNS ",k.pos FROM (SELECT id,pos FROM (");
	add_source(s, sql, q, limit + MIN_OF(q->offset, (uint64_t)INT64_MAX));
	buf_addf(sql,
	         ") u ORDER BY pos DESC,id DESC LIMIT %llu OFFSET %llu) k"
	         " JOIN herald_messages m ON m.id=k.id" SQL_MESSAGE_JOINS
	         " ORDER BY k.pos DESC,k.id DESC",
	         (unsigned long long)limit, (unsigned long long)q->offset);
	return b->n - 1;
}

static bool filtered(const struct list_query *q)
{
	return q->phone || q->since || q->until;
}

static size_t total_query(struct my_session *s, struct my_batch *b, const struct list_query *q)
{
	struct buf *sql;

	if (!filtered(q))
		return my_add(b, counts_query);
	sql = my_begin(b);
	buf_addlit(sql, "SELECT COUNT(*) FROM (");
	add_source(s, sql, q, 0);
	if (q->count_most)
		buf_addf(sql, " LIMIT %llu", (unsigned long long)q->count_most + 1);
	buf_addlit(sql, ") u");
	return b->n - 1;
}

static int64_t read_total(const struct my_batch *b, size_t reply, const struct list_query *q)
{
	struct store_counts counts;
	struct my_row r;
	int64_t all = 0;
	int i;

	if (filtered(q))
		return my_row(b, reply, &r) ? my_int(&r, 0) : 0;
	counts = read_counts(b, reply);
	if (q->status >= 0)
		return counts.by_status[q->status];
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		all += counts.by_status[i];
	return all;
}

static int list(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct lister *l = arg;
	struct my_rows rows;
	size_t page, total = 0;
	int rc;

	begin_snapshot(&b);
	page = page_query(s, &b, l->q);
	if (l->q->want_total)
		total = total_query(s, &b, l->q);
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	rows = my_rows(&b, page);
	rc = sql_message_page(&rows.sql, l->q->limit, l->page, err);
	if (l->q->want_total) {
		l->page->total = read_total(&b, total, l->q);
		if (filtered(l->q))
			list_bound_total(l->q, l->page);
	}
	return rc;
}

int my_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct lister l = {.q = q, .page = ret};

	return my_transact(session, list, &l, err);
}

/* --- the queue -------------------------------------------------------------------------------------------- */

struct ahead {
	const struct ahead_query *q;
	uint32_t *ret;
};

/* Two parts, so that each is one stretch of the index. */
static int count_ahead(struct my_session *s, void *arg, struct error *err)
{
	static const char rows[] = "SELECT 1 FROM herald_messages FORCE INDEX(herald_messages_state)"
				   " WHERE state=0 AND";
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct ahead *a = arg;
	const struct ahead_query *q = a->q;
	const bool lifo = q->order == ORDER_LIFO;
	struct buf *sql = my_begin(&b);
	struct my_row r;
	int rc;

	buf_addf(sql, "SELECT COUNT(*) FROM ((%s state_at%c%lld", rows, lifo ? '>' : '<', (long long)q->due_at);
	if (lifo)
		buf_addf(sql, " AND state_at<=%lld", (long long)q->now);
	buf_addf(sql, " LIMIT %u) UNION ALL (%s state_at=%lld AND id%c%lld LIMIT %u)) k", q->limit, rows,
	         (long long)q->due_at, lifo ? '>' : '<', (long long)q->id, q->limit);
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	*a->ret = my_row(&b, 0, &r) ? (uint32_t)MIN_OF(my_int(&r, 0), (int64_t)q->limit) : 0;
	return OK;
}

int my_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	struct ahead a = {.q = q, .ret = ret};

	return my_transact(session, count_ahead, &a, err);
}

/* --- attempts --------------------------------------------------------------------------------------------- */

struct attempts_reader {
	int64_t id;
	struct attempt_page *page;
};

static int read_attempts(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct attempts_reader *reader = arg;
	struct my_rows rows;
	struct my_row r;
	size_t there;
	int rc;

	begin_snapshot(&q);
	there = q.n;
	buf_addf(my_begin(&q), "SELECT 1 FROM herald_messages WHERE id=%lld", (long long)reader->id);
	buf_addf(my_begin(&q),
	         "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS " WHERE a.message=%lld"
	         " ORDER BY a.seq LIMIT " SQL_ATTEMPTS_SHOWN,
	         (long long)reader->id);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	if (!my_row(&q, there, &r))
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)reader->id);
	rows = my_rows(&q, there + 1);
	return sql_attempt_page(&rows.sql, reader->page, err);
}

int my_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct attempts_reader reader = {.id = id, .page = ret};

	return my_transact(session, read_attempts, &reader, err);
}

/* --- runs and jobs ---------------------------------------------------------------------------------------- */

static int read_range(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct sql_range *r = arg;
	struct my_rows rows;
	struct my_row total;
	size_t count;
	int rc;

	begin_snapshot(&q);
	count = my_add(&q, r->count);
	buf_addf(my_begin(&q), "%s WHERE id<%lld ORDER BY id DESC LIMIT %llu OFFSET %llu", r->select,
	         (long long)(r->from ? r->from : INT64_MAX), (unsigned long long)r->limit + 1,
	         (unsigned long long)r->offset);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rows = my_rows(&q, count + 1);
	rc = r->read(&rows.sql, r->limit, r->page, err);
	*r->ret_total = my_row(&q, count, &total) ? my_int(&total, 0) : 0;
	return rc;
}

int my_runs_list(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
                 struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs",
		.count = "SELECT COUNT(*) FROM herald_runs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_run_page, .page = ret, .ret_total = &ret->total,
	};

	return my_transact(session, read_range, &r, err);
}

int my_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err)
{
	struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS "," SQL_JOB_TAKEN " FROM herald_jobs j",
		.count = "SELECT COUNT(*) FROM herald_jobs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_job_page, .page = ret, .ret_total = &ret->total,
	};

	return my_transact(session, read_range, &r, err);
}
