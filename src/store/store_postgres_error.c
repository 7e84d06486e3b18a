/* What PostgreSQL's errors mean to a caller. */
#include <ctype.h>
#include <string.h>

#include "store_postgres.h"

/* What to do about an error, by its SQLSTATE: the first entry that is a prefix of it counts. */
static const struct {
	const char *state;
	int code;
	enum pg_again again;
	bool drop; /* the connection is of no more use */
} meanings[] = {
	{"40", ERR_TRANSIENT, PG_AGAIN_CONFLICT, false},   /* serialization failure, deadlock */
	{"08", ERR_TRANSIENT, PG_AGAIN_LOST, true},        /* connection exceptions */
	{"57P", ERR_TRANSIENT, PG_AGAIN_LOST, true},       /* shutting down, starting, cut by the admin */
	{"57014", ERR_TRANSIENT, PG_AGAIN_NO, false},      /* took too long */
	{"25P03", ERR_TRANSIENT, PG_AGAIN_LOST, true},     /* idle in a transaction for too long */
	{"25006", ERR_TRANSIENT, PG_AGAIN_LOST, true},     /* it has become a standby: find the primary */
	{"0A000", ERR_TRANSIENT, PG_AGAIN_LOST, true},     /* a table has changed under a statement */
	{"26000", ERR_TRANSIENT, PG_AGAIN_LOST, true},     /* our statements are gone: another connection */
	{"55P03", ERR_TRANSIENT, PG_AGAIN_NO, false},      /* a lock is held for too long */
	{"53", ERR_TRANSIENT, PG_AGAIN_NO, false},         /* disk full, out of memory, out of slots */
	{"58030", ERR_TRANSIENT, PG_AGAIN_NO, false},      /* input/output error */
	{"28", ERR_PERMANENT, PG_AGAIN_NO, true},          /* authorization */
	{"3D", ERR_PERMANENT, PG_AGAIN_NO, true},          /* no such database */
};

/* The server's words as one line. */
static void one_line(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (; *from && n + 1 < size; from++) {
		if (!isspace((unsigned char)*from))
			to[n++] = *from;
		else if (n && to[n - 1] != ' ')
			to[n++] = ' ';
	}
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

int pg_fail(struct pg_session *s, const PGresult *res, struct error *err)
{
	const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *primary = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	bool lost = !s->handle || PQstatus(s->handle) != CONNECTION_OK || !state;
	bool drop = lost;
	int code = lost ? ERR_TRANSIENT : ERR_PERMANENT;
	char text[400];
	size_t i;

	one_line(primary ? primary : s->handle ? PQerrorMessage(s->handle) : "not connected", text,
	         sizeof(text));
	s->again = lost ? PG_AGAIN_LOST : PG_AGAIN_NO;
	for (i = 0; state && i < ARRAY_SIZE(meanings); i++) {
		if (strncmp(state, meanings[i].state, strlen(meanings[i].state)) != 0)
			continue;
		code = meanings[i].code;
		s->again = lost ? PG_AGAIN_LOST : meanings[i].again;
		drop = lost || meanings[i].drop;
		break;
	}
	/* Where the connection ended under a COMMIT, it is not known on which side of it. */
	if (s->committing && drop) {
		code = ERR_UNCERTAIN;
		s->again = PG_AGAIN_NO;
		error_set(err, code, "the connection was lost while committing: %s", text);
	} else if (state && !strcmp(state, "42P01")) {
		error_set(err, code, "herald's tables are gone: %s", text);
	} else {
		error_set(err, code, "%s", text);
	}
	s->committing = false;
	if (drop)
		pg_drop(s);
	return code;
}
