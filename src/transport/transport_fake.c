#include "transport_fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "transport_driver.h"

struct fake_script {
	struct fake_script *next; /* in the list of all */
	char *name;
	pthread_mutex_t lock;
	pthread_cond_t arrived;

	struct fake_outcome *outcomes; /* ring-less: [taken, n) are still to come */
	size_t outcomes_n, taken;
	struct fake_outcome otherwise;
	struct fake_request **requests;
	size_t requests_n;
	unsigned released; /* counts the calls of release */
	int wake_fd;       /* of the open transport; -1: none */
};

/* A request in flight. */
struct fake_flight {
	struct fake_flight *next;
	struct fake_outcome outcome;
	void *tag;
	size_t number; /* from 1 */
	usec_t started;
	unsigned released; /* as it was at the start */
};

struct fake_transport {
	struct transport base;
	struct fake_script *script;
	struct fake_flight *flights; /* in order of start */
	int fd;
};

/* The URL is all that the code under test passes on, so scripts are found by name. */
static pthread_mutex_t scripts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_script *scripts;

static struct fake_script *script_find(const char *name)
{
	struct fake_script *s;

	pthread_mutex_lock(&scripts_lock);
	for (s = scripts; s && strcmp(s->name, name) != 0; s = s->next)
		;
	pthread_mutex_unlock(&scripts_lock);
	return s;
}

struct fake_script *fake_script_new(const char *name)
{
	struct fake_script *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (script_find(name))
		panic("there is a script \"%s\" already", name);
	s->name = xstrdup(name);
	s->otherwise = (struct fake_outcome){.end = ATTEMPT_ANSWERED, .status = 202};
	s->wake_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->arrived, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&scripts_lock);
	s->next = scripts;
	scripts = s;
	pthread_mutex_unlock(&scripts_lock);
	return s;
}

