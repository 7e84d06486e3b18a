/* The memory driver: taking messages in. */
#include <search.h>
#include <string.h>

#include "alloc.h"
#include "store_memory.h"

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->m.idempotency_key,
	              ((const struct row *)b)->m.idempotency_key);
}

struct row *mem_find_key(struct mem_db *db, const char *key)
{
	struct row probe = {.m.idempotency_key = key}, **found;

	if (!key)
		return NULL;
	found = tfind(&probe, &db->keys, compare_keys);
	return found ? *found : NULL;
}

void mem_add_key(struct mem_db *db, struct row *row)
{
	if (!tsearch(row, &db->keys, compare_keys))
		panic("out of memory");
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static void add_row(struct mem_db *db, struct message_draft *d, usec_t at, usec_t created_at)
{
	struct row *row = xcalloc(1, sizeof(*row));

	if (db->n_rows == db->cap_rows) {
		db->cap_rows = db->cap_rows ? 2 * db->cap_rows : 64;
		db->rows = xreallocarray(db->rows, db->cap_rows, sizeof(*db->rows));
	}
	db->rows[db->n_rows++] = row;
	row->m.id = ++db->last_id;
	row->m.phone = xstrdup(d->phone);
	row->m.content = xstrdup(d->content);
	row->m.idempotency_key = d->idempotency_key ? xstrdup(d->idempotency_key) : NULL;
	row->m.metadata = d->metadata ? xstrdup(d->metadata) : NULL;
	row->m.send_at = d->send_at;
	row->m.created_at = row->m.updated_at = created_at;
	row->m.due_at = row->state_at = d->send_at > at ? d->send_at : at;
	order_add(&db->by_state[MESSAGE_PENDING], row->state_at, row->m.id);
	if (row->m.idempotency_key)
		mem_add_key(db, row);
	d->result = INSERT_CREATED;
	d->id = row->m.id;
	d->created_at = created_at;
}

static void drop_last_row(struct mem_db *db)
{
	struct row *row = db->rows[--db->n_rows];

	db->last_id--;
	order_remove(&db->by_state[row->state], row->state_at, row->m.id);
	if (row->m.idempotency_key)
		tdelete(row, &db->keys, compare_keys);
	mem_free_row(row);
}

static void insert_group(struct mem_db *db, struct insert_group *g, usec_t at, usec_t created_at)
{
	int64_t before = db->last_id;
	struct message_draft *d;
	struct row *old;
	size_t i;

	g->stored = true;
	for (i = 0; i < g->n; i++) {
		d = &g->drafts[i];
		old = mem_find_key(db, d->idempotency_key);
		if (!old) {
			add_row(db, d, at, created_at);
		} else if (!same_text(old->m.phone, d->phone) || !same_text(old->m.content, d->content) ||
		           !same_text(old->m.metadata, d->metadata) || old->m.send_at != d->send_at) {
			d->result = INSERT_CONFLICT;
			d->id = d->created_at = 0;
			g->stored = false;
		} else {
			d->result = INSERT_REPEATED;
			d->id = old->m.id;
			d->created_at = old->m.created_at;
		}
	}
	if (g->stored)
		return;
	while (db->last_id > before)
		drop_last_row(db);
	for (i = 0; i < g->n; i++) {
		if (g->drafts[i].id > before)
			g->drafts[i].id = g->drafts[i].created_at = 0;
	}
}

int mem_insert(void *session, struct insert_group *groups, size_t n, struct error *err)
{
	struct mem_db *db = session;
	usec_t at, created_at;
	size_t i, before;

	(void)err;
	pthread_mutex_lock(&db->lock);
	at = db->clock();
	/* Ids and creation times rise together, even when the clock is set back. */
	created_at = MAX_OF(at, db->last_created_at);
	before = db->n_rows;
	for (i = 0; i < n; i++)
		insert_group(db, &groups[i], at, created_at);
	if (db->n_rows > before)
		db->last_created_at = created_at;
	pthread_mutex_unlock(&db->lock);
	return OK;
}
