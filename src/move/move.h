/*
 * Moves everything from one database to another, between any two drivers: messages of all statuses with their
 * attempts, runs, jobs, the state of the scheduler.
 *
 * Both databases are marked (store_note_set()) before anything is copied, and a server refuses to work with a
 * marked one (move_check()). The target's mark also says how far the copy is, so that a move that was killed goes
 * on there. At the end both sides are read again and compared record by record; then the target's mark is taken
 * away, and the source's says where everything went: whoever started a server there would send again what the
 * target sends. move_release() takes that mark away, too.
 *
 * One thread. Errors: ERR_CONFIG (a person has to do something first), ERR_CONFLICT (the copy differs), those
 * of the store.
 */
#ifndef HERALD_MOVE_H
#define HERALD_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "message.h"
#include "store.h"

enum move_step { MOVE_COPY, MOVE_VERIFY };

struct move_options {
	const char *from, *to;             /* URLs */
	const char *from_shown, *to_shown; /* the same without credentials */
	/* Called often; false: stop. The next move goes on from there. May be NULL. */
	bool (*progress)(void *arg, enum move_step step, uint64_t done, uint64_t total);
	void *arg;
};

struct move_result {
	bool resumed; /* an earlier move had begun */
	int64_t messages, attempts, runs, jobs;
	int64_t by_status[MESSAGE_STATUS_COUNT];
	uint64_t checksum; /* over messages, attempts, runs and jobs: the same for the next move of the same */
};

/* ERR_TRANSIENT with *ret_stopped: progress() said so. */
must_check int move_run(const struct move_options *o, struct move_result *ret, bool *ret_stopped,
                        struct error *err);

/* Takes the mark off the source `url`, so that it may be used again: a move that has begun is given up, one that
 * has ended is taken back (what the target has done since is not). ERR_CONFIG: it is an unfinished copy.
 * ERR_NOT_FOUND: it has no mark. */
must_check int move_release(const char *url, const char *shown, struct error *err);

/* OK when the store has no mark, else ERR_CONFIG with a text for people. */
must_check int move_check(struct store_session *c, struct error *err);

#endif
