/*
 * Taking messages in: all groups of a call in one transaction. What becomes of each draft is decided here,
 * before anything is written, from the idempotency keys that are in the database and those that came
 * earlier in the call; so only what will stay is inserted, and no id is spent on what will not. When
 * somebody else stores one of the keys in between, the insert meets a duplicate, and all of it is done again.
 */
#include "alloc.h"
#include "store_mysql.h"

/* Who has a key. */
struct key {
	const char *key;
	bool stored; /* in the database: with these contents */
	int64_t id;
	usec_t created_at, send_at;
	const char *phone, *content, *metadata;
	struct message_draft *draft; /* else, when not NULL: a draft of this call */
};

struct plan {
	struct message_draft *draft;
	struct message_draft *same; /* REPEATED: the draft of this call that came first */
	bool insert;
};

struct inserter {
	struct my_session *s;
	struct insert_group *groups;
	size_t n;
	struct plan *plans;
	size_t plans_n, created;
	struct key *keys; /* sorted, each once */
	size_t keys_n;
	struct arena arena;
	usec_t now, created_at;
	int64_t step; /* between the ids of one statement */
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->key, ((const struct key *)b)->key);
}

static void collect_keys(struct inserter *in)
{
	size_t i, j, n = 0;

	for (i = 0; i < in->n; i++)
		for (j = 0; j < in->groups[i].n; j++)
			n += in->groups[i].drafts[j].idempotency_key != NULL;
	if (!n)
		return;
	in->keys = xcalloc(n, sizeof(*in->keys));
	n = 0;
	for (i = 0; i < in->n; i++) {
		for (j = 0; j < in->groups[i].n; j++) {
			if (in->groups[i].drafts[j].idempotency_key)
				in->keys[n++].key = in->groups[i].drafts[j].idempotency_key;
		}
	}
	qsort(in->keys, n, sizeof(*in->keys), by_key);
	for (i = 0; i < n; i++) {
		if (!in->keys_n || strcmp(in->keys[in->keys_n - 1].key, in->keys[i].key) != 0)
			in->keys[in->keys_n++] = in->keys[i];
	}
}

static struct key *find_key(const struct inserter *in, const char *text)
{
	const struct key key = {.key = text};

	return in->keys_n ? bsearch(&key, in->keys, in->keys_n, sizeof(key), by_key) : NULL;
}

/* Reads the clock, and which of the keys are taken. Creation times shall not go back when the clock does:
 * people read lists from their top. (What is due is another matter: that goes by the clock.) */
static int look(struct inserter *in, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct buf *sql = NULL;
	struct my_row r;
	struct key *k;
	size_t i;
	int rc;

	my_add(&q, "SELECT " MY_NOW);
	my_add(&q, "SELECT created_at FROM herald_messages FORCE INDEX(herald_messages_created)"
	           " ORDER BY created_at DESC LIMIT 1");
	for (i = 0; i < in->keys_n; i++) {
		if (i % MY_LIST_MAX == 0) {
			if (sql)
				buf_addch(sql, ')');
			sql = my_begin(&q);
			buf_addlit(sql, "SELECT idempotency_key,id,created_at,send_at,phone,content,metadata"
			                " FROM herald_messages WHERE idempotency_key IN (");
		} else {
			buf_addch(sql, ',');
		}
		my_quote_text(in->s, sql, in->keys[i].key);
	}
	if (sql)
		buf_addch(sql, ')');
	rc = my_run(in->s, &q, err);
	if (rc)
		return rc;
	in->now = in->created_at = my_row(&q, 0, &r) ? my_int(&r, 0) : 0;
	if (my_row(&q, 1, &r))
		in->created_at = MAX_OF(in->now, my_int(&r, 0));
	for (i = 2; i < q.n; i++) {
		while (my_row(&q, i, &r)) {
			k = find_key(in, my_text(&r, 0, &in->arena));
			if (!k)
				continue;
			k->stored = true;
			k->id = my_int(&r, 1);
			k->created_at = my_int(&r, 2);
			k->send_at = my_int(&r, 3);
			k->phone = my_text(&r, 4, &in->arena);
			k->content = my_text(&r, 5, &in->arena);
			k->metadata = my_text(&r, 6, &in->arena);
		}
	}
	return OK;
}

