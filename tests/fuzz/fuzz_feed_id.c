/* Last-Event-ID as a client sends it: what is taken for an id is written as the same text again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[FEED_ID_TEXT];
	struct feed_id id;

	if (!feed_id_parse((const char *)data, size, &id))
		return 0;
	snprintf(again, sizeof(again), "%s-%llu", id.boot, (unsigned long long)id.seq);
	/* Leading zeros are the only other spelling. */
	if (strlen(id.boot) != FEED_BOOT || !id.seq || strlen(again) > size ||
	    memcmp(again, data, FEED_BOOT + 1) != 0)
		abort();
	return 0;
}
