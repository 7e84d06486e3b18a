#include "connection.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"

struct connection *connection_new(struct connection_list *l, struct MHD_Connection *mhd, int fd, usec_t deadline)
{
	struct connection *c = xcalloc(1, sizeof(*c));

	c->mhd = mhd;
	c->fd = fd;
	c->deadline = deadline;
	c->next = l->head;
	if (c->next)
		c->next->prev = c;
	l->head = c;
	l->n++;
	return c;
}

void connection_free(struct connection_list *l, struct connection *c)
{
	if (c->state != CONNECTION_IDLE)
		l->busy--;
	if (c->prev)
		c->prev->next = c->next;
	else
		l->head = c->next;
	if (c->next)
		c->next->prev = c->prev;
	l->n--;
	free(c);
}

void connection_enter(struct connection_list *l, struct connection *c, enum connection_state state, usec_t deadline)
{
	l->busy -= c->state != CONNECTION_IDLE;
	l->busy += state != CONNECTION_IDLE;
	c->state = state;
	c->deadline = deadline;
}

void connection_close_idle(struct connection_list *l)
{
	for (struct connection *c = l->head; c; c = c->next)
		if (c->state == CONNECTION_IDLE)
			shutdown(c->fd, SHUT_RD);
}

void connection_expire(struct connection_list *l, usec_t now, void (*told)(struct connection *c))
{
	for (struct connection *c = l->head; c; c = c->next) {
		if (now < c->deadline || c->expired)
			continue;
		c->expired = true;
		if (c->state == CONNECTION_READING)
			told(c);
		/* Its end is seen by libmicrohttpd like any other end. */
		shutdown(c->fd, SHUT_RDWR);
	}
}
