#include "toggle.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "profile.h"

/* Shorter than the server waits for its answers when it stops. */
#define TIMEOUT_MS 4000L
#define ANSWER_MAX 65536
#define AT_ONCE 8

static _Atomic int under_way;

struct call {
	struct request *r;
	char *url, *key;
	struct buf answer;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct buf *out = arg;

	if (out->len + size * n > ANSWER_MAX)
		return 0;
	buf_add(out, data, size * n);
	return size * n;
}

static CURLcode ask(struct call *c, long *ret_status)
{
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = NULL;
	char correlation[CORRELATION_MAX + 32];
	CURLcode rc;

	if (!curl)
		panic("libcurl has no memory");
	snprintf(correlation, sizeof(correlation), "X-Correlation-Id: %s", c->r->headers.correlation_id);
	headers = curl_slist_append(headers, correlation);
	if (c->key)
		headers = curl_slist_append(headers, c->key);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "herald/" HERALD_VERSION);
	curl_easy_setopt(curl, CURLOPT_URL, c->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &c->answer);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

static void *run(void *arg)
{
	struct call *c = arg;
	struct answer *a = &c->r->answer;
	long status = 0;
	CURLcode rc = ask(c, &status);

	if (!rc && status >= 200 && status < 600 && c->answer.len) {
		a->status = (int)status;
		buf_add(&a->body, c->answer.data, c->answer.len);
	} else {
		log_warn("the job scheduler cannot be reached", kv_str("error", curl_easy_strerror(rc)),
		         kv_str("correlation_id", c->r->headers.correlation_id));
		answer_error_text(a, API_INTERNAL, "The job scheduler cannot be reached.");
	}
	request_answered(c->r);
	free(c->url);
	free(c->key);
	buf_release(&c->answer);
	free(c);
	atomic_fetch_sub(&under_way, 1);
	return NULL;
}

enum handled toggle_begin(struct request *r, const char *path)
{
	const struct config *cfg = profile_context(r)->cfg;
	const char *key = config_client_key(cfg, CONFIG_GROUP_SCHEDULER);
	struct call *c;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (atomic_fetch_add(&under_way, 1) >= AT_ONCE) {
		atomic_fetch_sub(&under_way, 1);
		answer_error(&r->answer, API_OVERLOADED);
		return HANDLED_DONE;
	}
	c = xcalloc(1, sizeof(*c));
	c->r = r;
	c->answer = (struct buf)BUF_INIT;
	c->key = key ? xasprintf("x-ins-auth-key: %s", key) : NULL;
	c->url = *cfg->scheduler_url ? xasprintf("%s%s", cfg->scheduler_url, path)
	                             : xasprintf("http://127.0.0.1:%d%s", (int)cfg->second_port, path);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, c);
	pthread_attr_destroy(&attr);
	if (!rc)
		return HANDLED_LATER;
	free(c->url);
	free(c->key);
	free(c);
	atomic_fetch_sub(&under_way, 1);
	answer_error(&r->answer, API_OVERLOADED);
	return HANDLED_DONE;
}
