/*
 * The collections' indexes and first documents. Every step may be run by several nodes at once and again
 * after it was interrupted: it creates what is missing and changes nothing that is there. The version is
 * written last.
 *
 * herald_messages
 *   state     as store_rules.h numbers them, or ROW_STAGED.
 *   state_at  what orders the rows of a state: due_at (pending), the lease's end (sending), else when it
 *             got there. One index thus serves claims, lease recovery and every list by status; it ends
 *             with `run`, so that what a run still has in flight is found in the index alone.
 *   owners    who claimed it: the n-th claim, so the one with fence n, is the n-th entry.
 *   tries     its attempts. In the message's own document, since that is what MongoDB changes atomically:
 *             a message cannot be sent without the record of it. `counts` is the run that the outcome
 *             counts for, with an index from which runs are summed up; `run` is there only where the
 *             attempt belongs to another run than it counts for.
 *   token     of the last claim, release or recovery, to find out what a batch of writes has done. Not
 *             in settled rows, whose attempts have one.
 *   batch     the insertion that it came with. Not in rows that were published: see mg_published().
 *
 * What says nothing is left out: documents are read, journaled and replicated whole by one server or the other.
 */
#include "store_mongo.h"

static int find_version(struct mg_session *s, int *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(s, MG_META, BCON_NEW("_id", BCON_UTF8(MG_SCHEMA_ID)), NULL);
	const bson_t *doc;
	int rc = mg_next(s, cursor, &doc, err);

	if (rc < 0)
		return rc;
	*ret = rc ? (int)mg_i64(doc, "version") : 0;
	if (*ret > MG_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 "its schema has version %d, this herald knows %d: it was written by a "
		                 "newer herald",
		                 *ret, MG_SCHEMA);
	return OK;
}

static bool create_indexes(struct mg_session *s, const char *collection, bson_t *index, bson_error_t *e)
{
	bson_t *i cleanup(mg_free_bson) = index;
	bson_t *command cleanup(mg_free_bson) = BCON_NEW("createIndexes", BCON_UTF8(collection),
	                                                 "indexes", "[", BCON_DOCUMENT(i), "]");

	return mongoc_client_write_command_with_opts(s->client, s->db->name, command, NULL, NULL, e);
}

/* Messages without a key must not meet in it. FerretDB has no partial indexes, but its plain ones leave such
 * documents out. */
static bool create_key_index(struct mg_session *s, bson_error_t *e)
{
	if (create_indexes(s, "herald_messages",
	                   BCON_NEW("name", BCON_UTF8("herald_key"), "key", "{", "key", BCON_INT32(1),
	                            "}", "unique", BCON_BOOL(true), "partialFilterExpression", "{", "key",
	                            "{", "$exists", BCON_BOOL(true), "}", "}"),
	                   e))
		return true;
	return e->code == 238 && /* NotImplemented */
	       create_indexes(s, "herald_messages",
	                      BCON_NEW("name", BCON_UTF8("herald_key"), "key", "{", "key",
	                               BCON_INT32(1), "}", "unique", BCON_BOOL(true)),
	                      e);
}

static int create_all(struct mg_session *s, struct error *err)
{
	bson_error_t e;
	int rc;

	if (!create_indexes(s, "herald_messages",
	                    BCON_NEW("name", BCON_UTF8("herald_state"), "key", "{", "state",
	                             BCON_INT32(1), "state_at", BCON_INT32(1), "_id", BCON_INT32(1),
	                             "run", BCON_INT32(1), "}"),
	                    &e) ||
	    !create_indexes(s, "herald_messages",
	                    BCON_NEW("name", BCON_UTF8("herald_created"), "key", "{", "created_at",
	                             BCON_INT32(1), "_id", BCON_INT32(1), "}"),
	                    &e) ||
	    !create_indexes(s, "herald_messages",
	                    BCON_NEW("name", BCON_UTF8("herald_counts"), "key", "{", "tries.counts",
	                             BCON_INT32(1), "}"),
	                    &e) ||
	    /* In the order of lists by creation; only a new document is entered there, not a changed one. */
	    !create_indexes(s, "herald_messages",
	                    BCON_NEW("name", BCON_UTF8("herald_phone"), "key", "{", "phone",
	                             BCON_INT32(1), "created_at", BCON_INT32(1), "_id", BCON_INT32(1), "}"),
	                    &e) ||
	    !create_key_index(s, &e) ||
	    !create_indexes(s, "herald_runs",
	                    BCON_NEW("name", BCON_UTF8("herald_finished"), "key", "{", "finished",
	                             BCON_INT32(1), "_id", BCON_INT32(1), "}"),
	                    &e))
		return mg_error(s, &e, false, err);
	rc = mg_insert(s, MG_COUNTERS,
	               BCON_NEW("_id", BCON_UTF8(MG_IDS), "last", BCON_INT64(0), "created_at",
	                        BCON_INT64(0)),
	               err);
	return rc == ERR_CONFLICT ? OK : rc;
}

static int write_version(struct mg_session *s, struct error *err)
{
	int rc = mg_update(s, MG_META, false, BCON_NEW("_id", BCON_UTF8(MG_SCHEMA_ID)),
	                   BCON_NEW("$max", "{", "version", BCON_INT32(MG_SCHEMA), "}"), true, NULL, err);

	/* Of two that would insert it, the other did. */
	return rc == ERR_CONFLICT ? OK : rc;
}

int mg_migrate(struct mg_session *s, bool read_only, int *ret_found, struct error *err)
{
	int found = 0, rc = find_version(s, &found, err);

	if (rc)
		return rc;
	if (read_only && found < MG_SCHEMA)
		return error_set(err, ERR_CONFIG,
		                 found ? "its schema has version %d, this herald needs %d: run `herald migrate`"
		                       : "it has no herald collections (version %d of %d): run `herald migrate`",
		                 found, MG_SCHEMA);
	if (found < MG_SCHEMA && ((rc = create_all(s, err)) || (rc = write_version(s, err))))
		return rc;
	*ret_found = found;
	return OK;
}
