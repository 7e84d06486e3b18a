#include "linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"

#define LINGER_MAX 64
#define LINGER_TIME (5 * USEC_PER_SEC)
#define LINGER_BYTES ((size_t)64 * 1024 * 1024)

struct linger_entry {
	struct linger_entry *next, *prev;
	int fd;
	usec_t until;
	size_t left; /* bytes it may still send */
};

void linger_add(struct linger_list *l, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};
	struct linger_entry *e;
	int copy;

	if (l->n >= LINGER_MAX)
		return;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return;
	e = xcalloc(1, sizeof(*e));
	ev.data.ptr = e;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, copy, &ev) < 0) {
		close(copy);
		free(e);
		return;
	}
	e->fd = copy;
	e->until = clock_mono() + LINGER_TIME;
	e->left = LINGER_BYTES;
	e->next = l->head;
	if (e->next)
		e->next->prev = e;
	l->head = e;
	l->n++;
}

static void drop(struct linger_list *l, struct linger_entry *e)
{
	if (e->prev)
		e->prev->next = e->next;
	else
		l->head = e->next;
	if (e->next)
		e->next->prev = e->prev;
	l->n--;
	close(e->fd);
	free(e);
}

void linger_ready(struct linger_list *l, struct linger_entry *e)
{
	char bytes[16384];
	ssize_t n;

	/* One read each time: others wait for this thread. */
	n = recv(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (size_t)n >= e->left) {
		drop(l, e);
		return;
	}
	e->left -= (size_t)n;
}

void linger_expire(struct linger_list *l, usec_t now)
{
	struct linger_entry *next;

	for (struct linger_entry *e = l->head; e; e = next) {
		next = e->next;
		if (now >= e->until)
			drop(l, e);
	}
}

void linger_release(struct linger_list *l)
{
	while (l->head)
		drop(l, l->head);
}
