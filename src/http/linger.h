/*
 * Closing a socket that still has unread bytes makes the kernel send a reset, and a reset may destroy the
 * answer on its way: a client whose body was refused would see a broken connection instead of the 413. So such a
 * connection, its sending side already shut, is read over for a short while. Belongs to one API thread.
 */
#ifndef HERALD_LINGER_H
#define HERALD_LINGER_H

#include <stddef.h>

#include "clock.h"

struct linger_entry;

struct linger_list {
	int epoll_fd; /* where entries are watched; data.ptr is the entry */
	struct linger_entry *head;
	size_t n;
};

/* Takes a duplicate of fd; does nothing when too many linger already. */
void linger_add(struct linger_list *l, int fd);
/* The entry is readable. */
void linger_ready(struct linger_list *l, struct linger_entry *e);
/* Closes those whose time is up. */
void linger_expire(struct linger_list *l, usec_t now);
void linger_release(struct linger_list *l);

#endif
