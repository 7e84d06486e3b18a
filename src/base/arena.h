/*
 * A bump allocator: many small pieces that live and die together, e.g. the rows of one page of
 * messages or of one claim. Pieces are 8-aligned and are never freed one by one. One thread at a time.
 */
#ifndef HERALD_ARENA_H
#define HERALD_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used; /* bytes handed out (rounded up to 8 each), over all chunks */
};

#define ARENA_INIT {0}

void *arena_alloc(struct arena *a, size_t size);                      /* uninitialised */
void *arena_calloc(struct arena *a, size_t n, size_t size);           /* zeroed; aborts on overflow */
char *arena_strndup(struct arena *a, const char *s, size_t len);      /* len bytes and a NUL */
char *arena_strdup(struct arena *a, const char *s);                   /* NULL stays NULL */
/* Room for one more item behind n items of an array that is built one by one: the array, moved now and then. */
void *arena_grow(struct arena *a, void *items, size_t n, size_t size);
void arena_clear(struct arena *a);   /* drops all pieces, keeps one chunk for reuse */
void arena_release(struct arena *a); /* frees all; the arena is empty and usable again */

#endif
