/*
 * The front door: what every driver may rely on (arguments checked, an error to write to) and what
 * every caller gets whichever the driver (durations, errors and batch sizes in the metrics).
 */
#include "store.h"

#include <string.h>

#include "alloc.h"
#include "metrics.h"
#include "store_driver.h"
#include "store_opening.h"
#include "text.h"

/* The verbs as metric labels. */
#define STORE_OPS(OP)                                                                              \
	OP(PING, "ping")                                                                           \
	OP(INSERT, "insert")                                                                       \
	OP(CLAIM, "claim")                                                                         \
	OP(SETTLE, "settle")                                                                       \
	OP(RENEW, "renew")                                                                         \
	OP(RECOVER, "recover")                                                                     \
	OP(GET, "get")                                                                             \
	OP(LIST, "list")                                                                           \
	OP(COUNTS, "counts")                                                                       \
	OP(AHEAD, "ahead")                                                                         \
	OP(ATTEMPTS, "attempts")                                                                   \
	OP(CANCEL, "cancel")                                                                       \
	OP(REPLAY, "replay")                                                                       \
	OP(SCHEDULER, "scheduler")                                                                 \
	OP(RUNS, "runs")                                                                           \
	OP(NODES, "nodes")

enum store_op {
#define OP(id, name) OP_##id,
	STORE_OPS(OP)
#undef OP
	OP_COUNT
};

/* Failures of the store itself; "not found" and the like are answers. */
enum failure { FAILURE_TRANSIENT, FAILURE_UNCERTAIN, FAILURE_PERMANENT, FAILURE_COUNT };

static const char *const op_labels[OP_COUNT] = {
#define OP(id, name) "op=\"" name "\"",
	STORE_OPS(OP)
#undef OP
};
static const char *const failure_labels[OP_COUNT][FAILURE_COUNT] = {
#define OP(id, name)                                                                               \
	{"op=\"" name "\",error=\"transient\"", "op=\"" name "\",error=\"uncertain\"",             \
	 "op=\"" name "\",error=\"permanent\""},
	STORE_OPS(OP)
#undef OP
};

struct store {
	struct opening opening;
	int (*on_open)(struct store *s, struct store_session *c, void *arg, struct error *err);
	void *on_open_arg;
	_Atomic int schema_found;
	bool measured;
	struct metric_histogram *seconds[OP_COUNT];
	metric_counter *failures[OP_COUNT][FAILURE_COUNT];
	struct metric_histogram *claim_size, *settle_size;
};

struct store_session {
	struct store *store;
	void *session; /* NULL: not opened yet */
};

