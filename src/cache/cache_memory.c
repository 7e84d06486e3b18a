/*
 * The cache in this process' memory: a ring of slots in order of insertion, and a hash table of their
 * positions by id. The TTL is the same for all, so the order of insertion is the order of expiry: what
 * has to go is always at the head. A cursor is the sequence number of the last entry seen; sequence
 * numbers only grow along the ring, so a binary search finds the place again whatever came or went.
 *
 * Putting an id again leaves a dead slot, which goes when the head passes it or when a full ring is
 * rebuilt. Slots hold usual ids (a UUID is 36 bytes) in themselves: 100,000 entries
 * take about 9 MB and no allocation each.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "cache_driver.h"
#include "message.h"
#include "text.h"

#define FIRST_SLOTS 64u
#define MAX_ENTRIES (1 << 28)
#define INLINE_TEXT 39 /* longest provider id that lives in its slot */
#define NOWHERE UINT32_MAX

enum text_place { TEXT_NONE, TEXT_INLINE, TEXT_HEAP };

struct slot {
	int64_t id; /* 0: dead */
	uint64_t seq;
	usec_t sent_at;
	usec_t put_at; /* monotonic */
	union {
		char chars[INLINE_TEXT];
		char *heap;
	} text;
	uint8_t place; /* enum text_place */
};

struct memory {
	pthread_mutex_t lock;
	usec_t ttl;
	uint32_t max; /* live entries */
	struct slot *slots;
	uint32_t cap, head, used, live; /* used: slots from head on, dead ones included */
	uint32_t *table;                /* position of a slot, or NOWHERE; a power of two >= 2 * cap */
	uint32_t mask;
	uint64_t last_seq;
};

