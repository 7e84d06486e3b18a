/* Tells the store every NODE_REPORT_EVERY that this node is there, for whoever looks at the nodes. */
#ifndef HERALD_PRESENCE_H
#define HERALD_PRESENCE_H

#include "dispatch.h"
#include "store.h"

struct presence;

struct presence_options {
	struct store *store;
	const struct dispatch *dispatch; /* NULL with role api: then nothing is in flight */
	const char *node_id, *version, *role; /* must outlive it */
};

/* Starts a thread with a session of its own. ERR_TRANSIENT */
must_check int presence_start(struct presence **ret, const struct presence_options *o, struct error *err);
/* Reports that the node leaves, unless the store was away when it last reported. p may be NULL. */
void presence_stop(struct presence *p);

#endif
