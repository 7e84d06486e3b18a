/*
 * A foreign collection of MongoDB. A cursor reads in order what has a time, another one the rest, which would come first
 * otherwise; there is no moment that all of it is of, so its owner should not write meanwhile.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "alloc.h"
#include "foreign_driver.h"
#include "store_mongo.h"

struct reader {
	mongoc_uri_t *uri;
	char *name;
	mongoc_client_t *client;
	mongoc_collection_t *collection;
	mongoc_cursor_t *cursors[2]; /* with a known time, without */
	size_t at;                   /* the cursor in use; asked once more, one at its end calls that an error */
};

static void close_table(void *reader)
{
	struct reader *r = reader;

	for (size_t i = 0; i < ARRAY_SIZE(r->cursors); i++)
		mongoc_cursor_destroy(r->cursors[i]);
	if (r->collection)
		mongoc_collection_destroy(r->collection);
	if (r->client)
		mongoc_client_destroy(r->client);
	mongoc_uri_destroy(r->uri);
	free(r->name);
	free(r);
}

static int fail(const bson_error_t *e, struct error *err)
{
	return error_set(err, e->domain == MONGOC_ERROR_SERVER ? ERR_CONFIG : ERR_TRANSIENT, "the database: %s",
	                 e->message);
}

static mongoc_cursor_t *find(const struct reader *r, const struct foreign_table *t, bool known)
{
	const char *time = t->columns[t->order[0]].name;
	bson_t *options cleanup(mg_free_bson) = bson_new();
	bson_t *filter cleanup(mg_free_bson) = bson_new();
	bson_t fields, order;
	size_t i;

	/* Of the comparisons of MongoDB only those of a time with a time are true, so the rest is what is not above. */
	if (known)
		BCON_APPEND(filter, time, "{", "$gt", BCON_DATE_TIME(0), "}");
	else
		BCON_APPEND(filter, "$nor", "[", "{", time, "{", "$gt", BCON_DATE_TIME(0), "}", "}", "]");
	bson_append_document_begin(options, "projection", -1, &fields);
	for (i = 0; i < t->columns_n; i++)
		bson_append_int32(&fields, t->columns[i].name, -1, 1);
	bson_append_document_end(options, &fields);
	bson_append_document_begin(options, "sort", -1, &order);
	for (i = 0; i < ARRAY_SIZE(t->order); i++)
		bson_append_int32(&order, t->columns[t->order[i]].name, -1, 1);
	bson_append_document_end(options, &order);
	return mongoc_collection_find_with_opts(r->collection, filter, options, NULL);
}

/* A collection that is not there looks like an empty one; whoever names the wrong database should hear of it. */
static int check_collection(const struct reader *r, const struct foreign_table *t, struct error *err)
{
	mongoc_database_t *db = mongoc_client_get_database(r->client, r->name);
	bson_error_t e = {0};
	bool there = mongoc_database_has_collection(db, t->name, &e);

	mongoc_database_destroy(db);
	if (there)
		return OK;
	if (e.code)
		return fail(&e, err);
	return error_set(err, ERR_CONFIG, "the database %s has no collection %s", r->name, t->name);
}

static int begin(struct reader *r, const struct foreign_table *t, uint64_t *ret_total, struct error *err)
{
	bson_error_t e;
	int64_t count;
	int rc = check_collection(r, t, err);

	if (rc)
		return rc;
	count = mongoc_collection_estimated_document_count(r->collection, NULL, NULL, NULL, &e);
	if (count < 0)
		return fail(&e, err);
	*ret_total = (uint64_t)count;
	r->cursors[0] = find(r, t, true);
	r->cursors[1] = find(r, t, false);
	return OK;
}

static int open_table(void **ret, const char *url, const struct foreign_table *table, uint64_t *ret_total,
                      struct error *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	int rc;

	mg_init();
	rc = mg_uri(url, &r->uri, &r->name, err);
	if (rc) {
		free(r);
		return rc;
	}
	r->client = mongoc_client_new_from_uri(r->uri);
	if (!r->client)
		panic("libmongoc refuses a URL that it has parsed");
	mongoc_client_set_error_api(r->client, MONGOC_ERROR_API_VERSION_2);
	r->collection = mongoc_client_get_collection(r->client, r->name, table->name);
	rc = begin(r, table, ret_total, err);
	if (rc) {
		close_table(r);
		return rc;
	}
	*ret = r;
	return OK;
}

/* A value as text, whatever its type; NULL for those that no message has. */
static const char *text_of(const bson_iter_t *it, struct arena *arena)
{
	char text[32];
	uint32_t len;
	const char *s;

	if (BSON_ITER_HOLDS_UTF8(it)) {
		s = bson_iter_utf8(it, &len);
		return foreign_text(arena, s, len);
	}
	if (BSON_ITER_HOLDS_OID(it)) {
		bson_oid_to_string(bson_iter_oid(it), text);
		return arena_strdup(arena, text);
	}
	if (BSON_ITER_HOLDS_NUMBER(it)) {
		snprintf(text, sizeof(text), "%lld", (long long)bson_iter_as_int64(it));
		return arena_strdup(arena, text);
	}
	return NULL;
}

static int next_rows(void *reader, const struct foreign_table *table, struct foreign_page *page, struct error *err)
{
	struct reader *r = reader;
	const bson_t *doc;
	bson_error_t e;
	bson_iter_t it;
	size_t i;

	while (r->at < ARRAY_SIZE(r->cursors) && page->n < FOREIGN_ROWS_MAX) {
		mongoc_cursor_t *cursor = r->cursors[r->at];

		if (!mongoc_cursor_next(cursor, &doc)) {
			r->at++;
			if (mongoc_cursor_error(cursor, &e))
				return fail(&e, err);
			continue;
		}
		for (i = 0; i < table->columns_n; i++) {
			struct foreign_cell *cell = &page->rows[page->n][i];

			*cell = (struct foreign_cell){0};
			if (!bson_iter_init_find(&it, doc, table->columns[i].name))
				continue;
			if (table->columns[i].kind == FOREIGN_TEXT)
				cell->text = text_of(&it, &page->arena);
			else if (BSON_ITER_HOLDS_DATE_TIME(&it) &&
			         __builtin_mul_overflow(bson_iter_date_time(&it), USEC_PER_MSEC, &cell->time))
				cell->time = 0;
		}
		page->n++;
	}
	return OK;
}

const struct foreign_driver foreign_mongo = {open_table, next_rows, close_table};
