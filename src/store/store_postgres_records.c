/*
 * Whole records, out of the PostgreSQL driver and into it. In both directions a page is a constant number of
 * round trips; what goes in travels as arrays.
 */
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"

/* --- messages out ------------------------------------------------------------------------------------------ */

struct page_query {
	int64_t after;
	uint32_t limit;
	struct record_page *page;
};

/* The attempts are those up to the last message of the page, which the second statement finds again. */
static int page_body(struct pg_session *s, void *arg, struct error *err)
{
	struct page_query *q = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " SQL_MESSAGE_COLUMNS ",m.run,m.said FROM herald_messages m" SQL_MESSAGE_JOINS
	                " WHERE m.id>$1::bigint ORDER BY m.id LIMIT $2::bigint",
	         .args = &args},
		{.sql = "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS " WHERE a.message>$1::bigint"
	                " AND a.message<=(SELECT max(id) FROM (SELECT id FROM herald_messages"
	                " WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint-1) p)"
	                " ORDER BY a.message,a.seq",
	         .args = &args},
		{.sql = PG_END_READ},
	};
	struct pg_rows messages, attempts;
	int rc;

	pg_add_i64(&args, q->after);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	messages = pg_rows(calls[1].res);
	attempts = pg_rows(calls[2].res);
	rc = sql_message_records(&messages.sql, q->limit, q->page, err);
	if (!rc)
		rc = sql_attempt_records(&attempts.sql, q->page, err);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return rc;
}

int pg_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err)
{
	struct page_query q = {.after = after, .limit = limit, .page = ret};

	return pg_transact(session, page_body, &q, err);
}

/* --- messages in ------------------------------------------------------------------------------------------- */

struct importer {
	struct message_record *items;
	size_t n;
	bool given;       /* ids are */
	int64_t *ids;     /* 0: not decided yet */
	usec_t *created_at;
	bool *there;      /* before this call */
	bool raced;       /* somebody stored one of the keys meanwhile */
};

static void importer_release(struct importer *im)
{
	free(im->ids);
	free(im->created_at);
	free(im->there);
}

/* Makes the owners' rows, which are for ever, so they need not be part of the transaction. */
static int make_owners(struct pg_session *s, const struct importer *im, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const char **names cleanup(free_ptr) = NULL;
	size_t i, n = sql_owners(im->items, im->n, &names);
	PGresult *res;
	int rc;

	if (!n)
		return OK;
	pg_add_text_array(&args, n);
	for (i = 0; i < n; i++)
		pg_item_text(&args, names[i], strlen(names[i]));
	rc = pg_run1(s,
	             "INSERT INTO herald_owners(owner) SELECT n FROM unnest($1::text[]) n"
	             " WHERE NOT EXISTS (SELECT 1 FROM herald_owners o WHERE o.owner=n)"
	             " ON CONFLICT DO NOTHING",
	             &args, &res, err);
	if (!rc)
		PQclear(res);
	return rc;
}

/* Begins the transaction: which of the messages are there already, and the last id and time. Where ids are to
 * be given, nobody else gets some until the end: the lock is that of herald_allot(). */
