#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/*
 * Chunks double up to CHUNK_MAX, so that a large page of rows costs few calls to malloc and a small one
 * little memory. A piece too large for a normal chunk gets one of its own *behind* the head, so that
 * the room left in the head is not lost.
 */
enum {
	ALIGN = 8,
	CHUNK_MIN = 4096,
	CHUNK_MAX = 256 * 1024,
};

struct arena_chunk {
	struct arena_chunk *next;
	size_t cap, used;
	_Alignas(ALIGN) char data[];
};

static struct arena_chunk *chunk_new(size_t cap)
{
	struct arena_chunk *c;

	c = xmalloc(sizeof(*c) + cap);
	c->next = NULL;
	c->cap = cap;
	c->used = 0;
	return c;
}

static size_t next_cap(const struct arena *a)
{
	const size_t smallest = CHUNK_MIN - sizeof(struct arena_chunk);

	if (!a->head)
		return smallest;
	return MIN_OF(a->head->cap * 2, (size_t)CHUNK_MAX);
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c = a->head;
	size_t cap;
	void *p;

	if (unlikely(size > SIZE_MAX / 2))
		panic("arena piece of %zu bytes is too large", size);
	size = MAX_OF((size + ALIGN - 1) / ALIGN * ALIGN, (size_t)ALIGN);

	if (!c || c->cap - c->used < size) {
		cap = next_cap(a);
		if (c && size > cap / 2) {
			c = chunk_new(size);
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c = chunk_new(MAX_OF(cap, size));
			c->next = a->head;
			a->head = c;
		}
	}
	p = c->data + c->used;
	c->used += size;
	a->used += size;
	return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (unlikely(__builtin_mul_overflow(n, size, &total)))
		panic("arena array of %zu items of %zu bytes is too large", n, size);
	return memset(arena_alloc(a, total), 0, total);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (len)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

/* An array has room for as many items as the next power of two. */
void *arena_grow(struct arena *a, void *items, size_t n, size_t size)
{
	void *grown;

	if (n & (n - 1))
		return items;
	grown = arena_calloc(a, n ? 2 * n : 1, size);
	return n ? memcpy(grown, items, n * size) : grown;
}

void arena_clear(struct arena *a)
{
	struct arena_chunk *c, *next;

	a->used = 0;
	if (!a->head)
		return;
	for (c = a->head->next; c; c = next) {
		next = c->next;
		free(c);
	}
	a->head->next = NULL;
	a->head->used = 0;
}

void arena_release(struct arena *a)
{
	arena_clear(a);
	free(a->head);
	a->head = NULL;
}
