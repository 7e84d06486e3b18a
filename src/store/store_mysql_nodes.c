/* The nodes on this database. */
#include "store_mysql.h"

/* Reads the clock, and with it the outdated. These are looked for without locks and deleted by their keys: a
 * DELETE that searches would lock rows that other nodes are about to update. */
static int find_outdated(struct my_session *s, const struct node_report *r, struct my_batch *ret,
                         struct error *err)
{
	struct buf *sql;

	my_add(ret, "SELECT " MY_NOW);
	sql = my_begin(ret);
	buf_addstr(sql, "SELECT node,boot FROM herald_nodes WHERE (node<>");
	my_quote_text(s, sql, r->node);
	buf_addstr(sql, " OR boot<>");
	my_quote_text(s, sql, r->boot);
	buf_addf(sql, ") AND (last_seen<" MY_NOW "-%lld OR (node=", (long long)NODE_FORGET_AFTER);
	my_quote_text(s, sql, r->node);
	buf_addf(sql, " AND (has_left OR last_seen<" MY_NOW "-%lld))) LIMIT %d",
	         (long long)NODE_REPLACE_AFTER, NODES_LISTED);
	buf_addf(my_begin(ret), "SELECT session FROM herald_commits WHERE at<" MY_NOW "-%lld LIMIT %d",
	         (long long)COMMITS_FORGET_AFTER, NODES_LISTED);
	return my_run(s, ret, err);
}

static void forget(struct my_session *s, const struct my_row *r, struct my_batch *b)
{
	struct buf *sql = my_begin(b);

	buf_addstr(sql, "DELETE FROM herald_nodes WHERE node=");
	my_quote(s, sql, r->values[0], r->lengths[0]);
	buf_addstr(sql, " AND boot=");
	my_quote(s, sql, r->values[1], r->lengths[1]);
}

static void report(struct my_session *s, const struct node_report *r, usec_t now, struct my_batch *b)
{
	const char *const texts[] = {r->node, r->boot, r->version, r->role};
	struct buf *sql = my_begin(b);

	buf_addstr(sql, "INSERT INTO herald_nodes(node,boot,version,role,started_at,last_seen,in_flight,"
	                "has_left) VALUES(");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		my_quote_text(s, sql, texts[i]);
		buf_addch(sql, ',');
	}
	buf_addf(sql,
	         "%lld,%lld,%u,%d) ON DUPLICATE KEY UPDATE last_seen=VALUES(last_seen),"
	         "in_flight=VALUES(in_flight),has_left=VALUES(has_left)",
	         (long long)now, (long long)now, r->in_flight, r->leaving);
}

/* Each statement by itself: all bear repetition. */
static int node_seen(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch found cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct node_report *r = arg;
	struct my_row row;
	usec_t now;
	int rc = find_outdated(s, r, &found, err);

	if (rc)
		return rc;
	now = my_row(&found, 0, &row) ? my_int(&row, 0) : 0;
	while (my_row(&found, 1, &row))
		forget(s, &row, &b);
	while (my_row(&found, 2, &row))
		buf_addf(my_begin(&b), "DELETE FROM herald_commits WHERE session=%lld AND at<%lld",
		         (long long)my_int(&row, 0), (long long)(now - COMMITS_FORGET_AFTER));
	report(s, r, now, &b);
	return my_run(s, &b, err);
}

int my_node_seen(void *session, const struct node_report *r, struct error *err)
{
	struct node_report own = *r;

	return my_transact(session, node_seen, &own, err);
}

static int list_nodes(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct node_page *page = arg;
	struct my_rows rows;
	struct my_row now;
	int rc;

	my_add(&b, "SELECT " MY_NOW);
	buf_addf(my_begin(&b),
	         "SELECT " SQL_NODE_COLUMNS " FROM herald_nodes ORDER BY last_seen DESC LIMIT %d", NODES_LISTED);
	rc = my_run(s, &b, err);
	if (rc)
		return rc;
	rows = my_rows(&b, 1);
	rc = sql_node_page(&rows.sql, page, err);
	page->now = my_row(&b, 0, &now) ? my_int(&now, 0) : 0;
	return rc;
}

int my_nodes(void *session, struct node_page *ret, struct error *err)
{
	return my_transact(session, list_nodes, ret, err);
}
