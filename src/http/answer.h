/*
 * What a request is answered with: status, a few headers and a body in the API's envelope:
 *
 *	{"success":true,"message"?:…,"data":…}
 *	{"success":false,"error":"…","code":422001,"details"?:{"field":"why"}}
 *
 * Whoever has the request fills its answer, once. Details are collected first, then named by an error.
 */
#ifndef HERALD_ANSWER_H
#define HERALD_ANSWER_H

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "error.h"
#include "json_out.h"

enum api_error {
#define API_ERROR(name, code, retry, text, meaning) API_##name,
#include "errors.def"
#undef API_ERROR
};

int api_error_status(enum api_error e);
void api_error_docs(struct buf *out);         /* docs/api-errors.md */

/* Why fields are wrong: "field": "why". The first DETAILS_MAX are kept, all are counted. */
#define DETAILS_MAX 100
#define DETAIL_NAME_MAX 100 /* bytes of a field's name that are shown */
struct details {
	struct buf members; /* {"a":"b","c":"d" */
	size_t n;
};

struct page;
struct answer {
	int status;       /* 0: none yet */
	struct buf body;
	struct details details;
	const char *content_type; /* NULL: application/json */
	unsigned allow;           /* bits for Allow; 0: no such header */
	int retry_after;          /* seconds; 0: no such header */
	bool close;               /* end the connection after this answer */
	bool replayed;            /* Idempotency-Replayed: true */
	bool minimal;             /* Preference-Applied: return=minimal */
	bool authenticate;        /* WWW-Authenticate: Bearer */
	const char *error;        /* text of an error in herald's envelope; NULL: it is none */
	const struct page *page;  /* its body, in place of `body`; NULL: none */
	bool to_folder;           /* Location: the same with a slash behind it */
	bool cors;                /* Access-Control-Allow-Origin: *; with `allow` what else a preflight asks */
};

void answer_init(struct answer *a);
void answer_clear(struct answer *a);
void answer_release(struct answer *a);

/* Opens the envelope of a success up to the value of "data", which the caller writes; then
 * answer_end(). message may be NULL. */
struct json_out answer_begin(struct answer *a, int status, const char *message);
void answer_end(struct json_out *j);

/* Opens the envelope of a page up to the items of "data"; answer_page_end() closes both. next may be "". */
struct json_out answer_page_begin(struct answer *a);
struct page_totals {
	uint64_t page;
	uint32_t size;
	int64_t total;
	const char *next;
	bool more; /* there are more than `total` */
};
void answer_page_end(struct json_out *j, const struct page_totals *t);

void details_add(struct details *d, const char *field, const char *why, ...) printf_like(3, 4);
/* The same for row `row` of a batch: "3.field". */
void details_add_row(struct details *d, size_t row, const char *field, const char *why, ...) printf_like(4, 5);
/* A member whose value is JSON already. */
void details_add_json(struct details *d, const char *field, const char *json);

/* A plain answer, a text in UTF-8. */
void answer_text(struct answer *a, int status, const char *text);

/* An error with the details collected so far. Whatever the body held is dropped. */
void answer_error(struct answer *a, enum api_error e);
/* The same with another text than the usual, which must live as long as the answer. */
void answer_error_text(struct answer *a, enum api_error e, const char *text);

#endif
