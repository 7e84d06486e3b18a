/*
 * The dispatch thread: one loop over all outgoing HTTP, the mail from the ledger, and all timers. Each turn
 * does everything that is due and sleeps until the next thing is.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "parts.h"

enum source { SOURCE_MAIL, SOURCE_WAKE, SOURCE_TRANSPORT, SOURCE_ALERTER, SOURCE_COUNT };

void wire_wake(struct dispatch *d)
{
	eventfd_t one = 1;

	while (write(d->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void note_drop(struct note *note)
{
	switch (note->kind) {
	case NOTE_CLAIM: {
		struct claim_order *c = container_of(note, struct claim_order, note);

		if (c->parcel)
			parcel_free(c->parcel);
		return;
	}
	case NOTE_PARCEL:
		parcel_free(container_of(note, struct parcel, note));
		return;
	case NOTE_ALERT:
		free(container_of(note, struct alert_note, note));
		return;
	case NOTE_RUN_NOW:
		run_now_finish(container_of(note, struct run_now, note), ERR_TRANSIENT,
		               "the dispatcher is stopping");
		return;
	case NOTE_FLIGHT: /* part of a pool */
	case NOTE_GONE:
		return;
	}
}

static void take_mail(struct dispatch *d)
{
	struct queue_item *item = queue_take(&d->mail, 0, NULL), *next;

	for (; item; item = next) {
		struct note *note = note_of(item);

		next = item->next;
		switch (note->kind) {
		case NOTE_CLAIM:
			supply_answer(d, container_of(note, struct claim_order, note));
			break;
		case NOTE_FLIGHT:
			send_settled(d, container_of(note, struct flight, note));
			break;
		case NOTE_PARCEL:
			supply_given_back(d, container_of(note, struct parcel, note));
			break;
		case NOTE_GONE:
			/* Also what was claimed just before the scheduler stopped. */
			supply_give_back(d, true);
			d->w.gone.out = false;
			break;
		case NOTE_ALERT:
			alerter_raise(d->w.alerter, &container_of(note, struct alert_note, note)->alert);
			note_drop(note);
			break;
		case NOTE_RUN_NOW:
			supply_run_now(d, container_of(note, struct run_now, note));
			break;
		}
	}
}

/* Tells dispatch_finish() what is left: while stopping, and in any case at the end. */
static void tell(struct dispatch *d)
{
	const struct wire *w = &d->w;

	pthread_mutex_lock(&d->lock);
	d->left_in_flight = wire_in_flight(w);
	d->left_unsettled = w->flights_out - d->left_in_flight + w->ready_n + w->parcels_out + w->claim_out +
	                    w->gone.out;
	d->left_told = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static usec_t turn(struct dispatch *d, bool alerter_readable)
{
	struct wire *w = &d->w;
	usec_t now, next, wait;
	bool stopping;

	take_mail(d);
	now = clock_mono();
	stopping = atomic_load(&d->stopping);
	if (atomic_exchange(&d->poked, false))
		w->poked = true;
	if (stopping)
		supply_refuse(d);
	if (w->ready.n)
		supply_give_back(d, stopping || w->gone.out);
	send_ready(d);
	supply_ask(d, now);
	if (w->alerter)
		alerter_run(w->alerter, now, alerter_readable);
	send_outbox(d, now);
	if (stopping)
		tell(d);

	next = supply_next(d);
	if (w->outbox.n)
		next = MIN_OF(next, w->outbox_since + OUTBOX_DELAY);
	if (w->alerter)
		next = MIN_OF(next, alerter_next(w->alerter, now));
	if (w->transport) {
		wait = transport_timeout(w->transport);
		if (wait != USEC_NEVER)
			next = MIN_OF(next, now + wait);
	}
	return next;
}

/* Sleeps to the microsecond where the kernel can, else to the next millisecond. */
static int sleep_until(int epoll, struct epoll_event *events, int n, usec_t until)
{
	usec_t wait = until == USEC_NEVER ? USEC_NEVER : MAX_OF(until - clock_mono(), 0);
	struct timespec ts = {.tv_sec = wait / USEC_PER_SEC, .tv_nsec = wait % USEC_PER_SEC * 1000};
	int rc;

	if (!wait) /* the common case under load, and the cheaper call */
		return epoll_wait(epoll, events, n, 0);
	rc = epoll_pwait2(epoll, events, n, wait == USEC_NEVER ? NULL : &ts, NULL);
	if (rc < 0 && (errno == ENOSYS || errno == EPERM))
		rc = epoll_wait(epoll, events, n,
		                wait > USEC_PER_HOUR ? -1 : (int)((wait + 999) / USEC_PER_MSEC));
	return rc;
}

static void listen_to(struct dispatch *d, int fd, enum source source)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = source};

	if (epoll_ctl(d->w.epoll, EPOLL_CTL_ADD, fd, &e))
		panic("dispatch: epoll refuses descriptor %d (errno %d)", fd, errno);
}

void *wire_main(void *arg)
{
	struct dispatch *d = arg;
	struct wire *w = &d->w;
	struct epoll_event events[SOURCE_COUNT];
	bool ready[SOURCE_COUNT] = {false};
	struct queue_item *item;
	eventfd_t ignored;

	listen_to(d, queue_fd(&d->mail), SOURCE_MAIL);
	listen_to(d, d->wake_fd, SOURCE_WAKE);
	if (w->transport)
		listen_to(d, transport_fd(w->transport), SOURCE_TRANSPORT);
	if (w->alerter)
		listen_to(d, alerter_fd(w->alerter), SOURCE_ALERTER);

	while (!atomic_load(&d->quit)) {
		usec_t until = turn(d, ready[SOURCE_ALERTER]);
		int n;

		/* Whoever pokes first sets `poked`, then looks at `sleeping`; here it is the other way
		 * round, so that one of the two sees the other. */
		atomic_store(&d->sleeping, true);
		n = sleep_until(w->epoll, events, SOURCE_COUNT, atomic_load(&d->poked) ? 0 : until);
		atomic_store(&d->sleeping, false);

		memset(ready, 0, sizeof(ready));
		for (int i = 0; i < n; i++)
			ready[events[i].data.u32] = true;
		if (ready[SOURCE_WAKE] && read(d->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
			panic("dispatch: reading an eventfd failed (errno %d)", errno);
		if (w->transport && (ready[SOURCE_TRANSPORT] || transport_timeout(w->transport) <= 0))
			transport_run(w->transport);
	}

	/* What has ended is settled even now; what is in flight keeps its lease. */
	w->outbox_since = 0;
	send_outbox(d, clock_mono());
	tell(d);
	queue_close(&d->mail);
	supply_refuse(d);
	while ((item = queue_take(&d->mail, 1, NULL)))
		note_drop(note_of(item));
	return NULL;
}
