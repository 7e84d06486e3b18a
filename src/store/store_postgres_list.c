/* Lists of messages: the page and the total from one snapshot, in one round trip. */
#include "store_postgres.h"

struct lister {
	const struct list_query *q;
	struct message_page *page;
};

/* Adds a condition whose parameter is the one that is added to the arguments next. */
static void condition(struct buf *sql, const struct pg_args *args, const char *before,
                      const char *after)
{
	buf_addf(sql, " AND %s$%zu%s", before, args->n + 1, after);
}

/* A bound on the time of creation is one on ids: they rise together (herald_allot). The sub-select is
 * evaluated once. */
static void add_filters(struct buf *sql, struct pg_args *args, const struct list_query *q)
{
	if (q->since) {
		condition(sql, args, "id>=(SELECT herald_first_since(", "::bigint))");
		pg_add_i64(args, q->since);
	}
	if (q->until) {
		condition(sql, args, "id<(SELECT herald_first_since(", "::bigint))");
		pg_add_i64(args, q->until);
	}
}

/* The array is made once, and each of its ids looked up: the planner thinks such arrays short. Of all states, the
 * newest ids are the newest rows, so the rest need not be looked at. */
static void add_phone(struct buf *sql, struct pg_args *args, const struct list_query *q, int state, uint64_t most)
{
	if (!q->phone)
		return;
	buf_addlit(sql, " AND id=ANY(ARRAY(SELECT id FROM herald_phones WHERE true");
	condition(sql, args, "phone=", "::text");
	pg_add_text(args, q->phone);
	if (state < 0) {
		if (most && q->after.id) {
			condition(sql, args, "id<", "::bigint");
			pg_add_i64(args, q->after.id);
		}
		add_filters(sql, args, q);
		if (!most && q->count_most)
			most = (uint64_t)q->count_most + 1;
		if (most) {
			buf_addf(sql, " ORDER BY id DESC LIMIT $%zu::bigint", args->n + 1);
			pg_add_i64(args, (int64_t)most);
		}
	}
	buf_addlit(sql, "))");
}

/* The rows of one state (-1: of all) as (id, at), newest first; with most > 0 so many behind the query's
 * position. */
static void add_rows(struct buf *sql, struct pg_args *args, const struct list_query *q, int state,
                     uint64_t most)
{
	bool after = most && (q->after.at || q->after.id);

	buf_addf(sql, "(SELECT id,%s AS at FROM herald_messages WHERE ",
	         state < 0 ? "created_at" : "state_at");
	if (state < 0)
		buf_addlit(sql, "true");
	else
		buf_addf(sql, "state=%d", state);
	if (after && state < 0) {
		condition(sql, args, "id<", "::bigint");
		pg_add_i64(args, q->after.id);
	} else if (after) {
		buf_addf(sql, " AND (state_at,id)<($%zu::bigint,$%zu::bigint)", args->n + 1, args->n + 2);
		pg_add_i64(args, q->after.at);
		pg_add_i64(args, q->after.id);
	}
	add_filters(sql, args, q);
	add_phone(sql, args, q, state, most);
	if (most) {
		buf_addf(sql, " ORDER BY %s LIMIT $%zu::bigint",
		         state < 0 ? "id DESC" : "state DESC,state_at DESC,id DESC", args->n + 1);
		pg_add_i64(args, (int64_t)most);
	}
	buf_addlit(sql, ")");
}

static void add_source(struct buf *sql, struct pg_args *args, const struct list_query *q, uint64_t most)
{
	add_rows(sql, args, q, q->status < 0 ? -1 : row_state((enum message_status)q->status), most);
	if (q->status == MESSAGE_PENDING) {
		buf_addlit(sql, " UNION ALL ");
		add_rows(sql, args, q, ROW_RETRYING, most);
	}
}

/* Without filters the counters know. */
static void build_count(struct buf *sql, struct pg_args *args, const struct list_query *q)
{
	static const char *const columns[] = {
		[MESSAGE_PENDING] = "pending+retrying", [MESSAGE_SENDING] = "sending",
		[MESSAGE_SENT] = "sent",                [MESSAGE_FAILED] = "failed",
		[MESSAGE_CANCELLED] = "cancelled",      [MESSAGE_UNKNOWN] = "unknown",
		[MESSAGE_INVALID] = "invalid"};

	if (q->phone || q->since || q->until) {
		buf_addlit(sql, "SELECT count(*) FROM (");
		add_source(sql, args, q, 0);
		if (q->count_most)
			buf_addf(sql, " LIMIT %lld", (long long)q->count_most + 1);
		buf_addlit(sql, ") k");
		return;
	}
	buf_addf(sql, "SELECT sum(%s)::bigint FROM herald_counts",
	         q->status < 0 ? "pending+retrying+sending+sent+failed+cancelled+unknown+invalid"
	                       : columns[q->status]);
}

/* The inner query finds the page by index alone; only the rows of the page itself are then read. */
static void build_page(struct buf *sql, struct pg_args *args, const struct list_query *q)
{
	uint64_t most = q->offset + q->limit + 1;

	buf_addlit(sql, "SELECT " SQL_MESSAGE_COLUMNS ",k.at FROM (SELECT id,at FROM (");
	add_source(sql, args, q, MIN_OF(most, (uint64_t)INT64_MAX));
	buf_addf(sql,
	         ") u ORDER BY at DESC,id DESC LIMIT $%zu::bigint OFFSET $%zu::bigint) k"
	         " JOIN herald_messages m ON m.id=k.id" SQL_MESSAGE_JOINS
	         " ORDER BY k.at DESC,k.id DESC",
	         args->n + 1, args->n + 2);
	pg_add_i64(args, (int64_t)q->limit + 1);
	pg_add_i64(args, (int64_t)q->offset);
}

static int list_body(struct pg_session *s, void *arg, struct error *err)
{
	struct lister *l = arg;
	struct buf page cleanup(buf_release) = BUF_INIT;
	struct buf count cleanup(buf_release) = BUF_INIT;
	struct pg_args page_args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args count_args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[4] = {{.sql = PG_BEGIN_READ}};
	struct pg_rows rows;
	size_t n = 1;
	int rc;

	build_page(&page, &page_args, l->q);
	calls[n++] = (struct pg_call){.sql = page.data, .args = &page_args, .once = true};
	if (l->q->want_total) {
		build_count(&count, &count_args, l->q);
		calls[n++] = (struct pg_call){.sql = count.data, .args = &count_args, .once = true};
	}
	calls[n++] = (struct pg_call){.sql = PG_END_READ};
	rc = pg_run(s, calls, n, err);
	if (rc)
		return rc;
	rows = pg_rows(calls[1].res);
	rc = sql_message_page(&rows.sql, l->q->limit, l->page, err);
	if (l->q->want_total) {
		l->page->total = pg_i64(calls[2].res, 0, 0);
		if (l->q->phone || l->q->since || l->q->until)
			list_bound_total(l->q, l->page);
	}
	pg_calls_clear(calls, n);
	return rc;
}

int pg_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct lister l = {.q = q, .page = ret};

	return pg_transact(session, list_body, &l, err);
}
