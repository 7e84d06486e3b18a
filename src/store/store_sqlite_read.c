/* Looking at messages, runs and jobs, through the session's own connection. */
#include "alloc.h"
#include "buf.h"
#include "store_sqlite.h"

int sq_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	return rc ? rc : sq_message_get(c, id, arena, ret, err);
}

struct totals {
	int64_t last_id;
	struct store_counts counts;
};

static int read_totals(struct sq_conn *c, struct totals *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT last_id,pending+retrying,sending,sent,failed,cancelled,unknown,invalid"
	                " FROM herald_totals",
	                err);
	int i, rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	ret->last_id = sqlite3_column_int64(st, 0);
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		ret->counts.by_status[i] = sqlite3_column_int64(st, i + 1);
	return OK;
}

int sq_counts(void *session, struct store_counts *ret, struct error *err)
{
	struct totals totals;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (!rc)
		rc = read_totals(c, &totals, err);
	if (!rc)
		*ret = totals.counts;
	return rc;
}

/* --- lists ------------------------------------------------------------------------------------------------- */

/* The parameters of the statements below. Binding one that a statement lacks does nothing. */
enum {
	P_STATUS = 1,
	P_AFTER_AT,
	P_AFTER_ID,
	P_FIRST_ID,
	P_END_ID,
	P_PHONE,
	P_LIMIT,
	P_OFFSET,
	P_PHONES_UPTO,
	P_COUNT_MOST,
};

/* So many messages are looked through one by one when a state and a time are asked for. */
#define FEW_IDS 100000

struct lister {
	const struct list_query *q;
	struct totals totals;
	int64_t first_id, end_id; /* since and until as ids */
	int64_t phones_upto;
	bool by_id; /* the phone number or the time leaves few ids: then the state is no help in finding them */
};

/* The smallest id whose message was created at or after t: ids and creation times rise together. */
static int first_id_since(struct sq_conn *c, usec_t t, int64_t last_id, int64_t *ret,
                          struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(
		c, "SELECT id,created_at FROM herald_messages WHERE id>=?1 ORDER BY id LIMIT 1", err);
	int64_t low = 1, high = last_id + 1, middle;
	int rc;

	if (!st)
		return err->code;
	while (low < high) {
		middle = low + (high - low) / 2;
		sqlite3_bind_int64(st, 1, middle);
		rc = sq_row(c, st, err);
		if (rc < 0)
			return rc;
		if (rc && sqlite3_column_int64(st, 1) < t)
			low = sqlite3_column_int64(st, 0) + 1;
		else
			high = middle;
		sqlite3_reset(st);
	}
	*ret = low;
	return OK;
}

/* by_state: the index of states is to be used, and for that ('+') not the ids. */
static void add_filters(struct buf *sql, const struct list_query *q, bool by_state)
{
	if (q->since)
		buf_addstr(sql, by_state ? " AND +id>=?4" : " AND id>=?4");
	if (q->until)
		buf_addstr(sql, by_state ? " AND +id<?5" : " AND id<?5");
	if (!q->phone)
		return;
	/* The segments one after the other, then what is in none yet. */
	buf_addlit(sql, " AND id IN (WITH RECURSIVE s(g) AS (SELECT min(segment) FROM herald_phones UNION ALL"
	                " SELECT (SELECT min(segment) FROM herald_phones WHERE segment>s.g) FROM s"
	                " WHERE s.g IS NOT NULL)"
	                " SELECT p.id FROM s CROSS JOIN herald_phones p WHERE p.segment=s.g AND p.phone=?6"
	                " UNION ALL SELECT id FROM herald_messages WHERE id>=?9 AND phone=?6)");
}

/* Rows of one state (or all: NULL) as (id, at), without order. */
static void add_rows(struct buf *sql, const struct lister *l, const char *state, bool position)
{
	const struct list_query *q = l->q;
	bool after = position && (q->after.at || q->after.id);

	buf_addf(sql, "SELECT id,%s AS at FROM herald_messages WHERE ", state ? "state_at" : "created_at");
	/* '+' keeps SQLite from using the index. */
	if (state)
		buf_addf(sql, "%sstate=%s", l->by_id ? "+" : "", state);
	else
		buf_addlit(sql, "1");
	if (after && state && l->by_id)
		buf_addlit(sql, " AND +state_at<=?2 AND (state_at<?2 OR id<?3)");
	else if (after)
		buf_addstr(sql, state ? " AND state_at<=?2 AND (state_at<?2 OR id<?3)" : " AND id<?3");
	add_filters(sql, q, state && !l->by_id);
}

