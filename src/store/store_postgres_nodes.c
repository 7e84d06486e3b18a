/* The nodes on this database. */
#include "store_postgres.h"

/* Of its own row's former times nothing is deleted, so that the two parts do not meet in one row. */
#define SEEN                                                                                       \
	"WITH t AS MATERIALIZED (SELECT " PG_NOW " AS now),"                                       \
	" d AS (DELETE FROM herald_nodes n USING t WHERE (n.node,n.boot)<>($1::text,$2::text) AND" \
	" (n.last_seen<t.now-$3::bigint OR (n.node=$1::text AND"                                   \
	"  (n.has_left OR n.last_seen<t.now-$4::bigint)))),"                                       \
	" c AS (DELETE FROM herald_commits c USING t WHERE c.at<t.now-$9::bigint)"                 \
	" INSERT INTO herald_nodes(node,boot,version,role,started_at,last_seen,in_flight,has_left)" \
	" SELECT $1::text,$2::text,$5::text,$6::text,t.now,t.now,$7::bigint,$8::bigint<>0 FROM t"  \
	" ON CONFLICT(node,boot) DO UPDATE SET last_seen=EXCLUDED.last_seen,"                      \
	"in_flight=EXCLUDED.in_flight,has_left=EXCLUDED.has_left"

/* One statement, and no harm when it is done twice. */
static int seen_body(struct pg_session *s, void *arg, struct error *err)
{
	const struct node_report *r = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	PGresult *res;
	int rc;

	pg_add_text(&args, r->node);
	pg_add_text(&args, r->boot);
	pg_add_i64(&args, NODE_FORGET_AFTER);
	pg_add_i64(&args, NODE_REPLACE_AFTER);
	pg_add_text(&args, r->version);
	pg_add_text(&args, r->role);
	pg_add_i64(&args, r->in_flight);
	pg_add_i64(&args, r->leaving);
	pg_add_i64(&args, COMMITS_FORGET_AFTER);
	rc = pg_run1(s, SEEN, &args, &res, err);
	if (!rc)
		PQclear(res);
	return rc;
}

int pg_node_seen(void *session, const struct node_report *r, struct error *err)
{
	struct node_report own = *r;

	return pg_transact(session, seen_body, &own, err);
}

static int nodes_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " SQL_NODE_COLUMNS " FROM herald_nodes ORDER BY last_seen DESC LIMIT $1::bigint",
	         .args = &args},
		{.sql = "SELECT " PG_NOW},
		{.sql = PG_END_READ},
	};
	struct node_page *page = arg;
	struct pg_rows rows;
	int rc;

	pg_add_i64(&args, NODES_LISTED);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	rows = pg_rows(calls[1].res);
	rc = sql_node_page(&rows.sql, page, err);
	page->now = pg_i64(calls[2].res, 0, 0);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_nodes(void *session, struct node_page *ret, struct error *err)
{
	return pg_transact(session, nodes_body, ret, err);
}
