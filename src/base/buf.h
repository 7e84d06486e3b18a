/*
 * A growable byte buffer, always NUL-terminated at data[len] (the NUL is not counted), so that it can
 * be handed to libc. It may hold NUL bytes. One thread at a time.
 *
 *	struct buf b = BUF_INIT;
 *	buf_addf(&b, "%d", 7);
 *	buf_release(&b);
 */
#ifndef HERALD_BUF_H
#define HERALD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "attr.h"

struct buf {
	char *data; /* never NULL: an empty buffer points at a shared NUL */
	size_t len;
	size_t cap; /* 0 while nothing is allocated */
};

extern char buf_empty[1];
#define BUF_INIT {.data = buf_empty}

void buf_init(struct buf *b);
void buf_release(struct buf *b); /* frees; the buffer is empty and usable again */
void buf_clear(struct buf *b);   /* length 0, keeps the memory */
void buf_reserve(struct buf *b, size_t extra); /* room for extra more bytes plus the NUL */
void buf_truncate(struct buf *b, size_t len);  /* len <= b->len */
char *buf_detach(struct buf *b, size_t *ret_len /* may be NULL */); /* caller frees; b is empty */

/* Inline, since answers and log lines are built from thousands of small pieces. */
static inline void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!len)
		return;
	if (b->cap - b->len <= len)
		buf_reserve(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}
static inline void buf_addch(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}
void buf_addstr(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_addi64(struct buf *b, int64_t v); /* decimal, without printf's cost */
void buf_addu64(struct buf *b, uint64_t v);

/* Adds a string literal without a strlen at run time. */
#define buf_addlit(b, lit) buf_add((b), "" lit, sizeof(lit) - 1)

#endif
