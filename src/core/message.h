/*
 * A message and the life it may lead. Pure: no I/O, no clock, no allocation.
 *
 *             claim                      success
 *  pending ----------> sending ---------------------------> sent
 *    ^  ^                |  |  permanent error, or last try
 *    |  |                |  +-----------------------------> failed --replay--> pending
 *    |  |                |  '--against the rules, unsent--> invalid
 *    |  '---retryable----'  |
 *    |      (due later)     '--outcome unknown: pending again, or `unknown` in strict mode
 *    '-------------- lease ran out: same rule as "outcome unknown"
 *  pending --cancel--> cancelled
 */
#ifndef HERALD_MESSAGE_H
#define HERALD_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

/* Never renumber. */
enum message_status {
	MESSAGE_PENDING = 0,
	MESSAGE_SENDING = 1,
	MESSAGE_SENT = 2,
	MESSAGE_FAILED = 3,
	MESSAGE_CANCELLED = 4,
	MESSAGE_UNKNOWN = 5,
	MESSAGE_INVALID = 6,
};
#define MESSAGE_STATUS_COUNT 7

/* What can happen to a message. */
enum message_event {
	EVENT_CLAIM,     /* a node takes it, under a new fence */
	EVENT_SUCCESS,   /* the receiver accepted it: a fact, whoever reports it and however late */
	EVENT_RETRY,     /* the attempt failed, another may follow */
	EVENT_FAIL,      /* the attempt failed for good */
	EVENT_PARK,      /* outcome unknown, strict mode */
	EVENT_RELEASE,   /* claimed but never started: given back */
	EVENT_EXPIRE,    /* the lease ran out */
	EVENT_CANCEL,
	EVENT_REPLAY,
	EVENT_REJECT,    /* at its turn it breaks the rules (message_rules.h): it is not sent */
};
#define MESSAGE_EVENT_COUNT 10

/* The single statement of legal changes: false means the pair cannot happen in a right program (except
 * CANCEL and REPLAY, which a client may ask for at any time and is then told no). SUCCESS is legal from
 * pending, sending and unknown: a late success still is one. */
bool message_may(enum message_status from, enum message_event event);

const char *message_status_name(enum message_status s); /* "pending", … */
bool message_status_parse(const char *text, enum message_status *ret);

/* Ids are positive and below 2^53, so that a JavaScript client can hold them. */
#define MESSAGE_ID_MAX ((INT64_C(1) << 53) - 1)

/* Limits on what is stored. */
#define MESSAGE_PHONE_MAX 20             /* bytes; E.164 is 16 with its plus */
#define MESSAGE_CONTENT_MAX_BYTES 400000 /* 100,000 code points of 4 bytes */
#define MESSAGE_METADATA_MAX 4096        /* bytes of JSON text */
#define MESSAGE_KEY_MAX 255              /* bytes of visible ASCII */
#define MESSAGE_PROVIDER_ID_MAX 255      /* bytes; longer ones are cut */
#define MESSAGE_ERROR_MAX 500            /* bytes; longer ones are cut at a code point */

/* One message as stored. Strings are NUL-terminated UTF-8 owned by whoever filled the struct (usually a
 * page's arena); NULL or 0 means "not set". */
struct message {
	int64_t id;
	enum message_status status;
	int attempts; /* charged when claimed */
	int lost;     /* claims in a row that ended without an outcome */
	int64_t fence;
	const char *owner; /* "node/boot" while sending */
	const char *phone;
	const char *content;
	const char *message_id; /* the provider's */
	const char *last_error;
	const char *idempotency_key;
	const char *metadata; /* JSON object text */
	usec_t send_at;       /* asked for by the client */
	usec_t due_at;        /* pending: not before this */
	usec_t lease_until;   /* sending */
	usec_t started_at;    /* last claim */
	usec_t sent_at;
	usec_t created_at;
	usec_t updated_at;
};

/* E.164 (ITU-T): '+', then 2 to 15 digits, the first not 0. */
bool phone_valid(const char *s);

/* Writes content cut to at most max_points code points, the last three of them "..." when it had to be
 * cut; max_points >= 4. Returns the bytes that stay of `content`; *ret_cut tells whether "..." follows. */
size_t content_cut(const char *content, size_t len, size_t max_points, bool *ret_cut);

#endif
