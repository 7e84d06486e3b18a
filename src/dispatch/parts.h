/*
 * The dispatcher's insides, shared by the files of this folder alone.
 *
 *            claim_order, flights that ended, parcels to give back, gone, alerted
 *   wire  ------------------------------- jobs --------------------------------->  ledger
 *  (HTTP,  <----------------------------- mail ----------------------------------  (store)
 *  timers)   claim_order with its parcel, flights that are settled, parcels given back, alerts
 *
 * Everything that crosses is owned by one side at a time; a struct note at its head tells what it is. What
 * is not said to be shared below belongs to one of the two threads.
 */
#ifndef HERALD_PARTS_H
#define HERALD_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "alert.h"
#include "alloc.h"
#include "webhook_answer.h"
#include "buf.h"
#include "dispatch.h"
#include "feed.h"
#include "metrics.h"
#include "outcomes.h"
#include "queue.h"
#include "sign.h"
#include "tick.h"
#include "transport.h"

/* Of a lease, this much must be left when a request could have run into its timeout, for settling. */
#define LEASE_MARGIN (5 * USEC_PER_SEC)
/* The least that a lease must exceed the timeout by. */
#define LEASE_OVER_TIMEOUT (10 * USEC_PER_SEC)

/* Outcomes leave in batches: this many, or after this long, or when nothing else is in flight. */
#define OUTBOX_MAX 512
#define OUTBOX_DELAY (10 * USEC_PER_MSEC)
/* Outcomes that may wait for the store, over the requests in flight. */
#define UNSETTLED_MAX 4096

enum note_kind {
	NOTE_CLAIM,   /* struct claim_order */
	NOTE_FLIGHT,  /* struct flight */
	NOTE_PARCEL,  /* struct parcel: give back what is left of it; on its way back: done */
	NOTE_GONE,    /* struct gone_order */
	NOTE_ALERT,   /* struct alert_note, to the wire: raise it; to the ledger: it was delivered */
	NOTE_RUN_NOW, /* struct run_now */
};

struct note {
	struct queue_item item; /* first */
	enum note_kind kind;
};

static inline struct note *note_of(struct queue_item *item)
{
	return container_of(item, struct note, item);
}

/* A chain of notes in hand, linked by item.next. */
struct chain {
	struct queue_item *first, *last;
	size_t n;
};
static inline void chain_add(struct chain *c, struct note *note)
{
	note->item.next = NULL;
	if (c->first)
		c->last->next = &note->item;
	else
		c->first = &note->item;
	c->last = &note->item;
	c->n++;
}
static inline struct note *chain_take(struct chain *c)
{
	struct queue_item *item = c->first;

	if (!item)
		return NULL;
	c->first = item->next;
	c->n--;
	return note_of(item);
}

/* Messages of one claim that have not started. */
struct parcel {
	struct note note;
	struct claim_batch batch;
	size_t next;         /* first item that has not started */
	usec_t start_before; /* monotonic: later, too little of the lease is left */
	usec_t start_before_boot; /* the same by clock_boot(): a lease does not wait for a machine that is suspended */
	usec_t lease_until;  /* monotonic */
	bool forced;
};

static inline bool parcel_late(const struct parcel *p)
{
	return clock_boot() > p->start_before_boot;
}

/* The one question to the store that may be out. */
struct claim_order {
	struct note note;
	struct tick_ask ask;
	usec_t asked, answered; /* monotonic */
	usec_t asked_boot;      /* clock_boot() */
	struct parcel *parcel;  /* the answer; NULL: it failed */
};

/* One attempt, from its start until it is settled. Slots are made once and reused. */
struct flight {
	struct note note;
	int64_t id, fence, run;
	int attempt;
	bool forced;
	uint32_t claimed; /* together with it */
	usec_t lease_until; /* monotonic */
	usec_t started_at;  /* the store's clock */
	usec_t duration;
	enum verdict verdict;
	usec_t retry_in;
	int http_status;
	char *text; /* the provider's id (SENT) or the error; in `small` or allocated; or NULL */
	char small[64];
	char key[DELIVERY_KEY_TEXT];
	char phone[MESSAGE_PHONE_MAX + 1]; /* for the feed */
	char timestamp[24];
	struct buf body, signature;
};

/* A 410 arrived: stop the scheduler. One may be out. */
struct gone_order {
	struct note note;
	bool out;
	int64_t run;
	uint32_t claimed;
	bool forced;
};

struct alert_note {
	struct note note;
	struct alert alert;
};

/* A caller of dispatch_run_now(), waiting on its own stack. */
struct run_now {
	struct note note;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	int code;
	struct error err;
	struct dispatch_run answer;
};
void run_now_finish(struct run_now *r, int code, const char *why);

