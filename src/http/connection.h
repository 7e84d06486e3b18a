/*
 * A client's connection and how long it may take for what it is at. Each state has one absolute deadline, so
 * that a client which sends or takes one byte a second gains nothing by it. Belongs to one API thread.
 */
#ifndef HERALD_CONNECTION_H
#define HERALD_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "clock.h"

struct MHD_Connection;
struct request;

enum connection_state {
	CONNECTION_IDLE,    /* waits for a request line */
	CONNECTION_READING, /* has one; headers and body are coming */
	CONNECTION_WORKING, /* complete; an answer is being made */
	CONNECTION_WRITING, /* the answer is being sent */
};

struct connection {
	struct connection *next, *prev;
	struct MHD_Connection *mhd;
	int fd;
	enum connection_state state;
	usec_t deadline; /* monotonic */
	struct request *request; /* not in IDLE */
	bool linger;     /* closing: read over what the client still sends */
	bool expired;
};

struct connection_list {
	struct connection *head;
	size_t n, busy; /* busy: not IDLE */
};

struct connection *connection_new(struct connection_list *l, struct MHD_Connection *mhd, int fd, usec_t deadline);
void connection_free(struct connection_list *l, struct connection *c);
void connection_enter(struct connection_list *l, struct connection *c, enum connection_state state,
                      usec_t deadline);
/* Half-closes those that are idle: what they have sent already is still read. */
void connection_close_idle(struct connection_list *l);
/* Ends those whose time is up; told is called first for each that was sending a request. */
void connection_expire(struct connection_list *l, usec_t now, void (*told)(struct connection *c));

#endif
