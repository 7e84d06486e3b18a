/*
 * A foreign collection of MongoDB. One cursor reads it in order; there is no moment that all of it is of, unless
 * the server is a replica set of version 5 or later, so its owner should not write meanwhile.
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
	mongoc_cursor_t *cursor;
	bool over; /* asked once more, a cursor at its end calls that an error */
};

static void close_table(void *reader)
{
	struct reader *r = reader;

	if (r->cursor)
		mongoc_cursor_destroy(r->cursor);
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

static int begin(struct reader *r, const struct foreign_table *t, uint64_t *ret_total, struct error *err)
{
	bson_t *all cleanup(mg_free_bson) = bson_new();
	bson_t *options cleanup(mg_free_bson) = bson_new();
	bson_t fields, order;
	bson_error_t e;
	int64_t count;
	size_t i;

	count = mongoc_collection_estimated_document_count(r->collection, NULL, NULL, NULL, &e);
	if (count < 0)
		return fail(&e, err);
	*ret_total = (uint64_t)count;
	bson_append_document_begin(options, "projection", -1, &fields);
	for (i = 0; i < t->columns_n; i++)
		bson_append_int32(&fields, t->columns[i].name, -1, 1);
	bson_append_document_end(options, &fields);
	bson_append_document_begin(options, "sort", -1, &order);
	for (i = 0; i < ARRAY_SIZE(t->order); i++)
		bson_append_int32(&order, t->columns[t->order[i]].name, -1, 1);
	bson_append_document_end(options, &order);
	r->cursor = mongoc_collection_find_with_opts(r->collection, all, options, NULL);
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

	while (!r->over && page->n < FOREIGN_ROWS_MAX) {
		if (!mongoc_cursor_next(r->cursor, &doc)) {
			r->over = true;
			return mongoc_cursor_error(r->cursor, &e) ? fail(&e, err) : OK;
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
