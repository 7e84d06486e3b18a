/*
 * Taking over the messages of the system that a profile stands in for: every row of its table becomes a message of
 * herald's, with its status, and sending goes on where it stopped. Nothing is changed at the source. A row that
 * has been taken over is recognised by its idempotency key, "PROFILE:ID", so it may be done again at any time, after an
 * interruption or for what has come in since.
 */
#ifndef HERALD_ADOPT_H
#define HERALD_ADOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "foreign.h"
#include "message.h"

struct profile;
struct store;

/* What a row holds. Those that the original does not have are absent from its map. */
enum adopt_role {
	ADOPT_ID,
	ADOPT_PHONE,
	ADOPT_CONTENT,
	ADOPT_STATUS,
	ADOPT_CREATED_AT,
	ADOPT_UPDATED_AT,
	ADOPT_SENT_AT,
	ADOPT_FAILED_AT,
	ADOPT_MESSAGE_ID,
	ADOPT_ROLES,
};

struct adopt_status {
	const char *text; /* NULL ends the list */
	enum message_status is;
};

/* The original's table: part of a profile. */
struct adopt_map {
	const char *table;
	const char *columns[ADOPT_ROLES]; /* by role; NULL: it has none */
	const struct adopt_status *statuses;
};

struct adopt_result {
	uint64_t adopted; /* by this call */
	uint64_t known;   /* had been adopted before */
	uint64_t left_out;
};

struct adopt_options {
	const struct profile *profile;
	const char *from; /* URL of the original's database */
	struct store *store;
	/* While it goes on; any may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void (*left_out)(void *arg, const char *id, const char *why); /* a row that cannot become a message */
	bool (*stop)(void *arg);                                     /* asked after each page */
	void *arg;
};

/* *ret says how far it came, on an error, too. ERR_CONFIG: the profile has no table, or it cannot be read: the text says
 * why. ERR_CONFLICT: told to stop. */
must_check int adopt(const struct adopt_options *o, struct adopt_result *ret, struct error *err);

#endif
