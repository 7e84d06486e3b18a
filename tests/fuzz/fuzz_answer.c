/*
 * Answers of a webhook. The input is three lines and a rest: where the id is, the captured header,
 * Retry-After, the body. An id that is found must be storable, and a wait within its bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "delivery.h"
#include "text.h"
#include "webhook_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Up to the end of the line, as the C string that a header's value is. */
static char *take_line(const char **data, size_t *size)
{
	const char *end = memchr(*data, '\n', *size);
	size_t len = end ? (size_t)(end - *data) : *size, used = end ? len + 1 : len;
	char *line = xstrndup(*data, len);

	*data += used;
	*size -= used;
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const usec_t now = 784111777 * USEC_PER_SEC; /* 1994, as in the RFC's examples */
	const char *body = (const char *)data;
	char *spec, *header, *retry_after, *exact;
	char id[MESSAGE_PROVIDER_ID_MAX + 1];
	struct answer_rule rule;
	usec_t wait;
	size_t len;

	spec = take_line(&body, &size);
	header = take_line(&body, &size);
	retry_after = take_line(&body, &size);
	exact = xmalloc(size ? size : 1); /* no byte behind it: reading one is an error */
	if (size)
		memcpy(exact, body, size);

	if (answer_rule_init(&rule, spec, NULL) == OK) {
		len = answer_message_id(&rule, exact, size, header, id);
		require(len <= MESSAGE_PROVIDER_ID_MAX);
		if (len)
			require(strlen(id) == len && utf8_valid(id, len));
		answer_rule_release(&rule);
	}
	wait = retry_after_parse(retry_after, now);
	require(wait >= 0 && wait <= RETRY_AFTER_MAX);

	free(spec);
	free(header);
	free(retry_after);
	free(exact);
	return 0;
}
