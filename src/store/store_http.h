/*
 * Parts of the driver `http`: the messages are in another herald's database, reached over its API
 * (docs/api.md). The other herald decides everything that a database would: the beat, fences, recovery, the time.
 * What only somebody with the database can do is refused with ERR_CONFIG (STORE_REMOTE).
 */
#ifndef HERALD_STORE_HTTP_H
#define HERALD_STORE_HTTP_H

#include <jansson.h>
#include <stdatomic.h>

#include "buf.h"
#include "store_driver.h"

/* The most that one lease may ask for. */
#define HS_LEASE_MAX 500

struct hs_db {
	char *base; /* "http://host:port/prefix", without what is secret */
	char *messages_header, *scheduler_header; /* "x-ins-auth-key: KEY"; NULL: no key */
	_Atomic usec_t clock; /* the server's clock minus the monotonic one, as last heard */
};

struct hs_session {
	struct hs_db *db;
	void *curl; /* CURL; one connection that is kept */
	struct buf body, answer;
};

/* --- store_http_call.c: one request and its answer ---------------------------------------------------------- */

enum hs_group { HS_OPEN, HS_MESSAGES, HS_SCHEDULER };

/*
 * GET when body is NULL, else POST. On success *ret is the answer's document, the caller's. A GET changes nothing, so
 * it fails as TRANSIENT or CONFIG where a POST is UNCERTAIN. ERR_CONFIG: the key is refused, or there is no herald;
 * ERR_NOT_FOUND, ERR_CONFLICT, ERR_PERMANENT: as answered.
 */
must_check int hs_call(struct hs_session *s, enum hs_group group, const char *path, const struct buf *body,
                         json_t **ret, struct error *err);
/* A document that is not what it should be: `code`. */
int hs_not_understood(const struct hs_session *s, int code, struct error *err);
/* Whether /readyz answers 200. */
must_check int hs_probe(struct hs_session *s, struct error *err);
void hs_session_release(struct hs_session *s);

static inline void hs_free_doc(json_t **doc)
{
	json_decref(*doc);
}

/* --- store_http_read.c: what answers say; foreign bytes, so nothing is taken unseen ------------------------- */

/* False: the document is not what it should be. Texts are copied to the arena of what is returned. */
must_check bool hs_read_protocol(const json_t *doc, int64_t *ret_protocol, const char **ret_version);
must_check bool hs_read_health(const json_t *doc, usec_t *ret_now);
must_check bool hs_read_lease(const json_t *doc, struct claim_batch *ret);
/* s: what was reported, in that order; fills in applied and sent_at. Adds to *ret. */
must_check bool hs_read_outcomes(const json_t *doc, struct settlement *s, size_t n, struct settle_result *ret);
must_check bool hs_read_extended(const json_t *doc, size_t *ret);
must_check bool hs_read_counts(const json_t *doc, struct store_counts *ret);
/* now: the server's clock. */
must_check bool hs_read_scheduler(const json_t *doc, usec_t now, struct scheduler *ret, bool *ret_changed);
must_check bool hs_read_jobs(const json_t *doc, struct job_page *ret);
must_check bool hs_read_runs(const json_t *doc, struct run_page *ret);
must_check bool hs_read_nodes(const json_t *doc, usec_t now, struct node_page *ret);

/* --- store_http_send.c -------------------------------------------------------------------------------------- */

int hs_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err);
int hs_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret, struct error *err);
int hs_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease, size_t *ret_renewed,
               struct error *err);
int hs_recover(void *session, const struct recover_request *r, struct recover_result *ret, struct error *err);

/* --- store_http_steer.c ------------------------------------------------------------------------------------- */

int hs_now(void *session, usec_t *ret, struct error *err);
int hs_counts(void *session, struct store_counts *ret, struct error *err);
int hs_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                        struct error *err);
int hs_scheduler_get(void *session, struct scheduler *ret, struct error *err);
int hs_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                          bool *ret_changed, struct error *err);
int hs_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err);
int hs_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
              struct error *err);
int hs_node_seen(void *session, const struct node_report *r, struct error *err);
int hs_nodes(void *session, struct node_page *ret, struct error *err);

#endif
