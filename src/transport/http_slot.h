/*
 * One place for a request: a libcurl easy handle with everything that stays the same set once, the
 * buffers of its request headers and of its answer, and the judgement of how the request ended. A slot is
 * used again and again; in the steady state it allocates nothing of its own.
 */
#ifndef HERALD_HTTP_SLOT_H
#define HERALD_HTTP_SLOT_H

#include <curl/curl.h>

#include "buf.h"
#include "transport.h"

/* The same for all slots of a transport; outlives them. */
struct http_slot_config {
	const char *url;
	const char *ca_file;         /* what is trusted; NULL: libcurl's default */
	const char *capture_header;  /* may be NULL */
	size_t capture_len;
	usec_t timeout;
	usec_t connect_timeout;
	size_t max_body;
	size_t max_header_bytes;
	struct curl_slist *headers;  /* those that every request has */
	CURLSH *share;               /* TLS sessions */
	curl_opensocket_callback opensocket;   /* its argument is the slot */
	curl_closesocket_callback closesocket; /* its argument is the owner */
	void *owner;
};

enum http_slot_header {
	HTTP_SLOT_KEY,
	HTTP_SLOT_ID,
	HTTP_SLOT_TIMESTAMP,
	HTTP_SLOT_SIGNATURE,
	HTTP_SLOT_HEADERS,
};

struct http_slot {
	const struct http_slot_config *config;
	struct http_slot *next; /* for the owner's list of free slots */
	CURL *easy;
	bool busy;
	void *tag;
	usec_t started;

	/* libcurl keeps a pointer to the list, so a request only overwrites the text. */
	struct curl_slist header[HTTP_SLOT_HEADERS];
	struct buf header_text[HTTP_SLOT_HEADERS];

	bool begun;            /* the first byte may have left */
	bool resend_refused;   /* libcurl wanted to send it a second time */
	int status;            /* of the final status line, 0 before */
	bool headers_done;
	size_t header_bytes;
	const char *refused;   /* why we stopped reading, or NULL */
	bool has_captured;
	bool has_retry_after;
	struct buf body;
	struct buf captured;
	struct buf retry_after;
	char curl_error[CURL_ERROR_SIZE];
	char error[CURL_ERROR_SIZE + 64];
};

/* ERR_CONFIG when libcurl refuses one of the settings. The slot must not move afterwards. */
must_check int http_slot_init(struct http_slot *s, const struct http_slot_config *config,
                              struct error *err);
void http_slot_release(struct http_slot *s);

/* Prepares the next request; it is sent once s->easy is added to a multi handle. */
void http_slot_begin(struct http_slot *s, const struct transport_request *r);

/* How it ended; what *ret points at is good until the next http_slot_begin(). */
void http_slot_end(struct http_slot *s, CURLcode code, struct transport_result *ret);

#endif
