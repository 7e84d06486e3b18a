/*
 * A receiver to try herald against, behind `herald sink`: it takes webhook POSTs, answers as told, and
 * keeps a ledger of what it saw. For development and tests, not for the open net.
 *
 * Each POST, whatever its path, is one message:
 *
 *	202 {"message":"Accepted","messageId":"<uuid>"}
 *
 * GET / answers {"received":N,"accepted":N,"rejected":N}, counted in answers decided, not yet given.
 */
#ifndef HERALD_SINK_H
#define HERALD_SINK_H

#include <stdbool.h>

#include "clock.h"
#include "error.h"

struct sink_options {
	const char *host;   /* address or name to listen on */
	int port;           /* 0: any free one */
	int status;         /* of the answers, 200-599 */
	usec_t latency;     /* between a request and its answer; >= 0 */
	double fail_rate;   /* 0-1: share of the requests answered with 500 instead */
	/* A file to which one JSON line per request is appended before it is answered, with a single
	 * write(2): {"at":<microseconds since the epoch>,"key":<Idempotency-Key>,"to":…,"content":…,
	 * "status":…,"messageId":…}. What was not there is null; a body that is no message is kept as
	 * "body". NULL: no ledger. */
	const char *ledger;
	bool print;         /* one line per request on stdout */
};

/* Serves until stop_fd is readable (it is not read from). `ready` is called once, when requests are
 * taken, with the port. ERR_CONFIG: an option is out of range, the address cannot be listened on, or the
 * ledger cannot be opened. Runs in the calling thread. */
must_check int sink_run(const struct sink_options *options, int stop_fd, void (*ready)(void *arg, int port),
                        void *arg, struct error *err);

#endif
