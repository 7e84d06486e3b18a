/*
 * Transactions of the PostgreSQL driver: committed with certainty, run again when another one was in the way.
 *
 * When the answer to a COMMIT is lost, the server still knows what became of it. So each transaction counts
 * up the session's own row of herald_commits, and afterwards, on a new connection, that row tells. Nobody
 * else writes it, it is as durable as what it stands for, and on a standby that was promoted it is there
 * exactly if the rest is. The number that PostgreSQL itself gives a transaction is none of that, though
 * pg_xact_status() invites to ask for it: a server that crashes forgets the numbers of transactions that had
 * not committed, and gives them to others, which do.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_postgres.h"

#define CONFLICT_TRIES 10

const char pg_commit_sql[] = "COMMIT";

static int run_plain(struct pg_session *s, const char *sql, struct error *err)
{
	PGresult *res;
	int rc = pg_run1(s, sql, NULL, &res, err);

	if (!rc)
		PQclear(res);
	return rc;
}

/* The row is written first and not with the COMMIT: from here on it is locked, so that who asks waits, also
 * for a COMMIT that is still on its way when the connection is lost. */
int pg_begin(struct pg_session *s, struct pg_call *calls, size_t n, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call all[PG_CALLS_MAX] = {
		{.sql = "BEGIN"},
		{.sql = "INSERT INTO herald_commits(session,number,at) VALUES($1::bigint,$2::bigint," PG_NOW ")"
	                " ON CONFLICT(session) DO UPDATE SET number=EXCLUDED.number,at=EXCLUDED.at",
	         .args = &args}};
	size_t i;
	int rc;

	s->number++;
	pg_add_i64(&args, s->id);
	pg_add_i64(&args, s->number);
	for (i = 0; i < n; i++)
		all[2 + i] = calls[i];
	rc = pg_run(s, all, n + 2, err);
	if (rc)
		return rc;
	pg_calls_clear(all, 2);
	for (i = 0; i < n; i++)
		calls[i].res = all[2 + i].res;
	return OK;
}

enum outcome { OUTCOME_NOT_KNOWN_YET, OUTCOME_COMMITTED, OUTCOME_LOST };

/* By writing the row and not by reading it: so it waits while the old connection's backend, which may not have
 * noticed yet, is still at it, even if the row is the first of its session. */
static enum outcome ask_outcome(struct pg_session *s)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	enum outcome outcome;
	struct error ignored = ERROR_INIT;
	PGresult *res;

	pg_add_i64(&args, s->id);
	if (pg_run1(s,
	            "INSERT INTO herald_commits(session,number,at) VALUES($1::bigint,0," PG_NOW ")"
	            " ON CONFLICT(session) DO UPDATE SET at=EXCLUDED.at RETURNING number",
	            &args, &res, &ignored))
		return OUTCOME_NOT_KNOWN_YET;
	outcome = pg_i64(res, 0, 0) == s->number ? OUTCOME_COMMITTED : OUTCOME_LOST;
	PQclear(res);
	return outcome;
}

/* After a COMMIT without an answer; keeps the error if nothing can be learned. */
static int resolve(struct pg_session *s, struct error *err)
{
	usec_t deadline = clock_mono() + COMMIT_ASK_FOR;
	enum outcome outcome;

	for (;;) {
		/* Nobody but this call is kept waiting, so the usual backoff does not apply. */
		s->retry_at = 0;
		outcome = ask_outcome(s);
		if (outcome != OUTCOME_NOT_KNOWN_YET || clock_mono() > deadline)
			break;
		usleep(COMMIT_ASK_EVERY);
	}
	if (outcome == OUTCOME_COMMITTED)
		return OK;
	if (outcome == OUTCOME_NOT_KNOWN_YET)
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
