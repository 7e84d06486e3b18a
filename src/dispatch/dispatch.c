/* Opening, starting, steering and closing the dispatcher: what others call, on their threads. */
#include "dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "parts.h"
#include "text.h"
#include "thread.h"

static const usec_t attempt_bounds[] = {
	500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,
	10000000, 30000000, 60000000};
static const usec_t lateness_bounds[] = {
	250, 500, 1000, 2000, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 60000000};

static void add_metrics(struct dispatch *d)
{
	struct metrics *m = d->o.metrics;

	outcomes_init(&d->m.outcomes, m);
	d->m.runs = metrics_counter(m, "herald_runs_total", "Beats that this node opened.", "");
	d->m.in_flight = metrics_gauge(m, "herald_in_flight", "Requests to the webhook in flight.", "");
	d->m.attempt_seconds = metrics_histogram(m, "herald_attempt_duration_seconds",
	                                         "Duration of requests to the webhook.", "",
	                                         attempt_bounds, ARRAY_SIZE(attempt_bounds));
	d->m.lateness_seconds = metrics_histogram(m, "herald_tick_lateness_seconds",
	                                          "How long after it was due a beat opened.", "",
	                                          lateness_bounds, ARRAY_SIZE(lateness_bounds));
}

static int check(const struct dispatch_options *o, struct error *err)
{
	if (o->lease <= o->webhook_timeout + LEASE_OVER_TIMEOUT)
		return error_set(err, ERR_CONFIG,
		                 "the lease must exceed the webhook timeout by more than 10 seconds");
	if (!o->concurrency || o->rules->max_content < 4 || !o->policy.backoff_n || o->policy.max_attempts < 1 ||
	    o->webhook_timeout <= 0)
		return error_set(err, ERR_CONFIG, "a limit of the dispatcher is zero");
	return OK;
}

/* Replaces each text by a copy of our own, never NULL unless that says something. */
static void copy_texts(struct dispatch_options *o)
{
	o->node_id = xstrdup(o->node_id);
	o->webhook_url = xstrdup(o->webhook_url ? o->webhook_url : "");
	o->webhook_secrets = xstrdup(o->webhook_secrets ? o->webhook_secrets : "");
	o->alert_url = xstrdup(o->alert_url ? o->alert_url : "");
	o->message_id_from = xstrdup(o->message_id_from);
	o->webhook_auth_key = o->webhook_auth_key ? xstrdup(o->webhook_auth_key) : NULL;
	o->webhook_ca_file = o->webhook_ca_file && *o->webhook_ca_file ? xstrdup(o->webhook_ca_file) : NULL;
}

static void free_texts(struct dispatch_options *o)
{
	const char *const *const texts[] = {
		&o->node_id,         &o->webhook_url,      &o->webhook_secrets, &o->alert_url,
		&o->message_id_from, &o->webhook_auth_key, &o->webhook_ca_file,
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free((char *)(uintptr_t)*texts[i]);
}

/* Wire thread: tells the ledger that an alert was delivered. */
static void alert_sent(void *arg, const struct alert *alert)
{
	struct dispatch *d = arg;
	struct alert_note *n = xcalloc(1, sizeof(*n));

	n->note.kind = NOTE_ALERT;
	n->alert = *alert;
	if (!queue_push(&d->jobs, &n->note.item))
		free(n);
}

static bool open_alerter(struct dispatch *d, struct error *err)
{
	struct alerter_options o = {
		.url = d->o.alert_url,
		.ca_file = d->o.webhook_ca_file,
		.metrics = d->o.metrics,
		.sent = alert_sent,
		.arg = d,
	};

	return !*o.url || alerter_open(&d->w.alerter, &o, err) == OK;
}

int dispatch_open(struct dispatch **ret, const struct dispatch_options *options, struct error *err)
{
	struct error local = ERROR_INIT;
	pthread_condattr_t attr;
	unsigned char boot[6];
	char hex[2 * sizeof(boot) + 1];
	struct dispatch *d;
	int rc = check(options, err);

	if (rc)
		return rc;
	d = xcalloc(1, sizeof(*d));
	d->o = *options;
	copy_texts(&d->o);
	if (!d->o.metrics)
		d->o.metrics = d->own_metrics = metrics_new();
	add_metrics(d);

	/* The boot id tells this life of the node from the one before, whose leases are dead. */
	random_bytes(boot, sizeof(boot));
	hex_encode(boot, sizeof(boot), hex);
	snprintf(d->owner, sizeof(d->owner), "%.64s/%s", d->o.node_id, hex);

	queue_init(&d->mail, 0, true);
	queue_init(&d->jobs, 0, false);
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);

	d->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->w.epoll = epoll_create1(EPOLL_CLOEXEC);
	buf_init(&d->w.scratch);
	tick_init(&d->w.tick, d->o.policy.retry_free, !d->o.policy.strict, clock_mono());
	d->l.batch = xcalloc(SETTLE_BATCH, sizeof(*d->l.batch));
	d->l.cached = xcalloc(SETTLE_BATCH, sizeof(*d->l.cached));
	d->l.leases = xcalloc(SETTLE_BATCH, sizeof(*d->l.leases));

	if (d->wake_fd < 0 || d->w.epoll < 0)
		error_errno(&local, ERR_TRANSIENT, errno, "no descriptor for the dispatcher");
	if (local.code || !send_open(d, &local) || !open_alerter(d, &local)) {
		dispatch_close(d);
		if (err)
			*err = local;
		return local.code;
	}
	*ret = d;
	return OK;
}

