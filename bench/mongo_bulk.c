/*
 * What a MongoDB-compatible server can do when it does nothing but bulk updates: the yardstick for a
 * drain from it.
 *
 *	mongo_bulk URL ROWS [BATCH]
 *
 * Inserts ROWS documents like those of messages into a collection of its own, with the same indexes, and then
 * changes each of them twice, as a delivery does: claimed, then sent, BATCH (default 500) to a command.
 * Prints the rows per second of the two changes together.
 */
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INSERT_BATCH 500

static void must(bool ok, const bson_error_t *e)
{
	if (ok)
		return;
	fprintf(stderr, "mongo_bulk: %s\n", e->message);
	exit(1);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void create_index(mongoc_database_t *db, const char *name, bson_t *key)
{
	bson_t *command = BCON_NEW("createIndexes", BCON_UTF8("bench_bulk"), "indexes", "[", "{", "name",
	                           BCON_UTF8(name), "key", BCON_DOCUMENT(key), "}", "]");
	bson_error_t e;

	must(mongoc_database_write_command_with_opts(db, command, NULL, NULL, &e), &e);
	bson_destroy(command);
	bson_destroy(key);
}

static void create_indexes(mongoc_database_t *db)
{
	create_index(db, "state", BCON_NEW("state", BCON_INT32(1), "state_at", BCON_INT32(1), "_id",
	                                   BCON_INT32(1), "run", BCON_INT32(1)));
	create_index(db, "created", BCON_NEW("created_at", BCON_INT32(1), "_id", BCON_INT32(1)));
	create_index(db, "counts", BCON_NEW("tries.counts", BCON_INT32(1)));
}

static bson_t *row(int64_t id)
{
	return BCON_NEW("_id", BCON_INT64(id), "state", BCON_INT32(0), "state_at", BCON_INT64(id), "fence",
	                BCON_INT64(0), "attempts", BCON_INT32(0), "lost", BCON_INT32(0), "due_at",
	                BCON_INT64(id), "created_at", BCON_INT64(id), "updated_at", BCON_INT64(id), "phone",
	                BCON_UTF8("+905551234567"), "content",
	                BCON_UTF8("Your code is 123456, valid for ten minutes."));
}

static void insert(mongoc_collection_t *c, int64_t rows)
{
	mongoc_bulk_operation_t *bulk = NULL;
	bson_error_t e;
	bson_t *doc;

	for (int64_t id = 1; id <= rows; id++) {
		if (!bulk)
			bulk = mongoc_collection_create_bulk_operation_with_opts(c, NULL);
		doc = row(id);
		must(mongoc_bulk_operation_insert_with_opts(bulk, doc, NULL, &e), &e);
		bson_destroy(doc);
		if (id % INSERT_BATCH && id < rows)
			continue;
		must(mongoc_bulk_operation_execute(bulk, NULL, &e) != 0, &e);
		mongoc_bulk_operation_destroy(bulk);
		bulk = NULL;
	}
}

static bson_t *claimed(int64_t id)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(1), "state_at", BCON_INT64(id + 1), "run",
	                BCON_INT64(1), "started_at", BCON_INT64(id), "updated_at", BCON_INT64(id), "token",
	                BCON_INT64(id), "}", "$inc", "{", "fence", BCON_INT64(1), "attempts", BCON_INT32(1),
	                "}", "$push", "{", "owners", BCON_UTF8("bench/1"), "}");
}

static bson_t *sent(int64_t id)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(2), "state_at", BCON_INT64(id + 2), "updated_at",
	                BCON_INT64(id), "token", BCON_INT64(id), "lost", BCON_INT32(0), "message_id",
	                BCON_UTF8("67f2f8a8-ea58-4ed0-a6f9-ff217d4d849"), "}", "$push", "{", "tries", "{",
	                "seq", BCON_INT64(4), "run", BCON_INT64(1), "counts", BCON_INT64(1), "token",
	                BCON_INT64(id), "attempt", BCON_INT32(1), "verdict", BCON_INT32(0), "http_status",
	                BCON_INT32(202), "started_at", BCON_INT64(id), "duration", BCON_INT64(1234), "}",
	                "}");
}

