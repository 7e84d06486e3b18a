/* Batches of statements: their text, and the answers row by row. */
#include "alloc.h"
#include "store_mysql.h"

struct buf *my_begin(struct my_batch *b)
{
	if (b->n++)
		buf_addch(&b->sql, ';');
	return &b->sql;
}

size_t my_add(struct my_batch *b, const char *sql)
{
	buf_addstr(my_begin(b), sql);
	return b->n - 1;
}

void my_batch_forget(struct my_batch *b)
{
	size_t i;

	for (i = 0; i < b->replied; i++)
		mysql_free_result(b->replies[i].rows);
	free(b->replies);
	b->replies = NULL;
	b->replied = 0;
}

void my_batch_clear(struct my_batch *b)
{
	my_batch_forget(b);
	buf_clear(&b->sql);
	b->n = 0;
	b->starts = false;
	b->commit = 0;
}

void my_batch_release(struct my_batch *b)
{
	my_batch_forget(b);
	buf_release(&b->sql);
}

/* --- answers ---------------------------------------------------------------------------------------------- */

bool my_row(const struct my_batch *b, size_t reply, struct my_row *ret)
{
	MYSQL_RES *rows = b->replies[reply].rows;

	ret->values = mysql_fetch_row(rows);
	ret->lengths = ret->values ? mysql_fetch_lengths(rows) : NULL;
	return ret->values != NULL;
}

const char *my_text(const struct my_row *r, unsigned col, struct arena *arena)
{
	return r->values[col] ? arena_strndup(arena, r->values[col], r->lengths[col]) : NULL;
}

static int rows_next(struct sql_rows *sql, struct error *err)
{
	struct my_rows *rows = container_of(sql, struct my_rows, sql);

	(void)err;
	return my_row(rows->b, rows->reply, &rows->row);
}

static int64_t rows_integer(const struct sql_rows *sql, int col)
{
	return my_int(&container_of(sql, const struct my_rows, sql)->row, (unsigned)col);
}

static double rows_real(const struct sql_rows *sql, int col)
{
	const char *value = container_of(sql, const struct my_rows, sql)->row.values[col];

	return value ? strtod(value, NULL) : 0;
}

static const char *rows_text(const struct sql_rows *sql, int col, struct arena *arena)
{
	return my_text(&container_of(sql, const struct my_rows, sql)->row, (unsigned)col, arena);
}

struct my_rows my_rows(const struct my_batch *b, size_t reply)
{
	return (struct my_rows){
		.sql = {.next = rows_next, .integer = rows_integer, .real = rows_real, .text = rows_text},
		.b = b,
		.reply = reply,
	};
}

/* --- values ----------------------------------------------------------------------------------------------- */

void my_quote(struct my_session *s, struct buf *sql, const char *text, size_t len)
{
	if (!text) {
		buf_addlit(sql, "NULL");
		return;
	}
	buf_reserve(sql, 2 * len + 3);
	sql->data[sql->len++] = '\'';
	sql->len += mysql_real_escape_string(s->handle, sql->data + sql->len, text, len);
	sql->data[sql->len++] = '\'';
	sql->data[sql->len] = '\0';
}

void my_numbers(struct buf *sql, const int64_t *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (i)
			buf_addch(sql, ',');
		buf_addi64(sql, numbers[i]);
	}
}
