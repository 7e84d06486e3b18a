/*
 * A sliding window over a stream of bytes: what has been read and not yet consumed, in one piece. It lets a
 * parser work in place on records of any length up to the window's bound, in constant memory.
 */
#ifndef HERALD_WINDOW_H
#define HERALD_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As read(2): bytes read, 0 at the end, or -1 with errno set. */
typedef ssize_t window_read_fn(void *arg, void *buf, size_t size);

struct window {
	window_read_fn *read;
	void *arg;
	char *memory;
	size_t cap;
	size_t start, len;  /* the bytes at hand: memory[start, start + len) */
	uint64_t consumed;  /* bytes of the stream before them */
	bool at_end;        /* the stream holds nothing more */
	int errnum;         /* why reading ended early; 0: it did not */
};

#define WINDOW_CHUNK ((size_t)1 << 20) /* read at a time */
#define WINDOW_MAX ((size_t)4 << 20)   /* at hand at most */

void window_init(struct window *w, window_read_fn *read, void *arg);
void window_release(struct window *w);

static inline char *window_data(const struct window *w)
{
	return w->memory + w->start;
}

/* Reads more behind what is at hand (which may move). False when there is nothing more to be had: the
 * stream is at its end or broken, or the window is full. */
bool window_more(struct window *w);

/* n <= w->len */
void window_consume(struct window *w, size_t n);

/* A window_read_fn over a descriptor: arg points at an int. */
ssize_t window_read_fd(void *arg, void *buf, size_t size);

#endif