static void register_metrics(struct store *s, struct metrics *m)
{
	static const usec_t durations[] = {100,    250,    500,    1000,    2500,    5000,   10000,
	                                   25000,  50000,  100000, 250000,  1000000, 5000000};
	static const int64_t sizes[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
	size_t op, f;

	for (op = 0; op < OP_COUNT; op++) {
		s->seconds[op] = metrics_histogram(m, "herald_store_seconds",
		                                   "Duration of store operations by kind.",
		                                   op_labels[op], durations, ARRAY_SIZE(durations));
		for (f = 0; f < FAILURE_COUNT; f++)
			s->failures[op][f] = metrics_counter(m, "herald_store_errors_total",
			                                     "Store operations that failed.",
			                                     failure_labels[op][f]);
	}
	s->claim_size = metrics_size_histogram(m, "herald_claim_batch_size",
	                                       "Messages per claim that gave any.", "", sizes,
	                                       ARRAY_SIZE(sizes));
	s->settle_size = metrics_size_histogram(m, "herald_settle_batch_size",
	                                        "Outcomes recorded per transaction.", "", sizes,
	                                        ARRAY_SIZE(sizes));
	s->measured = true;
}

/* Does with a database what is to be done before anyone uses it. */
static int welcome(void *db, void *arg, struct error *err)
{
	struct store *s = arg;
	struct store_session first = {.store = s};
	int rc;

	atomic_store(&s->schema_found, s->opening.driver->schema_found(db));
	if (!s->on_open)
		return OK;
	rc = s->opening.driver->session_open(db, &first.session, err);
	if (rc)
		return rc;
	rc = s->on_open(s, &first, s->on_open_arg, err);
	s->opening.driver->session_close(first.session);
	return rc;
}

int store_open(struct store **ret, const struct store_options *options, struct error *err)
{
	struct error spare = ERROR_INIT;
	struct store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->on_open = options->on_open;
	s->on_open_arg = options->on_open_arg;
	if (options->metrics)
		register_metrics(s, options->metrics);
	rc = opening_begin(&s->opening, options, welcome, s, err ? err : &spare);
	if (rc)
		free(s);
	else
		*ret = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	opening_end(&s->opening);
	free(s);
}

unsigned store_capabilities(const struct store *s)
{
	return s->opening.driver->capabilities;
}

void store_schema(const struct store *s, int *ret_found, int *ret_current)
{
	*ret_found = atomic_load(&s->schema_found);
	*ret_current = s->opening.driver->schema;
}

/* Opens the driver's session when the first verb needs it. */
static int session_ready(struct store_session *c, struct error *err)
{
	void *db;
	int rc;

	if (c->session)
		return OK;
	rc = opening_get(&c->store->opening, welcome, c->store, &db, err);
	return rc ? rc : c->store->opening.driver->session_open(db, &c->session, err);
}

int store_session_use(struct store_session *c, const struct store_driver **ret_driver,
                      void **ret_session, struct error *err)
{
	int rc = session_ready(c, err);

	if (rc)
		return rc;
	*ret_driver = c->store->opening.driver;
	*ret_session = c->session;
	return OK;
}

int store_session_open(struct store *s, struct store_session **ret, struct error *err)
{
	struct store_session *c = xcalloc(1, sizeof(*c));
	struct error spare = ERROR_INIT;
	int rc = OK;

	c->store = s;
	if (atomic_load(&s->opening.db))
		rc = session_ready(c, err ? err : &spare);
	if (rc)
		free(c);
	else
		*ret = c;
	return rc;
}

void store_session_close(struct store_session *c)
{
	if (!c)
		return;
	if (c->session)
		c->store->opening.driver->session_close(c->session);
	free(c);
}

/* One use of a verb, from its arguments' check to its metrics. */
struct call {
	struct store *store;
	enum store_op op;
	usec_t start;
	struct error spare;
};

static void call_begin(struct call *call, struct store_session *c, enum store_op op,
                       struct error **err)
{
	call->store = c->store;
	call->op = op;
	call->start = c->store->measured ? clock_mono() : 0;
	if (!*err)
		*err = &call->spare;
}

static int call_end(struct call *call, int rc)
{
	struct store *s = call->store;

	if (!s->measured)
		return rc;
	metric_observe(s->seconds[call->op], clock_mono() - call->start);
	if (rc == ERR_TRANSIENT)
		metric_inc(s->failures[call->op][FAILURE_TRANSIENT]);
	else if (rc == ERR_UNCERTAIN)
		metric_inc(s->failures[call->op][FAILURE_UNCERTAIN]);
	else if (rc == ERR_PERMANENT)
		metric_inc(s->failures[call->op][FAILURE_PERMANENT]);
	return rc;
}

/* Calls the driver's verb of that name between the two. */
#define CALL(c, op, err, verb, ...)                                                                \
	__extension__({                                                                            \
		struct call call_;                                                                 \
		call_begin(&call_, (c), (op), &(err));                                             \
		int rc_ = session_ready((c), (err));                                               \
		call_end(&call_, rc_ ? rc_                                                         \
		                     : (c)->store->opening.driver->verb(                           \
		                               (c)->session, __VA_ARGS__ __VA_OPT__(, )(err)));    \
	})

static int refuse(struct error *err, const char *what)
{
	return error_set(err, ERR_INVALID, "%s", what);
}

int store_ping(struct store_session *c, struct error *err)
{
	return CALL(c, OP_PING, err, ping);
}

int store_now(struct store_session *c, usec_t *ret, struct error *err)
{
	return CALL(c, OP_PING, err, now, ret);
}

static int check_draft(const struct message_draft *d, struct error *err)
{
	size_t len;

	if (!d->phone || !(len = strnlen(d->phone, MESSAGE_PHONE_MAX + 1)) || len > MESSAGE_PHONE_MAX)
		return refuse(err, "a message needs a phone number of at most 20 bytes");
	if (!d->content || strnlen(d->content, MESSAGE_CONTENT_MAX_BYTES + 1) > MESSAGE_CONTENT_MAX_BYTES)
		return refuse(err, "a message needs content of at most 400000 bytes");
	if (d->idempotency_key &&
	    !text_is_token(d->idempotency_key, strnlen(d->idempotency_key, MESSAGE_KEY_MAX + 1),
	                   MESSAGE_KEY_MAX))
		return refuse(err, "an idempotency key is 1 to 255 visible ASCII characters");
	if (d->metadata && strnlen(d->metadata, MESSAGE_METADATA_MAX + 1) > MESSAGE_METADATA_MAX)
		return refuse(err, "metadata may have at most 4096 bytes");
	if (d->send_at < 0)
		return refuse(err, "a message cannot be sent before 1970");
	return OK;
}

int store_insert(struct store_session *c, struct insert_group *groups, size_t n, struct error *err)
{
	size_t i, j;
	int rc;

	for (i = 0; i < n; i++) {
		for (j = 0; j < groups[i].n; j++) {
			rc = check_draft(&groups[i].drafts[j], err);
			if (rc)
				return rc;
		}
	}
	return CALL(c, OP_INSERT, err, insert, groups, n);
}

int store_claim(struct store_session *c, const struct claim_request *r, struct claim_batch *ret,
                struct error *err)
{
	int rc;

	if (!r->node || !r->owner || !r->want || r->want > PACING_BATCH_MAX || r->lease <= 0)
		return refuse(err, "a claim needs a node, an owner, a lease and 1 to 1000000 messages to want");
	if ((r->unpaced && r->free_retries) || r->skip > INT64_MAX)
		return refuse(err, "a claim is unpaced or one of retries, and steps over fewer than 2^63 "
		                   "messages");
	rc = CALL(c, OP_CLAIM, err, claim, r, ret);
	if (!rc && ret->n && c->store->measured)
		metric_observe(c->store->claim_size, (int64_t)ret->n);
	return rc;
}

int store_settle(struct store_session *c, struct settlement *s, size_t n, struct settle_result *ret,
                 struct error *err)
{
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		if (s[i].verdict < VERDICT_SENT || s[i].verdict >= VERDICT_COUNT || s[i].verdict == VERDICT_LOST)
			return refuse(err, "a settlement's verdict is sent, retry, failed, unknown, release or "
			                   "invalid");
		if (s[i].id < 1 || s[i].fence < 1 || s[i].retry_in < 0)
			return refuse(err, "a settlement names a message, its fence and no time in the past");
	}
	rc = CALL(c, OP_SETTLE, err, settle, s, n, ret);
	if (!rc && c->store->measured)
		metric_observe(c->store->settle_size, (int64_t)n);
	return rc;
}

