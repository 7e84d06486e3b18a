/* Taking messages in: all groups of a call in one transaction. */
#include <string.h>

#include "store_sqlite.h"

/* Assigned here rather than by SQLite's AUTOINCREMENT, which keeps its books per row. Ids and creation
 * times rise together, also over a clock that was set back: lists by time rely on it. */
struct inserter {
	struct sq_conn *c;
	sqlite3_stmt *plain, *keyed, *find;
	int64_t last_id;
	usec_t created_at, now;
};

#define INSERT_MESSAGE                                                                             \
	"INSERT INTO herald_messages(id,state,state_at,attempts,lost,fence,owner,run,said,due_at," \
	"started_at,updated_at,created_at,send_at,phone,content,idempotency_key,metadata)"         \
	" VALUES(?1,0,?2,0,0,0,-1,16777216,-1,?2,?3,?3,?3,?4,?5,?6,?7,?8)"

static int inserter_init(struct inserter *in, struct sq_conn *c, usec_t now, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) =
		sq_stmt(c, "SELECT last_id,last_created_at FROM herald_totals", err);
	usec_t last;
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	in->c = c;
	in->now = now;
	in->last_id = sqlite3_column_int64(st, 0);
	last = sqlite3_column_int64(st, 1);
	in->created_at = now > last ? now : last;
	in->plain = sq_stmt(c, INSERT_MESSAGE, err);
	in->keyed = sq_stmt(c,
	                    INSERT_MESSAGE " ON CONFLICT(idempotency_key) WHERE idempotency_key IS NOT "
	                                   "NULL DO NOTHING",
	                    err);
	in->find = sq_stmt(c,
	                   "SELECT id,created_at,send_at,phone,content,metadata FROM herald_messages"
	                   " WHERE idempotency_key=?1",
	                   err);
	return in->plain && in->keyed && in->find ? OK : err->code;
}

static bool column_is(sqlite3_stmt *st, int col, const char *s)
{
	const unsigned char *there = sqlite3_column_text(st, col);

	return s && there ? !strcmp((const char *)there, s) : !s && !there;
}

/* The key is taken: by the same message or by another one? */
static int compare(struct inserter *in, struct message_draft *d, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = in->find;
	int rc;

	sq_bind_text(st, 1, d->idempotency_key);
	rc = sq_row(in->c, st, err);
	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_PERMANENT, "an idempotency key is in the index alone: the "
		                                     "database file is damaged");
	if (sqlite3_column_int64(st, 2) != d->send_at || !column_is(st, 3, d->phone) ||
	    !column_is(st, 4, d->content) || !column_is(st, 5, d->metadata)) {
		d->result = INSERT_CONFLICT;
		d->id = d->created_at = 0;
		return OK;
	}
	d->result = INSERT_REPEATED;
	d->id = sqlite3_column_int64(st, 0);
	d->created_at = sqlite3_column_int64(st, 1);
	return OK;
}

static int insert_draft(struct inserter *in, struct message_draft *d, struct error *err)
{
	sqlite3_stmt *st = d->idempotency_key ? in->keyed : in->plain;
	int rc;

	sqlite3_bind_int64(st, 1, in->last_id + 1);
	sqlite3_bind_int64(st, 2, d->send_at > in->now ? d->send_at : in->now);
	sqlite3_bind_int64(st, 3, in->created_at);
	sqlite3_bind_int64(st, 4, d->send_at);
	sq_bind_text(st, 5, d->phone);
	sq_bind_text(st, 6, d->content);
	sq_bind_text(st, 7, d->idempotency_key);
	sq_bind_text(st, 8, d->metadata);
	rc = sq_run(in->c, st, err);
	if (rc)
		return rc;
	if (d->idempotency_key && !sqlite3_changes(in->c->handle))
		return compare(in, d, err);
	if (in->last_id >= MESSAGE_ID_MAX)
		return error_set(err, ERR_PERMANENT, "the store has given out all its ids");
	d->result = INSERT_CREATED;
	d->id = ++in->last_id;
	d->created_at = in->created_at;
	return OK;
}

static int exec(struct sq_conn *c, const char *sql, struct error *err)
{
	sqlite3_stmt *st = sq_stmt(c, sql, err);

	return st ? sq_run(c, st, err) : err->code;
}

/*
 * A group of several may have to be taken back, so it gets a savepoint: unless it is the only one, when
 * the whole transaction can be, or has no keys to conflict. A savepoint keeps the old content of
 * every page that is touched, which large imports would feel.
 */
static int insert_group(struct inserter *in, struct insert_group *g, bool only, struct error *err)
{
	int64_t before = in->last_id;
	bool savepoint = false;
	size_t i, conflicts = 0;
	int rc;

	for (i = 0; i < g->n && !only && g->n > 1 && !savepoint; i++)
		savepoint = g->drafts[i].idempotency_key != NULL;
	if (savepoint && (rc = exec(in->c, "SAVEPOINT one_group", err)))
		return rc;
	for (i = 0; i < g->n; i++) {
		rc = insert_draft(in, &g->drafts[i], err);
		if (rc)
			return rc;
		conflicts += g->drafts[i].result == INSERT_CONFLICT;
	}
	g->stored = !conflicts;
	if (conflicts) {
		for (i = 0; i < g->n; i++) {
			if (g->drafts[i].id > before)
				g->drafts[i].id = g->drafts[i].created_at = 0;
		}
		in->last_id = before;
		if (savepoint && (rc = exec(in->c, "ROLLBACK TO one_group", err)))
			return rc;
	}
	return savepoint ? exec(in->c, "RELEASE one_group", err) : OK;
}

static int save_totals(struct inserter *in, int64_t before, struct error *err)
{
	int rc = sq_change(in->c, err,
	                   "UPDATE herald_totals SET last_id=?1,last_created_at=?2,pending=pending+?3",
	                   in->last_id, in->created_at, in->last_id - before);

	return rc ? rc : sq_phones_extend(in->c, in->last_id, err);
}

/* *ret_nothing: there is nothing to commit. */
static int insert_all(struct sq_db *db, struct insert_group *groups, size_t n, bool *ret_nothing,
                      struct error *err)
{
	struct inserter in;
	int64_t before;
	size_t i;
	int rc = inserter_init(&in, &db->writer, db->clock(), err);

	before = rc ? 0 : in.last_id;
	for (i = 0; !rc && i < n; i++)
		rc = insert_group(&in, &groups[i], n == 1, err);
	if (rc)
		return rc;
	*ret_nothing = in.last_id == before;
	return *ret_nothing ? OK : save_totals(&in, before, err);
}

int sq_insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;
	bool nothing = false;
	int rc = sq_begin(db, err);

	if (rc)
		return rc;
	rc = insert_all(db, groups, n, &nothing, err);
	if (rc || !nothing)
		return sq_end(db, rc, err);
	/* Everything was there already or conflicts; an only group leaves its rows to this rollback. */
	sq_abandon(db);
	return OK;
}
