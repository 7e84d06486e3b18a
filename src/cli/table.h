/*
 * Columns of text for people: numbers right-aligned, the rest left-aligned, the widest text column cut to
 * the terminal. What a cell holds is cleaned (clean.h). One thread.
 *
 *	struct table t = TABLE_INIT;
 *	table_column(&t, "ID", TABLE_RIGHT);
 *	table_cell(&t, "7");
 *	table_write(&t, stdout, cli_width(stdout)); table_release(&t);
 */
#ifndef HERALD_TABLE_H
#define HERALD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

enum table_align { TABLE_LEFT, TABLE_RIGHT, TABLE_FLEX /* left, and cut when the line is too long */ };

struct table {
	size_t columns;
	enum table_align align[TABLE_COLUMNS_MAX];
	size_t width[TABLE_COLUMNS_MAX];
	char **cell; /* row by row, headings first */
	size_t cells, cap;
};

#define TABLE_INIT {0}

/* All columns before the first cell; at most one is TABLE_FLEX. Headings that are all "" are not shown. */
void table_column(struct table *t, const char *heading, enum table_align align);
void table_cell(struct table *t, const char *text); /* NULL shows as nothing */
/* width: columns of the terminal, 0: no limit. The last row must be complete. */
void table_write(const struct table *t, FILE *out, size_t width);
void table_release(struct table *t);

#endif
