#include "http_slot.h"

#include <strings.h>

#include "alloc.h"

/* libcurl reads into a buffer of this size, one per slot; answers of a webhook are small. */
#define READ_BUFFER_SIZE 8192L
#define CA_KEPT_SEC 60L

static const struct {
	const char *prefix;
	size_t len;
} header_prefix[HTTP_SLOT_HEADERS] = {
	[HTTP_SLOT_KEY] = {"Idempotency-Key: ", sizeof("Idempotency-Key: ") - 1},
	[HTTP_SLOT_ID] = {"webhook-id: ", sizeof("webhook-id: ") - 1},
	[HTTP_SLOT_TIMESTAMP] = {"webhook-timestamp: ", sizeof("webhook-timestamp: ") - 1},
	[HTTP_SLOT_SIGNATURE] = {"webhook-signature: ", sizeof("webhook-signature: ") - 1},
};

/*
 * Called each time the request is about to be written to a connection. The second time is libcurl's
 * silent resend after a reused connection broke (docs/decisions/2026-11-21-no-quiet-resend.md): refused.
 */
static int on_prereq(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct http_slot *s = arg;

	(void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
	if (s->begun) {
		s->resend_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	/* libcurl's own limit counts from when it comes to the request. A process that was stopped before that
	 * would send what has been taken from it meanwhile. */
	if (clock_mono() - s->started > s->config->timeout) {
		s->refused = "its time was over before it could be sent";
		return CURL_PREREQFUNC_ABORT;
	}
	s->begun = true;
	return CURL_PREREQFUNC_OK;
}

static size_t refuse(struct http_slot *s, const char *why)
{
	s->refused = why;
	return CURL_WRITEFUNC_ERROR;
}

static void header_value(struct buf *out, const char *line, size_t from, size_t len)
{
	while (from < len && (line[from] == ' ' || line[from] == '\t'))
		from++;
	while (len > from && strchr(" \t\r\n", line[len - 1]))
		len--;
	buf_clear(out);
	buf_add(out, line + from, len - from);
}

static bool header_is(const char *line, size_t len, const char *name, size_t name_len)
{
	return len > name_len && line[name_len] == ':' && !strncasecmp(line, name, name_len);
}

static int status_of(const char *line, size_t len)
{
	const char *p = memchr(line, ' ', len);
	const char *end = line + len;
	int status = 0;

	for (p = p ? p + 1 : end; p < end && *p >= '0' && *p <= '9' && status < 1000; p++)
		status = status * 10 + (*p - '0');
	return status;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_slot *s = arg;
	const struct http_slot_config *c = s->config;
	int status;

	n *= size;
	s->header_bytes += n;
	if (s->header_bytes > c->max_header_bytes)
		return refuse(s, "the answer's headers are too large");
	if (s->headers_done) /* a trailer */
		return n;
	if (n >= 5 && !memcmp(line, "HTTP/", 5)) {
		status = status_of(line, n);
		/* We never ask to switch protocols, and what follows a 101 is not HTTP. */
		if (status < 100 || status > 599 || status == 101)
			return refuse(s, "the answer's status is none that HTTP knows here");
		s->status = status >= 200 ? status : 0;
		return n;
	}
	if (!s->status) /* of an interim answer */
		return n;
	if (line[0] == '\r' || line[0] == '\n') {
		s->headers_done = true;
	} else if (!s->has_retry_after && header_is(line, n, "Retry-After", 11)) {
		header_value(&s->retry_after, line, 12, n);
		s->has_retry_after = true;
	} else if (c->capture_header && !s->has_captured &&
	           header_is(line, n, c->capture_header, c->capture_len)) {
		header_value(&s->captured, line, c->capture_len + 1, n);
		s->has_captured = true;
	}
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_slot *s = arg;
	size_t space = s->config->max_body - s->body.len;

	n *= size;
	buf_add(&s->body, data, MIN_OF(n, space));
	if (n <= space)
		return n;
	return refuse(s, "the answer's body is too large; the rest was not read");
}

/* libcurl counts milliseconds and takes 0 for "no limit". */
static long to_msec(usec_t t)
{
	return (long)MAX_OF(1, (t + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static CURLcode set_up(struct http_slot *s)
{
	const struct http_slot_config *c = s->config;
	CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (code == CURLE_OK)                                                              \
			code = curl_easy_setopt(s->easy, option, value);                           \
	} while (0)
	SET(CURLOPT_URL, c->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_HTTPHEADER, s->header);
	SET(CURLOPT_PRIVATE, s);
	SET(CURLOPT_ERRORBUFFER, s->curl_error);

	/* An answer is taken as it is: no other request may follow from it. */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	/* "" also keeps libcurl from the environment's proxies: where messages go is decided by
	 * herald's configuration alone. */
	SET(CURLOPT_PROXY, "");

	SET(CURLOPT_NOSIGNAL, 1L);
	/* A look-up that hangs must not hang us when its request ends. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_TIMEOUT_MS, to_msec(c->timeout));
	SET(CURLOPT_CONNECTTIMEOUT_MS, to_msec(c->connect_timeout));
	SET(CURLOPT_BUFFERSIZE, READ_BUFFER_SIZE);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* Of the file alone. With libcurl's directory of the system's authorities beside it, these would be trusted,
	 * too, and all would be read anew for each connection, which takes 30 ms: it keeps no directory. */
	if (c->ca_file) {
		SET(CURLOPT_CAINFO, c->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CA_CACHE_TIMEOUT, CA_KEPT_SEC);
	SET(CURLOPT_SHARE, c->share);

	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, s);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, s);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, s);
	SET(CURLOPT_OPENSOCKETFUNCTION, c->opensocket);
	SET(CURLOPT_OPENSOCKETDATA, s);
	SET(CURLOPT_CLOSESOCKETFUNCTION, c->closesocket);
	SET(CURLOPT_CLOSESOCKETDATA, c->owner);
#undef SET
	return code;
}

int http_slot_init(struct http_slot *s, const struct http_slot_config *config, struct error *err)
{
	CURLcode code;

	*s = (struct http_slot){.config = config};
	for (size_t i = 0; i < HTTP_SLOT_HEADERS; i++) {
		buf_init(&s->header_text[i]);
		buf_add(&s->header_text[i], header_prefix[i].prefix, header_prefix[i].len);
	}
	buf_init(&s->body);
	buf_init(&s->captured);
	buf_init(&s->retry_after);
	s->easy = curl_easy_init();
	if (!s->easy)
		panic("out of memory");
	code = set_up(s);
	if (code != CURLE_OK) {
		http_slot_release(s);
		return error_set(err, ERR_CONFIG, "libcurl refuses the webhook's settings: %s",
		                 curl_easy_strerror(code));
	}
	return OK;
}

void http_slot_release(struct http_slot *s)
{
	curl_easy_cleanup(s->easy);
	for (size_t i = 0; i < HTTP_SLOT_HEADERS; i++)
		buf_release(&s->header_text[i]);
	buf_release(&s->body);
	buf_release(&s->captured);
	buf_release(&s->retry_after);
}

/* Chains the headers that this request has before those that all have. */
static void set_headers(struct http_slot *s, const char *const value[HTTP_SLOT_HEADERS])
{
	struct curl_slist *next = s->config->headers;

	for (size_t i = HTTP_SLOT_HEADERS; i-- > 0;) {
		struct buf *text = &s->header_text[i];

		if (!value[i])
			continue;
		buf_truncate(text, header_prefix[i].len);
		buf_addstr(text, value[i]);
		s->header[i].data = text->data;
		s->header[i].next = next;
		next = &s->header[i];
	}
}

void http_slot_begin(struct http_slot *s, const struct transport_request *r)
{
	const char *const value[HTTP_SLOT_HEADERS] = {
		[HTTP_SLOT_KEY] = r->key,
		[HTTP_SLOT_ID] = r->key,
		[HTTP_SLOT_TIMESTAMP] = r->timestamp,
		[HTTP_SLOT_SIGNATURE] = r->signature,
	};

	set_headers(s, value);
	/* With the body in POSTFIELDS, libcurl sends it in one write with the headers (up to 64 KiB); a
	 * read callback would cost a second one. */
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, r->body);
	curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);

	s->tag = r->tag;
	s->started = clock_mono();
	s->begun = false;
	s->resend_refused = false;
	s->status = 0;
	s->headers_done = false;
	s->header_bytes = 0;
	s->refused = NULL;
	s->has_captured = false;
	s->has_retry_after = false;
	buf_clear(&s->body);
	s->curl_error[0] = '\0';
}

