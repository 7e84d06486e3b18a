#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("herald: panic: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* A size of 0 is asked for as 1, since malloc(0) may answer NULL without being out of memory. */
static void *checked(void *p, size_t size)
{
	if (unlikely(!p))
		panic("out of memory (%zu bytes wanted)", size);
	return p;
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1), size);
}

void *xcalloc(size_t n, size_t size)
{
	if (n == 0 || size == 0)
		n = size = 1;
	return checked(calloc(n, size), size);
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1), size);
}

void *xreallocarray(void *p, size_t n, size_t size)
{
	size_t total;

	if (unlikely(__builtin_mul_overflow(n, size, &total)))
		panic("array of %zu items of %zu bytes is too large", n, size);
	return xrealloc(p, total);
}

char *xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(xmalloc(size), s, size);
}

char *xstrndup(const char *s, size_t max)
{
	size_t len = strnlen(s, max);
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (unlikely(n < 0))
		panic("out of memory, or a format that cannot be printed: %s", fmt);
	return text;
}

void free_ptr(void *pp)
{
	void *p;

	/* Any pointer type may stand behind pp; reading it as void * would break the aliasing rules. */
	memcpy(&p, pp, sizeof(p));
	free(p);
}
