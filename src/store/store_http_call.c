#include "store_http.h"

#include <curl/curl.h>
#include <string.h>

#include "alloc.h"
#include "attr.h"

#define CONNECT_TIMEOUT_MS 3000L
#define CALL_TIMEOUT_MS 15000L
/* 500 messages of the greatest length. */
#define ANSWER_MAX ((size_t)256 * 1024 * 1024)
#define USER_AGENT "herald/" HERALD_VERSION

struct upload {
	const struct buf *body;
	size_t sent;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct buf *answer = arg;

	if (answer->len + size * n > ANSWER_MAX)
		return 0;
	buf_add(answer, data, size * n);
	return size * n;
}

static size_t give(char *out, size_t size, size_t n, void *arg)
{
	struct upload *u = arg;
	const size_t part = MIN_OF(size * n, u->body->len - u->sent);

	if (part)
		memcpy(out, u->body->data + u->sent, part);
	u->sent += part;
	return part;
}

/* libcurl would quietly send a request again when a kept connection breaks before the answer, though the server may
 * have leased messages already. Without a way back it cannot. */
static int no_way_back(void *arg, curl_off_t offset, int origin)
{
	const struct upload *u = arg;

	(void)origin;
	return u->sent == (size_t)offset ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static void keep_apart(CURL *curl)
{
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, CALL_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
}

/* Whether nothing of the request can have arrived. */
static bool never_left(CURLcode rc)
{
	return rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT || rc == CURLE_SSL_CONNECT_ERROR ||
	       rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_URL_MALFORMAT;
}

static int perform(struct hs_session *s, const char *key, const char *path, const struct buf *body,
                   long *ret_status, struct error *err)
{
	struct upload upload = {.body = body};
	struct curl_slist *headers = NULL;
	char why[CURL_ERROR_SIZE] = "";
	struct buf url cleanup(buf_release) = BUF_INIT;
	CURLcode rc;
	CURL *curl;

	if (!s->curl)
		s->curl = curl_easy_init();
	curl = s->curl;
	if (!curl)
		panic("libcurl has no memory");
	keep_apart(curl);
	buf_clear(&s->answer);
	buf_addf(&url, "%s%s", s->db->base, path);
	if (key)
		headers = curl_slist_append(headers, key);
	if (body) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		headers = curl_slist_append(headers, "Expect:");
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, no_way_back);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, &upload);
	}
	curl_easy_setopt(curl, CURLOPT_URL, url.data);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &s->answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	if (!rc)
		return OK;
	return error_set(err, body && !never_left(rc) ? ERR_UNCERTAIN : ERR_TRANSIENT, "the herald at %s: %s",
	                 s->db->base, *why ? why : curl_easy_strerror(rc));
}

/* The text of an error's envelope, if it is one. */
static const char *said(const json_t *doc)
{
	const char *text = json_string_value(json_object_get(doc, "error"));

	return text ? text : "no reason given";
}

/* What an answer other than a success means to the caller of a verb. */
static int refusal(const struct hs_session *s, long status, bool changes, const json_t *doc, struct error *err)
{
	const json_int_t code = json_integer_value(json_object_get(doc, "code"));
	const char *base = s->db->base;

	switch (status) {
	case 401:
		return error_set(err, ERR_CONFIG,
		                 "the herald at %s refuses the API key (401): MESSAGES_API_KEY and SCHEDULER_API_KEY "
		                 "must be ones that it knows, or one for both be in the URL "
		                 "(http://:KEY@HOST:PORT)", base);
	case 404:
		if (code == 404001)
			break;
		return error_set(err, ERR_NOT_FOUND, "%s", said(doc));
	case 408:
	case 429:
		return error_set(err, ERR_TRANSIENT, "the herald at %s: %s (%ld)", base, said(doc), status);
	case 409:
		return error_set(err, ERR_CONFLICT, "%s", said(doc));
	case 500:
		/* A herald that says so has done nothing. */
		return error_set(err, changes && !code ? ERR_UNCERTAIN : ERR_PERMANENT, "the herald at %s: %s (500)",
		                 base, said(doc));
	case 502:
	case 504:
		/* A proxy's word; what is behind it may have done it. */
		return error_set(err, changes ? ERR_UNCERTAIN : ERR_TRANSIENT, "the herald at %s: %s (%ld)", base,
		                 said(doc), status);
	case 503:
		return error_set(err, code == 503003 ? ERR_UNCERTAIN : ERR_TRANSIENT, "the herald at %s: %s (503)",
		                 base, said(doc));
	default:
		break;
	}
	return error_set(err, changes && (status < 300 || status > 500) ? ERR_UNCERTAIN : ERR_CONFIG,
	                 "what answers at %s is no herald of this version, or not one with the messages: %ld, %s", base,
	                 status, said(doc));
}

int hs_not_understood(const struct hs_session *s, int code, struct error *err)
{
	return error_set(err, code, "the herald at %s said what this version does not understand", s->db->base);
}

int hs_call(struct hs_session *s, enum hs_group group, const char *path, const struct buf *body,
              json_t **ret, struct error *err)
{
	const char *key = group == HS_MESSAGES    ? s->db->messages_header
	                  : group == HS_SCHEDULER ? s->db->scheduler_header
	                                            : NULL;
	long status = 0;
	json_t *doc;
	int rc = perform(s, key, path, body, &status, err);

	if (rc)
		return rc;
	doc = json_loadb(s->answer.data ? s->answer.data : "", s->answer.len, JSON_REJECT_DUPLICATES, NULL);
	if (status == 200 && doc) {
		*ret = doc;
		return OK;
	}
	/* What spoils an answer on its way has not kept the request from arriving. */
	if (status == 200)
		rc = error_set(err, body ? ERR_UNCERTAIN : ERR_CONFIG,
		               "what answers at %s is no herald: its answer is not JSON", s->db->base);
	else
		rc = refusal(s, status, body != NULL, doc, err);
	json_decref(doc);
	return rc;
}

int hs_probe(struct hs_session *s, struct error *err)
{
	long status = 0;
	int rc = perform(s, NULL, "/readyz", NULL, &status, err);

	if (!rc && status != 200)
		rc = error_set(err, ERR_TRANSIENT, "the herald at %s is not ready (%ld)", s->db->base, status);
	return rc;
}

void hs_session_release(struct hs_session *s)
{
	if (s->curl)
		curl_easy_cleanup(s->curl);
	buf_release(&s->body);
	buf_release(&s->answer);
}
