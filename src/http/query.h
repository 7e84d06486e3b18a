/*
 * Reading what a request asks for: query parameters, and the cursors that page through lists.
 * Strict: an unknown, repeated or malformed parameter is an error, since a filter that is quietly ignored
 * shows a client data it did not ask for. Pure; thread-safe.
 */
#ifndef HERALD_QUERY_H
#define HERALD_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer.h"
#include "buf.h"
#include "clock.h"
#include "history.h"
#include "message.h"
#include "store.h"

#define PAGE_SIZE_MAX 100
#define PAGE_SIZE_DEFAULT 20
#define PAGE_MAX 1000000000

enum query_param {
	QUERY_PAGE = 1 << 0,
	QUERY_PAGE_SIZE = 1 << 1,
	QUERY_STATUS = 1 << 2,
	QUERY_PHONE = 1 << 3,
	QUERY_SINCE = 1 << 4,
	QUERY_UNTIL = 1 << 5,
	QUERY_CURSOR = 1 << 6,
	QUERY_RESOLUTION = 1 << 7,
};

struct query {
	unsigned given; /* QUERY_… bits */
	uint64_t page;
	uint32_t page_size;
	int status; /* -1: all */
	char phone[MESSAGE_PHONE_MAX + 1];
	usec_t since, until;
	enum history_resolution resolution;
	struct buf cursor; /* text, for lists whose cursors are not ours */
};

void query_init(struct query *q);
void query_release(struct query *q);

/* Undoes %XX, and with `form` '+' for a space. False on a bad escape, a control character or bytes that are not
 * UTF-8. */
must_check bool query_decode(struct buf *out, const char *s, size_t len, bool form);

/* Reads the raw text behind '?'. allowed: QUERY_… bits. A '+' stands for itself, not for a space: phone numbers
 * and time offsets hold one, and no value holds a space. On false, d says why. */
must_check bool query_parse(struct query *q, const char *text, size_t len, unsigned allowed, struct details *d);

/* Where a list goes on: the store's position, the page number that comes there, and a mark of the list and
 * filters it belongs to, so that it cannot be used with others. */
struct cursor {
	struct list_position position;
	uint64_t page;
};
enum cursor_kind { CURSOR_MESSAGES = 1, CURSOR_RUNS = 2, CURSOR_JOBS = 3 };
void cursor_write(struct buf *out, enum cursor_kind kind, const struct query *filters, const struct cursor *c);
must_check bool cursor_read(const char *text, size_t len, enum cursor_kind kind, const struct query *filters,
                            struct cursor *ret);

#endif
