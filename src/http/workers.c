#include "workers.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "request.h"
#include "thread.h"

#define WAITING_PER_WORKER 64
#define WAITING_PER_ASIDE 1 /* they may be at one for seconds */
#define REOPEN_AFTER USEC_PER_SEC

struct session {
	struct store_session *c; /* NULL: it could not be opened */
	usec_t tried_at;         /* when that was; 0: not yet */
};

void workers_init(struct workers *w, struct http *h, size_t n, bool aside)
{
	*w = (struct workers){.http = h, .n = n, .aside = aside, .threads = xcalloc(n, sizeof(*w->threads))};
	queue_init(&w->jobs, n * (aside ? WAITING_PER_ASIDE : WAITING_PER_WORKER), false);
}

/* Once it is there it stays: a session gets over an outage by itself. */
static void session_open(struct session *s, struct store *store)
{
	struct error err = ERROR_INIT;
	const usec_t now = clock_mono();

	if (s->c || (s->tried_at && now - s->tried_at < REOPEN_AFTER))
		return;
	if (store_session_open(store, &s->c, &err) == OK)
		return;
	s->c = NULL;
	if (!s->tried_at)
		log_warn("the API has no database session", kv_str("error", err.text));
	s->tried_at = now;
}

static void serve(struct session *s, struct request *r)
{
	if (r->route->place != PLACE_ASIDE)
		session_open(s, r->http->o.store);
	if (!s->c && r->route->place == PLACE_WORKER) {
		answer_error(&r->answer, API_STORE_DOWN);
		request_answered(r);
		return;
	}
	if (r->route->handle(r, s->c) != HANDLED_LATER)
		request_answered(r);
}

static void *work(void *arg)
{
	struct workers *w = arg;
	struct session s = {0};
	struct queue_item *item;

	while ((item = queue_wait(&w->jobs, 1, USEC_NEVER, NULL)))
		serve(&s, container_of(item, struct request, item));
	if (s.c)
		store_session_close(s.c);
	return NULL;
}

int workers_start(struct workers *w, struct error *err)
{
	for (; w->started < w->n; w->started++) {
		char name[16];
		int code;

		snprintf(name, sizeof(name), "api-%s-%u", w->aside ? "aside" : "worker",
		         (unsigned)(w->started % 100));
		code = thread_start(&w->threads[w->started], name, work, w, err);
		if (code != OK)
			return code;
	}
	return OK;
}

bool workers_submit(struct workers *w, struct request *r)
{
	return queue_push(&w->jobs, &r->item);
}

void workers_stop(struct workers *w)
{
	struct queue_item *item, *next;

	/* What still waits when the API threads are gone has lost its client. */
	queue_close(&w->jobs);
	for (item = queue_take(&w->jobs, 0, NULL); item; item = next) {
		next = item->next;
		request_answered(container_of(item, struct request, item));
	}
	for (size_t i = 0; i < w->started; i++)
		thread_join(w->threads[i]);
	w->started = 0;
}

void workers_release(struct workers *w)
{
	queue_destroy(&w->jobs);
	free(w->threads);
}
