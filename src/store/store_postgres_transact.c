/*
 * Transactions of the PostgreSQL driver: begun with a number, committed with certainty, run again when
 * another one was in the way.
 *
 * When the answer to a COMMIT is lost, the server still knows what became of it. So each transaction asks
 * for its number first, and afterwards, on a new connection, pg_xact_status() tells. That holds only on the
 * same branch of the database's history: a standby that was promoted without the commit may have given the
 * number to another transaction.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_postgres.h"

#define CONFLICT_TRIES 10
/* How long to look for the outcome of a commit: a server that crashed needs a moment to come back. */
#define RESOLVE_PATIENCE (3 * USEC_PER_SEC)
#define RESOLVE_PAUSE (50 * USEC_PER_MSEC)

const char pg_commit_sql[] = "COMMIT";

static int run_plain(struct pg_session *s, const char *sql, struct error *err)
{
	PGresult *res;
	int rc = pg_run1(s, sql, NULL, &res, err);

	if (!rc)
		PQclear(res);
	return rc;
}

int pg_begin(struct pg_session *s, struct pg_call *calls, size_t n, struct error *err)
{
	struct pg_call all[PG_CALLS_MAX] = {
		{.sql = "BEGIN"}, {.sql = "SELECT pg_current_xact_id()::text::bigint"}};
	size_t i;
	int rc;

	for (i = 0; i < n; i++)
		all[2 + i] = calls[i];
	rc = pg_run(s, all, n + 2, err);
	if (rc)
		return rc;
	s->transaction = pg_i64(all[1].res, 0, 0);
	s->transaction_timeline = s->timeline;
	pg_calls_clear(all, 2);
	for (i = 0; i < n; i++)
		calls[i].res = all[2 + i].res;
	return OK;
}

enum outcome { OUTCOME_UNKNOWN, OUTCOME_RUNNING, OUTCOME_COMMITTED, OUTCOME_ABORTED };

static enum outcome ask_outcome(struct pg_session *s)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	enum outcome outcome = OUTCOME_UNKNOWN;
	struct error ignored = ERROR_INIT;
	PGresult *res;
	const char *said;

	if (pg_ready(s, &ignored))
		return OUTCOME_RUNNING; /* not to be reached yet */
	if (!s->timeline || s->timeline != s->transaction_timeline)
		return OUTCOME_UNKNOWN;
	pg_add_i64(&args, s->transaction);
	if (pg_run1(s, "SELECT pg_xact_status($1::bigint::text::xid8)", &args, &res, &ignored))
		return s->handle ? OUTCOME_UNKNOWN : OUTCOME_RUNNING;
	said = PQgetvalue(res, 0, 0);
	if (!strcmp(said, "committed"))
		outcome = OUTCOME_COMMITTED;
	else if (!strcmp(said, "aborted"))
		outcome = OUTCOME_ABORTED;
	else if (!strcmp(said, "in progress"))
		outcome = OUTCOME_RUNNING; /* its backend has not noticed yet */
	PQclear(res);
	return outcome;
}

/* After a COMMIT without an answer; keeps the error if nothing can be learned. */
static int resolve(struct pg_session *s, struct error *err)
{
	usec_t deadline = clock_mono() + RESOLVE_PATIENCE;
	enum outcome outcome;

	for (;;) {
		/* Nobody but this call is kept waiting, so the usual backoff does not apply. */
		s->retry_at = 0;
		outcome = ask_outcome(s);
		if (outcome != OUTCOME_RUNNING || clock_mono() > deadline)
			break;
		usleep(RESOLVE_PAUSE);
	}
	if (outcome == OUTCOME_COMMITTED)
		return OK;
	if (outcome != OUTCOME_ABORTED)
		return ERR_UNCERTAIN;
	s->again = PG_AGAIN_LOST;
	return error_set(err, ERR_TRANSIENT, "the connection was lost, and with it the transaction");
}

int pg_commit(struct pg_session *s, struct error *err)
{
	int rc = run_plain(s, pg_commit_sql, err);

	return rc == ERR_UNCERTAIN && !s->handle ? resolve(s, err) : rc;
}
/* Takes back what is open; a connection that cannot even do that is given up. */
static void take_back(struct pg_session *s)
{
	struct error ignored = ERROR_INIT;

	if (!s->handle || PQtransactionStatus(s->handle) == PQTRANS_IDLE)
		return;
	if (run_plain(s, "ROLLBACK", &ignored))
		pg_drop(s);
}

int pg_transact(struct pg_session *s, int (*body)(struct pg_session *s, void *arg, struct error *err),
                void *arg, struct error *err)
{
	int conflicts = 0, losses = 0, rc;
	enum pg_again again;

	for (;;) {
		s->again = PG_AGAIN_NO;
		s->committing = false;
		rc = body(s, arg, err);
		again = s->again;
		take_back(s);
		if (rc != ERR_TRANSIENT || again == PG_AGAIN_NO)
			return rc;
		if (again == PG_AGAIN_CONFLICT ? ++conflicts == CONFLICT_TRIES : ++losses == 2)
			return rc;
	}
}
