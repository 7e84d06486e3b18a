/*
 * Memory that never fails: each call aborts the process when the system has none left, so callers
 * need no error path. Anything whose size a peer chooses must be bounded *before* it comes here.
 * All are thread-safe; free() releases what they return.
 */
#ifndef HERALD_ALLOC_H
#define HERALD_ALLOC_H

#include <stddef.h>

#include "attr.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull)); /* aborts on overflow */
char *xstrdup(const char *s) __attribute__((returns_nonnull));
char *xstrndup(const char *s, size_t max) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...) printf_like(1, 2) __attribute__((returns_nonnull));

/* For cleanup(free_ptr) on any pointer variable. */
void free_ptr(void *pp);

/* Prints the message to stderr and aborts: an invariant of the program itself is broken. */
noreturn_fn void panic(const char *fmt, ...) printf_like(1, 2);

#endif
