#include "intake.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "api_thread.h"
#include "headers.h"
#include "http_internal.h"
#include "pages.h"
#include "request.h"
#include "stream.h"

/* --- out -------------------------------------------------------------------------------------------- */

/* What herald itself said, in the words of the route's system. */
static void shape_answer(struct request *r)
{
	struct answer *a = &r->answer;

	if (!r->route)
		return;
	a->cors |= r->route->cors;
	if (a->error && r->route->shape_error) {
		buf_clear(&a->body);
		r->route->shape_error(a, a->status, a->error);
		a->error = NULL;
	}
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	/* Fails for want of memory only; the answer is still true without it. */
	(void)MHD_add_response_header(response, name, value);
}

/* The path as it was asked for, which the router knows, so it holds nothing that a header may not. */
static void add_folder(struct MHD_Response *response, const struct request *r)
{
	const char *path = strrchr(r->route->pattern, '/');
	char folder[80];

	snprintf(folder, sizeof(folder), ".%s/", path);
	add_header(response, "Location", folder);
}

static struct MHD_Response *page_response(const struct request *r)
{
	const struct page *p = r->answer.page;
	const bool packed = r->headers.takes_gzip || !p->plain_len;
	const bool body = r->answer.status == MHD_HTTP_OK;
	struct MHD_Response *response = MHD_create_response_from_buffer(
		!body ? 0 : packed ? p->packed_len : p->plain_len,
		(void *)(uintptr_t)(packed ? p->packed : p->plain), MHD_RESPMEM_PERSISTENT);
	char tag[64];

	if (!response)
		return NULL;
	snprintf(tag, sizeof(tag), "\"%s%s\"", p->tag, packed ? "-gz" : "");
	add_header(response, "ETag", tag);
	add_header(response, "Vary", "Accept-Encoding");
	add_header(response, "Cache-Control", p->for_ever ? "public, max-age=31536000, immutable" : "no-cache");
	add_header(response, "Content-Security-Policy", PAGE_POLICY);
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "Referrer-Policy", "no-referrer");
	add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
	add_header(response, "Cross-Origin-Resource-Policy", "same-origin");
	if (!body)
		return response;
	add_header(response, "Content-Type", p->type);
	if (packed)
		add_header(response, "Content-Encoding", "gzip");
	return response;
}

static struct MHD_Response *make_response(struct request *r)
{
	struct answer *a = &r->answer;
	struct MHD_Response *response;
	struct buf allow = BUF_INIT;
	char number[16];

	/* The body stays in the request, which outlives the response. */
	if (r->stream)
		response = stream_response(r->stream);
	else if (a->page)
		response = page_response(r);
	else
		response = MHD_create_response_from_buffer(a->body.len, a->body.data, MHD_RESPMEM_PERSISTENT);
	if (!response)
		return NULL;
	if (a->body.len || r->stream)
		add_header(response, "Content-Type", a->content_type ? a->content_type : "application/json");
	add_header(response, "X-Correlation-Id", r->headers.correlation_id);
	if (a->allow) {
		route_allow(a->allow, &allow);
		add_header(response, "Allow", allow.data);
		buf_release(&allow);
	}
	if (a->cors) {
		add_header(response, "Access-Control-Allow-Origin", "*");
		add_header(response, "Access-Control-Expose-Headers", "X-Correlation-Id");
	}
	if (a->cors && a->allow) {
		route_allow(a->allow, &allow);
		add_header(response, "Access-Control-Allow-Methods", allow.data);
		buf_release(&allow);
		add_header(response, "Access-Control-Allow-Headers",
		           "Content-Type, X-Correlation-Id, x-ins-auth-key, Authorization, *");
		add_header(response, "Access-Control-Max-Age", "600");
	}
	if (a->retry_after) {
		snprintf(number, sizeof(number), "%d", a->retry_after);
		add_header(response, "Retry-After", number);
	}
	if (a->replayed)
		add_header(response, "Idempotency-Replayed", "true");
	if (a->minimal)
		add_header(response, "Preference-Applied", "return=minimal");
	if (a->authenticate)
		add_header(response, "WWW-Authenticate", "Bearer");
	if (r->stream)
		add_header(response, "Cache-Control", "no-store");
	if (a->to_folder)
		add_folder(response, r);
	if (a->close || atomic_load_explicit(&r->http->stopping, memory_order_relaxed))
		add_header(response, "Connection", "close");
	return response;
}

