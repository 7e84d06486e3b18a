/*
 * Taking messages in. What is known of the idempotency keys is read first; then each draft's fate is
 * decided here, in the order of the call, and one statement inserts exactly the rows that stay. So nothing
 * has to be taken back, whatever conflicts, and no id is wasted, unless another session brings one of the
 * keys in between: then all is decided again.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_postgres.h"
#include "text.h"

#define KEY_TRIES 10

/* Whose a key is: of a stored message, or of a draft of this call. */
struct key_owner {
	const char *key; /* NULL: unused slot */
	struct message_draft *draft;
	int64_t id;
	usec_t created_at, send_at;
	const char *phone, *content, *metadata;
};

struct inserter {
	struct insert_group *groups;
	size_t groups_n;
	struct arena arena; /* texts of stored messages */
	struct key_owner *keys; /* open addressing; size a power of two */
	size_t mask;
	struct message_draft **fresh; /* to be inserted, in order */
	size_t fresh_n;
	struct repetition { /* of a draft of this call, which has no id yet */
		struct message_draft *draft;
		const struct message_draft *of;
	} * repeated;
	size_t repeated_n;
	size_t keyed; /* drafts with a key */
	bool raced;
};

static struct key_owner *slot(struct inserter *in, const char *key)
{
	size_t i = (size_t)hash_bytes(key, strlen(key), 0) & in->mask;

	while (in->keys[i].key && strcmp(in->keys[i].key, key) != 0)
		i = (i + 1) & in->mask;
	return &in->keys[i];
}

static void inserter_release(struct inserter *in)
{
	arena_release(&in->arena);
	free(in->keys);
	free(in->fresh);
	free(in->repeated);
}

static void inserter_init(struct inserter *in)
{
	size_t i, j, drafts = 0, size = 16;

	in->fresh_n = in->repeated_n = in->keyed = 0;
	in->raced = false;
	for (i = 0; i < in->groups_n; i++) {
		drafts += in->groups[i].n;
		for (j = 0; j < in->groups[i].n; j++)
			in->keyed += in->groups[i].drafts[j].idempotency_key != NULL;
	}
	while (size < 2 * in->keyed)
		size *= 2;
	in->mask = size - 1;
	in->keys = xcalloc(size, sizeof(*in->keys));
	in->fresh = xcalloc(drafts + 1, sizeof(struct message_draft *));
	in->repeated = xcalloc(in->keyed + 1, sizeof(*in->repeated));
}

/* Reads the stored messages that own one of the call's keys. */
static int read_keys(struct pg_session *s, struct inserter *in, struct error *err)
{
	struct pg_args args cleanup(pg_args_release) = PG_ARGS_INIT;
	const struct message_draft *d;
	struct key_owner *k;
	const char *key;
	PGresult *res;
	size_t i, j;
	int rc, row;

	if (!in->keyed)
		return OK;
	pg_add_text_array(&args, in->keyed);
	for (i = 0; i < in->groups_n; i++) {
		for (j = 0; j < in->groups[i].n; j++) {
			d = &in->groups[i].drafts[j];
			if (d->idempotency_key)
				pg_item_text(&args, d->idempotency_key, strlen(d->idempotency_key));
		}
	}
	rc = pg_run1(s,
	             "SELECT idempotency_key,id,created_at,send_at,phone,content,metadata"
	             " FROM herald_messages WHERE idempotency_key=ANY($1::text[])",
	             &args, &res, err);
	if (rc)
		return rc;
	for (row = 0; row < PQntuples(res); row++) {
		key = pg_text(res, row, 0, &in->arena);
		k = slot(in, key);
		*k = (struct key_owner){
			.key = key,
			.id = pg_i64(res, row, 1),
			.created_at = pg_i64(res, row, 2),
			.send_at = pg_i64(res, row, 3),
			.phone = pg_text(res, row, 4, &in->arena),
			.content = pg_text(res, row, 5, &in->arena),
			.metadata = pg_text(res, row, 6, &in->arena),
		};
	}
	PQclear(res);
	return OK;
}

static void decide(struct inserter *in, struct message_draft *d)
{
	struct key_owner *k = d->idempotency_key ? slot(in, d->idempotency_key) : NULL;

	d->id = d->created_at = 0;
	if (k && k->phone) {
		if (k->send_at != d->send_at || strcmp(k->phone, d->phone) != 0 ||
		    strcmp(k->content, d->content) != 0 || !text_equal(k->metadata, d->metadata)) {
			d->result = INSERT_CONFLICT;
			return;
		}
		d->result = INSERT_REPEATED;
		d->id = k->id;
		d->created_at = k->created_at;
		if (k->draft)
			in->repeated[in->repeated_n++] = (struct repetition){d, k->draft};
		return;
	}
	d->result = INSERT_CREATED;
	in->fresh[in->fresh_n++] = d;
	if (k)
		*k = (struct key_owner){.key = d->idempotency_key,
		                        .draft = d,
		                        .send_at = d->send_at,
		                        .phone = d->phone,
		                        .content = d->content,
		                        .metadata = d->metadata};
}

