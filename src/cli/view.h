/*
 * What several commands share in asking for and showing messages, runs and the like. Private to cli/.
 */
#ifndef HERALD_VIEW_H
#define HERALD_VIEW_H

#include <jansson.h>
#include <stdint.h>

#include "api.h"
#include "cmd.h"
#include "table.h"

/* Opens the API for the command, or reports why not and answers false. */
must_check bool view_open(struct cli *c, struct api **ret);

/* One call whose "data" is the result: with --json as it is, else through show(). Returns an exit code. */
int view_call(struct cli *c, const char *method, const char *path, const struct buf *body,
              void (*show)(const json_t *data));

/* An object as lines "name  value", numbers to the right when all are. */
void view_object(const json_t *object);
void view_counts(const json_t *object);

/* An array as a table, each member of its objects in a column of its own, as api_text() shows it. */
struct view_column {
	const char *heading, *member;
	enum table_align align;
};
void view_rows(const json_t *items, const struct view_column *columns, size_t n);

/* False, reported: not an id. */
must_check bool view_id(const struct cli *c, const char *text, int64_t *ret);

/* --- pages --- */

/* Adds --status, --phone, --since and --until of the command to a path. */
void pages_filter(const struct cli *c, struct buf *path);

struct pages {
	struct api *api;
	const char *path;  /* with its filters */
	struct buf cursor; /* empty: from the beginning */
	bool at_end;
};
/* cursor: NULL for the beginning. api and path must outlive it. */
void pages_init(struct pages *p, struct api *api, const char *path, const char *cursor);
void pages_release(struct pages *p);
/* The next page, of at most `most` (up to 100) items: its "data" is an array. */
must_check int pages_next(struct pages *p, int64_t most, struct api_answer *ret, struct error *err);

/* Gathers up to `limit` items of a list and prints them: with --json as one array, else as a table that
 * show() makes. Says on stderr where to go on. Returns an exit code. */
int view_list(struct cli *c, const char *path, const char *cursor, int64_t limit,
              void (*show)(const json_t *items));

#endif
