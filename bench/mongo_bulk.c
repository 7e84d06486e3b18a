/*
 * What a MongoDB-compatible server can do when it does nothing but bulk updates: the yardstick for a
 * drain from it.
 *
 *	mongo_bulk URL ROWS [BATCH]
 *
 * Inserts ROWS documents into a collection of its own and then changes each of them twice, as a delivery does:
 * claimed, then sent, each by an update of its own, BATCH (default 500) to a command. Prints the rows per second
 * of the two changes together. Then the same again with one update that claims a whole batch, as herald does it:
 * what the server could do at the very most for anybody who claims and settles.
 *
 * The job has to be the same one: the documents have the fields of imported messages, with values as long; the
 * indexes are those of herald_messages; the updates and what they compare are those of a claim and of a
 * settlement. What a delivery has to do besides is left out: finding what is due, the beat, the runs, the leases.
 */
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INSERT_BATCH 500
#define NOW INT64_C(1795275024378084) /* as long as a time in microseconds is */

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

static void create_index(mongoc_database_t *db, const char *name, bool unique, bson_t *key)
{
	bson_t *command = BCON_NEW("createIndexes", BCON_UTF8("bench_bulk"), "indexes", "[", "{", "name",
	                           BCON_UTF8(name), "key", BCON_DOCUMENT(key), "unique", BCON_BOOL(unique),
	                           "}", "]");
	bson_error_t e;

	must(mongoc_database_write_command_with_opts(db, command, NULL, NULL, &e), &e);
	bson_destroy(command);
	bson_destroy(key);
}

static void create_indexes(mongoc_database_t *db)
{
	create_index(db, "state", false,
	             BCON_NEW("state", BCON_INT32(1), "state_at", BCON_INT32(1), "_id", BCON_INT32(1), "run",
	                      BCON_INT32(1)));
	create_index(db, "created", false, BCON_NEW("created_at", BCON_INT32(1), "_id", BCON_INT32(1)));
	create_index(db, "counts", false, BCON_NEW("tries.counts", BCON_INT32(1)));
	create_index(db, "phone", false,
	             BCON_NEW("phone", BCON_INT32(1), "created_at", BCON_INT32(1), "_id", BCON_INT32(1)));
	create_index(db, "key", true, BCON_NEW("key", BCON_INT32(1)));
}

static bson_t *row(int64_t id)
{
	char phone[32], key[64];

	snprintf(phone, sizeof(phone), "+9055%08lld", (long long)id);
	snprintf(key, sizeof(key), "drain.csv:%010lld:f584cab388a8cb0e", (long long)id);
	return BCON_NEW("_id", BCON_INT64(id), "state", BCON_INT32(0), "state_at", BCON_INT64(NOW), "due_at",
	                BCON_INT64(NOW), "created_at", BCON_INT64(NOW), "updated_at", BCON_INT64(NOW), "fence",
	                BCON_INT64(0), "run", BCON_INT64(0), "phone", BCON_UTF8(phone), "content",
	                BCON_UTF8("Your code is 123456, valid for ten minutes."), "key", BCON_UTF8(key));
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

static bson_t *claimed(void)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(1), "state_at", BCON_INT64(NOW + 1), "run",
	                BCON_INT64(1), "started_at", BCON_INT64(NOW), "updated_at", BCON_INT64(NOW), "token",
	                BCON_INT64(NOW), "}", "$inc", "{", "fence", BCON_INT64(1), "attempts", BCON_INT32(1),
	                "}", "$push", "{", "owners", BCON_UTF8("node/0123456789ab"), "}");
}

static bson_t *sent(int64_t id)
{
	return BCON_NEW("$set", "{", "state", BCON_INT32(2), "state_at", BCON_INT64(NOW + 2), "updated_at",
	                BCON_INT64(NOW + 2), "message_id", BCON_UTF8("67f2f8a8-ea58-4ed0-a6f9-ff217d4d849"),
	                "}", "$unset", "{", "token", BCON_INT32(1), "lost", BCON_INT32(1), "error",
	                BCON_INT32(1), "}", "$push", "{", "tries", "{", "seq", BCON_INT64(6), "attempt",
	                BCON_INT32(1), "verdict", BCON_INT32(0), "status", BCON_INT32(202), "started_at",
	                BCON_INT64(NOW), "duration", BCON_INT64(1234), "counts", BCON_INT64(1), "token",
	                BCON_INT64(NOW + id), "}", "}");
}

static void all_changed(int64_t changed, int64_t rows)
{
	if (changed == rows)
		return;
	fprintf(stderr, "mongo_bulk: only %lld rows were changed\n", (long long)changed);
	exit(1);
}

