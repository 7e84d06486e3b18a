/*
 * A connection: one libmongoc client per session. Such a client looks for the servers itself, in
 * the calling thread, and finds a new primary after a failover; so there is nothing to reconnect here.
 */
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"
#include "text.h"

#define DEFAULT_DATABASE "herald"

static const char *const collection_names[MG_COLLECTIONS] = {
	[MG_MESSAGES] = "herald_messages",   [MG_RUNS] = "herald_runs",
	[MG_SCHEDULER] = "herald_scheduler", [MG_COUNTERS] = "herald_counters",
	[MG_COMMITS] = "herald_commits",     [MG_NODES] = "herald_nodes",
	[MG_META] = "herald_meta",           [MG_JOBS] = "herald_jobs",
};

/* --- opening -------------------------------------------------------------------------------------------- */

/* What a URL does not say. libmongoc would wait for an answer for five minutes, and give up its search for a
 * primary at the first look, which a failover outlasts. */
static void set_defaults(mongoc_uri_t *uri)
{
	static const struct {
		const char *option;
		int32_t ms;
	} times[] = {
		{MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 3000},
		{MONGOC_URI_CONNECTTIMEOUTMS, 2000},
		{MONGOC_URI_SOCKETTIMEOUTMS, 20000},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(times); i++) {
		if (!mongoc_uri_has_option(uri, times[i].option))
			mongoc_uri_set_option_as_int32(uri, times[i].option, times[i].ms);
	}
	if (!mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTRYONCE))
		mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, false);
	if (!mongoc_uri_has_option(uri, MONGOC_URI_APPNAME))
		mongoc_uri_set_appname(uri, "herald");
}

int mg_uri(const char *url, mongoc_uri_t **ret, char **ret_name, struct error *err)
{
	bson_error_t e;
	mongoc_uri_t *uri = mongoc_uri_new_with_error(url, &e);
	const char *name;

	if (!uri)
		return error_set(err, ERR_CONFIG, "the MongoDB URL is wrong: %s", e.message);
	set_defaults(uri);
	name = mongoc_uri_get_database(uri);
	*ret_name = xstrdup(name ? name : DEFAULT_DATABASE);
	*ret = uri;
	return OK;
}

struct mg_session *mg_connect(struct mg_db *db)
{
	struct mg_session *s = xcalloc(1, sizeof(*s));
	mongoc_write_concern_t *w = mongoc_write_concern_new();
	mongoc_read_concern_t *r = mongoc_read_concern_new();
	size_t i;

