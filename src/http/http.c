/*
 * The API server put together: sockets, API threads, workers. What each part does is told in its own header; here
 * is only how they start and end.
 */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "api_thread.h"
#include "dispatch.h"
#include "http_internal.h"
#include "listen.h"
#include "log.h"
#include "text.h"

#define THREADS_MAX 64
#define ASIDE_THREADS 8

static size_t thread_count(unsigned asked)
{
	long cores = asked ? (long)asked : sysconf(_SC_NPROCESSORS_ONLN);

	return (size_t)MIN_OF(MAX_OF(cores, 1), THREADS_MAX);
}

static void copy_options(struct http *h, const struct http_options *o)
{
	h->o = *o;
	h->o.host = xstrdup(o->host ? o->host : "");
	h->o.version = xstrdup(o->version ? o->version : "");
	h->o.node_id = xstrdup(o->node_id ? o->node_id : "");
	h->o.role = xstrdup(o->role ? o->role : "all");
	/* Only their digests are kept. */
	h->o.messages_keys = h->o.scheduler_keys = NULL;
	h->o.allowed_hosts = NULL; /* in h->site */
	h->o.listeners = NULL; /* their rows are in h->routes */
	h->o.workers = o->workers ? o->workers : 2;
	h->body_budget = MAX_OF(4 * MAX_OF(o->max_batch_body, o->max_body), (size_t)64 * 1024 * 1024);
}

static void free_options(struct http *h)
{
	free((char *)(uintptr_t)h->o.host);
	free((char *)(uintptr_t)h->o.version);
	free((char *)(uintptr_t)h->o.node_id);
	free((char *)(uintptr_t)h->o.role);
}

/* Those of each listener are its own, so that one that is busy holds up no other. */
static int open_threads(struct http *h, const struct http_options *o, struct error *err)
{
	const size_t each = thread_count(o->api_threads), listeners = o->listeners_n;
	int fds[THREADS_MAX], code;

	h->threads = xcalloc(each * MAX_OF(listeners, 1), sizeof(*h->threads));
	for (size_t l = 0; l < MAX_OF(listeners, 1); l++) {
		struct listening *at = &h->listening[l];

		code = listen_open(h->o.host, listeners ? o->listeners[l].port : o->port, fds, each, at->url,
		                   sizeof(at->url), err);
		if (code != OK)
			return code;
		at->loopback = text_starts_with(at->url, "http://127.") || text_starts_with(at->url, "http://[::1]");
		h->listener_count++;
		for (size_t i = 0; i < each; i++) {
			struct api_thread *t = &h->threads[h->thread_count];
			int one = api_thread_init(t, h, h->thread_count++, (unsigned)l, fds[i],
			                          code == OK ? err : NULL);

			code = code == OK ? one : code;
		}
		if (code != OK)
			return code;
	}
	return OK;
}

static void collect_routes(struct http *h, const struct http_options *o)
{
	for (size_t i = 0; i < o->listeners_n; i++) {
		for (size_t k = 0; k < o->listeners[i].routes_n; k++) {
			struct route_source foreign = o->listeners[i].routes[k];

			foreign.listeners = 1U << i;
			route_table_add(&h->routes, &foreign);
		}
	}
	route_table_add(&h->routes, &(struct route_source){.rows = routes, .n = route_count, .listeners = ~0U});
}

static bool waits_aside(const struct route_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].place == PLACE_ASIDE)
			return true;
	return false;
}

int http_open(struct http **ret, const struct http_options *options, struct error *err)
{
	struct http *h = xcalloc(1, sizeof(*h));
	int code;

	copy_options(h, options);
	buf_init(&h->openapi);
	http_openapi(&h->openapi, h->o.version);
	collect_routes(h, options);
	observe_init(&h->observe, h->o.metrics, &h->routes);
	workers_init(&h->workers, h, h->o.workers, false);
	workers_init(&h->aside, h, waits_aside(&h->routes) ? ASIDE_THREADS : 0, true);
	code = site_init(&h->site, options->allowed_hosts ? options->allowed_hosts : "", h->o.host, err);
	if (code == OK)
		code = keyring_init(&h->keys[ACCESS_MESSAGES], options->messages_keys, err);
	if (code == OK)
		code = keyring_init(&h->keys[ACCESS_SCHEDULER], options->scheduler_keys, err);
	if (code == OK)
		code = open_threads(h, options, err);
	if (code != OK) {
		http_close(h);
		return code;
	}
	*ret = h;
	return OK;
}

int http_start(struct http *h, struct error *err)
{
	int code = workers_start(&h->workers, err);

	if (code == OK)
		code = workers_start(&h->aside, err);
	for (size_t i = 0; i < h->thread_count && code == OK; i++)
		code = api_thread_start(&h->threads[i], err);
	if (code != OK)
		return code;
	for (size_t i = 0; i < h->listener_count; i++)
		log_info("the API is open", kv_str("url", h->listening[i].url), kv_str("role", h->o.role),
		         kv_uint("threads", h->thread_count / h->listener_count), kv_uint("workers", h->o.workers));
	return OK;
}

const char *http_url(const struct http *h, size_t listener)
{
	return h->listening[listener].url;
}

void http_stop_accepting(struct http *h)
{
	atomic_store(&h->stopping, true);
	for (size_t i = 0; i < h->thread_count; i++)
		api_thread_wake(&h->threads[i]);
}

size_t http_finish(struct http *h, usec_t timeout)
{
	const usec_t by = clock_mono() + timeout;
	size_t unanswered = 0;

	if (h->finished)
		return 0;
	h->finished = true;
	http_stop_accepting(h);
	for (size_t i = 0; i < h->thread_count; i++)
		api_thread_finish(&h->threads[i], by);
	for (size_t i = 0; i < h->thread_count; i++)
		unanswered += api_thread_join(&h->threads[i]);
	workers_stop(&h->workers);
	workers_stop(&h->aside);
	return unanswered;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	http_finish(h, 0);
	for (size_t i = 0; i < h->thread_count; i++)
		api_thread_release(&h->threads[i]);
	free(h->threads);
	workers_release(&h->workers);
	workers_release(&h->aside);
	observe_release(&h->observe);
	route_table_release(&h->routes);
	site_release(&h->site);
	buf_release(&h->openapi);
	free_options(h);
	free(h);
}

bool http_body_reserve(struct http *h, size_t bytes)
{
	size_t now = atomic_load_explicit(&h->body_bytes, memory_order_relaxed);

	do {
		if (bytes > h->body_budget - now)
			return false;
	} while (!atomic_compare_exchange_weak(&h->body_bytes, &now, now + bytes));
	return true;
}

void http_body_unreserve(struct http *h, size_t bytes)
{
	atomic_fetch_sub(&h->body_bytes, bytes);
}