/* A group with a conflict is taken out again, and its keys are free: a slot without a phone. */
static void decide_group(struct inserter *in, struct insert_group *g)
{
	size_t i, before = in->fresh_n;
	bool conflict = false;

	for (i = 0; i < g->n; i++) {
		decide(in, &g->drafts[i]);
		conflict |= g->drafts[i].result == INSERT_CONFLICT;
	}
	g->stored = !conflict;
	if (!conflict)
		return;
	for (i = before; i < in->fresh_n; i++) {
		if (in->fresh[i]->idempotency_key)
			slot(in, in->fresh[i]->idempotency_key)->phone = NULL;
	}
	in->fresh_n = before;
}

/* Those of a draft whose group was not stored get none, as it did. */
static void copy_ids(struct inserter *in)
{
	size_t i;

	for (i = 0; i < in->repeated_n; i++) {
		in->repeated[i].draft->id = in->repeated[i].of->id;
		in->repeated[i].draft->created_at = in->repeated[i].of->created_at;
	}
}

static void add_rows(struct pg_args *a, const struct inserter *in)
{
	struct pg_table rows cleanup(pg_table_release) = {.numbers_n = 1, .texts_n = 4};
	const struct message_draft *d;
	size_t i;

	for (i = 0; i < in->fresh_n; i++) {
		d = in->fresh[i];
		pg_table_row(&rows, &d->send_at,
		             (const char *const[]){d->phone, d->content, d->idempotency_key, d->metadata});
	}
	pg_add_i64(a, (int64_t)in->fresh_n);
	pg_add_table(a, &rows);
}

/* due_at is never before now: greatest(send_at, now). The clock of creation may be ahead of now, if that
 * was set back. */
static const char insert_rows[] =
	"WITH a AS MATERIALIZED (SELECT first_id,created_at," PG_NOW " AS now"
	" FROM herald_allot($1::bigint)),"
	" d AS (SELECT * FROM unnest($2::bigint[],$3::text[],$4::text[],$5::text[],$6::text[])"
	" WITH ORDINALITY AS d(send_at,phone,content,key,metadata,n)),"
	" i AS (INSERT INTO herald_messages(id,state_at,fence,owner,run,said,due_at,started_at,"
	"updated_at,created_at,send_at,attempts,lost,state,phone,content,idempotency_key,metadata)"
	" SELECT a.first_id+d.n-1,greatest(d.send_at,a.now),0,0,0,-1,greatest(d.send_at,a.now),0,"
	"a.created_at,a.created_at,d.send_at,0,0,0,d.phone,d.content,d.key,d.metadata FROM a,d"
	" ON CONFLICT(idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING 1)"
	" SELECT first_id,created_at,(SELECT count(*) FROM i) FROM a";

static int store_fresh(struct pg_session *s, struct inserter *in, struct error *err)
{
	const int64_t by_state[ROW_STATE_COUNT] = {[MESSAGE_PENDING] = (int64_t)in->fresh_n};
	struct pg_args rows cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_args counts cleanup(pg_args_release) = PG_ARGS_INIT;
	struct pg_call calls[] = {
		{.sql = insert_rows, .args = &rows},
		{.sql = NULL},
	};
	size_t i;
	int64_t first;
	usec_t created;
	int rc;

	add_rows(&rows, in);
	pg_counts_call(&calls[1], &counts, s, by_state);
	rc = pg_begin(s, calls, ARRAY_SIZE(calls), err);
	if (rc)
		return rc;
	first = pg_i64(calls[0].res, 0, 0);
	created = pg_i64(calls[0].res, 0, 1);
	in->raced = pg_i64(calls[0].res, 0, 2) != (int64_t)in->fresh_n;
	pg_calls_clear(calls, ARRAY_SIZE(calls));
	if (in->raced)
		return OK;
	rc = pg_commit(s, err);
	if (rc)
		return rc;
	for (i = 0; i < in->fresh_n; i++) {
		in->fresh[i]->id = first + (int64_t)i;
		in->fresh[i]->created_at = created;
	}
	return OK;
}

static int insert_body(struct pg_session *s, void *arg, struct error *err)
{
	struct inserter *in = arg;
	size_t i;
	int rc;

	inserter_init(in);
	rc = read_keys(s, in, err);
	for (i = 0; !rc && i < in->groups_n; i++)
		decide_group(in, &in->groups[i]);
	if (!rc && in->fresh_n) {
		rc = store_fresh(s, in, err);
		/* herald_allot() may have been left with its lock held, which is the connection's. */
		if (rc)
			pg_drop(s);
	}
	if (!rc && !in->raced)
		copy_ids(in);
	inserter_release(in);
	return rc;
}

int pg_insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct inserter in = {.groups = groups, .groups_n = n};
	int tries, rc;

	for (tries = 0; tries < KEY_TRIES; tries++) {
		rc = pg_transact(session, insert_body, &in, err);
		if (rc || !in.raced)
			return rc;
	}
	return error_set(err, ERR_TRANSIENT, "other sessions keep bringing the same idempotency keys");
}