static void add_source(struct buf *sql, const struct lister *l, bool position)
{
	const struct list_query *q = l->q;

	if (q->status == MESSAGE_PENDING) {
		/* SQLite merges the two, each in the order of the index. */
		add_rows(sql, l, "0", position);
		buf_addlit(sql, " UNION ALL ");
		add_rows(sql, l, "6", position);
	} else {
		add_rows(sql, l, q->status < 0 ? NULL : "?1", position);
	}
}

static void bind_query(sqlite3_stmt *st, const struct lister *l)
{
	const struct list_query *q = l->q;

	sqlite3_bind_int(st, P_STATUS, q->status < 0 ? -1 : row_state((enum message_status)q->status));
	sqlite3_bind_int64(st, P_AFTER_AT, q->after.at);
	sqlite3_bind_int64(st, P_AFTER_ID, q->after.id);
	sqlite3_bind_int64(st, P_FIRST_ID, l->first_id);
	sqlite3_bind_int64(st, P_END_ID, l->end_id);
	sqlite3_bind_text(st, P_PHONE, q->phone, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, P_LIMIT, (int64_t)q->limit + 1);
	sqlite3_bind_int64(st, P_OFFSET, (int64_t)q->offset);
	sqlite3_bind_int64(st, P_PHONES_UPTO, l->phones_upto);
	sqlite3_bind_int64(st, P_COUNT_MOST, q->count_most ? (int64_t)q->count_most + 1 : -1);
}

static int count(struct sq_conn *c, const struct lister *l, struct message_page *page, struct error *err)
{
	struct buf sql cleanup(buf_release) = BUF_INIT;
	const struct list_query *q = l->q;
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	int64_t all = 0;
	int i, rc;

	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		all += l->totals.counts.by_status[i];
	if (!q->phone && !q->since && !q->until) {
		page->total = q->status < 0 ? all : l->totals.counts.by_status[q->status];
		return OK;
	}
	if (!q->phone && q->status < 0 && all == l->totals.last_id) {
		/* No gap among the ids: a difference tells. */
		page->total = l->end_id > l->first_id ? l->end_id - l->first_id : 0;
		return OK;
	}
	buf_addlit(&sql, "SELECT count(*) FROM (");
	add_source(&sql, l, false);
	/* From the end at which most match. */
	if (q->status >= 0 && q->since && !l->by_id)
		buf_addlit(&sql, " ORDER BY at DESC");
	buf_addlit(&sql, " LIMIT ?10)");
	st = sq_stmt(c, sql.data, err);
	if (!st)
		return err->code;
	bind_query(st, l);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	page->total = sqlite3_column_int64(st, 0);
	list_bound_total(q, page);
	return OK;
}

/* The inner query finds the page by index alone; only the rows of the page itself are then read. */
static int read_page(struct sq_conn *c, const struct lister *l, struct message_page *page,
                     struct error *err)
{
	struct buf sql cleanup(buf_release) = BUF_INIT;
	const struct list_query *q = l->q;
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_rows rows;

	buf_addlit(&sql, "SELECT " SQL_MESSAGE_COLUMNS ",k.at FROM (");
	add_source(&sql, l, true);
	buf_addf(&sql,
	         " ORDER BY %s LIMIT ?7 OFFSET ?8) k JOIN herald_messages m ON m.id=k.id" SQL_MESSAGE_JOINS
	         " ORDER BY k.at DESC,k.id DESC",
	         q->status < 0 ? "id DESC" : "at DESC,id DESC");
	st = sq_stmt(c, sql.data, err);
	if (!st)
		return err->code;
	bind_query(st, l);
	rows = sq_rows(c, st);
	return sql_message_page(&rows.sql, q->limit, page, err);
}

static int list(struct sq_conn *c, struct lister *l, struct message_page *page, struct error *err)
{
	const struct list_query *q = l->q;
	int rc = read_totals(c, &l->totals, err);

	l->first_id = 1;
	l->end_id = l->totals.last_id + 1;
	if (!rc && q->since)
		rc = first_id_since(c, q->since, l->totals.last_id, &l->first_id, err);
	if (!rc && q->until)
		rc = first_id_since(c, q->until, l->totals.last_id, &l->end_id, err);
	if (!rc && q->phone)
		rc = sq_phones_upto(c, &l->phones_upto, err);
	l->by_id = q->phone || ((q->since || q->until) && l->end_id - l->first_id <= FEW_IDS);
	if (!rc)
		rc = read_page(c, l, page, err);
	return rc || !q->want_total ? rc : count(c, l, page, err);
}

int sq_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct lister l = {.q = q};
	struct sq_conn *c;
	int rc = sq_read_begin(session, &c, err);

	return rc ? rc : sq_read_end(c, list(c, &l, ret, err), err);
}

