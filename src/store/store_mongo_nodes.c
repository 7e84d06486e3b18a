/* Which nodes there are: one document for each life of a node. */
#include "alloc.h"
#include "store_mongo.h"

/* A boot is short and has no line break. */
static char *node_key(const struct node_report *r)
{
	return xasprintf("%s\n%s", r->boot, r->node);
}

int mg_node_seen(void *session, const struct node_report *r, struct error *err)
{
	char *key cleanup(free_ptr) = node_key(r);
	struct mg_session *s = session;
	int rc, tries = 0;
	usec_t now;

	rc = mg_now(s, &now, err);
	if (rc)
		return rc;
	do
		rc = mg_update(s, MG_NODES, false, BCON_NEW("_id", BCON_UTF8(key)),
		               BCON_NEW("$set", "{", "last_seen", BCON_INT64(now), "in_flight",
		                        BCON_INT64(r->in_flight), "left", BCON_BOOL(r->leaving), "}",
		                        "$setOnInsert", "{", "node", BCON_UTF8(r->node), "boot",
		                        BCON_UTF8(r->boot), "version", BCON_UTF8(r->version), "role",
		                        BCON_UTF8(r->role), "started_at", BCON_INT64(now), "}"),
		               true, NULL, err);
	while (rc == ERR_CONFLICT && !tries++); /* two upserts at once: now it is there */
	if (!rc)
		rc = mg_delete(s, MG_NODES,
		               BCON_NEW("$or", "[", "{", "last_seen", "{", "$lt",
		                        BCON_INT64(now - NODE_FORGET_AFTER), "}", "}", "{", "node",
		                        BCON_UTF8(r->node), "_id", "{", "$ne", BCON_UTF8(key), "}", "$or",
		                        "[", "{", "left", BCON_BOOL(true), "}", "{", "last_seen", "{", "$lt",
		                        BCON_INT64(now - NODE_REPLACE_AFTER), "}", "}", "]", "}", "]"),
		               err);
	/* Reporting twice does no harm. */
	if (rc == ERR_UNCERTAIN)
		rc = err->code = ERR_TRANSIENT;
	return rc;
}

int mg_nodes(void *session, struct node_page *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) =
		mg_find(session, MG_NODES, NULL,
	                BCON_NEW("sort", "{", "last_seen", BCON_INT32(-1), "}", "limit",
	                         BCON_INT64(NODES_LISTED)));
	struct node_page page = {.n = 0};
	const bson_t *doc;
	int rc;

	page.items = arena_calloc(&page.arena, NODES_LISTED, sizeof(*page.items));
	while ((rc = mg_next(session, cursor, &doc, err)) > 0 && page.n < NODES_LISTED) {
		page.items[page.n++] = (struct node){
			.id = arena_strdup(&page.arena, mg_utf8(doc, "node")),
			.boot = arena_strdup(&page.arena, mg_utf8(doc, "boot")),
			.version = arena_strdup(&page.arena, mg_utf8(doc, "version")),
			.role = arena_strdup(&page.arena, mg_utf8(doc, "role")),
			.started_at = mg_i64(doc, "started_at"),
			.last_seen = mg_i64(doc, "last_seen"),
			.in_flight = (uint32_t)mg_i64(doc, "in_flight"),
			.left = mg_i64(doc, "left") != 0,
		};
	}
	if (rc >= 0)
		rc = mg_now(session, &page.now, err);
	if (rc)
		arena_release(&page.arena);
	else
		*ret = page;
	return rc;
}
