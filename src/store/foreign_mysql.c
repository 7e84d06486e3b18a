/*
 * A foreign table of MySQL or MariaDB: one SELECT in a read-only transaction, whose rows are read as they come
 * (mysql_use_result), so that nobody has to hold all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "foreign_driver.h"
#include "store_mysql.h"

struct reader {
	struct my_db db;
	struct my_session session;
	MYSQL_RES *rows;
};

static int fail(struct reader *r, struct error *err)
{
	unsigned nr = mysql_errno(r->session.handle);

	/* From 2000 on they are the library's own: a connection that is gone. */
	return error_set(err, nr >= 2000 && nr < 3000 ? ERR_TRANSIENT : ERR_CONFIG, "the database: %s (%u)",
	                 mysql_error(r->session.handle), nr);
}

static int ask(struct reader *r, const char *sql, struct error *err)
{
	if (mysql_real_query(r->session.handle, sql, strlen(sql)))
		return fail(r, err);
	r->rows = mysql_use_result(r->session.handle);
	return r->rows || !mysql_field_count(r->session.handle) ? OK : fail(r, err);
}

static void add_select(struct buf *sql, const struct foreign_table *t)
{
	const char *first = t->columns[t->order[0]].name;
	size_t i;

	buf_addlit(sql, "SELECT ");
	for (i = 0; i < t->columns_n; i++)
		buf_addf(sql, t->columns[i].kind == FOREIGN_TIME ? "%sCAST(UNIX_TIMESTAMP(`%s`)*1000000 AS SIGNED)"
		                                                : "%s`%s`",
		         i ? "," : "", t->columns[i].name);
	buf_addf(sql, " FROM `%s` ORDER BY IFNULL(UNIX_TIMESTAMP(`%s`),0)<=0,`%s`,`%s`", t->name, first, first,
	         t->columns[t->order[1]].name);
}

static int begin(struct reader *r, const struct foreign_table *table, uint64_t *ret_total, struct error *err)
{
	struct buf sql cleanup(buf_release) = BUF_INIT;
	MYSQL_ROW row;
	int rc;

	rc = ask(r, "ROLLBACK", err);
	if (!rc)
		rc = ask(r, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", err);
	if (!rc)
		rc = ask(r, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", err);
	buf_addf(&sql, "SELECT count(*) FROM `%s`", table->name);
	if (!rc)
		rc = ask(r, sql.data, err);
	if (rc)
		return rc;
	row = mysql_fetch_row(r->rows);
	if (row && row[0])
		*ret_total = strtoull(row[0], NULL, 10);
	while (row)
		row = mysql_fetch_row(r->rows);
	mysql_free_result(r->rows);
	r->rows = NULL;
	buf_clear(&sql);
	add_select(&sql, table);
	return ask(r, sql.data, err);
}

static void close_table(void *reader)
{
	struct reader *r = reader;

	if (r->session.handle && r->rows)
		mysql_free_result(r->rows);
	my_disconnect(&r->session);
	my_url_release(&r->db.url);
	free(r);
}

static int open_table(void **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
                      struct error *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	int rc = my_url_parse(&r->db.url, strchr(url, ':') + 1, err);

	*ret_total = 0;
	r->session.db = &r->db;
	if (!rc)
		rc = my_connect(&r->session, err);
	if (!rc)
		rc = begin(r, table, ret_total, err);
	if (rc) {
		close_table(r);
		return rc;
	}
	*ret = r;
	return OK;
}

static int next_rows(void *reader, const struct foreign_table *table, struct foreign_page *page, struct error *err)
{
	struct reader *r = reader;
	unsigned long *lengths;
	MYSQL_ROW row;
	size_t i;

	while (page->n < FOREIGN_ROWS_MAX) {
		row = mysql_fetch_row(r->rows);
		if (!row)
			return mysql_errno(r->session.handle) ? fail(r, err) : OK;
		lengths = mysql_fetch_lengths(r->rows);
		for (i = 0; i < table->columns_n; i++) {
			struct foreign_cell *cell = &page->rows[page->n][i];

			*cell = (struct foreign_cell){0};
			if (!row[i])
				continue;
			if (table->columns[i].kind == FOREIGN_TIME)
				cell->time = strtoll(row[i], NULL, 10);
			else
				cell->text = foreign_text(&page->arena, row[i], lengths[i]);
		}
		page->n++;
	}
	return OK;
}

const struct foreign_driver foreign_mysql = {open_table, next_rows, close_table};
