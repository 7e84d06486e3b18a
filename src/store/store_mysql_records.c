/*
 * Whole records, out of the MySQL driver and into it. What is there already is read first, and exactly the
 * rest is written; when somebody else brings one of them in between, the insert meets a duplicate and all of it is
 * done again.
 */
#include "alloc.h"
#include "store_mysql.h"
#include "text.h"

/* --- messages out ------------------------------------------------------------------------------------------ */

struct page_query {
	int64_t after;
	uint32_t limit;
	struct record_page *page;
};

/* Two round trips: attempts that come in between belong to messages that change in between, too. Nobody exports
 * those and calls it a copy. */
static int read_page(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct page_query *p = arg;
	struct record_page *page = p->page;
	struct my_rows rows;
	int rc;

	buf_addf(my_begin(&q),
	         "SELECT " SQL_MESSAGE_COLUMNS ",m.run,m.said FROM herald_messages m" SQL_MESSAGE_JOINS
	         " WHERE m.id>%lld ORDER BY m.id LIMIT %u",
	         (long long)p->after, p->limit + 1);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rows = my_rows(&q, 0);
	rc = sql_message_records(&rows.sql, p->limit, page, err);
	if (rc || !page->n)
		return rc;
	my_batch_clear(&q);
	buf_addf(my_begin(&q),
	         "SELECT " SQL_ATTEMPT_COLUMNS " FROM " SQL_ATTEMPTS
	         " WHERE a.message BETWEEN %lld AND %lld ORDER BY a.message,a.seq",
	         (long long)page->items[0].m.id, (long long)page->items[page->n - 1].m.id);
	rc = my_run(s, &q, err);
	if (rc)
		return rc;
	rows = my_rows(&q, 0);
	return sql_attempt_records(&rows.sql, page, err);
}

int my_export_messages(void *session, int64_t after, uint32_t limit, struct record_page *ret,
                       struct error *err)
{
	struct page_query p = {.after = after, .limit = limit, .page = ret};

	return my_transact(session, read_page, &p, err);
}

/* --- messages in ------------------------------------------------------------------------------------------- */

struct owner {
	const char *name;
	int64_t id; /* 0: not known yet */
};

struct importer {
	struct my_session *s;
	struct message_record *items;
	size_t n;
	bool given; /* ids are */
	struct place {
		int64_t id;
		usec_t created_at;
		bool there; /* before this call */
	} * places;
	struct owner *owners; /* by name */
	size_t owners_n;
	struct arena arena;
	struct my_totals totals;
};

static void importer_release(struct importer *im)
{
	free(im->places);
	free(im->owners);
	arena_release(&im->arena);
	im->places = NULL;
	im->owners = NULL;
	im->owners_n = 0;
	im->totals = (struct my_totals){.delivered = 0};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct owner *)a)->name, ((const struct owner *)b)->name);
}

static struct owner *find_owner(const struct importer *im, const char *name)
{
	const struct owner probe = {.name = name};

	return im->owners_n ? bsearch(&probe, im->owners, im->owners_n, sizeof(probe), by_name) : NULL;
}

static int64_t owner_id(const struct importer *im, const char *name)
{
	const struct owner *o = name ? find_owner(im, name) : NULL;

	return o ? o->id : 0;
}

static void gather_owners(struct importer *im)
{
	const char **names cleanup(free_ptr) = NULL;
	size_t i;

	im->owners_n = sql_owners(im->items, im->n, &names);
	im->owners = xcalloc(im->owners_n + 1, sizeof(*im->owners));
	for (i = 0; i < im->owners_n; i++)
		im->owners[i].name = names[i];
}

/* Adds statements with at most MY_LIST_MAX items each: `select`, the items, ")". */
static void add_lists(struct my_batch *q, const char *select, size_t n,
                      void (*item)(const struct importer *im, size_t i, struct buf *sql),
                      const struct importer *im)
{
	struct buf *sql = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (i % MY_LIST_MAX == 0) {
			sql = my_begin(q);
			buf_addstr(sql, select);
		} else {
			buf_addch(sql, ',');
		}
		item(im, i, sql);
		if (i % MY_LIST_MAX == MY_LIST_MAX - 1 || i + 1 == n)
			buf_addch(sql, ')');
	}
}

