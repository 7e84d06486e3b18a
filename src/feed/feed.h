/*
 * What happens on this node, for those who watch: the dispatcher tells of attempts, runs and alerts, the watch
 * thread of what the store counts, and readers (streams of the API) follow. A bounded ring of recent events
 * lets a reader go on where it was; figures by second and minute are kept for charts (history.h).
 *
 * The dispatcher must not notice: an attempt costs it a few counters, and an event only while somebody
 * reads (or did a minute ago), at most FEED_SAMPLE of them in FEED_SAMPLE_TIME. Nobody ever waits for a
 * reader; one that falls behind by more than the ring is told so. Thread-safe.
 */
#ifndef HERALD_FEED_H
#define HERALD_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "delivery.h"
#include "history.h"
#include "message.h"
#include "store.h"

#define FEED_EVENTS 1024 /* kept */
#define FEED_READERS_MAX 64
#define FEED_SAMPLE 50
#define FEED_SAMPLE_TIME (200 * USEC_PER_MSEC)
#define FEED_LINGER USEC_PER_MINUTE /* events are kept for so long when nobody reads any more */
#define FEED_ERROR_MAX 200          /* bytes */
#define FEED_BOOT 12                /* hex digits that tell one life of the process from others */

struct feed;

struct feed *feed_new(void);
void feed_free(struct feed *f); /* no reader is left; NULL is fine */

/* --- telling ------------------------------------------------------------------------------------------ */

struct feed_attempt {
	int64_t message, run;
	const char *phone;
	enum verdict verdict;
	int attempt, http_status;
	usec_t duration; /* 0: it was never on the wire */
	const char *error; /* may be NULL */
};
/* Between begin and end the feed is locked: tell of a whole batch, and do nothing else. */
void feed_begin(struct feed *f);
void feed_attempt(struct feed *f, const struct feed_attempt *a);
void feed_end(struct feed *f);

void feed_run_begun(struct feed *f, int64_t run, uint32_t claimed);
void feed_run_ended(struct feed *f, const struct run_end *end);

struct feed_alert {
	int64_t run;
	uint32_t failures, messages;
	bool gone;
};
void feed_alert(struct feed *f, const struct feed_alert *a);

/* Messages were stored on behalf of a client. */
void feed_accepted(struct feed *f, uint32_t n);

/* The scheduler or many messages may have changed: the watch thread should look now. */
void feed_poke(struct feed *f);

/* For the watch thread: waits until feed_poke(), a new reader, or for `most`; returns at once after
 * feed_stop_waiting(). */
void feed_wait(struct feed *f, usec_t most);
void feed_stop_waiting(struct feed *f);
bool feed_is_read(struct feed *f); /* by anyone, now */
/* What the store says. scheduler may be NULL: unknown. */
void feed_seen(struct feed *f, const struct store_counts *counts, const struct scheduler *scheduler,
               uint32_t in_flight);

/* --- reading ------------------------------------------------------------------------------------------ */

enum feed_kind { FEED_ATTEMPT, FEED_RUN_BEGUN, FEED_RUN_ENDED, FEED_ALERT, FEED_SCHEDULER };

struct feed_event {
	uint64_t seq;
	usec_t at;
	enum feed_kind kind;
	union {
		struct {
			int64_t message, run;
			char phone[MESSAGE_PHONE_MAX + 1];
			char error[FEED_ERROR_MAX + 1];
			enum verdict verdict;
			int attempt, http_status;
			usec_t duration;
		} attempt;
		struct run_end run; /* begun: run and claimed */
		struct feed_alert alert;
		struct {
			struct scheduler s;
			int64_t backlog;
		} scheduler;
	};
};

/* The latest state, and what the last whole second saw. */
struct feed_counts {
	struct store_counts counts;
	uint32_t in_flight;
	struct history_bucket second;
	uint64_t skipped; /* attempts that were only counted, since the start */
	usec_t at;
};

/* Who is to be woken for one or more readers. wake() is called by whoever tells, with the feed locked, at most
 * once until feed_woken(). */
struct feed_waker {
	void (*wake)(void *arg);
	void *arg;
	bool woken;
};

struct feed_reader {
	struct feed_reader *next, *prev;
	struct feed_waker *waker;
	uint64_t at;          /* the next event */
	uint64_t counts_seen; /* versions */
	uint64_t skipped_seen;
	bool scheduler_seen;
};

/* How far a reader had come. Malformed: false. */
struct feed_id {
	char boot[FEED_BOOT + 1];
	uint64_t seq;
};
must_check bool feed_id_parse(const char *text, size_t len, struct feed_id *ret);
#define FEED_ID_TEXT (FEED_BOOT + 24)
char *feed_id_format(const struct feed *f, uint64_t seq, char out[FEED_ID_TEXT]);

/* Adds a reader. last: the last event it had, or NULL. *ret_reset: what came after that is not known any more. False:
 * there are too many. */
must_check bool feed_reader_add(struct feed *f, struct feed_reader *r, struct feed_waker *w,
                                const struct feed_id *last, bool *ret_reset);
void feed_reader_remove(struct feed *f, struct feed_reader *r);
/* The waker's owner is about to look. */
void feed_woken(struct feed *f, struct feed_waker *w);

enum feed_read { FEED_NOTHING, FEED_EVENT, FEED_COUNTS, FEED_STATE, FEED_OVERTAKEN };
struct feed_item {
	struct feed_event event; /* EVENT; STATE: the scheduler as it is, without a seq */
	struct feed_counts counts; /* COUNTS: skipped is since this reader's last ones */
};
/* The next thing for this reader. OVERTAKEN: events are gone that it has not had. */
enum feed_read feed_read(struct feed *f, struct feed_reader *r, struct feed_item *ret);

/* A copy of part of the history; *ret_buckets is to be freed. */
size_t feed_history(struct feed *f, enum history_resolution resolution, usec_t since, usec_t *ret_start,
                    struct history_bucket **ret_buckets);

#endif
