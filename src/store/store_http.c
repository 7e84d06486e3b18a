/* The driver's outline: opening, sessions, and the verbs that need the database. */
#include "store_http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "lease_token.h"
#include "log.h"

/* --- the URL ------------------------------------------------------------------------------------------------ */

static char *part_of(CURLU *url, CURLUPart what, unsigned flags)
{
	char *text = NULL, *copy;

	if (curl_url_get(url, what, &text, flags))
		return NULL;
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

/* One line of a header, so that a key cannot smuggle in another. */
static char *key_header(const char *key)
{
	if (!key || !*key || strpbrk(key, "\r\n"))
		return NULL;
	return xasprintf("x-ins-auth-key: %s", key);
}

static void close_db(void *arg)
{
	struct hs_db *db = arg;

	free(db->base);
	free(db->messages_header);
	free(db->scheduler_header);
	free(db);
}

/* http://[:KEY@]HOST[:PORT][/PREFIX]; a key in it goes before the configured ones. Without one, the other herald must
 * have open routes below the prefix. */
static int read_url(struct hs_db *db, const struct driver_options *o, struct error *err)
{
	CURLU *url = curl_url();
	char *key, *base;

	if (!url)
		panic("libcurl has no memory");
	if (curl_url_set(url, CURLUPART_URL, o->url, 0)) {
		curl_url_cleanup(url);
		return error_set(err, ERR_CONFIG, "the database URL is not one like http://HOST:PORT");
	}
	key = part_of(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
	curl_url_set(url, CURLUPART_USER, NULL, 0);
	curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(url, CURLUPART_QUERY, NULL, 0);
	base = part_of(url, CURLUPART_URL, 0);
	curl_url_cleanup(url);
	if (!base) {
		free(key);
		return error_set(err, ERR_CONFIG, "the database URL is not one like http://HOST:PORT");
	}
	for (size_t len = strlen(base); len && base[len - 1] == '/'; len--)
		base[len - 1] = 0;
	db->base = base;
	db->messages_header = key_header(key ? key : o->messages_key);
	db->scheduler_header = key_header(o->scheduler_key && *o->scheduler_key ? o->scheduler_key : key);
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
	return OK;
}

/* --- opening ------------------------------------------------------------------------------------------------ */

/* That there is a herald, that it speaks as we do and what time it has there. */
static int greet(struct hs_session *s, struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL, *health cleanup(hs_free_doc) = NULL;
	const char *version;
	int64_t protocol;
	usec_t now;
	int rc;

	if ((rc = hs_probe(s, err)) || (rc = hs_call(s, HS_OPEN, "/openapi.json", NULL, &doc, err)))
		return rc;
	if (!hs_read_protocol(doc, &protocol, &version))
		return error_set(err, ERR_CONFIG, "what answers at %s is no herald", s->db->base);
	if (protocol != LEASE_PROTOCOL)
		return error_set(err, ERR_CONFIG,
		                 "the herald at %s (%s) speaks version %lld of the lease protocol, this one (%s) "
		                 "version %d: bring both to the same release", s->db->base, version,
		                 (long long)protocol, HERALD_VERSION, LEASE_PROTOCOL);
	if (strcmp(version, HERALD_VERSION) != 0)
		log_warn("the herald with the database has another version", kv_str("there", version),
		         kv_str("here", HERALD_VERSION));
	rc = hs_call(s, HS_OPEN, "/health", NULL, &health, err);
	if (!rc && !hs_read_health(health, &now))
		rc = error_set(err, ERR_CONFIG, "what answers at %s is no herald", s->db->base);
	if (!rc)
		atomic_store(&s->db->clock, now - clock_mono());
	return rc;
}

static int open_db(void **ret, const struct driver_options *o, struct error *err)
{
	struct hs_db *db = xcalloc(1, sizeof(*db));
	struct hs_session s = {.db = db, .body = BUF_INIT, .answer = BUF_INIT};
	struct store_counts counts;
	struct scheduler scheduler;
	int rc;

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		panic("libcurl cannot be used");
	/* The last two try each key. */
	rc = read_url(db, o, err);
	if (rc || (rc = greet(&s, err)) || (rc = hs_counts(&s, &counts, err)) ||
	    (rc = hs_scheduler_get(&s, &scheduler, err)))
		close_db(db);
	else
		*ret = db;
	hs_session_release(&s);
	return rc;
}

static int schema_found(const void *db)
{
	(void)db;
	return LEASE_PROTOCOL;
}

static int open_session(void *db, void **ret, struct error *err)
{
	struct hs_session *s = xcalloc(1, sizeof(*s));

	(void)err;
	s->db = db;
	s->body = s->answer = (struct buf)BUF_INIT;
	*ret = s;
	return OK;
}

static void close_session(void *session)
{
	hs_session_release(session);
	free(session);
}

static int ping(void *session, struct error *err)
{
	return hs_probe(session, err);
}

/* --- what needs the database -------------------------------------------------------------------------------- */

static int needs_database(const char *what, struct error *err)
{
	return error_set(err, ERR_CONFIG, "%s needs the database: ask the herald that has it", what);
}

static int insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	(void)session;
	(void)groups;
	(void)n;
	return needs_database("storing messages", err);
}

static int get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	(void)session;
	(void)id;
	(void)arena;
	(void)ret;
	return needs_database("reading a message", err);
}

static int list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	(void)session;
	(void)q;
	(void)ret;
	return needs_database("listing messages", err);
}

static int ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	(void)session;
	(void)q;
	(void)ret;
	return needs_database("counting the queue", err);
}

static int attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	(void)session;
	(void)id;
	(void)ret;
	return needs_database("listing attempts", err);
}

static int cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	(void)session;
	(void)id;
	(void)arena;
	(void)ret;
	return needs_database("cancelling a message", err);
}

static int replay(void *session, int64_t id, struct error *err)
{
	(void)session;
	(void)id;
	return needs_database("replaying a message", err);
}

static int replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	(void)session;
	(void)limit;
	(void)ret;
	return needs_database("replaying messages", err);
}

const struct store_driver store_driver_http = {
	.name = "http",
	.capabilities = STORE_DURABLE | STORE_REMOTE,
	.schema = LEASE_PROTOCOL,
	.open = open_db,
	.close = close_db,
	.schema_found = schema_found,
	.session_open = open_session,
	.session_close = close_session,
	.ping = ping,
	.now = hs_now,
	.insert = insert,
	.claim = hs_claim,
	.settle = hs_settle,
	.renew = hs_renew,
	.recover = hs_recover,
	.get = get,
	.list = list,
	.counts = hs_counts,
	.ahead = ahead,
	.attempts = attempts,
	.cancel = cancel,
	.replay = replay,
	.replay_some = replay_some,
	.scheduler_init = hs_scheduler_init,
	.scheduler_get = hs_scheduler_get,
	.scheduler_change = hs_scheduler_change,
	.runs = hs_runs,
	.jobs = hs_jobs,
	.node_seen = hs_node_seen,
	.nodes = hs_nodes,
};
