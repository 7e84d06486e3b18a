/*
 * A foreign table of PostgreSQL: a cursor in a read-only transaction of REPEATABLE READ, so that all pages are of
 * one moment, and the server, not we, holds what is not yet read.
 */
#include <stdlib.h>

#include "alloc.h"
#include "foreign_driver.h"
#include "store_postgres.h"

static void clear(PGresult **res)
{
	PQclear(*res);
}

static int ask(PGconn *handle, const char *sql, PGresult **ret, struct error *err)
{
	PGresult *res = PQexec(handle, sql);
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
		*ret = res;
		return OK;
	}
	/* What the operator can mend (a table that is not there) or not is for him to read. */
	error_set(err, PQstatus(handle) == CONNECTION_OK ? ERR_CONFIG : ERR_TRANSIENT, "the database: %s",
	          PQerrorMessage(handle));
	PQclear(res);
	return err->code;
}

static void add_select(struct buf *sql, const struct foreign_table *t)
{
	const char *first = t->columns[t->order[0]].name;
	size_t i;

	buf_addlit(sql, "DECLARE herald_adopt NO SCROLL CURSOR FOR SELECT ");
	for (i = 0; i < t->columns_n; i++) {
		const char *name = t->columns[i].name;

		if (t->columns[i].kind == FOREIGN_TIME)
			buf_addf(sql, "%sCASE WHEN isfinite(\"%s\") THEN (extract(epoch FROM \"%s\")*1000000)::bigint END",
			         i ? "," : "", name, name);
		else
			buf_addf(sql, "%s\"%s\"::text", i ? "," : "", name);
	}
	buf_addf(sql, " FROM \"%s\" ORDER BY CASE WHEN isfinite(\"%s\") AND \"%s\">='epoch' THEN \"%s\" END,\"%s\"",
	         t->name, first, first, first, t->columns[t->order[1]].name);
}

static int begin(PGconn *handle, const struct foreign_table *table, uint64_t *ret_total, struct error *err)
{
	struct buf sql cleanup(buf_release) = BUF_INIT;
	PGresult *res cleanup(clear) = NULL;
	int rc;

	rc = ask(handle, "SET client_encoding='UTF8'; BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
	         &res, err);
	if (rc)
		return rc;
	buf_addf(&sql, "SELECT count(*) FROM \"%s\"", table->name);
	PQclear(res);
	res = NULL;
	rc = ask(handle, sql.data, &res, err);
	if (rc)
		return rc;
	*ret_total = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
	buf_clear(&sql);
	add_select(&sql, table);
	PQclear(res);
	res = NULL;
	return ask(handle, sql.data, &res, err);
}

static int open_table(void **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
                      struct error *err)
{
	PGconn *handle;
	int rc = pg_connect(url, &handle, err);

	if (rc)
		return rc;
	rc = begin(handle, table, ret_total, err);
	if (rc) {
		PQfinish(handle);
		return rc;
	}
	*ret = handle;
	return OK;
}

static int next_rows(void *reader, const struct foreign_table *table, struct foreign_page *page, struct error *err)
{
	PGresult *res cleanup(clear) = NULL;
	char sql[64];
	int rc, row;
	size_t i;

	snprintf(sql, sizeof(sql), "FETCH %d FROM herald_adopt", FOREIGN_ROWS_MAX);
	rc = ask(reader, sql, &res, err);
	if (rc)
		return rc;
	for (row = 0; row < PQntuples(res); row++) {
		for (i = 0; i < table->columns_n; i++) {
			struct foreign_cell *cell = &page->rows[row][i];

			*cell = (struct foreign_cell){0};
			if (PQgetisnull(res, row, (int)i))
				continue;
			if (table->columns[i].kind == FOREIGN_TIME)
				cell->time = strtoll(PQgetvalue(res, row, (int)i), NULL, 10);
			else
				cell->text = arena_strdup(&page->arena, PQgetvalue(res, row, (int)i));
		}
	}
	page->n = (size_t)PQntuples(res);
	return OK;
}

static void close_table(void *reader)
{
	PQfinish(reader);
}

const struct foreign_driver foreign_postgres = {open_table, next_rows, close_table};