int store_renew(struct store_session *c, const struct lease_ref *refs, size_t n, usec_t lease,
                size_t *ret_renewed, struct error *err)
{
	if (lease <= 0)
		return refuse(err, "a lease is longer than nothing");
	return CALL(c, OP_RENEW, err, renew, refs, n, lease, ret_renewed);
}

int store_recover(struct store_session *c, const struct recover_request *r,
                  struct recover_result *ret, struct error *err)
{
	if (!r->owner || !r->limit || r->max_lost < 1 || r->max_attempts < 1)
		return refuse(err, "recovery needs an owner and limits of at least 1");
	return CALL(c, OP_RECOVER, err, recover, r, ret);
}

int store_get(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
              struct error *err)
{
	return CALL(c, OP_GET, err, get, id, arena, ret);
}

int store_list(struct store_session *c, const struct list_query *q, struct message_page *ret,
               struct error *err)
{
	if (q->status < -1 || q->status >= MESSAGE_STATUS_COUNT)
		return refuse(err, "there is no such status");
	if (q->limit < 1 || q->limit > 1000)
		return refuse(err, "a page has 1 to 1000 messages");
	if (q->offset > INT64_MAX)
		return refuse(err, "the offset is too large");
	return INTO_PAGE(ret, page, message_page_release, CALL(c, OP_LIST, err, list, q, &page));
}

int store_counts(struct store_session *c, struct store_counts *ret, struct error *err)
{
	return CALL(c, OP_COUNTS, err, counts, ret);
}

int store_ahead(struct store_session *c, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	if (q->limit < 1 || q->limit > 100000)
		return refuse(err, "1 to 100000 messages can be counted");
	return CALL(c, OP_AHEAD, err, ahead, q, ret);
}

int store_attempts(struct store_session *c, int64_t id, struct attempt_page *ret, struct error *err)
{
	return INTO_PAGE(ret, page, attempt_page_release, CALL(c, OP_ATTEMPTS, err, attempts, id, &page));
}