int dispatch_start(struct dispatch *d, struct error *err)
{
	int rc = store_session_open(d->o.store, &d->l.session, err);

	if (rc)
		return rc;
	if (!d->w.transport)
		log_warn("no webhook URL is configured: messages are accepted but not sent");
	rc = thread_start(&d->ledger_thread, "ledger", ledger_main, d, err);
	if (rc)
		return rc;
	d->ledger_runs = true;
	rc = thread_start(&d->wire_thread, "dispatch", wire_main, d, err);
	if (rc)
		return rc;
	d->wire_runs = true;
	return OK;
}

void dispatch_poke(struct dispatch *d)
{
	atomic_store(&d->poked, true);
	if (atomic_load(&d->sleeping) && atomic_exchange(&d->sleeping, false))
		wire_wake(d);
}

int dispatch_run_now(struct dispatch *d, struct dispatch_run *ret, struct error *err)
{
	struct run_now r = {.note.kind = NOTE_RUN_NOW};

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.changed, NULL);
	if (!queue_push(&d->mail, &r.note.item))
		run_now_finish(&r, ERR_TRANSIENT, "the dispatcher is stopping");
	pthread_mutex_lock(&r.lock);
	while (!r.done)
		pthread_cond_wait(&r.changed, &r.lock);
	pthread_mutex_unlock(&r.lock);
	pthread_cond_destroy(&r.changed);
	pthread_mutex_destroy(&r.lock);

	*ret = r.answer;
	if (r.code && err)
		*err = r.err;
	return r.code;
}

size_t dispatch_in_flight(const struct dispatch *d)
{
	return (size_t)atomic_load_explicit(d->m.in_flight, memory_order_relaxed);
}

const char *dispatch_boot(const struct dispatch *d)
{
	return strrchr(d->owner, '/') + 1;
}

const char *dispatch_owner(const struct dispatch *d)
{
	return d->owner;
}

void dispatch_stop_claiming(struct dispatch *d)
{
	atomic_store(&d->stopping, true);
	wire_wake(d);
}

void dispatch_hurry(struct dispatch *d)
{
	atomic_store(&d->hurry, true);
	pthread_mutex_lock(&d->lock);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static bool finished(const struct dispatch *d)
{
	return d->left_told && !d->left_unsettled && (!d->left_in_flight || atomic_load(&d->hurry));
}

size_t dispatch_finish(struct dispatch *d, usec_t timeout)
{
	usec_t until = clock_mono() + MIN_OF(timeout, USEC_PER_DAY);
	struct timespec at = {.tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * 1000};
	size_t left = 0;
	int rc = 0;

	dispatch_stop_claiming(d);
	if (d->wire_runs) {
		pthread_mutex_lock(&d->lock);
		while (!finished(d) && !rc)
			rc = pthread_cond_timedwait(&d->changed, &d->lock, &at);
		pthread_mutex_unlock(&d->lock);

		atomic_store(&d->quit, true);
		wire_wake(d);
		thread_join(d->wire_thread);
		d->wire_runs = false;
		/* Only now is it sure that it has been told. */
		left = d->left_in_flight + d->left_unsettled;
	}
	if (d->ledger_runs) {
		queue_close(&d->jobs);
		thread_join(d->ledger_thread);
		d->ledger_runs = false;
	}
	return left;
}

void dispatch_close(struct dispatch *d)
{
	if (!d)
		return;
	dispatch_finish(d, 0);
	if (d->l.session)
		store_session_close(d->l.session);
	alerter_close(d->w.alerter);
	send_close(d);
	for (struct note *note; (note = chain_take(&d->w.ready));)
		note_drop(note);
	queue_destroy(&d->mail);
	queue_destroy(&d->jobs);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	if (d->w.epoll >= 0)
		close(d->w.epoll);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	metrics_free(d->own_metrics);
	free_texts(&d->o);
	free(d->l.batch);
	free(d->l.cached);
	free(d->l.leases);
	free(d);
}