static enum MHD_Result send_answer(struct request *r, struct MHD_Connection *mhd)
{
	struct MHD_Response *response;
	enum MHD_Result ok;
	usec_t by;

	shape_answer(r);
	response = make_response(r);
	if (!response)
		return MHD_NO;
	by = clock_mono() + WRITE_TIMEOUT + (usec_t)(r->answer.body.len / WRITE_BYTES_PER_SEC) * USEC_PER_SEC;
	connection_enter(&r->thread->connections, r->conn, CONNECTION_WRITING, by);
	ok = MHD_queue_response(mhd, (unsigned)r->answer.status, response);
	MHD_destroy_response(response);
	return ok;
}

/* Answers in the middle of a body, where libmicrohttpd cannot: nothing of this answer has been sent before, and
 * the one before it was complete, so the socket's buffer has room for these few bytes. */
static void send_raw(struct request *r)
{
	struct answer *a = &r->answer;
	struct buf out = BUF_INIT;

	shape_answer(r);
	buf_addf(&out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n", a->status,
	         MHD_get_reason_phrase_for((unsigned)a->status), a->content_type ? a->content_type : "application/json",
	         a->body.len);
	if (a->retry_after)
		buf_addf(&out, "Retry-After: %d\r\n", a->retry_after);
	buf_addf(&out, "X-Correlation-Id: %s\r\nConnection: close\r\n\r\n", r->headers.correlation_id);
	buf_add(&out, a->body.data, a->body.len);
	(void)!send(r->conn->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_release(&out);
	r->conn->linger = true;
}

void intake_too_slow(struct connection *c)
{
	struct request *r = c->request;

	if (!*r->headers.correlation_id)
		headers_new_correlation_id(r->headers.correlation_id);
	answer_error(&r->answer, API_REQUEST_TIMEOUT);
	send_raw(r);
}

/* --- in --------------------------------------------------------------------------------------------- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

void *intake_line(void *cls, const char *target, struct MHD_Connection *mhd)
{
	struct api_thread *t = cls;
	struct request *r = api_thread_request(t);
	struct connection *c = connection_of(mhd);

	r->http = t->http;
	r->thread = t;
	r->conn = c;
	r->started = clock_mono();
	c->request = r;
	connection_enter(&t->connections, c, CONNECTION_READING, r->started + t->http->o.request_timeout);
	if (target)
		buf_addstr(&r->target, target);
	return r;
}

/* Path and query of the target: "/path?query", or the same behind "http://host". */
static const char *split_target(struct request *r, size_t *ret_path_len)
{
	const char *path = r->target.data, *mark;

	if (strncasecmp(path, "http://", 7) == 0) {
		path += 7;
		path += strcspn(path, "/?");
	}
	mark = strchr(path, '?');
	*ret_path_len = mark ? (size_t)(mark - path) : strlen(path);
	r->query = mark ? mark + 1 : "";
	r->query_len = strlen(r->query);
	return path;
}

/* Whether a raw query has a parameter, whose name needs no escape. */
static bool has_parameter(const char *query, const char *name)
{
	const size_t len = strlen(name);

	for (; *query; query += strcspn(query, "&"), query += *query == '&') {
		if (!strncmp(query, name, len) && strchr("=&", query[len]))
			return true; /* the end of the text is found, too */
	}
	return false;
}

static bool is_target(const struct buf *target)
{
	for (size_t i = 0; i < target->len; i++) {
		const unsigned char c = (unsigned char)target->data[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
	}
	return true;
}

static size_t body_limit(const struct http *h, const struct route *route)
{
	switch (route->body) {
	case BODY_NONE: /* read over */
	case BODY_JSON:
	case BODY_OPTIONAL_JSON:
		break;
	case BODY_BATCH:
	case BODY_LARGE_JSON:
		return h->o.max_batch_body;
	}
	return h->o.max_body;
}

static void refuse_body(struct request *r)
{
	char limit[32];

	snprintf(limit, sizeof(limit), "%zu", r->body_limit);
	details_add_json(&r->answer.details, "limit", limit);
	answer_error(&r->answer, API_BODY_TOO_LARGE);
}

/* Both headers may hold a key, and each key opens its part. */
static void check_either(struct request *r, const struct headers *in)
{
	const char *const keys[] = {in->api_key, in->authorization ? auth_bearer(in->authorization) : NULL};
	bool configured = false;

	for (int group = ACCESS_MESSAGES; group <= ACCESS_SCHEDULER; group++) {
		configured |= r->http->keys[group].n > 0;
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (keys[i] && keyring_has(&r->http->keys[group], keys[i], strlen(keys[i])))
				r->sees |= 1U << group;
	}
	if (!configured)
		answer_error(&r->answer, API_NO_KEY_CONFIGURED);
	else if (!r->sees)
		answer_error(&r->answer, API_UNAUTHORIZED);
}

static void check_access(struct request *r, const struct headers *in)
{
	const struct keyring *keys = &r->http->keys[r->route->access];
	const char *key = in->api_key ? in->api_key : in->authorization ? auth_bearer(in->authorization) : NULL;

	if (r->route->access == ACCESS_OPEN)
		return;
	if (r->route->access == ACCESS_EITHER) {
		check_either(r, in);
		return;
	}
	if (!keys->n)
		answer_error(&r->answer, API_NO_KEY_CONFIGURED);
	else if (!key || !keyring_has(keys, key, strlen(key)))
		answer_error(&r->answer, API_UNAUTHORIZED);
}

/* What probes and scrapers ask is told under any name. */
static bool is_probe(const struct route *route)
{
	return route->tag && route->access == ACCESS_OPEN && strcmp(route->tag, "Operation") == 0;
}

/* A GET with a key is none that a page of another site can send: it would have to ask for the header first. */
static bool is_change(const struct request *r)
{
	return r->route->turns || (r->method != METHOD_GET && r->method != METHOD_HEAD);
}

/* Whether a page of another site has made a browser send this. Origin comes with what a script or a form sends;
 * images and links have Sec-Fetch-Site, or, where the browser does not trust the connection, only Referer. */
static bool is_foreign(const struct site *site, const struct headers *in)
{
	const char *host = in->host ? in->host : "";

	if (in->origin)
		return !site_is_own(site, in->origin, host);
	if (in->fetch_site && (strcmp(in->fetch_site, "same-origin") == 0 || strcmp(in->fetch_site, "none") == 0))
		return false;
	return in->referer ? !site_is_own(site, in->referer, host) : in->fetch_site != NULL;
}

/* Keeps out what a browser sends on behalf of other sites; false: it is refused. */
static bool check_site(struct request *r, const struct headers *in)
{
	const struct http *h = r->http;
	const bool loopback = h->listening[r->thread->listener].loopback;

	/* Without a Host it is HTTP/1.0, which no browser speaks. */
	if (in->host && !is_probe(r->route) && !site_host_allowed(&h->site, in->host, loopback))
		answer_error(&r->answer, API_FOREIGN_HOST);
	else if (!r->route->cors && is_change(r) && is_foreign(&h->site, in))
		answer_error(&r->answer, API_FOREIGN_ORIGIN);
	return !r->answer.status;
}

/* Everything that can be said before the body is there. Leaves an answer when it is a refusal. */
static void judge_headers(struct request *r, const struct headers *in, const char *method)
{
	struct answer *a = &r->answer;
	struct route_match m;
	const char *path;
	size_t path_len;

	r->method = method_parse(method);
	path = split_target(r, &path_len);
	m = route_find(&r->http->routes, r->thread->listener, r->method, path, path_len);
	if (m.hidden && m.route->leaves && has_parameter(r->query, m.route->leaves))
		m.route = m.hidden;
	r->route = m.route;
	r->id = m.id;
	r->path_text = m.text;
	r->path_text_len = m.text_len;
	a->cors = m.cors;

	if (in->malformed || !is_target(&r->target)) {
		a->close = true; /* where this request ends is anyone's guess */
		answer_error(a, API_MALFORMED_REQUEST);
	} else if (in->count > HEADERS_MAX || in->bytes > HEADER_BYTES_MAX) {
		answer_error(a, API_HEADERS_TOO_LARGE);
	} else if (r->target.len > TARGET_MAX) {
		answer_error(a, API_TARGET_TOO_LONG);
	} else if (!m.allowed) {
		answer_error(a, API_NO_SUCH_PATH);
	} else if (r->method == METHOD_OPTIONS) {
		a->status = MHD_HTTP_NO_CONTENT;
		a->allow = m.allowed;
	} else if (!m.route) {
		answer_error(a, API_METHOD_NOT_ALLOWED);
		a->allow = m.allowed;
	} else if (check_site(r, in)) {
		check_access(r, in);
	}
	if (a->status)
		return;

	r->body_limit = body_limit(r->http, r->route);
	if (in->has_body && r->route->body != BODY_NONE &&
	    !media_type_json(in->content_type, r->route->body == BODY_BATCH, &r->headers.ndjson)) {
		answer_error(a, API_MEDIA_TYPE);
	} else if (in->content_length > r->body_limit) {
		refuse_body(r);
	} else if (in->content_length > SMALL_BODY && r->route->body != BODY_NONE) {
		if (http_body_reserve(r->http, (size_t)in->content_length))
			r->body_reserved = (size_t)in->content_length;
		else
			answer_error(a, API_OVERLOADED);
	}
}

static enum MHD_Result begin(struct request *r, struct MHD_Connection *mhd, const char *method,
                             const char *version)
{
	struct headers in;

	headers_read(mhd, version, &in, &r->headers);
	judge_headers(r, &in, method);
	if (!r->answer.status || (!in.has_body && !r->answer.close))
		return MHD_YES; /* answered in the last call: an answer now would cost the connection */
	if (!r->answer.close && !in.expects_continue && !in.chunked && in.content_length <= SMALL_BODY) {
		/* Reading over a small body is cheaper than a new connection. */
		r->discard_body = true;
		return MHD_YES;
	}
	r->answer.close = true;
	r->conn->linger = true;
	return send_answer(r, mhd);
}

static enum MHD_Result take_body(struct request *r, const char *data, size_t *len)
{
	const size_t n = *len, total = r->body_seen + n;

	*len = 0;
	r->body_seen = total;
	if (r->discard_body)
		return MHD_YES;
	if (total > r->body_limit) {
		refuse_body(r);
	} else if (total > SMALL_BODY && total > r->body_reserved && r->route->body != BODY_NONE) {
		/* Chunked: nobody said how much will come. */
		const size_t more = MIN_OF(total, r->body_limit - total) + (total - r->body_reserved);

		if (http_body_reserve(r->http, more))
			r->body_reserved += more;
		else
			answer_error(&r->answer, API_OVERLOADED);
	}
	if (r->answer.status) {
		send_raw(r);
		return MHD_NO;
	}
	if (r->route->body != BODY_NONE)
		buf_add(&r->body, data, n);
	return MHD_YES;
}

/* Has the answer made, here or elsewhere. */
static void work(struct request *r)
{
	connection_enter(&r->thread->connections, r->conn, CONNECTION_WORKING, USEC_NEVER);
	if (r->route->place == PLACE_INLINE) {
		r->outside = r->route->handle(r, NULL) == HANDLED_LATER;
	} else {
		struct workers *w = r->route->place == PLACE_ASIDE ? &r->http->aside : &r->http->workers;

		r->outside = workers_submit(w, r);
		if (!r->outside)
			answer_error(&r->answer, API_OVERLOADED);
	}
}

/*
 * The request is complete. While it is outside, this is called once more, and only then the connection is
 * suspended: libmicrohttpd takes up a resumed connection where it was, and had it been suspended out of a read,
 * it would read again before it sends, and drop a client that has closed its sending side.
 */
static enum MHD_Result end(struct request *r, struct MHD_Connection *mhd)
{
	if (r->outside) {
		r->suspended = true;
		MHD_suspend_connection(mhd);
		return MHD_YES;
	}
	if (!r->answered) {
		r->answered = true;
		if (!r->answer.status)
			work(r);
		if (r->outside)
			return MHD_YES;
	}
	return send_answer(r, mhd);
}

enum MHD_Result intake_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                               const char *version, const char *upload, size_t *upload_len, void **context)
{
	struct request *r = *context;

	(void)cls;
	(void)url;
	if (!r->begun) {
		r->begun = true;
		return begin(r, mhd, method, version);
	}
	if (*upload_len)
		return take_body(r, upload, upload_len);
	return end(r, mhd);
}

void intake_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	struct api_thread *t = cls;
	struct request *r = *context;

	(void)mhd;
	if (!r)
		return;
	*context = NULL;
	if (r->stream)
		stream_close(r);
	r->conn->request = NULL;
	/* Whoever has a request that is cut off may be writing its answer right now. */
	observe_request(&t->http->observe, r, r->outside ? 0 : r->answer.status,
	                code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	if (r->body_reserved)
		http_body_unreserve(t->http, r->body_reserved);
	r->body_reserved = 0;
	connection_enter(&t->connections, r->conn, CONNECTION_IDLE, clock_mono() + IDLE_TIMEOUT);
	if (r->outside)
		r->conn = NULL; /* it comes back to nobody */
	else
		api_thread_recycle(t, r);
}
