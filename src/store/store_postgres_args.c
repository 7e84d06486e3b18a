/* Parameters and results in binary form: integers in network order, arrays with a header. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

#define OID_INT8 20
#define OID_TEXT 25

void pg_args_release(struct pg_args *a)
{
	buf_release(&a->data);
	a->n = 0;
}

static void begin(struct pg_args *a, bool null)
{
	if (a->n == PG_ARGS_MAX)
		panic("a statement with more than %d parameters", PG_ARGS_MAX);
	a->arg[a->n].at = a->data.len;
	a->arg[a->n].len = 0;
	a->arg[a->n].null = null;
	a->n++;
}

static void put(struct pg_args *a, const void *data, size_t len)
{
	buf_add(&a->data, data, len);
	a->arg[a->n - 1].len += len;
}

static void put_i32(struct pg_args *a, int32_t v)
{
	uint32_t be = htobe32((uint32_t)v);

	put(a, &be, sizeof(be));
}

static void put_i64(struct pg_args *a, int64_t v)
{
	uint64_t be = htobe64((uint64_t)v);

	put(a, &be, sizeof(be));
}

void pg_add_i64(struct pg_args *a, int64_t v)
{
	begin(a, false);
	put_i64(a, v);
}

void pg_add_f64(struct pg_args *a, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	begin(a, false);
	put_i64(a, bits);
}

void pg_add_text(struct pg_args *a, const char *s)
{
	begin(a, !s);
	if (s)
		put(a, s, strlen(s));
}

static void begin_array(struct pg_args *a, size_t n, int32_t oid)
{
	begin(a, false);
	put_i32(a, 1); /* dimensions */
	put_i32(a, 1); /* there may be nulls */
	put_i32(a, oid);
	put_i32(a, (int32_t)n);
	put_i32(a, 1); /* first index */
}

void pg_add_i64_array(struct pg_args *a, size_t n)
{
	begin_array(a, n, OID_INT8);
}

void pg_add_text_array(struct pg_args *a, size_t n)
{
	begin_array(a, n, OID_TEXT);
}

void pg_item_i64(struct pg_args *a, int64_t v)
{
	put_i32(a, sizeof(v));
	put_i64(a, v);
}

void pg_item_text(struct pg_args *a, const char *s, size_t len)
{
	put_i32(a, s ? (int32_t)len : -1);
	if (s)
		put(a, s, len);
}

void pg_table_row(struct pg_table *t, const int64_t *numbers, const char *const *texts)
{
	size_t i;

	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->numbers = xreallocarray(t->numbers, t->cap * t->numbers_n, sizeof(*t->numbers));
		if (t->texts_n)
			t->texts = xreallocarray(t->texts, t->cap * t->texts_n, sizeof(*t->texts));
	}
	memcpy(t->numbers + t->n * t->numbers_n, numbers, t->numbers_n * sizeof(*numbers));
	for (i = 0; i < t->texts_n; i++)
		t->texts[t->n * t->texts_n + i] = texts[i];
	t->n++;
}

void pg_add_table(struct pg_args *a, const struct pg_table *t)
{
	size_t row, col;

	for (col = 0; col < t->numbers_n; col++) {
		pg_add_i64_array(a, t->n);
		for (row = 0; row < t->n; row++)
			pg_item_i64(a, t->numbers[row * t->numbers_n + col]);
	}
	for (col = 0; col < t->texts_n; col++) {
		pg_add_text_array(a, t->n);
		for (row = 0; row < t->n; row++) {
			const char *text = t->texts[row * t->texts_n + col];

			pg_item_text(a, text, text_stored(text, t->longest ? t->longest[col] : INT32_MAX));
		}
	}
}

void pg_table_release(struct pg_table *t)
{
	free(t->numbers);
	free(t->texts);
}

int64_t pg_i64(const PGresult *res, int row, int col)
{
	const char *p = PQgetvalue(res, row, col);
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	if (PQgetisnull(res, row, col))
		return 0;
	switch (PQgetlength(res, row, col)) {
	case 1:
		return p[0];
	case 2:
		memcpy(&v16, p, sizeof(v16));
		return (int16_t)be16toh(v16);
	case 4:
		memcpy(&v32, p, sizeof(v32));
		return (int32_t)be32toh(v32);
	case 8:
		memcpy(&v64, p, sizeof(v64));
		return (int64_t)be64toh(v64);
	default:
		panic("column %s is not an integer", PQfname(res, col));
	}
}

double pg_f64(const PGresult *res, int row, int col)
{
	int64_t bits = pg_i64(res, row, col);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

const char *pg_text(const PGresult *res, int row, int col, struct arena *arena)
{
	if (PQgetisnull(res, row, col))
		return NULL;
	return arena_strndup(arena, PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col));
}

static int rows_next(struct sql_rows *sql, struct error *err)
{
	struct pg_rows *rows = container_of(sql, struct pg_rows, sql);

	(void)err;
	return ++rows->row < PQntuples(rows->res);
}

static int64_t rows_integer(const struct sql_rows *sql, int col)
{
	const struct pg_rows *rows = container_of(sql, const struct pg_rows, sql);

	return pg_i64(rows->res, rows->row, col);
}

static double rows_real(const struct sql_rows *sql, int col)
{
	const struct pg_rows *rows = container_of(sql, const struct pg_rows, sql);

	return pg_f64(rows->res, rows->row, col);
}

static const char *rows_text(const struct sql_rows *sql, int col, struct arena *arena)
{
	const struct pg_rows *rows = container_of(sql, const struct pg_rows, sql);

	return pg_text(rows->res, rows->row, col, arena);
}

struct pg_rows pg_rows(const PGresult *res)
{
	return (struct pg_rows){
		.sql = {.next = rows_next, .integer = rows_integer, .real = rows_real, .text = rows_text},
		.res = res,
		.row = -1,
	};
}