/* --- deciding --------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static bool same_message(const struct message_draft *d, const struct key *k)
{
	if (k->stored)
		return d->send_at == k->send_at && same_text(d->phone, k->phone) &&
		       same_text(d->content, k->content) && same_text(d->metadata, k->metadata);
	return d->send_at == k->draft->send_at && same_text(d->phone, k->draft->phone) &&
	       same_text(d->content, k->draft->content) &&
	       same_text(d->metadata, k->draft->metadata);
}

static void decide(struct inserter *in, struct plan *p)
{
	struct message_draft *d = p->draft;
	struct key *k = d->idempotency_key ? find_key(in, d->idempotency_key) : NULL;

	d->id = d->created_at = 0;
	if (!k || (!k->stored && !k->draft)) {
		d->result = INSERT_CREATED;
		p->insert = true;
		if (k)
			k->draft = d;
	} else if (!same_message(d, k)) {
		d->result = INSERT_CONFLICT;
	} else {
		d->result = INSERT_REPEATED;
		p->same = k->draft;
		if (k->stored) {
			d->id = k->id;
			d->created_at = k->created_at;
		}
	}
}

static bool within(const struct insert_group *g, const struct message_draft *d)
{
	return d >= g->drafts && d < g->drafts + g->n;
}

/* The group is not stored: what it would have brought is as if it had never come. */
static void take_back(struct inserter *in, const struct insert_group *g, struct plan *plans)
{
	struct key *k;
	size_t i;

	for (i = 0; i < g->n; i++) {
		plans[i].insert = false;
		if (plans[i].same && within(g, plans[i].same))
			plans[i].same = NULL;
		k = g->drafts[i].idempotency_key ? find_key(in, g->drafts[i].idempotency_key) : NULL;
		if (k && k->draft && within(g, k->draft))
			k->draft = NULL;
	}
}

static void decide_all(struct inserter *in)
{
	struct plan *plans;
	struct insert_group *g;
	size_t i, j, conflicts;

	for (i = 0; i < in->n; i++)
		in->plans_n += in->groups[i].n;
	in->plans = xcalloc(in->plans_n + 1, sizeof(*in->plans));
	plans = in->plans;
	for (i = 0; i < in->n; i++, plans += g->n) {
		g = &in->groups[i];
		conflicts = 0;
		for (j = 0; j < g->n; j++) {
			plans[j].draft = &g->drafts[j];
			decide(in, &plans[j]);
			conflicts += g->drafts[j].result == INSERT_CONFLICT;
		}
		g->stored = !conflicts;
		if (conflicts)
			take_back(in, g, plans);
		for (j = 0; j < g->n; j++)
			in->created += plans[j].insert;
	}
}

/* --- writing ---------------------------------------------------------------------------------------------- */

static void add_row(struct inserter *in, struct buf *sql, const struct message_draft *d)
{
	const usec_t due = MAX_OF(d->send_at, in->now);
	const usec_t created = in->created_at;
	const int64_t times[] = {due, created, created, created, d->send_at};
	size_t i;

	buf_addlit(sql, "(0,");
	buf_addi64(sql, due);
	buf_addlit(sql, ",0,0,0,0,0,-1");
	for (i = 0; i < ARRAY_SIZE(times); i++) {
		buf_addch(sql, ',');
		buf_addi64(sql, times[i]);
	}
	buf_addch(sql, ',');
	my_quote_text(in->s, sql, d->phone);
	buf_addch(sql, ',');
	my_quote_text(in->s, sql, d->content);
	buf_addch(sql, ',');
	my_quote_text(in->s, sql, d->idempotency_key);
	buf_addch(sql, ',');
	my_quote_text(in->s, sql, d->metadata);
	buf_addch(sql, ')');
}

