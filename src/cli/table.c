#include "table.h"

#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "buf.h"
#include "clean.h"
#include "text.h"

#define GAP 2
#define FLEX_MIN 10

static void add_cell(struct table *t, const char *text)
{
	struct buf b = BUF_INIT;
	size_t column = t->cells % t->columns, width;

	if (text)
		clean_text(&b, text, strlen(text));
	width = utf8_length(b.data, b.len);
	t->width[column] = MAX_OF(t->width[column], width);
	if (t->cells == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cell = xreallocarray(t->cell, t->cap, sizeof(*t->cell));
	}
	t->cell[t->cells++] = buf_detach(&b, NULL);
}

void table_column(struct table *t, const char *heading, enum table_align align)
{
	if (t->columns == TABLE_COLUMNS_MAX || t->cells != t->columns)
		panic("table: columns come first, at most %d", TABLE_COLUMNS_MAX);
	t->align[t->columns++] = align;
	add_cell(t, heading);
	/* While columns are added, cell number and column number are the same. */
}

void table_cell(struct table *t, const char *text)
{
	add_cell(t, text);
}

static void add_padded(struct buf *line, const char *text, enum table_align align, size_t width)
{
	size_t len = strlen(text), points = utf8_length(text, len);

	if (points > width) {
		len = utf8_prefix(text, len, width - 3);
		buf_add(line, text, len);
		buf_addlit(line, "...");
		return;
	}
	if (align != TABLE_RIGHT)
		buf_add(line, text, len);
	for (; points < width; points++)
		buf_addch(line, ' ');
	if (align == TABLE_RIGHT)
		buf_add(line, text, len);
}

static bool has_headings(const struct table *t)
{
	for (size_t i = 0; i < t->columns; i++)
		if (t->cell[i][0])
			return true;
	return false;
}

void table_write(const struct table *t, FILE *out, size_t width)
{
	struct buf line = BUF_INIT;
	size_t total = 0, widths[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < t->columns; i++) {
		widths[i] = t->width[i];
		total += widths[i] + (i ? GAP : 0);
	}
	for (size_t i = 0; i < t->columns; i++)
		if (t->align[i] == TABLE_FLEX && width && total > width)
			widths[i] -= MIN_OF(total - width, widths[i] - MIN_OF(widths[i], FLEX_MIN));
	for (size_t i = has_headings(t) ? 0 : t->columns; i < t->cells; i++) {
		size_t column = i % t->columns;

		if (column)
			for (int k = 0; k < GAP; k++)
				buf_addch(&line, ' ');
		add_padded(&line, t->cell[i], t->align[column], widths[column]);
		if (column + 1 == t->columns) {
			while (line.len && line.data[line.len - 1] == ' ')
				buf_truncate(&line, line.len - 1);
			fprintf(out, "%s\n", line.data);
			buf_clear(&line);
		}
	}
	buf_release(&line);
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct table)TABLE_INIT;
}
