/*
 * Calls that have hurt too many C programs to be allowed here. Force-included into every file, so
 * that using one is a compile error which names the alternative.
 *
 * strcpy, strcat, sprintf, gets: no bound. strncpy: may leave the result unterminated. strtok: hidden
 * state. atoi and friends: errors look like zero. localtime and friends: shared static buffer.
 * rand: neither random nor thread-safe. strerror: not thread-safe (use error_errno()). system,
 * popen: a shell where none is wanted. alloca: unbounded stack.
 */
#ifndef HERALD_BANNED_H
#define HERALD_BANNED_H

/* Their own headers must have been seen first, or the poison would hit the declarations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* As must a library's header with macros that call them: its users are compiled with its name. */
#ifdef HERALD_BANNED_AFTER
#include HERALD_BANNED_AFTER
#endif

/* With _FORTIFY_SOURCE and clang, glibc makes this one a macro, which cannot be poisoned. */
#undef sprintf

#pragma GCC poison strcpy strcat sprintf vsprintf gets strncpy strncat strtok
#pragma GCC poison atoi atol atoll atof
#pragma GCC poison localtime gmtime ctime asctime
#pragma GCC poison srand
#pragma GCC poison tmpnam mktemp tempnam

/* OpenSSL's headers name parameters `rand`, so only calls of it are made impossible. */
#undef rand
#define rand() banned_rand_use_random_u64()

#endif
