/*
 * Connections and statements of the PostgreSQL driver.
 *
 * A connection stays in pipeline mode: what belongs together is sent together and costs one round trip.
 * It is non-blocking, since a server may hang without its machine being gone (the kernel goes on to
 * acknowledge): nobody waits longer than CALL_TIMEOUT for an answer.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

/* Patience, from the inside out: for a lock; for a statement (the server gives up); for an answer (we
 * give up, and the connection); for the next statement of a transaction, whose locks stop the other
 * nodes if this one is frozen. */
#define SET(name, value) "set_config('" name "','" value "',false)"
#define SETTINGS                                                                                   \
	"SELECT " SET("lock_timeout", "5s") "," SET("statement_timeout", "10s") ","                \
	SET("idle_in_transaction_session_timeout", "5s") ","                                       \
	/* The same for one that does not read on. */                                              \
	SET("tcp_user_timeout", "10s") ","                                                         \
	/* Plans shall not depend on statistics, which are out of date at all times for tables that \
	 * work like queues: all our statements have an index in the order that they need. */       \
	SET("plan_cache_mode", "force_generic_plan") "," SET("jit", "off") ","                     \
	SET("enable_seqscan", "off") "," SET("enable_bitmapscan", "off") ","                       \
	SET("enable_sort", "off") "," SET("enable_hashjoin", "off") ","                            \
	SET("enable_mergejoin", "off") ","                                                         \
	/* Locks are what keeps the nodes apart; a stricter level makes them begin anew, again and again. */ \
	SET("default_transaction_isolation", "read committed") ","                                 \
	/* Accepted is durable, whatever the server's default. */                                  \
	"CASE current_setting('synchronous_commit') WHEN 'off'"                                    \
	" THEN " SET("synchronous_commit", "on") " END"
#define CALL_TIMEOUT (12 * USEC_PER_SEC)

#define BACKOFF_FIRST (100 * USEC_PER_MSEC)
#define BACKOFF_MAX (5 * USEC_PER_SEC)

/* --- connecting -------------------------------------------------------------------------------------------- */

static void notice(void *arg, const PGresult *res)
{
	struct pg_session *s = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity && !strcmp(severity, "WARNING"))
		s->warned = true;
}

static void no_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

/* Ours, where the URL says nothing. Connections to a peer that is gone end within seconds. */
static const struct {
	const char *key, *value;
} connect_defaults[] = {
	{"application_name", "herald"}, {"target_session_attrs", "read-write"},
	{"connect_timeout", "5"},       {"tcp_user_timeout", "10000"},
	{"keepalives_idle", "5"},       {"keepalives_interval", "2"},
	{"keepalives_count", "3"},
};

static void add_defaults(PQconninfoOption *given, const char **keys, const char **values)
{
	PQconninfoOption *o;
	size_t i, n = 0;

	for (o = given; o->keyword; o++) {
		if (o->val && *o->val && strcmp(o->keyword, "client_encoding") != 0) {
			keys[n] = o->keyword;
			values[n++] = o->val;
			continue;
		}
		for (i = 0; i < ARRAY_SIZE(connect_defaults); i++) {
			if (strcmp(o->keyword, connect_defaults[i].key) != 0)
				continue;
			keys[n] = o->keyword;
			values[n++] = connect_defaults[i].value;
		}
	}
	keys[n] = "client_encoding";
	values[n++] = "UTF8";
	keys[n] = values[n] = NULL;
}

/* libpq's own words, up to where they quote the URL: that may hold a password. The name of a parameter that
 * there is not is no secret. */
static int bad_url(char *said, struct error *err)
{
	if (said)
		said[strcspn(said, text_starts_with(said, "invalid URI query parameter") ? "\n"
		                                                                         : "\":\n")] = '\0';
	error_set(err, ERR_CONFIG, "the URL cannot be understood%s%s", said ? ": " : "",
	          said ? said : "");
	PQfreemem(said);
	return ERR_CONFIG;
}

/* Errors of a connection carry no SQLSTATE to us, so why it failed is only known from its text, in the
 * server's language; all but a few are of the passing kind. */
static int connect_failed(PGconn *handle, struct error *err)
{
	static const char *const lasting[] = {"authentication failed", "does not exist", "pg_hba.conf",
	                                      "no password supplied", "certificate", "SSL is required"};
	const char *said = handle ? PQerrorMessage(handle) : "out of memory";
	int code = ERR_TRANSIENT;
	char text[400];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(lasting); i++) {
		if (strstr(said, lasting[i]))
			code = ERR_CONFIG;
	}
	snprintf(text, sizeof(text), "%s", said);
	for (n = 0; text[n]; n++) {
		if (text[n] == '\n')
			text[n] = text[n + 1] ? ' ' : '\0';
	}
	return error_set(err, code, "cannot connect: %s", text);
}

