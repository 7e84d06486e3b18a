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

static int export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
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

/* Sequences are not taken back with a transaction, so they must not say what it has not stored; too high is
 * harmless. */
#define RAISE(sequence)                                                                            \
	"SELECT setval('" sequence "',$1::bigint) WHERE $1::bigint>=(SELECT last_value FROM " sequence \
	")"

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
		{.sql = RAISE("herald_ids"), .args = &last},
		{.sql = RAISE("herald_created"), .args = &created},
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

static int import_messages(void *session, struct message_record *items, size_t n, struct error *err)
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

/* --- runs -------------------------------------------------------------------------------------------------- */

struct runs_query {
	int64_t after;
	uint32_t limit;
	struct run_record_page page;
};

static int runs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct runs_query *q = arg;
	PGresult *res;
	int rc, i;

	run_record_page_release(&q->page);
	pg_add_i64(&args, q->after);
	pg_add_i64(&args, (int64_t)q->limit + 1);
	rc = pg_run1(s,
	             "SELECT id,started_at,node,claimed,sent,failed,retried,lost,last_id,finished,closed"
	             " FROM herald_runs WHERE id>$1::bigint ORDER BY id LIMIT $2::bigint",
	             &args, &res, err);
	if (rc)
		return rc;
	q->page.items = arena_calloc(&q->page.arena, q->limit, sizeof(*q->page.items));
	for (i = 0; i < PQntuples(res) && q->page.n < q->limit; i++) {
		q->page.items[q->page.n++] = (struct run_record){
			.r = {.id = pg_i64(res, i, 0),
			      .started_at = pg_i64(res, i, 1),
			      .node = pg_text(res, i, 2, &q->page.arena),
			      .claimed = (uint32_t)pg_i64(res, i, 3),
			      .sent = (uint32_t)pg_i64(res, i, 4),
			      .failed = (uint32_t)pg_i64(res, i, 5),
			      .retried = (uint32_t)pg_i64(res, i, 6),
			      .lost = (uint32_t)pg_i64(res, i, 7),
			      .last_id = pg_i64(res, i, 8),
			      .finished = pg_i64(res, i, 9) != 0},
			.closed = pg_i64(res, i, 10) != 0,
		};
	}
	q->page.more = i < PQntuples(res);
	PQclear(res);
	return OK;
}

static int export_runs(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
                       struct error *err)
{
	struct runs_query q = {.after = after, .limit = limit};
	int rc = pg_transact(session, runs_body, &q, err);

	if (rc)
		run_record_page_release(&q.page);
	else
		*ret = q.page;
	return rc;
}

struct runs_import {
	const struct run_record *items;
	size_t n;
};

static int64_t run_number(const struct run_record *r, int col)
{
	const int64_t numbers_of[] = {r->r.id,      r->r.started_at, r->r.claimed,  r->r.sent,
	                              r->r.failed,  r->r.retried,    r->r.lost,     r->r.last_id,
	                              r->r.finished, r->closed};

	return numbers_of[col];
}
#define RUN_NUMBERS 10

static int import_runs_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct runs_import *im = arg;
	struct pg_call call = {
		.sql = "INSERT INTO herald_runs(id,started_at,claimed,sent,failed,retried,lost,last_id,"
		       "finished,closed,node) SELECT d.id,d.started_at,d.claimed,d.sent,d.failed,d.retried,"
		       "d.lost,d.last_id,d.finished<>0,d.closed<>0,d.node"
		       " FROM unnest($1::bigint[],$2::bigint[],$3::bigint[],$4::bigint[],$5::bigint[],"
		       "$6::bigint[],$7::bigint[],$8::bigint[],$9::bigint[],$10::bigint[],$11::text[])"
		       " AS d(id,started_at,claimed,sent,failed,retried,lost,last_id,finished,closed,node)"
		       " ON CONFLICT DO NOTHING",
		.args = &args,
	};
	size_t i;
	int rc, col;

	for (col = 0; col < RUN_NUMBERS; col++) {
		pg_add_i64_array(&args, im->n);
		for (i = 0; i < im->n; i++)
			pg_item_i64(&args, run_number(&im->items[i], col));
	}
	pg_add_text_array(&args, im->n);
	for (i = 0; i < im->n; i++)
		pg_item_text(&args, im->items[i].r.node, strlen(im->items[i].r.node));
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int import_runs(void *session, const struct run_record *items, size_t n, struct error *err)
{
	struct runs_import im = {.items = items, .n = n};

	return pg_transact(session, import_runs_body, &im, err);
}

/* --- the state --------------------------------------------------------------------------------------------- */

static int export_state_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_call calls[] = {
		{.sql = PG_BEGIN_READ},
		{.sql = "SELECT " PG_SCHEDULER_COLUMNS ",(SELECT closed FROM herald_runs WHERE id=s.epoch)"
	                " FROM herald_scheduler s"},
		{.sql = "SELECT " PG_NOW ",(SELECT sum(sent)::bigint FROM herald_counts),"
	                "(SELECT all_failed FROM herald_streak),"
	                "(SELECT last_value-(NOT is_called)::int FROM herald_ids),"
	                "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM herald_created)"},
		{.sql = PG_END_READ},
	};
	struct state_record *state = arg;
	struct scheduler_row row;
	int rc = pg_run(s, calls, ARRAY_SIZE(calls), err);

	if (rc)
		return rc;
	*state = (struct state_record){.scheduler_set = PQntuples(calls[1].res) != 0};
	if (state->scheduler_set) {
		pg_scheduler(calls[1].res, 0, &row);
		state->s = row.s;
		state->config_interval = row.config_interval;
		state->config_batch = row.config_batch;
		state->beat_closed = pg_i64(calls[1].res, 0, PG_SCHEDULER_COLUMNS_N) != 0;
		state->s.messages_sent = pg_i64(calls[2].res, 0, 1);
		state->s.all_failed_in_a_row = (uint32_t)pg_i64(calls[2].res, 0, 2);
	}
	state->s.now = pg_i64(calls[2].res, 0, 0);
	state->last_id = pg_i64(calls[2].res, 0, 3);
	state->last_created_at = pg_i64(calls[2].res, 0, 4);
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	return OK;
}