struct dispatch_metrics {
	struct outcomes outcomes;
	metric_counter *runs;
	metric_gauge *in_flight;
	struct metric_histogram *attempt_seconds, *lateness_seconds;
};

/* The wire thread's own. */
struct wire {
	struct transport *transport; /* NULL: no webhook URL, so nothing is claimed */
	struct alerter *alerter;     /* NULL: none */
	struct signer *signer;       /* NULL: unsigned */
	struct answer_rule answer;
	struct tick tick;
	int epoll;

	struct flight *flights, *free; /* free: a stack, so that few slots stay warm */
	size_t flights_n, flights_out; /* out: in flight or unsettled */

	struct chain ready; /* parcels, in the order they came */
	size_t ready_n;     /* messages in them */
	struct chain outbox; /* flights that ended */
	usec_t outbox_since;
	size_t parcels_out; /* on their way back to the store */

	struct claim_order claim;
	bool claim_out;
	bool claim_forced; /* for those who wait in run_now */
	bool poked;
	struct chain run_now;
	struct gone_order gone;
	struct buf scratch;
};

/* Requests to the webhook. */
static inline size_t wire_in_flight(const struct wire *w)
{
	return w->transport ? transport_in_flight(w->transport) : 0;
}

/* The ledger thread's own. */
struct ledger {
	struct store_session *session;
	struct claim_order *claim;
	struct chain flights; /* to settle, oldest first */
	struct chain parcels; /* to give back */
	struct gone_order *gone;
	struct chain alerted;
	bool away;          /* the last settle failed: nothing new is claimed */
	unsigned failures;  /* in a row */
	usec_t retry_at;    /* monotonic, while away */
	usec_t complain_at; /* monotonic: next log line about it */
	usec_t recover_at;  /* monotonic */
	int64_t gone_run;   /* the last run that raised an alert for a 410 */
	struct settlement *batch;
	struct cache_entry *cached;
	struct lease_ref *leases;
};

struct dispatch {
	struct dispatch_options o; /* strings are our own copies */
	char owner[160];           /* "node/boot" */
	struct metrics *own_metrics;
	struct dispatch_metrics m;

	struct queue mail, jobs; /* shared */
	int wake_fd;
	atomic_bool poked, sleeping, stopping, hurry, quit;
	_Atomic usec_t clock_hi; /* the store's clock minus the monotonic one, for the ledger's alerts */

	/* How far the wire is from having nothing left; told while stopping. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t left_in_flight, left_unsettled;
	bool left_told;

	pthread_t wire_thread, ledger_thread;
	bool wire_runs, ledger_runs;

	struct wire w;
	struct ledger l;
};

/* loop.c: the wire thread. */
void *wire_main(void *arg);
void wire_wake(struct dispatch *d); /* any thread */
/* Frees what a note stands for when its receiver has gone. */
void note_drop(struct note *note);

/* supply.c: what is claimed and has not started (wire thread). */
void supply_ask(struct dispatch *d, usec_t now);
usec_t supply_next(const struct dispatch *d); /* monotonic: when it wants to run again */
void supply_answer(struct dispatch *d, struct claim_order *c);
void supply_run_now(struct dispatch *d, struct run_now *r);
void supply_give_back(struct dispatch *d, bool all); /* all, or what has too little lease left */
void supply_refuse(struct dispatch *d);              /* those who wait in run_now */
void supply_given_back(struct dispatch *d, struct parcel *p);
void parcel_free(struct parcel *p);

/* send.c: attempts (wire thread). */
must_check bool send_open(struct dispatch *d, struct error *err);
void send_close(struct dispatch *d);
void send_ready(struct dispatch *d);
void send_settled(struct dispatch *d, struct flight *f);
void send_outbox(struct dispatch *d, usec_t now); /* hands outcomes on when it is time */

/* ledger.c and settle.c: the store (ledger thread). */
void *ledger_main(void *arg);
/* Settles all that has ended. A code means that the store is away; what is not settled stays. */
must_check int settle_flights(struct dispatch *d, struct error *err);
must_check int settle_parcels(struct dispatch *d, struct error *err);
/* Extends the leases of what cannot be settled. */
void settle_renew(struct dispatch *d, usec_t now);
void settle_run_ended(struct dispatch *d, const struct run_end *end);
/* Raises an alert, if there is where to. */
void ledger_alert(struct dispatch *d, const struct alert *alert);
void ledger_mail(struct dispatch *d, struct note *note);
#define SETTLE_BATCH 1024

#endif
