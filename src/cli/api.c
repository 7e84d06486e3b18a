#include "api.h"

#include <string.h>

#include "alloc.h"
#include "text.h"
#include "url.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define CONNECT_SECONDS 10L
#define CALL_SECONDS 120L

struct api {
	const struct config *cfg;
	char *url; /* without a closing slash */
	bool local;
	struct api_request request;
};

int api_open(struct api **ret, const struct config *cfg, struct error *err)
{
	struct api *a;
	struct url url;
	size_t len = strlen(cfg->client_url);

	if (!len)
		return error_set(err, ERR_CONFIG, "SERVER_PORT is 0, so the server's address is not known: "
		                                  "name it with --url or HERALD_URL");
	if (url_parse(cfg->client_url, len, URL_HTTP, &url, err) != OK)
		return error_prefix(err, "HERALD_URL");
	while (len && cfg->client_url[len - 1] == '/')
		len--;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(err, ERR_PERMANENT, "libcurl cannot be initialised");
	a = xcalloc(1, sizeof(*a));
	a->cfg = cfg;
	a->url = xstrndup(cfg->client_url, len);
	a->local = (url.host.len == 9 && memcmp(url.host.s, "localhost", 9) == 0) ||
	           (url.host.len > 4 && memcmp(url.host.s, "127.", 4) == 0) ||
	           (url.host.len == 3 && memcmp(url.host.s, "::1", 3) == 0);
	api_request_init(&a->request);
	*ret = a;
	return OK;
}

void api_close(struct api *a)
{
	if (!a)
		return;
	api_request_release(&a->request);
	free(a->url);
	free(a);
	curl_global_cleanup();
}

const char *api_url(const struct api *a)
{
	return a->url;
}

void api_answer_release(struct api_answer *answer)
{
	json_decref(answer->body);
	*answer = (struct api_answer)API_ANSWER_INIT;
}

void api_request_init(struct api_request *r)
{
	*r = (struct api_request){.answer = BUF_INIT};
	r->easy = curl_easy_init();
	if (!r->easy)
		panic("libcurl has no handle left");
}

void api_request_release(struct api_request *r)
{
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	buf_release(&r->answer);
}

static size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	struct api_request *r = arg;

	if (size * n > ANSWER_MAX - r->answer.len)
		return 0;
	buf_add(&r->answer, data, size * n);
	return size * n;
}

static void add_header(struct api_request *r, const char *text)
{
	struct curl_slist *longer = curl_slist_append(r->headers, text);

	if (!longer)
		panic("out of memory");
	r->headers = longer;
}

static void add_key(struct api_request *r, const struct api *a, const char *path)
{
	bool scheduler = text_starts_with(path, "/api/v1/scheduler") || text_starts_with(path, "/api/v1/nodes");
	const char *key = config_client_key(a->cfg, scheduler ? CONFIG_GROUP_SCHEDULER : CONFIG_GROUP_MESSAGES);
	char *header;

	if (!key)
		return;
	header = xasprintf("x-ins-auth-key: %s", key);
	add_header(r, header);
	explicit_bzero(header, strlen(header));
	free(header);
}

void api_request_set(struct api_request *r, struct api *a, const char *method, const char *path,
                     const struct buf *body, const char *type, const char *header)
{
	CURL *e = r->easy;
	char *url = xasprintf("%s%s", a->url, path);
	char text[128];

	snprintf(r->what, sizeof(r->what), "%s %.*s", method, (int)strcspn(path, "?"), path);
	buf_clear(&r->answer);
	r->error[0] = '\0';
	curl_slist_free_all(r->headers);
	r->headers = NULL;
	curl_easy_reset(e); /* keeps the connection */
	add_key(r, a, path);
	add_header(r, "Accept: application/json");
	add_header(r, "Expect:"); /* no waiting for a 100 before the body */
	if (header)
		add_header(r, header);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_USERAGENT, "herald/" HERALD_VERSION);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(e, CURLOPT_PRIVATE, r);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, CALL_SECONDS);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
	/* A proxy meant for the world outside would look for the server on its own loopback. */
	if (a->local)
		curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	if (body) {
		snprintf(text, sizeof(text), "Content-Type: %s", type);
		add_header(r, text);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, body->data);
	} else if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
		add_header(r, "Content-Type:");
	}
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
	free(url);
}

