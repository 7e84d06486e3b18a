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
	struct record_page page;
};

static void read_message(const PGresult *res, int row, struct record_page *page)
{
	struct message_record *r = &page->items[page->n++];

	pg_message(res, row, &page->arena, &r->m);
	if (!r->m.owner)
		r->m.owner = pg_text(res, row, 17, &page->arena);
	record_complete(r, (int)pg_i64(res, row, 1), pg_i64(res, row, PG_MESSAGE_COLUMNS_N),
	                pg_i64(res, row, PG_MESSAGE_COLUMNS_N + 1));
}

static void read_attempts(const PGresult *res, struct record_page *page)
{
	struct attempt_record *a;
	size_t at = 0;
	int i;

	for (i = 0; i < PQntuples(res); i++) {
		a = record_attempt(page, pg_i64(res, i, 0), &at);
		if (!a)
			continue;
		*a = (struct attempt_record){
			.seq = pg_i64(res, i, 1),
			.a = {.attempt = (int)pg_i64(res, i, 2),
			      .run = pg_i64(res, i, 3),
			      .verdict = (enum verdict)pg_i64(res, i, 4),
			      .http_status = (int)pg_i64(res, i, 5),
			      .started_at = pg_i64(res, i, 6),
			      .duration = pg_i64(res, i, 7),
			      .error = pg_text(res, i, 8, &page->arena),
			      .node = pg_text(res, i, 9, &page->arena)},
		};
	}
}

/* The attempts are those up to the last message of the page, which the second statement finds again. */
static int page_body(struct pg_session *s, void *arg, struct error *err)
{
	struct page_query *q = arg;
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " PG_MESSAGE_COLUMNS ",m.run,m.said FROM herald_messages m" PG_MESSAGE_JOINS
	                " WHERE m.id>$1::bigint ORDER BY m.id LIMIT $2::bigint",
	         .args = &args},
		{.sql = "SELECT a.message,a.seq,a.attempt,a.run,a.verdict,a.http_status,a.started_at,"
	                "a.duration,a.error,o.owner FROM herald_attempts a"
	                " LEFT JOIN herald_owners o ON o.id=a.owner WHERE a.message>$1::bigint"
	                " AND a.message<=(SELECT max(id) FROM (SELECT id FROM herald_messages"
	                " WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint-1) p)"
	                " ORDER BY a.message,a.seq",
	         .args = &args},
		{.sql = PG_END_READ},
	};
	int rc, i;

	record_page_release(&q->page);
	pg_add_i64(&args, q->after);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	rc = pg_run(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	q->page.items = arena_calloc(&q->page.arena, q->limit, sizeof(*q->page.items));
	for (i = 0; i < PQntuples(calls[1].res) && q->page.n < q->limit; i++)
		read_message(calls[1].res, i, &q->page);
	q->page.more = i < PQntuples(calls[1].res);
	read_attempts(calls[2].res, &q->page);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
}

