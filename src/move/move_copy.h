/* A move under way, and its first half: the copy. Private to this folder. */
#ifndef HERALD_MOVE_COPY_H
#define HERALD_MOVE_COPY_H

#include "move.h"
#include "move_end.h"
#include "store_records.h"

struct mover {
	const struct move_options *o;
	struct end from, to;
	enum move_step step;
	uint64_t done, total;
	struct state_record expected; /* of the target, once all is copied */
	int64_t goes_on;              /* the job that the move has ended in the source only; 0: none */
	struct move_result result;
	bool stopped;
};

/* Tells whoever watches. False: it was told to stop. */
bool mover_tick(struct mover *m);

/* Copies messages from where the target's mark says, then runs, jobs and the scheduler's state. OK as well when
 * it was stopped, see m->stopped; the next move goes on there. */
must_check int mover_copy(struct mover *m, struct error *err);

#endif