int pg_connect(const char *url, PGconn **ret, struct error *err)
{
	char *said = NULL;
	PQconninfoOption *given = PQconninfoParse(url, &said), *o;
	const char **keys, **values;
	PGconn *handle;
	size_t n = 2;

	if (!given)
		return bad_url(said, err);
	for (o = given; o->keyword; o++)
		n++;
	keys = xcalloc(n, sizeof(*keys));
	values = xcalloc(n, sizeof(*values));
	add_defaults(given, keys, values);
	handle = PQconnectdbParams(keys, values, 0);
	free(keys);
	free(values);
	PQconninfoFree(given);

	if (!handle || PQstatus(handle) != CONNECTION_OK) {
		connect_failed(handle, err);
		PQfinish(handle);
		return err->code;
	}
	PQsetNoticeReceiver(handle, no_notice, NULL);
	*ret = handle;
	return OK;
}

void pg_drop(struct pg_session *s)
{
	size_t i;

	PQfinish(s->handle);
	s->handle = NULL;
	for (i = 0; i < s->statements_n; i++)
		s->statements[i].state = STATEMENT_NOT;
}

/* --- statements -------------------------------------------------------------------------------------------- */

static size_t find_statement(const struct pg_session *s, const char *sql)
{
	size_t i;

	for (i = 0; i < s->statements_n; i++) {
		if (!strcmp(s->statements[i].sql, sql))
			break;
	}
	return i;
}

static void mark(struct pg_session *s, const char *sql, enum pg_statement_state state)
{
	s->statements[find_statement(s, sql)].state = state;
}

static struct pg_prepared *prepared(struct pg_session *s, const char *sql, char *name, size_t size)
{
	size_t i = find_statement(s, sql);

	if (i == PG_STATEMENTS_MAX)
		panic("more than %d different statements", PG_STATEMENTS_MAX);
	if (i == s->statements_n) {
		s->statements[i] = (struct pg_prepared){.sql = xstrdup(sql)};
		s->statements_n++;
	}
	snprintf(name, size, "herald%zu", i);
	return &s->statements[i];
}

/* Queues one statement; *ret_prepares tells whether a result of its preparation comes first. */
static bool queue(struct pg_session *s, const struct pg_call *call, bool *ret_prepares)
{
	const char *values[PG_ARGS_MAX];
	int lengths[PG_ARGS_MAX], formats[PG_ARGS_MAX], n = 0;
	const struct pg_args *a = call->args;
	struct pg_prepared *p;
	char name[32];

	for (; a && (size_t)n < a->n; n++) {
		values[n] = a->arg[n].null ? NULL : a->data.data + a->arg[n].at;
		lengths[n] = (int)a->arg[n].len;
		formats[n] = 1;
	}
	*ret_prepares = false;
	if (call->once)
		return PQsendQueryParams(s->handle, call->sql, n, NULL, values, lengths, formats, 1);
	p = prepared(s, call->sql, name, sizeof(name));
	if (p->state == STATEMENT_NOT) {
		if (!PQsendPrepare(s->handle, name, call->sql, 0, NULL))
			return false;
		p->state = STATEMENT_SENT;
		*ret_prepares = true;
	}
	return PQsendQueryPrepared(s->handle, name, n, values, lengths, formats, 1);
}

/* Waits for something to happen on the socket. */
static bool wait_socket(PGconn *handle, bool write, usec_t deadline)
{
	struct pollfd p = {.fd = PQsocket(handle), .events = POLLIN};
	usec_t left = deadline - clock_mono();

	if (write)
		p.events |= POLLOUT;
	if (left <= 0)
		return false;
	return poll(&p, 1, (int)(left / USEC_PER_MSEC) + 1) >= 0 || errno == EINTR;
}

/* The next result; false: the connection is lost or the server takes too long. */
static bool next_result(struct pg_session *s, usec_t deadline, PGresult **ret)
{
	int unsent = 1;

	while (PQisBusy(s->handle)) {
		if (unsent && (unsent = PQflush(s->handle)) < 0)
			return false;
		if (!PQisBusy(s->handle))
			break;
		if (!wait_socket(s->handle, unsent, deadline) || !PQconsumeInput(s->handle))
			return false;
	}
	*ret = PQgetResult(s->handle);
	return PQstatus(s->handle) == CONNECTION_OK;
}

/* Collects what the calls gave, up to the end of the pipeline; after a failure the server skips the rest.
 * false: the connection is of no more use. */
