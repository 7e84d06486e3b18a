/*
 * From JSON bodies to what they ask for, checked in full. Foreign bytes come in here: nothing is trusted, every
 * field that is wrong is named, and an unknown field is an error, since ignoring a misspelt option would do
 * something else than the client asked for. Pure; thread-safe.
 */
#ifndef HERALD_BODY_H
#define HERALD_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "answer.h"
#include "arena.h"
#include "message_rules.h"
#include "store.h"

/* Parses one JSON value. OK; ERR_INVALID: malformed (for a 400), or it holds U+0000 (*ret_nul, for a 422); details
 * say where. *ret is the caller's reference. row: SIZE_MAX for a whole body. */
must_check int body_json(const char *text, size_t len, size_t row, json_t **ret, bool *ret_nul,
                         struct details *d);

/* A message to be created. Texts point into doc or the arena. row: SIZE_MAX outside a batch. On false, d says
 * why. */
must_check bool body_draft(json_t *doc, const struct message_rules *rules, size_t row, struct arena *a,
                           struct message_draft *ret, struct details *d);

/* interval, batchSize, failureRate, alertedAt; `ret` keeps what is not named. */
must_check bool body_scheduler_change(json_t *doc, struct scheduler_change *ret, struct details *d);

/* Copies what a draft points to into the arena, so that its doc can go. */
void draft_copy(struct message_draft *m, struct arena *a);

#endif
