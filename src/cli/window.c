#include "window.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "attr.h"

void window_init(struct window *w, window_read_fn *read, void *arg)
{
	*w = (struct window){.read = read, .arg = arg};
}

void window_release(struct window *w)
{
	free(w->memory);
	*w = (struct window){.at_end = true};
}

bool window_more(struct window *w)
{
	ssize_t n;

	if (w->at_end || w->len == WINDOW_MAX)
		return false;
	if (w->start) {
		memmove(w->memory, w->memory + w->start, w->len);
		w->start = 0;
	}
	if (w->cap - w->len < WINDOW_CHUNK / 4 && w->cap < WINDOW_MAX) {
		w->cap = MIN_OF(WINDOW_MAX, w->cap + WINDOW_CHUNK);
		w->memory = xrealloc(w->memory, w->cap);
	}
	n = w->read(w->arg, w->memory + w->len, MIN_OF(WINDOW_CHUNK, w->cap - w->len));
	if (n <= 0) {
		w->at_end = true;
		if (n < 0)
			w->errnum = errno;
		return false;
	}
	w->len += (size_t)n;
	return true;
}

void window_consume(struct window *w, size_t n)
{
	w->start += n;
	w->len -= n;
	w->consumed += n;
}

ssize_t window_read_fd(void *arg, void *buf, size_t size)
{
	ssize_t n;

	do
		n = read(*(int *)arg, buf, size);
	while (n < 0 && errno == EINTR);
	return n;
}