/* many: each update as "all that match" an _id, which FerretDB 1 needs for batches of more than 50. */
static void change(mongoc_collection_t *c, int64_t rows, int64_t batch, int state, bool many)
{
	mongoc_bulk_operation_t *bulk = NULL;
	bson_t *unordered = BCON_NEW("ordered", BCON_BOOL(false)), *filter, *update, reply;
	bson_iter_t it;
	bson_error_t e;
	int64_t changed = 0;
	bool ok;

	for (int64_t id = 1; id <= rows; id++) {
		if (!bulk)
			bulk = mongoc_collection_create_bulk_operation_with_opts(c, unordered);
		filter = BCON_NEW("_id", BCON_INT64(id), "state", BCON_INT32(state), "fence",
		                  BCON_INT64(state));
		update = state ? sent(id) : claimed(id);
		ok = many ? mongoc_bulk_operation_update_many_with_opts(bulk, filter, update, NULL, &e)
		          : mongoc_bulk_operation_update_one_with_opts(bulk, filter, update, NULL, &e);
		must(ok, &e);
		bson_destroy(filter);
		bson_destroy(update);
		if (id % batch && id < rows)
			continue;
		must(mongoc_bulk_operation_execute(bulk, &reply, &e) != 0, &e);
		if (bson_iter_init_find(&it, &reply, "nMatched"))
			changed += bson_iter_as_int64(&it);
		bson_destroy(&reply);
		mongoc_bulk_operation_destroy(bulk);
		bulk = NULL;
	}
	bson_destroy(unordered);
	if (changed == rows)
		return;
	fprintf(stderr, "mongo_bulk: only %lld rows were changed\n", (long long)changed);
	exit(1);
}

static bool is_ferretdb(mongoc_client_t *client)
{
	bson_t *info = BCON_NEW("buildInfo", BCON_INT32(1)), reply;
	bson_error_t e;
	bool is;

	must(mongoc_client_command_simple(client, "admin", info, NULL, &reply, &e), &e);
	is = bson_has_field(&reply, "ferretdbVersion") || bson_has_field(&reply, "ferretdb");
	bson_destroy(info);
	bson_destroy(&reply);
	return is;
}

int main(int argc, char **argv)
{
	int64_t rows = argc > 2 ? strtoll(argv[2], NULL, 10) : 10000;
	int64_t batch = argc > 3 ? strtoll(argv[3], NULL, 10) : 500;
	mongoc_client_t *client;
	mongoc_database_t *db;
	mongoc_collection_t *c;
	mongoc_uri_t *uri;
	bson_error_t e;
	double start, spent;
	bool many;

	mongoc_init();
	uri = mongoc_uri_new_with_error(argc > 1 ? argv[1] : "", &e);
	must(uri && mongoc_uri_get_database(uri), &e);
	client = mongoc_client_new_from_uri(uri);
	db = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
	c = mongoc_database_get_collection(db, "bench_bulk");
	many = is_ferretdb(client);
	mongoc_collection_drop(c, NULL);
	create_indexes(db);
	insert(c, rows);

	start = seconds();
	change(c, rows, batch, 0, many);
	spent = seconds() - start;
	printf("claimed %.1f us each, ", spent * 1e6 / (double)rows);
	change(c, rows, batch, 1, many);
	printf("sent %.1f us each\n", (seconds() - start - spent) * 1e6 / (double)rows);
	printf("%.1f rows/s\n", (double)rows / (seconds() - start));

	mongoc_collection_drop(c, NULL);
	mongoc_collection_destroy(c);
	mongoc_database_destroy(db);
	mongoc_client_destroy(client);
	mongoc_uri_destroy(uri);
	mongoc_cleanup();
	return 0;
}