static void item_owner(const struct importer *im, size_t i, struct buf *sql)
{
	my_quote_text(im->s, sql, im->owners[i].name);
}

static void item_id(const struct importer *im, size_t i, struct buf *sql)
{
	buf_addi64(sql, im->items[i].m.id);
}

static void item_key(const struct importer *im, size_t i, struct buf *sql)
{
	my_quote_text(im->s, sql, im->items[i].m.idempotency_key);
}

/* Their rows are for ever, so making them need not be part of the transaction. */
static int read_owners(struct importer *im, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct owner *o;
	struct my_row r;
	size_t i;
	int rc;

	gather_owners(im);
	if (!im->owners_n)
		return OK;
	add_lists(&q, "SELECT owner,id FROM herald_owners WHERE owner IN (", im->owners_n, item_owner, im);
	rc = my_run(im->s, &q, err);
	for (i = 0; !rc && i < q.n; i++) {
		while (my_row(&q, i, &r)) {
			o = find_owner(im, my_text(&r, 0, &im->arena));
			if (o)
				o->id = my_int(&r, 1);
		}
	}
	for (i = 0; !rc && i < im->owners_n; i++) {
		if (!im->owners[i].id)
			rc = my_owner(im->s, im->owners[i].name, &im->owners[i].id, err);
	}
	return rc;
}

struct key {
	const char *key;
	size_t item;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->key, ((const struct key *)b)->key);
}

/* What is stored under one of our keys. */
static int note_key(struct importer *im, const struct key *keys, size_t n, const struct my_row *r,
                    struct error *err)
{
	const struct key probe = {.key = my_text(r, 0, &im->arena)};
	const struct key *k = n ? bsearch(&probe, keys, n, sizeof(*keys), by_key) : NULL;

	if (!k)
		return OK;
	if (im->given && my_int(r, 1) != im->items[k->item].m.id)
		return error_set(err, ERR_CONFLICT,
		                 "message %lld: another one has its idempotency key %s already",
		                 (long long)im->items[k->item].m.id, k->key);
	im->places[k->item] =
		(struct place){.id = my_int(r, 1), .created_at = my_int(r, 2), .there = true};
	return OK;
}

static void note_id(struct importer *im, const struct my_row *r)
{
	size_t low = 0, high = im->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (im->items[middle].m.id < my_int(r, 0))
			low = middle + 1;
		else
			high = middle;
	}
	if (low < im->n && im->items[low].m.id == my_int(r, 0))
		im->places[low] = (struct place){
			.id = my_int(r, 0), .created_at = my_int(r, 1), .there = true};
}

/* Finds a place for what is not there. */
static int assign(struct importer *im, int64_t last_id, usec_t created_at, struct error *err)
{
	struct place *p;
	size_t i;

	for (i = 0; i < im->n; i++) {
		p = &im->places[i];
		if (p->there)
			continue;
		p->id = im->given ? im->items[i].m.id : ++last_id;
		p->created_at = im->items[i].m.created_at;
		if (!im->given)
			created_at = p->created_at = MAX_OF(created_at, p->created_at);
		im->totals.by_state[record_state(&im->items[i])]++;
		im->totals.delivered += im->items[i].m.status == MESSAGE_SENT;
	}
	return last_id > MESSAGE_ID_MAX
	               ? error_set(err, ERR_PERMANENT, "the store has given out all its ids")
	               : OK;
}

/* With the transaction's beginning. */
static int look(struct importer *im, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct key *keys cleanup(free_ptr) = xcalloc(im->n, sizeof(*keys));
	size_t i, n = 0, last, by_keys;
	struct my_row r;
	int rc;

	for (i = 0; i < im->n; i++) {
		if (im->items[i].m.idempotency_key)
			keys[n++] = (struct key){im->items[i].m.idempotency_key, i};
	}
	if (n)
		qsort(keys, n, sizeof(*keys), by_key);
	my_start(im->s, &q);
	last = my_add(&q, MY_LAST);
	if (im->given)
		add_lists(&q, "SELECT id,created_at FROM herald_messages WHERE id IN (", im->n, item_id, im);
	by_keys = q.n;
	if (n)
		add_lists(&q, "SELECT idempotency_key,id,created_at FROM herald_messages"
		              " WHERE idempotency_key IN (", im->n, item_key, im);
	rc = my_run(im->s, &q, err);
	for (i = last + 1; !rc && i < q.n; i++) {
		while (!rc && my_row(&q, i, &r)) {
			if (i < by_keys)
				note_id(im, &r);
			else
				rc = note_key(im, keys, n, &r, err);
		}
	}
	if (rc)
		return rc;
	return my_row(&q, last, &r) ? assign(im, my_int(&r, 0), my_int(&r, 1), err)
	                            : error_set(err, ERR_TRANSIENT, "the database gave no last id");
}