static int export_state(void *session, struct state_record *ret, struct error *err)
{
	struct state_record state;
	int rc = pg_transact(session, export_state_body, &state, err);

	if (!rc)
		*ret = state;
	return rc;
}

static int import_state_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args row cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args streak cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args ids cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args created cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct state_record *state = arg;
	const struct pacing *p = &state->s.pacing;
	struct pg_call calls[4] = {
		{.sql = RAISE("herald_ids"), .args = &ids},
		{.sql = RAISE("herald_created"), .args = &created},
		{.sql = "INSERT INTO herald_scheduler(one,running,beat_interval,batch,beat_at,epoch,"
	                "remaining,failure_rate,last_alert_at,config_interval,config_batch,not_before)"
	                " VALUES(1,$1::bigint<>0,$2::bigint,$3::bigint,$4::bigint,$5::bigint,$6::bigint,"
	                "$7::float8,$8::bigint,$9::bigint,$10::bigint,$11::bigint) ON CONFLICT(one) DO UPDATE SET"
	                " running=excluded.running,beat_interval=excluded.beat_interval,"
	                "batch=excluded.batch,beat_at=excluded.beat_at,epoch=excluded.epoch,"
	                "remaining=excluded.remaining,failure_rate=excluded.failure_rate,"
	                "last_alert_at=excluded.last_alert_at,config_interval=excluded.config_interval,"
	                "config_batch=excluded.config_batch,not_before=excluded.not_before",
	         .args = &row},
		{.sql = "UPDATE herald_streak SET all_failed=$1::bigint", .args = &streak},
	};
	const size_t n = state->scheduler_set ? 4 : 2;
	int rc;

	/* 0 is below what a sequence can hold, and below every other number. */
	pg_add_i64(&ids, state->last_id ? state->last_id : INT64_MIN);
	pg_add_i64(&created, state->last_created_at ? state->last_created_at : INT64_MIN);
	pg_add_i64(&row, p->running);
	pg_add_i64(&row, p->interval);
	pg_add_i64(&row, p->batch);
	pg_add_i64(&row, p->beat_at);
	pg_add_i64(&row, p->epoch);
	pg_add_i64(&row, p->left);
	pg_add_f64(&row, state->s.failure_rate);
	pg_add_i64(&row, state->s.last_alert_at);
	pg_add_i64(&row, state->config_interval);
	pg_add_i64(&row, state->config_batch);
	pg_add_i64(&row, p->not_before);
	pg_add_i64(&streak, state->s.all_failed_in_a_row);
	rc = pg_begin(s, calls, n, err);
	if (rc)
		return rc;
	pg_calls_clear(calls, n);
	return pg_commit(s, err);
}

static int import_state(void *session, const struct state_record *state, struct error *err)
{
	struct state_record copy = *state;

	return pg_transact(session, import_state_body, &copy, err);
}

/* --- notes ------------------------------------------------------------------------------------------------- */

struct note {
	const char *name, *text;
	struct arena *arena;
	const char *found;
};

static int note_get_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	struct note *note = arg;
	PGresult *res;
	int rc;

	pg_add_text(&args, note->name);
	rc = pg_run1(s, "SELECT said FROM herald_notes WHERE name=$1::text", &args, &res, err);
	if (rc)
		return rc;
	note->found = PQntuples(res) ? pg_text(res, 0, 0, note->arena) : NULL;
	PQclear(res);
	return OK;
}

static int note_get(void *session, const char *name, struct arena *arena, const char **ret,
                    struct error *err)
{
	struct note note = {.name = name, .arena = arena};
	int rc = pg_transact(session, note_get_body, &note, err);

	if (!rc)
		*ret = note.found;
	return rc;
}

static int note_set_body(struct pg_session *s, void *arg, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct note *note = arg;
	struct pg_call call = {
		.sql = "INSERT INTO herald_notes(name,said) VALUES($1::text,$2::text)"
		       " ON CONFLICT(name) DO UPDATE SET said=excluded.said",
		.args = &args,
	};
	int rc;

	pg_add_text(&args, note->name);
	if (note->text)
		pg_add_text(&args, note->text);
	else
		call.sql = "DELETE FROM herald_notes WHERE name=$1::text";
	rc = pg_begin(s, &call, 1, err);
	if (rc)
		return rc;
	pg_calls_clear(&call, 1);
	return pg_commit(s, err);
}

static int note_set(void *session, const char *name, const char *text, struct error *err)
{
	struct note note = {.name = name, .text = text};

	return pg_transact(session, note_set_body, &note, err);
}

const struct record_verbs pg_record_verbs = {
	.export_messages = export_messages,
	.import_messages = import_messages,
	.export_runs = export_runs,
	.import_runs = import_runs,
	.export_state = export_state,
	.import_state = import_state,
	.note_get = note_get,
	.note_set = note_set,
};
