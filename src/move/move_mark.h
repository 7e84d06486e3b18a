/* The mark on a database that takes part in a move. Private to this folder. */
#ifndef HERALD_MOVE_MARK_H
#define HERALD_MOVE_MARK_H

#include "store_records.h"

enum move_role {
	ROLE_NONE,    /* no mark */
	ROLE_SOURCE,  /* of a move that has begun */
	ROLE_LEFT,    /* of one that has ended */
	ROLE_TARGET,  /* of one that has begun */
};

struct move_mark {
	enum move_role role;
	char token[33];   /* the same on both sides */
	bool was_running; /* SOURCE, LEFT: the scheduler, before the move stopped it */
	usec_t at;        /* when it was set, by that store's clock */
	int64_t after;    /* TARGET: messages up to here are copied */
	char peer[600];   /* the other side, for people */
};

must_check int mark_get(struct store_session *c, struct move_mark *ret, struct error *err);
/* role NONE: takes it away. */
must_check int mark_set(struct store_session *c, const struct move_mark *m, struct error *err);

#endif
