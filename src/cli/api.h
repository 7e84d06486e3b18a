/*
 * Calls to a running server's API over one kept connection. Private to cli/. One thread.
 *
 * A call that the server refuses is an error whose text says what was asked, the status, and what the
 * server said of each field; one that finds no server says how to start one.
 */
#ifndef HERALD_API_H
#define HERALD_API_H

#include <curl/curl.h>
#include <jansson.h>
#include <stddef.h>

#include "buf.h"
#include "clock.h"
#include "config.h"
#include "error.h"

struct api;

/* cfg must outlive it. */
must_check int api_open(struct api **ret, const struct config *cfg, struct error *err);
void api_close(struct api *a); /* NULL is fine */
const char *api_url(const struct api *a);

struct api_answer {
	int status;         /* 0: there was none */
	json_t *body;       /* NULL when it is not JSON */
	const json_t *data; /* its "data", or NULL */
	usec_t retry_after; /* asked for by the server; 0: not */
};
#define API_ANSWER_INIT {0}
void api_answer_release(struct api_answer *answer);

/*
 * path: with its query, from the root. body: JSON, may be NULL. *ret (release it) is filled in whatever the
 * outcome. OK for 2xx only; else ERR_NOT_FOUND (404), ERR_CONFLICT (409), ERR_INVALID (other 4xx),
 * ERR_TRANSIENT (429, 503, no connection: nothing was done), ERR_UNCERTAIN (502, 504, the connection broke: it
 * may have been done), ERR_PERMANENT (anything else).
 */
must_check int api_call(struct api *a, const char *method, const char *path, const struct buf *body,
                        struct api_answer *ret, struct error *err);

/* --- the parts of a call, for those who make several at once --- */

struct api_request {
	CURL *easy;
	struct curl_slist *headers;
	struct buf answer;
	char what[256]; /* "POST /api/v1/messages", for errors */
	char error[CURL_ERROR_SIZE];
};
void api_request_init(struct api_request *r);
void api_request_release(struct api_request *r);

/* Makes it ready to be performed; body must stay until it has been. type: of the body. header: one more, or
 * NULL. */
void api_request_set(struct api_request *r, struct api *a, const char *method, const char *path,
                     const struct buf *body, const char *type, const char *header);

/* What came of it: as api_call(). */
must_check int api_request_result(struct api_request *r, struct api *a, CURLcode code,
                                  struct api_answer *ret, struct error *err);

/* Appends NAME=VALUE to a path, behind '?' or '&'; nothing when value is NULL. */
void api_query(struct buf *path, const char *name, const char *value);

/* A member as text for people: a string's own, numbers and booleans as JSON has them, "" when there is
 * none. Numbers need the scratch space. */
const char *api_text(const json_t *object, const char *name, char scratch[32]);
int64_t api_int(const json_t *object, const char *name); /* 0 when there is none */

#endif
