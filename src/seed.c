#include "seed.h"

#include <stdio.h>

#define EXAMPLES 10

int seed_examples(struct store_session *session, struct error *err)
{
	struct message_draft drafts[EXAMPLES] = {0};
	struct insert_group group = {.drafts = drafts, .n = EXAMPLES};
	char phones[EXAMPLES][MESSAGE_PHONE_MAX + 1], contents[EXAMPLES][64];
	struct store_counts counts;
	int rc;

	rc = store_counts(session, &counts, err);
	if (rc)
		return rc;
	for (int i = 0; i < MESSAGE_STATUS_COUNT; i++)
		if (counts.by_status[i])
			return OK;

	for (int i = 0; i < EXAMPLES; i++) {
		snprintf(phones[i], sizeof(phones[i]), "+9055512345%02d", i + 1);
		snprintf(contents[i], sizeof(contents[i]), "This is example message number %d", i + 1);
		drafts[i].phone = phones[i];
		drafts[i].content = contents[i];
	}
	return store_insert(session, &group, 1, err);
}
