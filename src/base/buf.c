#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

/* Shared by all threads, so nobody may write to it, not even the NUL that is already there. */
char buf_empty[1];

void buf_init(struct buf *b)
{
	*b = (struct buf)BUF_INIT;
}

void buf_release(struct buf *b)
{
	if (b->cap)
		free(b->data);
	buf_init(b);
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

void buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap;

	if (unlikely(__builtin_add_overflow(b->len, extra, &need) || need > SIZE_MAX / 4))
		panic("buffer of %zu bytes cannot grow by %zu", b->len, extra);
	need++;
	if (need <= b->cap)
		return;
	/* Doubling keeps the cost of n appends linear. */
	cap = MAX_OF(b->cap * 2, (size_t)64);
	cap = MAX_OF(cap, need);
	if (b->cap) {
		b->data = xrealloc(b->data, cap);
	} else {
		b->data = xmalloc(cap);
		b->data[0] = '\0';
	}
	b->cap = cap;
}

void buf_truncate(struct buf *b, size_t len)
{
	if (unlikely(len > b->len))
		panic("buffer of %zu bytes cannot be cut to %zu", b->len, len);
	if (!b->cap)
		return;
	b->len = len;
	b->data[len] = '\0';
}

char *buf_detach(struct buf *b, size_t *ret_len)
{
	char *data;

	buf_reserve(b, 0);
	data = b->data;
	if (ret_len)
		*ret_len = b->len;
	buf_init(b);
	return data;
}

void buf_addstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room;
	int n;

	buf_reserve(b, 64);
	room = b->cap - b->len;
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, room, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n >= room) {
		buf_reserve(b, (size_t)n);
		room = b->cap - b->len;
		va_start(ap, fmt);
		n = vsnprintf(b->data + b->len, room, fmt, ap);
		va_end(ap);
	}
	if (unlikely(n < 0))
		panic("a format that cannot be printed: %s", fmt);
	b->len += (size_t)n;
}

void buf_addu64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_addi64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_addch(b, '-');
	/* Negated as unsigned: INT64_MIN has no positive counterpart. */
	buf_addu64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}
