/*
 * Looks at what the store counts and what the scheduler is at, for the feed: every second while somebody
 * watches, every five for the charts' sake.
 */
#ifndef HERALD_WATCH_H
#define HERALD_WATCH_H

#include "error.h"

struct dispatch;
struct feed;
struct store;
struct watch;

struct watch_options {
	struct store *store;
	struct dispatch *dispatch; /* NULL: this node sends nothing */
	struct feed *feed;
};

must_check int watch_start(struct watch **ret, const struct watch_options *o, struct error *err);
void watch_stop(struct watch *w); /* NULL is fine */

#endif
