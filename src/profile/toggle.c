#include "toggle.h"

#include <curl/curl.h>
#include <stdio.h>

#include "alloc.h"
#include "log.h"
#include "profile.h"

/* Shorter than the server waits for its answers when it stops. */
#define TIMEOUT_MS 4000L
#define ANSWER_MAX 65536

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct buf *out = arg;

	if (out->len + size * n > ANSWER_MAX)
		return 0;
	buf_add(out, data, size * n);
	return size * n;
}

static CURLcode ask(const struct request *r, const char *url, const char *key, struct buf *answer,
                    long *ret_status)
{
	CURL *curl = curl_easy_init();
	struct buf header cleanup(buf_release) = BUF_INIT;
	struct curl_slist *headers;
	CURLcode rc;

	if (!curl)
		panic("libcurl has no memory");
	buf_addf(&header, "X-Correlation-Id: %s", r->headers.correlation_id);
	headers = curl_slist_append(NULL, header.data);
	if (key) {
		buf_clear(&header);
		buf_addf(&header, "x-ins-auth-key: %s", key);
		headers = curl_slist_append(headers, header.data);
	}
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "herald/" HERALD_VERSION);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

enum handled toggle(struct request *r, const char *path)
{
	const struct config *cfg = profile_context(r)->cfg;
	struct buf url cleanup(buf_release) = BUF_INIT, said cleanup(buf_release) = BUF_INIT;
	struct answer *a = &r->answer;
	long status = 0;
	CURLcode rc;

	if (*cfg->scheduler_url)
		buf_addf(&url, "%s%s", cfg->scheduler_url, path);
	else
		buf_addf(&url, "http://127.0.0.1:%d%s", (int)cfg->second_port, path);
	rc = ask(r, url.data, config_client_key(cfg, CONFIG_GROUP_SCHEDULER), &said, &status);
	if (!rc && status >= 200 && status < 600 && said.len) {
		a->status = (int)status;
		buf_add(&a->body, said.data, said.len);
	} else {
		log_warn("the job scheduler cannot be reached", kv_str("error", curl_easy_strerror(rc)),
		         kv_str("correlation_id", r->headers.correlation_id));
		answer_error_text(a, API_INTERNAL, "The job scheduler cannot be reached.");
	}
	return HANDLED_DONE;
}
