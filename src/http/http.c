/*
 * The API server put together: sockets, API threads, workers. What each part does is told in its own header; here
 * is only how they start and end.
 */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "api_thread.h"
#include "dispatch.h"
#include "http_internal.h"
#include "listen.h"
#include "log.h"

#define THREADS_MAX 64

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
	h->o.workers = o->workers ? o->workers : 2;
	h->thread_count = thread_count(o->api_threads);
	h->body_budget = MAX_OF(4 * MAX_OF(o->max_batch_body, o->max_body), (size_t)64 * 1024 * 1024);
}

static void free_options(struct http *h)
{
	free((char *)(uintptr_t)h->o.host);
	free((char *)(uintptr_t)h->o.version);
	free((char *)(uintptr_t)h->o.node_id);
	free((char *)(uintptr_t)h->o.role);
}

static int open_threads(struct http *h, struct error *err)
{
	int fds[THREADS_MAX], code;

	code = listen_open(h->o.host, h->o.port, fds, h->thread_count, &h->port, h->url, sizeof(h->url), err);
	if (code != OK)
		return code;
	h->threads = xcalloc(h->thread_count, sizeof(*h->threads));
	for (size_t i = 0; i < h->thread_count; i++) {
		int one = api_thread_init(&h->threads[i], h, i, fds[i], code == OK ? err : NULL);

		code = code == OK ? one : code;
	}
	return code;
}

int http_open(struct http **ret, const struct http_options *options, struct error *err)
{
	struct http *h = xcalloc(1, sizeof(*h));
	int code;

	copy_options(h, options);
	buf_init(&h->openapi);
	http_openapi(&h->openapi, h->o.version);
	observe_init(&h->observe, h->o.metrics);
	workers_init(&h->workers, h, h->o.workers);
	code = keyring_init(&h->keys[ACCESS_MESSAGES], options->messages_keys, err);
	if (code == OK)
		code = keyring_init(&h->keys[ACCESS_SCHEDULER], options->scheduler_keys, err);
	if (code == OK)
		code = open_threads(h, err);
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

	for (size_t i = 0; i < h->thread_count && code == OK; i++)
		code = api_thread_start(&h->threads[i], err);
	if (code != OK)
		return code;
	log_info("the API is open", kv_str("url", h->url), kv_str("role", h->o.role),
	         kv_uint("threads", h->thread_count), kv_uint("workers", h->o.workers));
	return OK;
}

int http_port(const struct http *h)
{
	return h->port;
}

const char *http_url(const struct http *h)
{
	return h->url;
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
	return unanswered;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	if (!h->threads)
		h->thread_count = 0;
	http_finish(h, 0);
	for (size_t i = 0; i < h->thread_count; i++)
		api_thread_release(&h->threads[i]);
	free(h->threads);
	workers_release(&h->workers);
	observe_release(&h->observe);
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