static int look(struct pg_session *s, struct importer *im, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = "SELECT pg_advisory_xact_lock(1751478881,"
	                "'herald_messages'::regclass::oid::bigint::bit(32)::integer)"},
		{.sql = "SELECT d.n-1,m.id,m.created_at FROM unnest($1::bigint[]) WITH ORDINALITY d(id,n)"
	                " JOIN herald_messages m ON m.id=d.id",
	         .args = &args},
		{.sql = "SELECT i.last_value-(NOT i.is_called)::int,"
	                "CASE WHEN c.is_called THEN c.last_value ELSE 0 END"
	                " FROM herald_ids i,herald_created c"},
	};
	int64_t last_id;
	usec_t created_at;
	size_t i;
	int rc, row;

	if (im->given) {
		pg_add_i64_array(&args, im->n);
		for (i = 0; i < im->n; i++)
			pg_item_i64(&args, im->items[i].m.id);
	} else {
		calls[1].sql = "SELECT d.n-1,m.id,m.created_at FROM unnest($1::text[])"
			       " WITH ORDINALITY d(key,n) JOIN herald_messages m ON m.idempotency_key=d.key";
		pg_add_text_array(&args, im->n);
		for (i = 0; i < im->n; i++) {
			const char *key = im->items[i].m.idempotency_key;

			pg_item_text(&args, key, key ? strlen(key) : 0);
		}
	}
	rc = pg_begin(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	for (row = 0; row < PQntuples(calls[1].res); row++) {
		i = (size_t)pg_i64(calls[1].res, row, 0);
		im->there[i] = true;
		im->ids[i] = pg_i64(calls[1].res, row, 1);
		im->created_at[i] = pg_i64(calls[1].res, row, 2);
	}
	last_id = pg_i64(calls[2].res, 0, 0);
	created_at = pg_i64(calls[2].res, 0, 1);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	for (i = 0; i < im->n; i++) {
		if (im->there[i])
			continue;
		im->ids[i] = im->given ? im->items[i].m.id : ++last_id;
		im->created_at[i] = im->items[i].m.created_at;
		if (!im->given)
			created_at = im->created_at[i] = MAX_OF(created_at, im->created_at[i]);
	}
	return last_id > MESSAGE_ID_MAX
	               ? error_set(err, ERR_PERMANENT, "the store has given out all its ids")
	               : OK;
}

/* The ids of owners, whose rows are there; 0 stands for none. */
#define OWNER_OF "coalesce((SELECT o.id FROM herald_owners o WHERE o.owner=d.owner),0)"

static const char insert_messages[] =
	"WITH i AS (INSERT INTO herald_messages(" SQL_MESSAGE_NUMBERS "," SQL_MESSAGE_TEXTS ",owner)"
	" SELECT " SQL_MESSAGE_NUMBERS "," SQL_MESSAGE_TEXTS "," OWNER_OF
	" FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::bigint[],"
	"$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::bigint[],$12::bigint[],$13::bigint[],"
	"$14::text[],$15::text[],$16::text[],$17::text[],$18::text[])"
	" AS d(" SQL_MESSAGE_NUMBERS "," SQL_MESSAGE_TEXTS ",owner) ON CONFLICT DO NOTHING RETURNING 1)"
	" SELECT count(*) FROM i";
static const char insert_attempts[] =
	"INSERT INTO herald_attempts(" SQL_ATTEMPT_NUMBERS ",message_id,error,owner)"
	" SELECT " SQL_ATTEMPT_NUMBERS ",message_id,error," OWNER_OF
	" FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::bigint[],"
	"$7::bigint[],$8::bigint[],$9::text[],$10::text[],$11::text[])"
	" AS d(" SQL_ATTEMPT_NUMBERS ",message_id,error,owner) ON CONFLICT DO NOTHING";

/* Gathers the i-th message, which is new, with its attempts. */
static void gather(const struct importer *im, size_t i, struct pg_table *messages, struct pg_table *attempts)
{
	const struct message_record *r = &im->items[i];
	int64_t numbers[SQL_MESSAGE_NUMBERS_N], attempt[SQL_ATTEMPT_NUMBERS_N];
	const char *texts[SQL_MESSAGE_TEXTS_N + 1];
	size_t j;

	sql_message_numbers(r, im->ids[i], im->created_at[i], numbers);
	sql_message_texts(r, texts);
	texts[SQL_MESSAGE_TEXTS_N] = r->m.owner;
	pg_table_row(messages, numbers, texts);
	for (j = 0; j < r->attempts_n; j++) {
		const struct sql_attempt a = sql_attempt_imported(r, j, im->ids[i], 0);

		sql_attempt_numbers(&a, attempt);
		pg_table_row(attempts, attempt,
		             (const char *const[]){a.message_id, a.error, r->attempts[j].a.node});
	}
}