static void add_message(struct importer *im, struct buf *sql, const struct message_record *r,
                        const struct place *p)
{
	int64_t numbers[SQL_MESSAGE_NUMBERS_N];
	const char *texts[SQL_MESSAGE_TEXTS_N];
	size_t i;

	sql_message_numbers(r, p->id, p->created_at, numbers);
	sql_message_texts(r, texts);
	buf_addch(sql, '(');
	my_numbers(sql, numbers, ARRAY_SIZE(numbers));
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		buf_addch(sql, ',');
		my_quote_text(im->s, sql, texts[i]);
	}
	buf_addch(sql, ',');
	buf_addi64(sql, owner_id(im, r->m.owner));
	buf_addch(sql, ')');
}

/* Sends the packet if it is full. */
static int flush(struct importer *im, struct my_batch *q, bool *first, struct error *err)
{
	int rc;

	if (q->sql.len < im->s->packet)
		return OK;
	rc = my_run(im->s, q, err);
	my_batch_clear(q);
	*first = true;
	return rc;
}

static int write_messages(struct importer *im, struct my_batch *q, struct error *err)
{
	bool first = true;
	size_t i;
	int rc = OK;

	for (i = 0; !rc && i < im->n; i++) {
		if (im->places[i].there)
			continue;
		if (first)
			buf_addlit(my_begin(q), "INSERT INTO herald_messages(" SQL_MESSAGE_NUMBERS
			                        "," SQL_MESSAGE_TEXTS ",owner) VALUES");
		else
			buf_addch(&q->sql, ',');
		first = false;
		add_message(im, &q->sql, &im->items[i], &im->places[i]);
		rc = flush(im, q, &first, err);
	}
	return rc;
}

static int write_attempts(struct importer *im, struct my_batch *q, struct error *err)
{
	const struct message_record *r;
	struct sql_attempt a;
	bool first = true;
	size_t i, j;
	int rc = OK;

	for (i = 0; i < im->n; i++) {
		r = &im->items[i];
		for (j = 0; !rc && !im->places[i].there && j < r->attempts_n; j++) {
			a = sql_attempt_imported(r, j, im->places[i].id, owner_id(im, r->attempts[j].a.node));
			my_attempt_add(im->s, q, &a, first);
			first = false;
			if (q->sql.len >= im->s->packet) {
				my_attempts_end(q);
				rc = flush(im, q, &first, err);
			}
		}
	}
	if (!rc && !first)
		my_attempts_end(q);
	return rc;
}

static int import_body(struct my_session *s, void *arg, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct importer *im = arg;
	int rc;

	importer_release(im);
	im->s = s;
	im->places = xcalloc(im->n, sizeof(*im->places));
	if ((rc = read_owners(im, err)) || (rc = look(im, err)) ||
	    (rc = write_messages(im, &q, err)) || (rc = write_attempts(im, &q, err)))
		return rc;
	my_totals_add(s, &q, &im->totals);
	return my_commit(s, &q, NULL, err);
}

int my_import_messages(void *session, struct message_record *items, size_t n, struct error *err)
{
	struct importer im = {.items = items, .n = n, .given = items[0].m.id != 0};
	int rc = my_transact(session, import_body, &im, err);
	size_t i;

	for (i = 0; !rc && i < n; i++) {
		items[i].result = im.places[i].there ? INSERT_REPEATED : INSERT_CREATED;
		items[i].m.id = im.places[i].id;
		items[i].m.created_at = im.places[i].created_at;
	}
	importer_release(&im);
	return rc;
}
