/* The memory driver: looking at messages. */
#include <string.h>

#include "alloc.h"
#include "store_memory.h"

void mem_copy_message(const struct row *row, struct arena *arena, struct message *ret)
{
	struct message m = row->m;

	m.phone = arena_strdup(arena, m.phone);
	m.content = arena_strdup(arena, m.content);
	m.message_id = arena_strdup(arena, m.message_id);
	m.last_error = arena_strdup(arena, m.last_error);
	m.idempotency_key = arena_strdup(arena, m.idempotency_key);
	m.metadata = arena_strdup(arena, m.metadata);
	m.owner = m.status == MESSAGE_SENDING ? arena_strdup(arena, m.owner) : NULL;
	m.lease_until = m.status == MESSAGE_SENDING ? row->state_at : 0;
	*ret = m;
}

int mem_not_found(int64_t id, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
}

int mem_get(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row)
		mem_copy_message(row, arena, ret);
	pthread_mutex_unlock(&db->lock);
	return row ? OK : mem_not_found(id, err);
}

static bool matches(const struct row *row, const struct list_query *q)
{
	return (q->status < 0 || (int)row->m.status == q->status) &&
	       (!q->phone || !strcmp(row->m.phone, q->phone)) &&
	       (!q->since || row->m.created_at >= q->since) &&
	       (!q->until || row->m.created_at < q->until);
}

/* When a row got to where the list looks for it. */
static usec_t list_time(const struct row *row, const struct list_query *q)
{
	return q->status < 0 ? row->m.created_at : row->state_at;
}

static bool newer(const struct row *a, const struct row *b, const struct list_query *q)
{
	usec_t at = list_time(a, q), bt = list_time(b, q);

	return at != bt ? at > bt : a->m.id > b->m.id;
}

/* Whether the row comes behind the position. */
static bool is_after(const struct row *row, const struct list_query *q)
{
	usec_t at = list_time(row, q);

	if (!q->after.at && !q->after.id)
		return true;
	return at != q->after.at ? at < q->after.at : row->m.id < q->after.id;
}

/* The newest row that matches and is older than `last` (NULL: any). Looking at all rows for each is slow,
 * and as plain a statement of the order as there can be. */
static struct row *next_row(struct mem_db *db, const struct list_query *q, const struct row *last)
{
	struct row *best = NULL, *row;
	size_t i;

	for (i = 0; i < db->n_rows; i++) {
		row = db->rows[i];
		if (matches(row, q) && is_after(row, q) && (!last || newer(last, row, q)) &&
		    (!best || newer(row, best, q)))
			best = row;
	}
	return best;
}

int mem_list(void *session, const struct list_query *q, struct message_page *ret, struct error *err)
{
	struct message_page page = {.total = q->want_total ? 0 : -1};
	struct mem_db *db = session;
	struct row *row = NULL;
	uint64_t skip = q->offset;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; q->want_total && !page.total_more && i < db->n_rows; i++) {
		page.total += matches(db->rows[i], q);
		if (q->phone || q->since || q->until)
			list_bound_total(q, &page);
	}
	page.items = arena_calloc(&page.arena, q->limit, sizeof(*page.items));
	while ((row = next_row(db, q, row))) {
		if (skip) {
			skip--;
			continue;
		}
		if (page.n == q->limit) {
			page.more = true;
			break;
		}
		mem_copy_message(row, &page.arena, &page.items[page.n++]);
		page.last = (struct list_position){.at = list_time(row, q), .id = row->m.id};
	}
	pthread_mutex_unlock(&db->lock);
	*ret = page;
	return OK;
}

int mem_counts(void *session, struct store_counts *ret, struct error *err)
{
	struct mem_db *db = session;
	struct store_counts c = {.by_status[0] = 0};
	int i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (i = 0; i < ROW_STATE_COUNT; i++)
		c.by_status[row_status(i)] += (int64_t)db->by_state[i].n;
	pthread_mutex_unlock(&db->lock);
	*ret = c;
	return OK;
}

int mem_ahead(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err)
{
	struct mem_db *db = session;
	const struct order *o = &db->by_state[MESSAGE_PENDING];
	size_t n;

	(void)err;
	pthread_mutex_lock(&db->lock);
	n = order_before(o, q->due_at, q->id);
	if (q->order == ORDER_LIFO)
		n = order_before(o, MAX_OF(q->now, q->due_at), INT64_MAX) - order_before(o, q->due_at, q->id + 1);
	pthread_mutex_unlock(&db->lock);
	*ret = (uint32_t)MIN_OF(n, (size_t)q->limit);
	return OK;
}

int mem_attempts(void *session, int64_t id, struct attempt_page *ret, struct error *err)
{
	struct attempt_page page = {.n = 0};
	struct mem_db *db = session;
	struct row *row;
	size_t i;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row) {
		page.n = MIN_OF(row->n_records, 1000);
		page.items = arena_calloc(&page.arena, page.n, sizeof(*page.items));
		for (i = 0; i < page.n; i++) {
			page.items[i] = row->records[i].attempt;
			page.items[i].error = arena_strdup(&page.arena, page.items[i].error);
			page.items[i].node = arena_strdup(&page.arena, page.items[i].node);
		}
	}
	pthread_mutex_unlock(&db->lock);
	if (!row)
		return mem_not_found(id, err);
	*ret = page;
	return OK;
}
