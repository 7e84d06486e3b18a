/*
 * One side of a move: the database, who works with it, and the mark it bears. What these report names the side
 * and its address first. Private to this folder.
 */
#ifndef HERALD_MOVE_END_H
#define HERALD_MOVE_END_H

#include "move_mark.h"

struct end {
	const char *name; /* "source" */
	const char *url, *shown;
	struct store *store;
	struct store_session *c;
	struct move_mark mark;
};

/* create: the database may be empty, or not there yet; else it must be one of herald's already. May be closed
 * after an error, too. */
must_check int end_open(struct end *e, bool create, struct error *err);
void end_close(struct end *e);

/* Names the side in front of what went wrong; rc comes back. */
int end_blame(const struct end *e, int rc, struct error *err);

/* Two URLs of one SQLite file. */
bool end_same_file(const char *a, const char *b);

/* ERR_CONFIG: a node works with it. */
must_check int end_check_nodes(struct end *e, struct error *err);
/* Waits until a node that had looked for the mark just before it was set would have shown up. */
must_check int end_wait_notice(struct end *e, struct error *err);
/* ERR_CONFIG: it holds messages or runs. */
must_check int end_check_empty(struct end *e, struct error *err);

/* Sets the role, the other side's name and the time; the mark's other fields go with them as they are. */
must_check int end_set_mark(struct end *e, enum move_role role, const char *peer, struct error *err);

#endif