void fake_script_free(struct fake_script *s)
{
	struct fake_script **p;

	pthread_mutex_lock(&scripts_lock);
	for (p = &scripts; *p != s; p = &(*p)->next)
		;
	*p = s->next;
	pthread_mutex_unlock(&scripts_lock);
	for (size_t i = 0; i < s->requests_n; i++) {
		free(s->requests[i]->body);
		free(s->requests[i]->key);
		free(s->requests[i]->timestamp);
		free(s->requests[i]->signature);
		free(s->requests[i]);
	}
	free(s->requests);
	free(s->outcomes);
	free(s->name);
	pthread_cond_destroy(&s->arrived);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void fake_script_push(struct fake_script *s, const struct fake_outcome *outcome)
{
	pthread_mutex_lock(&s->lock);
	s->outcomes = xreallocarray(s->outcomes, s->outcomes_n + 1, sizeof(*s->outcomes));
	s->outcomes[s->outcomes_n++] = *outcome;
	pthread_mutex_unlock(&s->lock);
}

void fake_script_otherwise(struct fake_script *s, const struct fake_outcome *outcome)
{
	pthread_mutex_lock(&s->lock);
	s->otherwise = *outcome;
	pthread_mutex_unlock(&s->lock);
}

static void wake(int fd)
{
	const uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		panic("eventfd: errno %d", errno);
}

void fake_script_release(struct fake_script *s)
{
	pthread_mutex_lock(&s->lock);
	s->released++;
	wake(s->wake_fd);
	pthread_mutex_unlock(&s->lock);
}

size_t fake_script_count(struct fake_script *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->requests_n;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const struct fake_request *fake_script_request(struct fake_script *s, size_t i)
{
	const struct fake_request *r = NULL;

	pthread_mutex_lock(&s->lock);
	if (i < s->requests_n)
		r = s->requests[i];
	pthread_mutex_unlock(&s->lock);
	if (!r)
		panic("there is no request %zu", i);
	return r;
}

bool fake_script_wait(struct fake_script *s, size_t n, usec_t timeout)
{
	usec_t until = clock_mono() + timeout;
	struct timespec ts = {.tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * 1000};
	bool enough;

	pthread_mutex_lock(&s->lock);
	while (s->requests_n < n && pthread_cond_timedwait(&s->arrived, &s->lock, &ts) != ETIMEDOUT)
		;
	enough = s->requests_n >= n;
	pthread_mutex_unlock(&s->lock);
	return enough;
}

static int fake_open(struct transport **ret, const struct transport_options *o, struct error *err)
{
	const char *name = strchr(o->url, ':') + 1;
	struct fake_script *script = script_find(name);
	struct fake_transport *t;

	if (!script)
		return error_set(err, ERR_CONFIG, "there is no script for the webhook URL");
	t = xcalloc(1, sizeof(*t));
	t->script = script;
	t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->fd < 0)
		panic("eventfd: errno %d", errno);
	pthread_mutex_lock(&script->lock);
	script->wake_fd = t->fd;
	pthread_mutex_unlock(&script->lock);
	*ret = &t->base;
	return OK;
}

static struct fake_transport *self(struct transport *t)
{
	return container_of(t, struct fake_transport, base);
}

static void fake_close(struct transport *base)
{
	struct fake_transport *t = self(base);

	pthread_mutex_lock(&t->script->lock);
	t->script->wake_fd = -1;
	pthread_mutex_unlock(&t->script->lock);
	while (t->flights) {
		struct fake_flight *f = t->flights;

		t->flights = f->next;
		free(f);
	}
	close(t->fd);
	free(t);
}

static struct fake_request *record(const struct transport_request *r)
{
	struct fake_request *copy = xcalloc(1, sizeof(*copy));

	copy->at = clock_mono();
	copy->body = xmalloc(r->body_len + 1);
	memcpy(copy->body, r->body, r->body_len);
	copy->body[r->body_len] = '\0';
	copy->body_len = r->body_len;
	copy->key = xstrdup(r->key);
	copy->timestamp = r->timestamp ? xstrdup(r->timestamp) : NULL;
	copy->signature = r->signature ? xstrdup(r->signature) : NULL;
	return copy;
}

static void fake_start(struct transport *base, const struct transport_request *r)
{
	struct fake_transport *t = self(base);
	struct fake_script *s = t->script;
	struct fake_flight **tail, *f = xcalloc(1, sizeof(*f));

	pthread_mutex_lock(&s->lock);
	s->requests = xreallocarray(s->requests, s->requests_n + 1, sizeof(struct fake_request *));
	s->requests[s->requests_n++] = record(r);
	f->outcome = s->taken < s->outcomes_n ? s->outcomes[s->taken++] : s->otherwise;
	f->number = s->requests_n;
	f->released = s->released;
	pthread_cond_broadcast(&s->arrived);
	pthread_mutex_unlock(&s->lock);
	f->tag = r->tag;
	f->started = clock_mono();
	for (tail = &t->flights; *tail; tail = &(*tail)->next)
		;
	*tail = f;
}

/* How long until it ends. */
static usec_t flight_left(const struct fake_flight *f, unsigned released, usec_t now)
{
	if (f->outcome.delay == USEC_NEVER)
		return f->released == released ? USEC_NEVER : 0;
	return MAX_OF(0, f->started + f->outcome.delay - now);
}

static unsigned script_released(struct fake_script *s)
{
	unsigned released;

	pthread_mutex_lock(&s->lock);
	released = s->released;
	pthread_mutex_unlock(&s->lock);
	return released;
}

static void flight_end(struct fake_transport *t, const struct fake_flight *f)
{
	const struct fake_outcome *o = &f->outcome;
	bool answered = o->end == ATTEMPT_ANSWERED;
	char body[80];

	snprintf(body, sizeof(body), "{\"message\":\"Accepted\",\"messageId\":\"fake-%zu\"}", f->number);
	struct transport_result result = {
		.tag = f->tag,
		.end = o->end,
		.status = answered ? o->status : 0,
		.duration = clock_mono() - f->started,
		.body = !answered ? "" : o->body ? o->body : body,
		.body_cut = o->body_cut,
		.captured = o->captured,
		.retry_after = o->retry_after,
		.error = o->error ? o->error : answered && !o->body_cut ? NULL : "as the script says",
	};
	result.body_len = strlen(result.body);
	transport_ended(&t->base, &result);
}

static void fake_run(struct transport *base)
{
	struct fake_transport *t = self(base);
	struct fake_flight **p = &t->flights, *ended = NULL, **tail = &ended;
	unsigned released;
	usec_t now = clock_mono();
	uint64_t count;

	if (read(t->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		panic("eventfd: errno %d", errno);
	released = script_released(t->script);
	/* First take out what ends now: the callback may start new ones. */
	while (*p) {
		struct fake_flight *f = *p;

		if (flight_left(f, released, now)) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		f->next = NULL;
		*tail = f;
		tail = &f->next;
	}
	while (ended) {
		struct fake_flight *f = ended;

		ended = f->next;
		flight_end(t, f);
		free(f);
	}
}

static int fake_fd(const struct transport *t)
{
	return ((const struct fake_transport *)(const void *)t)->fd;
}

static usec_t fake_timeout(const struct transport *base)
{
	const struct fake_transport *t = (const void *)base;
	unsigned released = script_released(t->script);
	usec_t left = USEC_NEVER, now = clock_mono();

	for (const struct fake_flight *f = t->flights; f; f = f->next)
		left = MIN_OF(left, flight_left(f, released, now));
	return left;
}

static const char *const schemes[] = {"fake:", NULL};

const struct transport_driver transport_fake_driver = {
	.schemes = schemes,
	.open = fake_open,
	.close = fake_close,
	.start = fake_start,
	.run = fake_run,
	.fd = fake_fd,
	.timeout = fake_timeout,
};
