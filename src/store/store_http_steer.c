/* The scheduler, the counts and the nodes of another herald. */
#include "store_http.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "json_out.h"
#include "store_rules.h"

#define RUNS_PER_PAGE 100 /* the server's limit */

/* The server's clock as last heard; the first time is asked for when the store is opened. */
static usec_t now_there(const struct hs_session *s)
{
	return clock_mono() + atomic_load(&s->db->clock);
}

int hs_now(void *session, usec_t *ret, struct error *err)
{
	int rc = hs_probe(session, err);

	if (!rc)
		*ret = now_there(session);
	return rc;
}

int hs_counts(void *session, struct store_counts *ret, struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	int rc = hs_call(session, HS_MESSAGES, "/api/v1/messages/stats", NULL, &doc, err);

	if (!rc && !hs_read_counts(doc, ret))
		rc = hs_not_understood(session, ERR_PERMANENT, err);
	return rc;
}

static int scheduler(struct hs_session *s, const char *path, const struct buf *body, struct scheduler *ret,
                     bool *ret_changed, struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	int rc = hs_call(s, HS_SCHEDULER, path, body, &doc, err);

	if (!rc && !hs_read_scheduler(doc, now_there(s), ret, ret_changed))
		rc = hs_not_understood(s, body ? ERR_UNCERTAIN : ERR_PERMANENT, err);
	return rc;
}

int hs_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	bool changed;

	return scheduler(session, "/api/v1/scheduler/status", NULL, ret, &changed, err);
}

/* It is configured where the database is. */
int hs_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                        struct error *err)
{
	(void)d;
	return hs_scheduler_get(session, ret, err);
}

int hs_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                          bool *ret_changed, struct error *err)
{
	struct hs_session *s = session;
	char interval[DURATION_TEXT];
	struct json_out j;

	buf_clear(&s->body);
	j = json_begin(&s->body);
	json_open_object(&j);
	if (change->interval >= 0)
		json_kv_str(&j, "interval", duration_format(change->interval, interval));
	if (change->batch >= 0)
		json_kv_int(&j, "batchSize", change->batch);
	if (change->failure_rate >= 0)
		json_kv_double(&j, "failureRate", change->failure_rate);
	if (change->alerted_at > 0)
		json_kv_time(&j, "alertedAt", change->alerted_at);
	json_end(&j);
	return scheduler(s, change->running > 0    ? "/api/v1/scheduler/start"
	                    : change->running == 0 ? "/api/v1/scheduler/stop"
	                                           : "/api/v1/scheduler/settings",
	                 &s->body, ret, ret_changed, err);
}

/* Pages of the server's: whole ones from the newest run on. */
int hs_runs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
              struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	char path[100];
	int rc;

	if (before || limit > RUNS_PER_PAGE || offset % limit)
		return error_set(err, ERR_CONFIG, "without the database, runs are listed by whole pages only");
	snprintf(path, sizeof(path), "/api/v1/scheduler/runs?page=%llu&pageSize=%u",
	         (unsigned long long)(offset / limit + 1), limit);
	rc = hs_call(session, HS_SCHEDULER, path, NULL, &doc, err);
	if (!rc && !hs_read_runs(doc, ret))
		rc = hs_not_understood(session, ERR_PERMANENT, err);
	return rc;
}

int hs_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	char path[100];
	int rc;

	if (before || limit > RUNS_PER_PAGE || offset % limit)
		return error_set(err, ERR_CONFIG, "without the database, jobs are listed by whole pages only");
	snprintf(path, sizeof(path), "/api/v1/scheduler/jobs?page=%llu&pageSize=%u",
	         (unsigned long long)(offset / limit + 1), limit);
	rc = hs_call(session, HS_SCHEDULER, path, NULL, &doc, err);
	if (!rc && !hs_read_jobs(doc, ret))
		rc = hs_not_understood(session, ERR_PERMANENT, err);
	return rc;
}

int hs_node_seen(void *session, const struct node_report *r, struct error *err)
{
	struct hs_session *s = session;
	json_t *doc cleanup(hs_free_doc) = NULL;
	struct json_out j;

	buf_clear(&s->body);
	j = json_begin(&s->body);
	json_open_object(&j);
	json_kv_str(&j, "node", r->node);
	json_kv_str(&j, "bootId", r->boot);
	json_kv_str(&j, "version", r->version);
	json_kv_str(&j, "role", r->role);
	json_kv_int(&j, "inFlight", r->in_flight);
	json_kv_bool(&j, "leaving", r->leaving);
	json_end(&j);
	return hs_call(s, HS_SCHEDULER, "/api/v1/nodes", &s->body, &doc, err);
}

int hs_nodes(void *session, struct node_page *ret, struct error *err)
{
	json_t *doc cleanup(hs_free_doc) = NULL;
	int rc = hs_call(session, HS_SCHEDULER, "/api/v1/nodes", NULL, &doc, err);

	if (!rc && !hs_read_nodes(doc, now_there(session), ret))
		rc = hs_not_understood(session, ERR_PERMANENT, err);
	return rc;
}