int store_cancel(struct store_session *c, int64_t id, struct arena *arena, struct message *ret,
                 struct error *err)
{
	return CALL(c, OP_CANCEL, err, cancel, id, arena, ret);
}

int store_replay(struct store_session *c, int64_t id, struct error *err)
{
	return CALL(c, OP_REPLAY, err, replay, id);
}

int store_replay_some(struct store_session *c, uint32_t limit, uint32_t *ret, struct error *err)
{
	if (!limit)
		return refuse(err, "replay at least one message");
	return CALL(c, OP_REPLAY, err, replay_some, limit, ret);
}

static bool pacing_bounds(usec_t interval, int64_t batch)
{
	return interval >= 0 && batch >= 1 && batch <= PACING_BATCH_MAX;
}

int store_scheduler_init(struct store_session *c, const struct scheduler_defaults *d,
                         struct scheduler *ret, struct error *err)
{
	if (!pacing_bounds(d->interval, d->batch))
		return refuse(err, "the interval is at least 0 and the batch size 1 to 1000000");
	if (d->job_name && strnlen(d->job_name, JOB_NAME_MAX + 1) > JOB_NAME_MAX)
		return refuse(err, "a job's name has at most 64 bytes");
	return CALL(c, OP_SCHEDULER, err, scheduler_init, d, ret);
}

int store_scheduler_get(struct store_session *c, struct scheduler *ret, struct error *err)
{
	return CALL(c, OP_SCHEDULER, err, scheduler_get, ret);
}

int store_scheduler_change(struct store_session *c, const struct scheduler_change *change,
                           struct scheduler *ret, bool *ret_changed, struct error *err)
{
	if (change->interval < -1 || (change->batch != -1 && !pacing_bounds(0, change->batch)))
		return refuse(err, "the interval is at least 0 and the batch size 1 to 1000000");
	if (change->failure_rate > 1)
		return refuse(err, "the failure rate is between 0 and 1");
	if (change->job_name && strnlen(change->job_name, JOB_NAME_MAX + 1) > JOB_NAME_MAX)
		return refuse(err, "a job's name has at most 64 bytes");
	return CALL(c, OP_SCHEDULER, err, scheduler_change, change, ret, ret_changed);
}

int store_runs(struct store_session *c, int64_t before, uint64_t offset, uint32_t limit,
               struct run_page *ret, struct error *err)
{
	if (limit < 1 || limit > 1000)
		return refuse(err, "a page has 1 to 1000 runs");
	if (offset > INT64_MAX)
		return refuse(err, "the offset is too large");
	return INTO_PAGE(ret, page, run_page_release, CALL(c, OP_RUNS, err, runs, before, offset, limit, &page));
}

int store_jobs(struct store_session *c, int64_t before, uint64_t offset, uint32_t limit,
               struct job_page *ret, struct error *err)
{
	if (limit < 1 || limit > 1000)
		return refuse(err, "a page has 1 to 1000 jobs");
	if (offset > INT64_MAX)
		return refuse(err, "the offset is too large");
	return INTO_PAGE(ret, page, job_page_release, CALL(c, OP_RUNS, err, jobs, before, offset, limit, &page));
}

static bool fits(const char *s, size_t max)
{
	return s && *s && strnlen(s, max + 1) <= max;
}

int store_node_seen(struct store_session *c, const struct node_report *r, struct error *err)
{
	if (!fits(r->node, NODE_ID_MAX) || !fits(r->boot, NODE_BOOT_MAX) ||
	    !fits(r->version, NODE_TEXT_MAX) || !fits(r->role, NODE_TEXT_MAX))
		return refuse(err, "a node reports its id, boot, version and role, and none is long");
	return CALL(c, OP_NODES, err, node_seen, r);
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = a, *y = b;
	int by_id = strcmp(x->id, y->id);

	if (by_id)
		return by_id;
	if (x->started_at != y->started_at)
		return x->started_at < y->started_at ? -1 : 1;
	return strcmp(x->boot, y->boot);
}

/* Sorted here, since databases differ in how they compare texts. */
int store_nodes(struct store_session *c, struct node_page *ret, struct error *err)
{
	int rc = INTO_PAGE(ret, page, node_page_release, CALL(c, OP_NODES, err, nodes, &page));

	if (!rc && ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_nodes);
	return rc;
}