/* The ids that a statement gave to the drafts of plans [from, to): a number of rows known beforehand gets
 * its ids in one piece, `step` apart. */
static int assign_ids(struct inserter *in, size_t from, size_t to, int64_t first, struct error *err)
{
	int64_t id = first;

	for (; from < to; from++) {
		if (!in->plans[from].insert)
			continue;
		if (id <= 0 || id > MESSAGE_ID_MAX)
			return error_set(err, ERR_PERMANENT, "the store has given out all its ids");
		in->plans[from].draft->id = id;
		in->plans[from].draft->created_at = in->created_at;
		id += in->step;
	}
	return OK;
}

static const char step_query[] = "SELECT @@auto_increment_increment";

/* Inserts as many rows, from *at on, as fit into one packet. Galera changes the step when servers come and
 * go; it must be the same before and after. */
static int insert_packet(struct inserter *in, struct my_batch *q, size_t *at, struct error *err)
{
	struct my_row r;
	struct buf *sql;
	size_t from = *at, insert, before, after;
	bool any = false;
	int rc;

	before = my_add(q, step_query);
	sql = my_begin(q);
	insert = q->n - 1;
	buf_addlit(sql, "INSERT INTO herald_messages(state,state_at,attempts,lost,fence,owner,run,said,due_at,"
	                "started_at,updated_at,created_at,send_at,phone,content,idempotency_key,metadata)"
	                " VALUES");
	for (; *at < in->plans_n && sql->len < in->s->packet; ++*at) {
		if (!in->plans[*at].insert)
			continue;
		if (any)
			buf_addch(sql, ',');
		add_row(in, sql, in->plans[*at].draft);
		any = true;
	}
	if (!any)
		return OK;
	after = my_add(q, step_query);
	rc = my_run(in->s, q, err);
	if (rc)
		return rc;
	in->step = my_row(q, before, &r) ? my_int(&r, 0) : 0;
	if (!my_row(q, after, &r) || my_int(&r, 0) != in->step || in->step < 1) {
		in->s->again = true;
		return error_set(err, ERR_TRANSIENT, "the database's step between ids has just changed");
	}
	return assign_ids(in, from, *at, (int64_t)q->replies[insert].insert_id, err);
}

static int write_all(struct inserter *in, struct error *err)
{
	struct my_totals totals = {.by_state[MESSAGE_PENDING] = (int64_t)in->created};
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	size_t at = 0;
	int rc;

	my_start(in->s, &q);
	while (at < in->plans_n) {
		rc = insert_packet(in, &q, &at, err);
		if (rc)
			return rc;
		my_batch_clear(&q);
	}
	my_totals_add(in->s, &q, &totals);
	return my_commit(in->s, &q, NULL, err);
}

static void inserter_release(struct inserter *in)
{
	free(in->plans);
	free(in->keys);
	arena_release(&in->arena);
}

static int insert(struct my_session *s, void *arg, struct error *err)
{
	struct inserter *in = arg;
	struct insert_group *groups = in->groups;
	size_t i, n = in->n;
	int rc;

	inserter_release(in);
	*in = (struct inserter){.s = s, .groups = groups, .n = n};
	collect_keys(in);
	rc = look(in, err);
	if (rc)
		return rc;
	decide_all(in);
	rc = in->created ? write_all(in, err) : OK;
	for (i = 0; !rc && i < in->plans_n; i++) {
		if (in->plans[i].same) {
			in->plans[i].draft->id = in->plans[i].same->id;
			in->plans[i].draft->created_at = in->plans[i].same->created_at;
		}
	}
	return rc;
}

int my_insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct inserter in = {.groups = groups, .n = n};
	int rc = my_transact(session, insert, &in, err);

	inserter_release(&in);
	return rc;
}