static int store_new(struct pg_session *s, struct importer *im, const struct pg_table *new_messages,
                     const struct pg_table *new_attempts, const int64_t by_state[ROW_STATE_COUNT],
                     struct error *err)
{
	struct pg_args messages cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args attempts cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args counts cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args last cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args created cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[5] = {
		{.sql = insert_messages, .args = &messages},
		{.sql = PG_RAISE("herald_ids"), .args = &last},
		{.sql = PG_RAISE("herald_created"), .args = &created},
	};
	size_t i, used = 4;
	int64_t last_id = 1, stored;
	usec_t created_at = 1;
	int rc;

	pg_add_table(&messages, new_messages);
	for (i = 0; i < im->n; i++) {
		last_id = MAX_OF(last_id, im->ids[i]);
		created_at = MAX_OF(created_at, im->created_at[i]);
	}
	pg_add_i64(&last, last_id);
	pg_add_i64(&created, created_at);
	pg_counts_call(&calls[3], &counts, s, by_state);
	if (new_attempts->n) {
		pg_add_table(&attempts, new_attempts);
		calls[used++] = (struct pg_call){.sql = insert_attempts, .args = &attempts};
	}
	rc = pg_run(s, calls, used, err);
	if (rc)
		return rc;
	stored = pg_i64(calls[0].res, 0, 0);
	pg_calls_clear(calls, used);
	if (stored == (int64_t)new_messages->n)
		return pg_commit(s, err);
	if (im->given)
		return error_set(err, ERR_CONFLICT,
		                 "messages %lld to %lld: another one has an idempotency key of theirs already",
		                 (long long)im->items[0].m.id, (long long)im->items[im->n - 1].m.id);
	im->raced = true;
	return OK;
}

static int import_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_table messages cleanup(pg_table_release) = {.numbers_n = SQL_MESSAGE_NUMBERS_N,
	                                                      .texts_n = SQL_MESSAGE_TEXTS_N + 1};
	struct pg_table attempts cleanup(pg_table_release) = {.numbers_n = SQL_ATTEMPT_NUMBERS_N,
	                                                      .texts_n = 3};
	int64_t by_state[ROW_STATE_COUNT] = {0};
	struct importer *im = arg;
	size_t i;
	int rc;

	importer_release(im);
	im->ids = xcalloc(im->n, sizeof(*im->ids));
	im->created_at = xcalloc(im->n, sizeof(*im->created_at));
	im->there = xcalloc(im->n, sizeof(*im->there));
	im->raced = false;
	if ((rc = make_owners(s, im, err)) || (rc = look(s, im, err)))
		return rc;
	for (i = 0; i < im->n; i++) {
		if (im->there[i])
			continue;
		gather(im, i, &messages, &attempts);
		by_state[record_state(&im->items[i])]++;
	}
	return messages.n ? store_new(s, im, &messages, &attempts, by_state, err) : OK;
}

#define KEY_TRIES 10

int pg_import_messages(void *session, struct message_record *items, size_t n, struct error *err)
{
	struct importer im = {.items = items, .n = n, .given = items[0].m.id != 0};
	int tries = 0, rc;
	size_t i;

	do
		rc = pg_transact(session, import_body, &im, err);
	while (!rc && im.raced && ++tries < KEY_TRIES);
	if (!rc && im.raced)
		rc = error_set(err, ERR_TRANSIENT, "other sessions keep bringing the same idempotency keys");
	for (i = 0; !rc && i < n; i++) {
		items[i].result = im.there[i] ? INSERT_REPEATED : INSERT_CREATED;
		items[i].m.id = im.ids[i];
		items[i].m.created_at = im.created_at[i];
	}
	importer_release(&im);
	return rc;
}