static uint32_t home_of(const struct memory *m, int64_t id)
{
	return (uint32_t)(((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & m->mask;
}

/* The bucket that holds the id, or the free one where it belongs. */
static uint32_t bucket_of(const struct memory *m, int64_t id)
{
	uint32_t b = home_of(m, id);

	while (m->table[b] != NOWHERE && m->slots[m->table[b]].id != id)
		b = (b + 1) & m->mask;
	return b;
}

/* Frees a bucket and moves up those behind it that probing would no longer reach. */
static void bucket_clear(struct memory *m, uint32_t hole)
{
	uint32_t b = hole;

	for (;;) {
		m->table[hole] = NOWHERE;
		do {
			b = (b + 1) & m->mask;
			if (m->table[b] == NOWHERE)
				return;
		} while (((b - home_of(m, m->slots[m->table[b]].id)) & m->mask) < ((b - hole) & m->mask));
		m->table[hole] = m->table[b];
		hole = b;
	}
}

static struct slot *slot_at(const struct memory *m, uint32_t i)
{
	return &m->slots[(m->head + i) % m->cap];
}

static void kill_slot(struct memory *m, struct slot *s)
{
	bucket_clear(m, bucket_of(m, s->id));
	if (s->place == TEXT_HEAP)
		free(s->text.heap);
	s->id = 0;
	m->live--;
}

static void drop_head(struct memory *m)
{
	struct slot *s = slot_at(m, 0);

	if (s->id)
		kill_slot(m, s);
	m->head = (m->head + 1) % m->cap;
	m->used--;
}

static void drop_expired(struct memory *m, usec_t now)
{
	while (m->used) {
		const struct slot *s = slot_at(m, 0);

		if (s->id && (!m->ttl || now - s->put_at < m->ttl))
			return;
		drop_head(m);
	}
}

/* A new ring without the dead slots, and its table. */
static void rebuild(struct memory *m, uint32_t cap)
{
	struct slot *slots = xreallocarray(NULL, cap, sizeof(*slots));
	uint32_t n = 0, buckets = 1;

	for (uint32_t i = 0; i < m->used; i++) {
		const struct slot *s = slot_at(m, i);

		if (s->id)
			slots[n++] = *s;
	}
	while (buckets < 2 * cap)
		buckets *= 2;
	free(m->slots);
	free(m->table);
	m->slots = slots;
	m->cap = cap;
	m->head = 0;
	m->used = n;
	m->mask = buckets - 1;
	m->table = xreallocarray(NULL, buckets, sizeof(*m->table));
	memset(m->table, 0xff, buckets * sizeof(*m->table));
	for (uint32_t i = 0; i < n; i++)
		m->table[bucket_of(m, slots[i].id)] = i;
}

/*
 * Room for one more at the end of the ring. A full ring is rebuilt: at the same size when half of its
 * slots are dead, else larger, up to an eighth more than the entries allowed. So even at full size
 * a rebuild frees that eighth, and its cost is spread over as many puts.
 */
static void make_room(struct memory *m)
{
	if (m->live == m->max) {
		while (!slot_at(m, 0)->id)
			drop_head(m);
		drop_head(m);
	}
	if (m->used < m->cap)
		return;
	if (m->live > m->cap / 2)
		rebuild(m, m->cap > m->max / 2 ? m->max + m->max / 8 + 1 : m->cap * 2);
	else
		rebuild(m, m->cap);
}

static void put_one(struct memory *m, const struct cache_entry *e, usec_t now)
{
	uint32_t b = bucket_of(m, e->id);
	struct slot *s;
	size_t len;

	if (m->table[b] != NOWHERE)
		kill_slot(m, &m->slots[m->table[b]]);
	make_room(m);
	s = slot_at(m, m->used++);
	m->live++;
	s->id = e->id;
	s->seq = ++m->last_seq;
	s->sent_at = e->sent_at;
	s->put_at = now;
	s->place = TEXT_NONE;
	if (e->message_id) {
		len = strnlen(e->message_id, MESSAGE_PROVIDER_ID_MAX);
		s->place = len < INLINE_TEXT ? TEXT_INLINE : TEXT_HEAP;
		if (s->place == TEXT_HEAP) {
			s->text.heap = xstrndup(e->message_id, len);
		} else {
			memcpy(s->text.chars, e->message_id, len);
			s->text.chars[len] = '\0';
		}
	}
	m->table[bucket_of(m, e->id)] = (uint32_t)(s - m->slots);
}

static int memory_open(void **ret, const struct cache_options *options, const struct cache_layout *layout,
                       struct error *err)
{
	struct memory *m;

	(void)layout; /* nobody else looks in here */
	if (!options->max_entries || options->max_entries > MAX_ENTRIES)
		return error_set(err, ERR_CONFIG, "the cache must hold 1 to %d entries", MAX_ENTRIES);
	m = xcalloc(1, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	m->ttl = options->ttl;
	m->max = (uint32_t)options->max_entries;
	rebuild(m, MIN_OF(FIRST_SLOTS, m->max + 1));
	*ret = m;
	return OK;
}

static void memory_close(void *state)
{
	struct memory *m = state;

	while (m->used)
		drop_head(m);
	free(m->slots);
	free(m->table);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static void memory_put(void *state, const struct cache_entry *entries, size_t n)
{
	struct memory *m = state;
	usec_t now = clock_mono();

	pthread_mutex_lock(&m->lock);
	drop_expired(m, now);
	for (size_t i = 0; i < n; i++)
		put_one(m, &entries[i], now);
	pthread_mutex_unlock(&m->lock);
}

/* The first position whose sequence number is above seq. */
static uint32_t first_after(const struct memory *m, uint64_t seq)
{
	uint32_t lo = 0, hi = m->used;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (slot_at(m, mid)->seq > seq)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static const char *text_of(const struct slot *s, struct arena *a)
{
	switch ((enum text_place)s->place) {
	case TEXT_INLINE:
		return arena_strdup(a, s->text.chars);
	case TEXT_HEAP:
		return arena_strdup(a, s->text.heap);
	case TEXT_NONE:
		break;
	}
	return NULL;
}

static int memory_list(void *state, const char *cursor, uint32_t limit, struct cache_page *ret,
                       struct error *err)
{
	struct memory *m = state;
	int64_t after = 0;
	struct buf next = BUF_INIT;

	if (*cursor && !text_to_i64(cursor, strlen(cursor), 1, INT64_MAX, &after))
		return cache_bad_cursor(err);

	pthread_mutex_lock(&m->lock);
	drop_expired(m, clock_mono());
	ret->items = arena_calloc(&ret->arena, MIN_OF(limit, m->live + 1), sizeof(*ret->items));
	for (uint32_t i = first_after(m, (uint64_t)after); i < m->used; i++) {
		const struct slot *s = slot_at(m, i);

		if (!s->id)
			continue;
		if (ret->n == limit) {
			buf_addi64(&next, after);
			break;
		}
		ret->items[ret->n++] = (struct cache_entry){
			.id = s->id,
			.message_id = text_of(s, &ret->arena),
			.sent_at = s->sent_at,
		};
		after = (int64_t)s->seq;
	}
	pthread_mutex_unlock(&m->lock);

	memcpy(ret->next, next.data, next.len + 1);
	buf_release(&next);
	return OK;
}

static enum cache_health memory_health(void *state)
{
	(void)state;
	return CACHE_UP;
}

static const char *const schemes[] = {"memory", NULL};

const struct cache_driver cache_driver_memory = {
	.name = "memory",
	.schemes = schemes,
	.open = memory_open,
	.close = memory_close,
	.put = memory_put,
	.list = memory_list,
	.health = memory_health,
};