static const char *describe(struct http_slot *s, CURLcode code)
{
	const char *what = s->curl_error[0] ? s->curl_error : curl_easy_strerror(code);

	if (s->refused)
		return s->refused;
	if (s->resend_refused)
		return "the connection broke before an answer came";
	if (!s->status)
		return what;
	if (code == CURLE_OK) /* to libcurl, an answer may end within its headers */
		what = "its headers are not complete";
	snprintf(s->error, sizeof(s->error), "the answer broke off: %s", what);
	return s->error;
}

void http_slot_end(struct http_slot *s, CURLcode code, struct transport_result *ret)
{
	bool whole = code == CURLE_OK && s->headers_done;

	*ret = (struct transport_result){
		.tag = s->tag,
		.end = s->status  ? ATTEMPT_ANSWERED
		       : s->begun ? ATTEMPT_BROKEN
		                  : ATTEMPT_NOT_SENT,
		.status = s->status,
		.duration = clock_mono() - s->started,
		.body = s->body.data,
		.body_len = s->body.len,
		.body_cut = s->status && !whole,
		.captured = s->has_captured ? s->captured.data : NULL,
		.retry_after = s->has_retry_after ? s->retry_after.data : NULL,
	};
	if (!whole)
		ret->error = describe(s, code);
}