	s->db = db;
	s->client = mongoc_client_new_from_uri(db->uri);
	if (!s->client)
		panic("libmongoc refuses a URL that it has parsed");
	mongoc_client_set_error_api(s->client, MONGOC_ERROR_API_VERSION_2);
	/* An answer means: on the disks of most members, and never taken back by a failover. */
	mongoc_write_concern_set_w(w, MONGOC_WRITE_CONCERN_W_MAJORITY);
	mongoc_write_concern_set_journal(w, true);
	mongoc_write_concern_set_wtimeout_int64(w, 15000);
	mongoc_client_set_write_concern(s->client, w);
	mongoc_read_concern_set_level(r, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
	mongoc_client_set_read_concern(s->client, r);
	mongoc_write_concern_destroy(w);
	mongoc_read_concern_destroy(r);
	for (i = 0; i < MG_COLLECTIONS; i++)
		s->c[i] = mongoc_client_get_collection(s->client, db->name, collection_names[i]);
	return s;
}

void mg_disconnect(struct mg_session *s)
{
	size_t i;

	for (i = 0; i < MG_COLLECTIONS; i++)
		mongoc_collection_destroy(s->c[i]);
	mongoc_client_destroy(s->client);
	free(s);
}

int mg_examine(struct mg_session *s, struct error *err)
{
	bson_t *ask cleanup(mg_free_bson) = BCON_NEW("buildInfo", BCON_INT32(1));
	bson_t reply;
	bson_error_t e;
	bool answered = mongoc_client_read_command_with_opts(s->client, "admin", ask, NULL, NULL, &reply, &e);

	if (answered)
		s->db->update_many = bson_has_field(&reply, "ferretdbVersion");
	bson_destroy(&reply);
	return answered ? OK : mg_error(s, &e, false, err);
}

/* --- errors --------------------------------------------------------------------------------------------- */

/* Codes of the server: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml */
static int server_error(uint32_t code, bool written)
{
	switch (code) {
	case 10107: /* NotWritablePrimary */
	case 13435: /* NotPrimaryNoSecondaryOk */
	case 13436: /* NotPrimaryOrSecondary */
	case 112:   /* WriteConflict */
	case 46:    /* LockBusy */
	case 14031: /* OutOfDiskSpace */
		return ERR_TRANSIENT;
	case 1:     /* InternalError */
	case 6:     /* HostUnreachable */
	case 7:     /* HostNotFound */
	case 24:    /* LockTimeout */
	case 50:    /* MaxTimeMSExpired */
	case 64:    /* WriteConcernFailed: a timeout */
	case 89:    /* NetworkTimeout */
	case 91:    /* ShutdownInProgress */
	case 134:   /* ReadConcernMajorityNotAvailableYet */
	case 189:   /* PrimarySteppedDown */
	case 262:   /* ExceededTimeLimit */
	case 9001:  /* SocketException */
	case 11600: /* InterruptedAtShutdown */
	case 11601: /* Interrupted */
	case 11602: /* InterruptedDueToReplStateChange */
		return written ? ERR_UNCERTAIN : ERR_TRANSIENT;
	case 11000: /* DuplicateKey */
		return ERR_CONFLICT;
	default:
		return ERR_PERMANENT;
	}
}

static int code_of(const bson_error_t *e, bool written)
{
	switch (e->domain) {
	case MONGOC_ERROR_SERVER_SELECTION:
		return ERR_TRANSIENT;
	case MONGOC_ERROR_STREAM:
		/* No connection came about, so nothing was sent over it. */
		if (e->code == MONGOC_ERROR_STREAM_CONNECT ||
		    e->code == MONGOC_ERROR_STREAM_NAME_RESOLUTION)
			return ERR_TRANSIENT;
		return written ? ERR_UNCERTAIN : ERR_TRANSIENT;
	case MONGOC_ERROR_SERVER:
		return server_error(e->code, written);
	case MONGOC_ERROR_WRITE_CONCERN:
		return ERR_UNCERTAIN;
	case MONGOC_ERROR_PROTOCOL:
	case MONGOC_ERROR_CURSOR:
		return written ? ERR_UNCERTAIN : ERR_TRANSIENT;
	case MONGOC_ERROR_CLIENT:
		return e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE ? ERR_PERMANENT : ERR_TRANSIENT;
	default:
		return ERR_PERMANENT;
	}
}

static void forget_clock(struct mg_db *db)
{
	pthread_mutex_lock(&db->lock);
	db->sampled_at = 0;
	pthread_mutex_unlock(&db->lock);
}

int mg_error(struct mg_session *s, const bson_error_t *e, bool written, struct error *err)
{
	int rc = code_of(e, written);

	/* Who answers next may be another machine with another clock. */
	if (rc == ERR_TRANSIENT || rc == ERR_UNCERTAIN)
		forget_clock(s->db);
	return error_set(err, rc, "MongoDB: %s", e->message);
}

/* --- the clock ------------------------------------------------------------------------------------------- */

#define SAMPLE_AGE USEC_PER_SEC

/*
 * Takes a sample: when the answer is here, the server's clock is at least what it says. (That bound is behind
 * by the answer's way and the millisecond to which the server rounds down.) A sample in step with the last
 * one does not set the clock back, except by what two quartzes may drift apart in a second.
 */
static int sample_clock(struct mg_session *s, struct error *err)
{
	struct mg_db *db = s->db;
	bson_t *hello cleanup(mg_free_bson) = BCON_NEW("hello", BCON_INT32(1));
	bson_t reply;
	bson_error_t e;
	bson_iter_t it;
	usec_t here, there = 0, offset;

	if (!mongoc_client_read_command_with_opts(s->client, "admin", hello, NULL, NULL, &reply, &e)) {
		bson_destroy(&reply);
		return mg_error(s, &e, false, err);
	}
	here = clock_mono();
	if (bson_iter_init_find(&it, &reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME(&it))
		there = bson_iter_date_time(&it) * USEC_PER_MSEC;
	bson_destroy(&reply);
	if (!there)
		return error_set(err, ERR_PERMANENT, "MongoDB: the server does not tell its time");
	offset = there - here;
	pthread_mutex_lock(&db->lock);
	if (db->sampled_at && offset < db->offset && db->offset - offset < 50 * USEC_PER_MSEC)
		offset = MAX_OF(offset, db->offset - USEC_PER_MSEC / 2);
	db->offset = offset;
	db->sampled_at = here;
	pthread_mutex_unlock(&db->lock);
	return OK;
}

int mg_now(struct mg_session *s, usec_t *ret, struct error *err)
{
	struct mg_db *db = s->db;
	usec_t here = clock_mono();
	bool fresh;
	int rc;

	pthread_mutex_lock(&db->lock);
	fresh = db->sampled_at && here - db->sampled_at < SAMPLE_AGE;
	pthread_mutex_unlock(&db->lock);
	if (!fresh && (rc = sample_clock(s, err)))
		return rc;
	here = clock_mono();
	pthread_mutex_lock(&db->lock);
	*ret = here + db->offset;
	pthread_mutex_unlock(&db->lock);
	return OK;
}

/* --- reading and writing --------------------------------------------------------------------------------- */

void mg_free_bson(bson_t **b)
{
	bson_destroy(*b);
}

void mg_free_cursor(mongoc_cursor_t **c)
{
	mongoc_cursor_destroy(*c);
}

void mg_free_bulk(mongoc_bulk_operation_t **b)
{
	mongoc_bulk_operation_destroy(*b);
}

mongoc_cursor_t *mg_find(struct mg_session *s, enum mg_collection c, bson_t *filter, bson_t *options)
{
	bson_t *f cleanup(mg_free_bson) = filter ? filter : bson_new();
	bson_t *o cleanup(mg_free_bson) = options;

	return mongoc_collection_find_with_opts(s->c[c], f, o, NULL);
}

mongoc_cursor_t *mg_aggregate(struct mg_session *s, enum mg_collection c, bson_t *pipeline)
{
	bson_t *p cleanup(mg_free_bson) = pipeline;

	return mongoc_collection_aggregate(s->c[c], MONGOC_QUERY_NONE, p, NULL, NULL);
}

int mg_next(struct mg_session *s, mongoc_cursor_t *cursor, const bson_t **ret, struct error *err)
{
	bson_error_t e;

	if (mongoc_cursor_next(cursor, ret))
		return 1;
	return mongoc_cursor_error(cursor, &e) ? mg_error(s, &e, false, err) : 0;
}

int mg_count(struct mg_session *s, enum mg_collection c, bson_t *filter, int64_t *ret, struct error *err)
{
	bson_t *pipeline =
		BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$group", "{",
	                 "_id", BCON_NULL, "n", "{", "$sum", BCON_INT32(1), "}", "}", "}", "]");
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_aggregate(s, c, pipeline);
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	bson_destroy(filter);
	if (rc < 0)
		return rc;
	*ret = rc ? mg_i64(doc, "n") : 0;
	return OK;
}

int mg_insert(struct mg_session *s, enum mg_collection c, bson_t *doc, struct error *err)
{
	bson_t *d cleanup(mg_free_bson) = doc;
	bson_error_t e;

	return mongoc_collection_insert_one(s->c[c], d, NULL, NULL, &e) ? OK : mg_error(s, &e, true, err);
}

int mg_update(struct mg_session *s, enum mg_collection c, bool many, bson_t *filter, bson_t *update,
              bool upsert, int64_t *ret, struct error *err)
{
	bson_t *f cleanup(mg_free_bson) = filter;
	bson_t *u cleanup(mg_free_bson) = update;
	bson_t *o cleanup(mg_free_bson) = BCON_NEW("upsert", BCON_BOOL(upsert));
	bson_t reply;
	bson_error_t e;
	bool done;

	done = many ? mongoc_collection_update_many(s->c[c], f, u, o, &reply, &e)
	            : mongoc_collection_update_one(s->c[c], f, u, o, &reply, &e);
	if (done && ret)
		*ret = mg_i64(&reply, many ? "modifiedCount" : "matchedCount");
	bson_destroy(&reply);
	return done ? OK : mg_error(s, &e, true, err);
}

int mg_delete(struct mg_session *s, enum mg_collection c, bson_t *filter, struct error *err)
{
	bson_t *f cleanup(mg_free_bson) = filter;
	bson_error_t e;

	return mongoc_collection_delete_many(s->c[c], f, NULL, NULL, &e) ? OK
	                                                                  : mg_error(s, &e, true, err);
}

int mg_modify(struct mg_session *s, enum mg_collection c, bson_t *filter, bson_t *update, bson_t *ret,
              bool *ret_found, struct error *err)
{
	bson_t *f cleanup(mg_free_bson) = filter;
	bson_t *u cleanup(mg_free_bson) = update;
	mongoc_find_and_modify_opts_t *o = mongoc_find_and_modify_opts_new();
	bson_t reply, value;
	bson_error_t e;
	bool done;

	mongoc_find_and_modify_opts_set_update(o, u);
	mongoc_find_and_modify_opts_set_flags(o, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
	done = mongoc_collection_find_and_modify_with_opts(s->c[c], f, o, &reply, &e);
	mongoc_find_and_modify_opts_destroy(o);
	if (done) {
		*ret_found = mg_embedded(&reply, "value", &value);
		if (*ret_found)
			bson_copy_to(&value, ret);
	}
	bson_destroy(&reply);
	return done ? OK : mg_error(s, &e, true, err);
}

mongoc_bulk_operation_t *mg_bulk(struct mg_session *s, enum mg_collection c)
{
	bson_t *o cleanup(mg_free_bson) = BCON_NEW("ordered", BCON_BOOL(false));

	return mongoc_collection_create_bulk_operation_with_opts(s->c[c], o);
}

void mg_bulk_update(struct mg_session *s, mongoc_bulk_operation_t *b, bson_t *filter, bson_t *update)
{
	bson_t *f cleanup(mg_free_bson) = filter;
	bson_t *u cleanup(mg_free_bson) = update;
	bson_error_t e;

	if (!(s->db->update_many ? mongoc_bulk_operation_update_many_with_opts(b, f, u, NULL, &e)
	                         : mongoc_bulk_operation_update_one_with_opts(b, f, u, NULL, &e)))
		panic("an update that libmongoc refuses: %s", e.message);
}

void mg_bulk_update_all(mongoc_bulk_operation_t *b, bson_t *filter, bson_t *update)
{
	bson_t *f cleanup(mg_free_bson) = filter;
	bson_t *u cleanup(mg_free_bson) = update;
	bson_error_t e;

	if (!mongoc_bulk_operation_update_many_with_opts(b, f, u, NULL, &e))
		panic("an update that libmongoc refuses: %s", e.message);
}

int mg_bulk_run(struct mg_session *s, mongoc_bulk_operation_t *b, int64_t *ret, struct error *err)
{
	bson_t reply;
	bson_error_t e;
	bool done = mongoc_bulk_operation_execute(b, &reply, &e) != 0;

	if (done && ret)
		*ret = mg_i64(&reply, "nMatched");
	bson_destroy(&reply);
	return done ? OK : mg_error(s, &e, true, err);
}

/* --- documents ------------------------------------------------------------------------------------------- */

int64_t mg_i64(const bson_t *doc, const char *field)
{
	bson_iter_t it;

	return bson_iter_init_find(&it, doc, field) ? bson_iter_as_int64(&it) : 0;
}

double mg_double(const bson_t *doc, const char *field)
{
	bson_iter_t it;

	return bson_iter_init_find(&it, doc, field) ? bson_iter_as_double(&it) : 0;
}

const char *mg_utf8(const bson_t *doc, const char *field)
{
	bson_iter_t it;

	return bson_iter_init_find(&it, doc, field) && BSON_ITER_HOLDS_UTF8(&it)
	               ? bson_iter_utf8(&it, NULL)
	               : NULL;
}

bool mg_embedded(const bson_t *doc, const char *field, bson_t *ret)
{
	bson_iter_t it;
	const uint8_t *data;
	uint32_t len;

	if (!bson_iter_init_find(&it, doc, field))
		return false;
	if (BSON_ITER_HOLDS_DOCUMENT(&it))
		bson_iter_document(&it, &len, &data);
	else if (BSON_ITER_HOLDS_ARRAY(&it))
		bson_iter_array(&it, &len, &data);
	else
		return false;
	return bson_init_static(ret, data, len);
}

void mg_append_ids(bson_t *doc, const char *field, const int64_t *ids, size_t n)
{
	bson_t in, list;
	const char *key;
	char space[16];
	size_t i;

	BSON_APPEND_DOCUMENT_BEGIN(doc, field, &in);
	BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
	for (i = 0; i < n; i++) {
		bson_uint32_to_string((uint32_t)i, &key, space, sizeof(space));
		BSON_APPEND_INT64(&list, key, ids[i]);
	}
	bson_append_array_end(&in, &list);
	bson_append_document_end(doc, &in);
}

void mg_append_text(bson_t *doc, const char *field, const char *text, size_t max)
{
	if (text)
		bson_append_utf8(doc, field, -1, text, (int)text_stored(text, max));
}

int64_t mg_token(void)
{
	int64_t token;

	do {
		random_bytes(&token, sizeof(token));
		token &= MESSAGE_ID_MAX;
	} while (token < (INT64_C(1) << 32));
	return token;
}
