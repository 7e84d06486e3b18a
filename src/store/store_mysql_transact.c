/*
 * Transactions of the MySQL driver: committed with certainty, run again when another one was in the way.
 *
 * When the answer to a COMMIT is lost, the server still knows what became of it: each transaction begins by
 * counting up its session's own row of herald_commits, and afterwards, on a new connection, that row tells.
 * Nobody else writes it, and it is locked until the transaction ends: who asks waits for a server that is
 * still at it. Asking writes the row, too, so that another server of a Galera cluster, which may not have
 * heard of the commit yet, refuses to answer before it has.
 */
#include <unistd.h>

#include "store_mysql.h"
#include "text.h"

#define TRIES 5

/* The savepoint: see my_run(). */
static void begin(struct my_batch *b)
{
	my_add(b, "START TRANSACTION");
	my_add(b, "SAVEPOINT herald");
	b->starts = true;
}

static void end(struct my_batch *b)
{
	my_add(b, "RELEASE SAVEPOINT herald");
	my_add(b, "COMMIT");
	b->commit = b->n;
}

void my_start(struct my_session *s, struct my_batch *b)
{
	begin(b);
	s->number++;
	buf_addf(my_begin(b),
	         "INSERT INTO herald_commits(session,number,asked,at) VALUES(%lld,%lld,0," MY_NOW ")"
	         " ON DUPLICATE KEY UPDATE number=%lld,at=" MY_NOW,
	         (long long)s->id, (long long)s->number, (long long)s->number);
}

/* Returns the statement's number. */
static size_t read_number(const struct my_session *s, struct my_batch *b)
{
	buf_addf(my_begin(b), "SELECT number FROM herald_commits WHERE session=%lld", (long long)s->id);
	return b->n - 1;
}

static int ask(struct my_session *s, int64_t *ret_number, struct error *err)
{
	struct my_batch b cleanup(my_batch_release) = MY_BATCH_INIT;
	struct my_row r;
	size_t read;
	int rc;

	begin(&b);
	buf_addf(my_begin(&b),
	         "INSERT INTO herald_commits(session,number,asked,at) VALUES(%lld,0,0," MY_NOW ")"
	         " ON DUPLICATE KEY UPDATE asked=asked+1",
	         (long long)s->id);
	read = read_number(s, &b);
	end(&b);
	rc = s->handle ? OK : my_connect(s, err);
	if (!rc)
		rc = my_run(s, &b, err);
	if (!rc)
		*ret_number = my_row(&b, read, &r) ? my_int(&r, 0) : 0;
	return rc;
}

static int lost(struct my_session *s, struct error *err)
{
	s->again = true;
	return error_set(err, ERR_TRANSIENT, "the database took the transaction back");
}

/* After a COMMIT without an answer; keeps the error if nothing can be learned. */
static int resolve(struct my_session *s, struct error *err)
{
	const usec_t deadline = clock_mono() + COMMIT_ASK_FOR;
	struct error spare = ERROR_INIT;
	int64_t number;

	my_disconnect(s);
	while (ask(s, &number, &spare)) {
		my_disconnect(s);
		s->again = false;
		if (clock_mono() > deadline)
			return ERR_UNCERTAIN;
		usleep(COMMIT_ASK_EVERY);
	}
	return number == s->number ? OK : lost(s, err);
}

/* On a Galera server: whether the COMMIT was that of this transaction. */
static bool is_committed(const struct my_session *s, const struct my_batch *b, size_t read)
{
	struct my_row r;

	return my_row(b, read, &r) && my_int(&r, 0) == s->number;
}

int my_commit(struct my_session *s, struct my_batch *b, bool *ret_answered, struct error *err)
{
	size_t read = 0;
	int rc;

	end(b);
	if (s->galera) {
		read = read_number(s, b);
		my_add(b, "COMMIT");
	}
	rc = my_run(s, b, err);
	if (ret_answered)
		*ret_answered = !rc;
	if (rc == ERR_UNCERTAIN)
		return resolve(s, err);
	return !rc && read && !is_committed(s, b, read) ? lost(s, err) : rc;
}

void my_abandon(struct my_session *s)
{
	s->inside = false;
	if (s->handle && mysql_rollback(s->handle))
		my_disconnect(s);
}

int my_transact(struct my_session *s, my_verb *fn, void *arg, struct error *err)
{
	int tries, rc;

	s->losses = 0;
	for (tries = 1;; tries++) {
		s->again = false;
		rc = my_ready(s, err);
		if (rc)
			return rc;
		rc = fn(s, arg, err);
		if (!rc)
			return OK;
		my_abandon(s);
		if (!s->again)
			return rc;
		if (tries == TRIES)
			return err->code = ERR_TRANSIENT;
		/* Whoever met here shall not meet again. */
		usleep((useconds_t)(random_unit() * (double)(tries * 2 * USEC_PER_MSEC)));
	}
}
