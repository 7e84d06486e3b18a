/*
 * The nodes of a store that one process owns: there is no other to tell, so they are kept in its memory and
 * reporting costs no write. For the drivers with STORE_EXCLUSIVE. Thread-safe.
 */
#ifndef HERALD_STORE_NODES_H
#define HERALD_STORE_NODES_H

#include <pthread.h>

#include "store.h"

struct local_nodes {
	pthread_mutex_t lock;
	struct node *items; /* own their texts */
	size_t n;
};

void local_nodes_init(struct local_nodes *l);
void local_nodes_release(struct local_nodes *l);
/* What store_node_seen() and store_nodes() ask of a driver. */
void local_nodes_seen(struct local_nodes *l, const struct node_report *r, usec_t now);
void local_nodes_list(struct local_nodes *l, usec_t now, struct node_page *ret);

#endif