static bool collect(struct pg_session *s, struct pg_call *calls, size_t n, bool *prepares,
                    PGresult **ret_failed)
{
	usec_t deadline = clock_mono() + CALL_TIMEOUT;
	ExecStatusType status;
	PGresult *res;
	size_t i = 0;
	bool alive;

	for (;;) {
		res = NULL;
		alive = next_result(s, deadline, &res);
		if (alive && !res)
			continue; /* the end of one statement */
		status = PQresultStatus(res);
		if (!*ret_failed && res && status == PGRES_FATAL_ERROR) {
			*ret_failed = res;
		} else if (alive && status != PGRES_PIPELINE_SYNC && !*ret_failed && i < n) {
			if (prepares[i]) {
				mark(s, calls[i].sql, STATEMENT_THERE);
				prepares[i] = false;
				PQclear(res);
			} else {
				calls[i++].res = res;
			}
		} else {
			PQclear(res);
		}
		if (!alive || status == PGRES_PIPELINE_SYNC)
			return alive;
	}
}

void pg_calls_clear(struct pg_call *calls, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		PQclear(calls[i].res);
		calls[i].res = NULL;
	}
}

int pg_run(struct pg_session *s, struct pg_call *calls, size_t n, struct error *err)
{
	bool prepares[PG_CALLS_MAX] = {false}, sent = true, alive;
	PGresult *failed = NULL;
	size_t i;
	int rc = pg_ready(s, err);

	if (rc)
		return rc;
	if (n > PG_CALLS_MAX)
		panic("a pipeline of %zu statements", n);
	s->warned = false;
	for (i = 0; i < n; i++)
		calls[i].res = NULL;
	for (i = 0; i < n && sent; i++) {
		s->committing |= calls[i].sql == pg_commit_sql;
		sent = queue(s, &calls[i], &prepares[i]);
	}
	sent = sent && PQpipelineSync(s->handle);
	alive = sent && collect(s, calls, n, prepares, &failed);
	if (alive && !failed) {
		if (!s->committing || !s->warned) {
			s->committing = false;
			return OK;
		}
		/* It waited for a standby in vain: here the commit is done, there perhaps not. */
		s->committing = false;
		pg_calls_clear(calls, n);
		return error_set(err, ERR_UNCERTAIN, "committed, but perhaps not replicated");
	}
	pg_calls_clear(calls, n);
	for (i = 0; i < s->statements_n; i++) {
		if (s->statements[i].state == STATEMENT_SENT)
			s->statements[i].state = STATEMENT_NOT;
	}
	if (!alive && !failed && PQstatus(s->handle) == CONNECTION_OK) {
		rc = s->committing ? ERR_UNCERTAIN : ERR_TRANSIENT;
		s->again = PG_AGAIN_NO;
		s->committing = false;
		pg_drop(s);
		return error_set(err, rc, "the database did not answer in time");
	}
	if (!alive && failed && PQstatus(s->handle) == CONNECTION_OK)
		pg_drop(s);
	rc = pg_fail(s, failed, err);
	PQclear(failed);
	return rc;
}

int pg_run1(struct pg_session *s, const char *sql, struct pg_args *args, PGresult **ret,
            struct error *err)
{
	struct pg_call call = {.sql = sql, .args = args};
	int rc = pg_run(s, &call, 1, err);

	if (!rc)
		*ret = call.res;
	return rc;
}

/* --- being connected --------------------------------------------------------------------------------------- */

/* What a new connection needs. */
static int set_up(struct pg_session *s, struct error *err)
{
	struct pg_call settings = {.sql = SETTINGS, .once = true};
	int rc;

	if (PQsetnonblocking(s->handle, 1) || !PQenterPipelineMode(s->handle))
		return error_set(err, ERR_TRANSIENT, "cannot set up a connection");
	PQsetNoticeReceiver(s->handle, notice, s);
	rc = pg_run(s, &settings, 1, err);
	if (!rc)
		pg_calls_clear(&settings, 1);
	return rc;
}

/* Makes sure that there is a connection. When it cannot be had, later calls fail at once for a while that
 * grows: who asks again and again must not wait each time for a host that is gone. It ends when another
 * session has got through. */
int pg_ready(struct pg_session *s, struct error *err)
{
	usec_t wait, now;
	int rc;

	if (s->handle && PQstatus(s->handle) == CONNECTION_OK)
		return OK;
	pg_drop(s);
	s->again = PG_AGAIN_NO;
	now = clock_mono();
	if (now < s->retry_at && atomic_load(&s->db->reached_at) <= s->failed_at)
		return error_set(err, ERR_TRANSIENT, "the database is away; the next try is in %d ms",
		                 (int)((s->retry_at - now) / USEC_PER_MSEC));
	rc = pg_connect(s->db->url, &s->handle, err);
	if (!rc)
		rc = set_up(s, err);
	if (!rc) {
		s->failures = 0;
		atomic_store(&s->db->reached_at, clock_mono());
		return OK;
	}
	pg_drop(s);
	wait = BACKOFF_FIRST << MIN_OF(s->failures, 6u);
	s->failures++;
	s->failed_at = clock_mono();
	s->retry_at = s->failed_at + (usec_t)((double)MIN_OF(wait, BACKOFF_MAX) * (0.5 + random_unit() / 2));
	return rc == ERR_CONFIG ? (err->code = ERR_TRANSIENT) : rc;
}