int pg_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err)
{
	struct page_query q = {.after = after, .limit = limit};
	int rc = pg_transact(session, page_body, &q, err);

	if (rc)
		record_page_release(&q.page);
	else
		*ret = q.page;
	return rc;
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
	const char *name, *last = NULL;
	size_t i, j, n = 0, cap = 0;
	PGresult *res;
	int rc;

	for (i = 0; i < im->n; i++)
		cap += 1 + im->items[i].attempts_n;
	names = xcalloc(cap, sizeof(*names));
	for (i = 0; i < im->n; i++) {
		for (j = 0; j <= im->items[i].attempts_n; j++) {
			name = j ? im->items[i].attempts[j - 1].a.node : im->items[i].m.owner;
			/* Mostly the same as before; the statement sees to the rest. */
			if (name && (!last || strcmp(last, name) != 0))
				names[n++] = last = name;
		}
	}
	if (!n)
		return OK;
	pg_add_text_array(&args, n);
	for (i = 0; i < n; i++)
		pg_item_text(&args, names[i], strlen(names[i]));
	rc = pg_run1(s,
	             "INSERT INTO herald_owners(owner) SELECT DISTINCT n FROM unnest($1::text[]) n"
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

static int64_t value_state(const struct message_record *r) { return record_state(r); }
static int64_t value_state_at(const struct message_record *r) { return record_state_at(r); }
static int64_t value_attempts(const struct message_record *r) { return r->m.attempts; }
static int64_t value_lost(const struct message_record *r) { return r->m.lost; }
static int64_t value_fence(const struct message_record *r) { return r->m.fence; }
static int64_t value_run(const struct message_record *r) { return r->run; }
static int64_t value_said(const struct message_record *r) { return r->said; }
static int64_t value_due(const struct message_record *r) { return r->m.due_at; }
static int64_t value_started(const struct message_record *r) { return r->m.started_at; }
static int64_t value_updated(const struct message_record *r) { return r->m.updated_at; }
static int64_t value_send_at(const struct message_record *r) { return r->m.send_at; }
static const char *text_phone(const struct message_record *r) { return r->m.phone; }
static const char *text_content(const struct message_record *r) { return r->m.content; }
static const char *text_key(const struct message_record *r) { return r->m.idempotency_key; }
static const char *text_metadata(const struct message_record *r) { return r->m.metadata; }
static const char *text_owner(const struct message_record *r) { return r->m.owner; }

/* The order of the columns in insert_messages, behind id and created_at. */
static int64_t (*const numbers[])(const struct message_record *r) = {
	value_state, value_state_at, value_attempts, value_lost,    value_fence,   value_run,
	value_said,  value_due,      value_started,  value_updated, value_send_at,
};
static const char *(*const texts[])(const struct message_record *r) = {
	text_phone, text_content, text_key, text_metadata, text_owner,
};
static const char insert_messages[] =
	"WITH i AS (INSERT INTO herald_messages(id,created_at,state,state_at,attempts,lost,fence,run,said,"
	"due_at,started_at,updated_at,send_at,phone,content,idempotency_key,metadata,owner)"
	" SELECT d.id,d.created_at,d.state,d.state_at,d.attempts,d.lost,d.fence,d.run,d.said,d.due_at,"
	"d.started_at,d.updated_at,d.send_at,d.phone,d.content,d.key,d.metadata,coalesce(o.id,0)"
	" FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::bigint[],"
	"$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::bigint[],$12::bigint[],$13::bigint[],"
	"$14::text[],$15::text[],$16::text[],$17::text[],$18::text[])"
	" AS d(id,created_at,state,state_at,attempts,lost,fence,run,said,due_at,started_at,updated_at,"
	"send_at,phone,content,key,metadata,owner)"
	" LEFT JOIN herald_owners o ON o.owner=d.owner ON CONFLICT DO NOTHING RETURNING 1)"
	" SELECT count(*) FROM i";

static void add_messages(struct pg_args *a, const struct importer *im, size_t n)
{
	const char *text;
	size_t i, col;

	pg_add_i64_array(a, n);
	for (i = 0; i < im->n; i++) {
		if (!im->there[i])
			pg_item_i64(a, im->ids[i]);
	}
	pg_add_i64_array(a, n);
	for (i = 0; i < im->n; i++) {
		if (!im->there[i])
			pg_item_i64(a, im->created_at[i]);
	}
	for (col = 0; col < ARRAY_SIZE(numbers); col++) {
		pg_add_i64_array(a, n);
		for (i = 0; i < im->n; i++) {
			if (!im->there[i])
				pg_item_i64(a, numbers[col](&im->items[i]));
		}
	}
	for (col = 0; col < ARRAY_SIZE(texts); col++) {
		pg_add_text_array(a, n);
		for (i = 0; i < im->n; i++) {
			if (im->there[i])
				continue;
			text = texts[col](&im->items[i]);
			pg_item_text(a, text, text ? strlen(text) : 0);
		}
	}
}

/* What an attempt consists of, in the order of insert_attempts. */
enum attempt_number { SEQ, RUN, STARTED_AT, DURATION, ATTEMPT, VERDICT, HTTP_STATUS, ATTEMPT_NUMBERS };

static int64_t attempt_number(const struct attempt_record *a, enum attempt_number which)
{
	switch (which) {
	case SEQ:
		return a->seq;
	case RUN:
		return a->a.run;
	case STARTED_AT:
		return a->a.started_at;
	case DURATION:
		return a->a.duration;
	case ATTEMPT:
		return a->a.attempt;
	case VERDICT:
		return (int64_t)a->a.verdict;
	case HTTP_STATUS:
		return a->a.http_status;
	case ATTEMPT_NUMBERS:
		break;
	}
	panic("an attempt has no number %d", (int)which);
}

static const char insert_attempts[] =
	"INSERT INTO herald_attempts(message,seq,run,started_at,duration,attempt,verdict,http_status,"
	"message_id,error,owner)"
	" SELECT d.message,d.seq,d.run,d.started_at,d.duration,d.attempt,d.verdict,d.http_status,"
	"d.message_id,d.error,coalesce(o.id,0)"
	" FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],$6::bigint[],"
	"$7::bigint[],$8::bigint[],$9::text[],$10::text[],$11::text[])"
	" AS d(message,seq,run,started_at,duration,attempt,verdict,http_status,message_id,error,owner)"
	" LEFT JOIN herald_owners o ON o.owner=d.owner ON CONFLICT DO NOTHING";

/* All attempts of the new messages: `FOR_EACH` leaves the i-th message in r and its attempt in a. */
#define FOR_EACH_ATTEMPT(im, i, j, r, a)                                                           \
	for (i = 0; i < (im)->n; i++)                                                              \
		for (j = 0, r = &(im)->items[i];                                                   \
		     j < ((im)->there[i] ? 0 : r->attempts_n) && (a = &r->attempts[j]); j++)

static void add_attempts(struct pg_args *args, const struct importer *im, size_t n)
{
	const struct message_record *r;
	const struct attempt_record *a;
	const char *said;
	size_t i, j;
	int col;

	pg_add_i64_array(args, n);
	FOR_EACH_ATTEMPT (im, i, j, r, a)
		pg_item_i64(args, im->ids[i]);
	for (col = 0; col < ATTEMPT_NUMBERS; col++) {
		pg_add_i64_array(args, n);
		FOR_EACH_ATTEMPT (im, i, j, r, a)
			pg_item_i64(args, attempt_number(a, (enum attempt_number)col));
	}
	pg_add_text_array(args, n);
	FOR_EACH_ATTEMPT (im, i, j, r, a) {
		said = a->seq == r->said ? r->m.message_id : NULL;
		pg_item_text(args, said, said ? strlen(said) : 0);
	}
	pg_add_text_array(args, n);
	FOR_EACH_ATTEMPT (im, i, j, r, a)
		pg_item_text(args, a->a.error, a->a.error ? strlen(a->a.error) : 0);
	pg_add_text_array(args, n);
	FOR_EACH_ATTEMPT (im, i, j, r, a)
		pg_item_text(args, a->a.node, a->a.node ? strlen(a->a.node) : 0);
}

static int store_new(struct pg_session *s, struct importer *im, size_t n, size_t attempts_n,
                     const int64_t by_state[ROW_STATE_COUNT], struct error *err)
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

	add_messages(&messages, im, n);
	for (i = 0; i < im->n; i++) {
		last_id = MAX_OF(last_id, im->ids[i]);
		created_at = MAX_OF(created_at, im->created_at[i]);
	}
	pg_add_i64(&last, last_id);
	pg_add_i64(&created, created_at);
	pg_counts_call(&calls[3], &counts, s, by_state);
	if (attempts_n) {
		add_attempts(&attempts, im, attempts_n);
		calls[used++] = (struct pg_call){.sql = insert_attempts, .args = &attempts};
	}
	rc = pg_run(s, calls, used, err);
	if (rc)
		return rc;
	stored = pg_i64(calls[0].res, 0, 0);
	pg_calls_clear(calls, used);
	if (stored == (int64_t)n)
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
	int64_t by_state[ROW_STATE_COUNT] = {0};
	struct importer *im = arg;
	size_t i, n = 0, attempts_n = 0;
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
		n++;
		attempts_n += im->items[i].attempts_n;
		by_state[record_state(&im->items[i])]++;
	}
	return n ? store_new(s, im, n, attempts_n, by_state, err) : OK;
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
