/* Compiler attributes and the few macros that every file may use. */
#ifndef HERALD_ATTR_H
#define HERALD_ATTR_H

#include <stddef.h>

/* Runs fn(&variable) when the variable leaves its scope. */
#define cleanup(fn) __attribute__((cleanup(fn)))
#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define maybe_unused __attribute__((unused))
#define noreturn_fn __attribute__((noreturn))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

#endif