static int transport_error(const struct api_request *r, const struct api *a, CURLcode code,
                           struct error *err)
{
	const char *why = r->error[0] ? r->error : curl_easy_strerror(code);

	switch ((int)code) {
	case CURLE_COULDNT_CONNECT:
		return error_set(err, ERR_TRANSIENT, "no herald at %s: start it with `herald serve`, or name it "
		                                     "with --url", a->url);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
		return error_set(err, ERR_PERMANENT, "%s: cannot connect: %s", a->url, why);
	default:
		return error_set(err, ERR_UNCERTAIN, "%s: %s: the connection failed before an answer came: %s",
		                 a->url, r->what, why);
	}
}

static void add_details(struct buf *text, json_t *details)
{
	char scratch[32];
	const char *field;
	json_t *why;
	size_t n = 0;

	json_object_foreach(details, field, why) {
		if (n++ == 5) {
			buf_addf(text, "; and %zu more", json_object_size(details) - 5);
			return;
		}
		buf_addf(text, "%s%s: %s", n == 1 ? ": " : "; ", field, api_text(details, field, scratch));
	}
}

static int refusal(const struct api_request *r, const struct api *a, const struct api_answer *answer,
                   struct error *err)
{
	const char *why = json_string_value(json_object_get(answer->body, "error"));
	struct buf text = BUF_INIT;
	int code;

	if (why)
		buf_addstr(&text, why);
	else
		buf_addlit(&text, "the answer is none of herald's; is something else running there?");
	add_details(&text, json_object_get(answer->body, "details"));
	if (answer->status == 401)
		buf_addlit(&text, " (name the key with --api-key or HERALD_API_KEY)");
	switch (answer->status) {
	case 404:
		code = ERR_NOT_FOUND;
		break;
	case 409:
		code = ERR_CONFLICT;
		break;
	case 429:
	case 503:
		code = ERR_TRANSIENT;
		break;
	case 502:
	case 504:
		code = ERR_UNCERTAIN; /* a proxy's: it does not know either */
		break;
	default:
		code = answer->status >= 400 && answer->status < 500 ? ERR_INVALID : ERR_PERMANENT;
	}
	error_set(err, code, "%s at %s: %d %s", r->what, a->url, answer->status, text.data);
	buf_release(&text);
	return code;
}

int api_request_result(struct api_request *r, struct api *a, CURLcode code, struct api_answer *ret,
                       struct error *err)
{
	long status = 0;
	curl_off_t retry_after = 0;

	*ret = (struct api_answer)API_ANSWER_INIT;
	if (code != CURLE_OK)
		return transport_error(r, a, code, err);
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &retry_after);
	ret->status = (int)status;
	if (retry_after > 0 && retry_after < 86400)
		ret->retry_after = retry_after * USEC_PER_SEC;
	ret->body = json_loadb(r->answer.data, r->answer.len, 0, NULL);
	ret->data = json_object_get(ret->body, "data");
	if (status < 200 || status > 299)
		return refusal(r, a, ret, err);
	if (!ret->body)
		return error_set(err, ERR_PERMANENT, "%s at %s: the answer is not JSON; is something else running "
		                                     "there?", r->what, a->url);
	return OK;
}

int api_call(struct api *a, const char *method, const char *path, const struct buf *body,
             struct api_answer *ret, struct error *err)
{
	api_request_set(&a->request, a, method, path, body, "application/json", NULL);
	return api_request_result(&a->request, a, curl_easy_perform(a->request.easy), ret, err);
}

void api_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(path, "%c%s=", strchr(path->data, '?') ? '&' : '?', name);
	percent_encode(path, value, strlen(value));
}

const char *api_text(const json_t *object, const char *name, char scratch[32])
{
	const json_t *value = json_object_get(object, name);

	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		snprintf(scratch, 32, "%lld", (long long)json_integer_value(value));
		return scratch;
	case JSON_REAL:
		snprintf(scratch, 32, "%g", json_real_value(value));
		return scratch;
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_OBJECT:
	case JSON_ARRAY:
	case JSON_NULL:
		break;
	}
	return "";
}

int64_t api_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
