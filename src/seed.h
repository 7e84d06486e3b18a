/* Example messages for a first look (SEED_DATA). */
#ifndef HERALD_SEED_H
#define HERALD_SEED_H

#include "store.h"

/* Stores ten example messages when the store holds none at all. */
must_check int seed_examples(struct store_session *session, struct error *err);

#endif