static int64_t execute(mongoc_bulk_operation_t *bulk)
{
	int64_t changed = 0;
	bson_t reply;
	bson_iter_t it;
	bson_error_t e;

	must(mongoc_bulk_operation_execute(bulk, &reply, &e) != 0, &e);
	if (bson_iter_init_find(&it, &reply, "nMatched"))
		changed = bson_iter_as_int64(&it);
	bson_destroy(&reply);
	mongoc_bulk_operation_destroy(bulk);
	return changed;
}

/* Rows of a batch are claimed alike, so one update with a list of them can do it. */
static int64_t claim_at_once(mongoc_collection_t *c, int64_t first, int64_t last)
{
	mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, NULL);
	bson_t *filter = BCON_NEW("state", BCON_INT32(0), "fence", BCON_INT64(0)), *update = claimed(), in, ids;
	bson_error_t e;
	const char *key;
	char space[24];

	BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &in);
	BSON_APPEND_ARRAY_BEGIN(&in, "$in", &ids);
	for (int64_t id = first; id <= last; id++) {
		bson_uint32_to_string((uint32_t)(id - first), &key, space, sizeof(space));
		BSON_APPEND_INT64(&ids, key, id);
	}
	bson_append_array_end(&in, &ids);
	bson_append_document_end(filter, &in);
	must(mongoc_bulk_operation_update_many_with_opts(bulk, filter, update, NULL, &e), &e);
	bson_destroy(filter);
	bson_destroy(update);
	return execute(bulk);
}

/* many: each update as "all that match" an _id, which FerretDB 1 needs for batches of more than 50. */
static int64_t change(mongoc_collection_t *c, int64_t first, int64_t last, bool settle, bool many)
{
	bson_t *unordered = BCON_NEW("ordered", BCON_BOOL(false)), *filter, *update;
	mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, unordered);
	bson_error_t e;
	bool ok;

	for (int64_t id = first; id <= last; id++) {
		filter = BCON_NEW("_id", BCON_INT64(id), "state", BCON_INT32(settle), "fence",
		                  BCON_INT64(settle));
		if (settle)
			BSON_APPEND_INT64(filter, "run", 1);
		update = settle ? sent(id) : claimed();
		ok = many ? mongoc_bulk_operation_update_many_with_opts(bulk, filter, update, NULL, &e)
		          : mongoc_bulk_operation_update_one_with_opts(bulk, filter, update, NULL, &e);
		must(ok, &e);
		bson_destroy(filter);
		bson_destroy(update);
	}
	bson_destroy(unordered);
	return execute(bulk);
}

static double change_all(mongoc_collection_t *c, int64_t rows, int64_t batch, bool settle, bool at_once,
                         bool many)
{
	const double start = seconds();
	int64_t first, last, changed = 0;

	for (first = 1; first <= rows; first += batch) {
		last = first + batch <= rows ? first + batch - 1 : rows;
		changed += at_once ? claim_at_once(c, first, last) : change(c, first, last, settle, many);
	}
	all_changed(changed, rows);
	return seconds() - start;
}

static void measure(mongoc_database_t *db, int64_t rows, int64_t batch, bool at_once, bool many)
{
	mongoc_collection_t *c = mongoc_database_get_collection(db, "bench_bulk");
	double claims, settlements;

	mongoc_collection_drop(c, NULL);
	create_indexes(db);
	insert(c, rows);
	claims = change_all(c, rows, batch, false, at_once, many);
	settlements = change_all(c, rows, batch, true, false, many);
	printf("claimed %s: %.1f us each, sent %.1f us each: %.1f rows/s\n", at_once ? "at once" : "one by one",
	       claims * 1e6 / (double)rows, settlements * 1e6 / (double)rows,
	       (double)rows / (claims + settlements));
	mongoc_collection_drop(c, NULL);
	mongoc_collection_destroy(c);
}

/* As herald wants them: on the disks of most members before the answer. */
static void set_durable(mongoc_client_t *client)
{
	mongoc_write_concern_t *w = mongoc_write_concern_new();

	mongoc_write_concern_set_w(w, MONGOC_WRITE_CONCERN_W_MAJORITY);
	mongoc_write_concern_set_journal(w, true);
	mongoc_client_set_write_concern(client, w);
	mongoc_write_concern_destroy(w);
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
	mongoc_uri_t *uri;
	bson_error_t e;
	bool many;

	mongoc_init();
	uri = mongoc_uri_new_with_error(argc > 1 ? argv[1] : "", &e);
	must(uri && mongoc_uri_get_database(uri), &e);
	client = mongoc_client_new_from_uri(uri);
	set_durable(client);
	db = mongoc_client_get_database(client, mongoc_uri_get_database(uri));
	many = is_ferretdb(client);
	measure(db, rows, batch, false, many);
	measure(db, rows, batch, true, many);
	mongoc_database_destroy(db);
	mongoc_client_destroy(client);
	mongoc_uri_destroy(uri);
	mongoc_cleanup();
	return 0;
}
