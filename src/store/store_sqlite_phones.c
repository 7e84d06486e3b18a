/*
 * Which messages go to a phone number. An index of SQLite over all of them would have each insert touch a page
 * of its own, which costs an import four fifths of its rate. So what was inserted since is read through, and from
 * time to time becomes a segment of herald_phones: sorted first, and so written in one stretch at the table's
 * end. A look-up asks each segment, of which ten million messages make some three hundred.
 */
#include "store_sqlite.h"

#define SEGMENT 32768 /* ids, at least */

int sq_phones_upto(struct sq_conn *c, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st cleanup(sq_reset) = sq_stmt(c, "SELECT phones_upto FROM herald_totals", err);
	int rc = st ? sq_row(c, st, err) : err->code;

	if (rc < 0)
		return rc;
	*ret = sqlite3_column_int64(st, 0);
	return OK;
}

int sq_phones_extend(struct sq_conn *c, int64_t last_id, struct error *err)
{
	int64_t first;
	int rc = sq_phones_upto(c, &first, err);

	if (rc || last_id - first < SEGMENT)
		return rc;
	rc = sq_change(c, err,
	               "INSERT OR IGNORE INTO herald_phones(segment,phone,id)"
	               " SELECT ?1,phone,id FROM herald_messages WHERE id>=?1 AND id<=?2 ORDER BY phone,id",
	               first, last_id);
	return rc ? rc : sq_change(c, err, "UPDATE herald_totals SET phones_upto=?1", last_id + 1);
}

int sq_phones_add(struct sq_conn *c, int64_t id, const char *phone, struct error *err)
{
	sqlite3_stmt *st;
	int64_t first;
	int rc = sq_phones_upto(c, &first, err);

	if (rc || id >= first)
		return rc;
	st = sq_stmt(c, "INSERT OR IGNORE INTO herald_phones(segment,phone,id) VALUES(0,?1,?2)", err);
	if (!st)
		return err->code;
	sq_bind_text(st, 1, phone);
	sqlite3_bind_int64(st, 2, id);
	return sq_run(c, st, err);
}