/* --- the queue --------------------------------------------------------------------------------------------- */

/* Two parts, so that each is one stretch of the index: many may be due at the same moment. */
static const char ahead_fifo[] =
	"SELECT count(*) FROM (SELECT 1 FROM (SELECT 1 FROM herald_messages"
	" WHERE state=0 AND state_at<?1 LIMIT ?3)"
	" UNION ALL SELECT 1 FROM (SELECT 1 FROM herald_messages"
	" WHERE state=0 AND state_at=?1 AND id<?2 LIMIT ?3))";
static const char ahead_lifo[] =
	"SELECT count(*) FROM (SELECT 1 FROM (SELECT 1 FROM herald_messages"
	" WHERE state=0 AND state_at>?1 AND state_at<=?4 LIMIT ?3)"
	" UNION ALL SELECT 1 FROM (SELECT 1 FROM herald_messages"
	" WHERE state=0 AND state_at=?1 AND id>?2 LIMIT ?3))";

int sq_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	struct sq_conn *c;
	int rc = sq_reader(session, &c, err);

	if (rc)
		return rc;
	st = sq_stmt(c, q->order == ORDER_LIFO ? ahead_lifo : ahead_fifo, err);
	if (!st)
		return err->code;
	sqlite3_bind_int64(st, 1, q->due_at);
	sqlite3_bind_int64(st, 2, q->id);
	sqlite3_bind_int64(st, 3, q->limit);
	sqlite3_bind_int64(st, 4, q->now);
	rc = sq_row(c, st, err);
	if (rc < 0)
		return rc;
	*ret = (uint32_t)MIN_OF(sqlite3_column_int64(st, 0), (int64_t)q->limit);
	return OK;
}

/* --- attempts ---------------------------------------------------------------------------------------------- */

static int read_attempts(struct sq_conn *c, int64_t id, struct attempt_page *page, struct error *err)
{
	sqlite3_stmt *there cleanup(sq_reset) =
		sq_stmt(c, "SELECT 1 FROM herald_messages WHERE id=?1", err);
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c,
	                "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS
	                " WHERE a.message=?1 ORDER BY a.seq LIMIT " SQL_ATTEMPTS_SHOWN,
	                err);
	struct sq_rows rows = sq_rows(c, st);
	int rc;

	if (!there || !st)
		return err->code;
	sqlite3_bind_int64(there, 1, id);
	rc = sq_row(c, there, err);
	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
	sqlite3_bind_int64(st, 1, id);
	return sql_attempt_page(&rows.sql, page, err);
}

int sq_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct sq_conn *c;
	int rc = sq_read_begin(session, &c, err);

	return rc ? rc : sq_read_end(c, read_attempts(c, id, ret, err), err);
}

/* --- runs and jobs ----------------------------------------------------------------------------------------- */

static int read_range(struct sq_conn *c, const struct sql_range *r, struct error *err)
{
	sqlite3_stmt *count cleanup(sq_reset) = sq_stmt(c, r->count, err);
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(c, r->select, err);
	struct sq_rows rows = sq_rows(c, st);
	int rc;

	if (!count || !st)
		return err->code;
	sqlite3_bind_int64(st, 1, r->from ? r->from : INT64_MAX);
	sqlite3_bind_int64(st, 2, (int64_t)r->limit + 1);
	sqlite3_bind_int64(st, 3, (int64_t)r->offset);
	rc = r->read(&rows.sql, r->limit, r->page, err);
	if (!rc)
		rc = sq_row(c, count, err);
	if (rc < 0)
		return rc;
	*r->ret_total = sqlite3_column_int64(count, 0);
	return OK;
}

static int list_range(void *session, const struct sql_range *r, struct error *err)
{
	struct sq_conn *c;
	int rc = sq_read_begin(session, &c, err);

	return rc ? rc : sq_read_end(c, read_range(c, r, err), err);
}

#define NEWEST_FIRST " WHERE id<?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3"

int sq_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
            struct error *err)
{
	const struct sql_range r = {
		.select = "SELECT " SQL_RUN_COLUMNS " FROM herald_runs" NEWEST_FIRST,
		.count = "SELECT count(*) FROM herald_runs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_run_page, .page = ret, .ret_total = &ret->total,
	};

	return list_range(session, &r, err);
}

int sq_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err)
{
	const struct sql_range r = {
		.select = "SELECT " SQL_JOB_COLUMNS "," SQL_JOB_TAKEN " FROM herald_jobs j" NEWEST_FIRST,
		.count = "SELECT count(*) FROM herald_jobs",
		.from = before, .offset = offset, .limit = limit,
		.read = sql_job_page, .page = ret, .ret_total = &ret->total,
	};

	return list_range(session, &r, err);
}
