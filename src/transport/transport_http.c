/*
 * Strategy: one libcurl multi handle, told by its socket and timer callbacks what to watch, over our own
 * epoll instance; easy handles are reused (http_slot.c). New requests are only added by start(); run()
 * then sends all of them in one go, since libcurl drives everything that is due from a single call.
 *
 * Sockets stay in the epoll set between two requests: libcurl asks to add and remove them around each,
 * which would cost two system calls per request. An idle one that becomes readable (the peer closed it)
 * is taken out then.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "alloc.h"
#include "http_slot.h"
#include "transport_driver.h"

#define EVENTS_PER_RUN 256
#define CONNECT_TIMEOUT_MAX (10 * USEC_PER_SEC)

/* What we know of a file descriptor, which is the index. */
struct socket_state {
	uint32_t watched; /* the events it is registered for; 0: not in the epoll set */
	bool ours;        /* opened by opensocket(), so closesocket() will tell of its end */
	bool idle;        /* libcurl does not care for it at the moment */
};

struct http_transport {
	struct transport base;
	struct http_slot_config config;
	CURLM *multi;
	int epoll_fd;
	usec_t deadline; /* when libcurl wants its timers run; 0: at once, USEC_NEVER: not */
	struct socket_state *sockets;
	size_t sockets_n;

	/* One more than may be in flight: the slot whose result is being handed out is still in use. Made
	 * when first needed. */
	struct http_slot **slots;
	size_t slots_n;
	struct http_slot *free_slots; /* last used first, as its memory is warm */
};

static struct http_transport *self(struct transport *t)
{
	return container_of(t, struct http_transport, base);
}

static const struct http_transport *self_const(const struct transport *t)
{
	return (const struct http_transport *)(const void *)t;
}

static struct socket_state *socket_state(struct http_transport *t, curl_socket_t fd)
{
	size_t i = (size_t)fd;

	if (i >= t->sockets_n) {
		size_t n = MAX_OF(i + 1, 2 * t->sockets_n);

		t->sockets = xreallocarray(t->sockets, n, sizeof(*t->sockets));
		memset(t->sockets + t->sockets_n, 0, (n - t->sockets_n) * sizeof(*t->sockets));
		t->sockets_n = n;
	}
	return &t->sockets[i];
}

static void watch(struct http_transport *t, curl_socket_t fd, struct socket_state *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.fd = fd};
	int op = !events ? EPOLL_CTL_DEL : s->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == s->watched)
		return;
	/* libcurl may have closed one of its own descriptors before it says "remove". */
	if (epoll_ctl(t->epoll_fd, op, fd, &ev) < 0 && op != EPOLL_CTL_DEL)
		panic("epoll_ctl: errno %d", errno);
	s->watched = events;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_transport *t = arg;
	struct socket_state *s = socket_state(t, fd);
	uint32_t events = 0;

	(void)easy, (void)socket_arg;
	if (what != CURL_POLL_REMOVE) {
		events |= what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0;
		events |= what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0;
	}
	s->idle = what == CURL_POLL_REMOVE && s->ours;
	if (!s->idle)
		watch(t, fd, s, events);
	return 0;
}

static int on_timer(CURLM *multi, long msec, void *arg)
{
	struct http_transport *t = arg;

	(void)multi;
	t->deadline = msec < 0 ? USEC_NEVER : msec == 0 ? 0 : clock_mono() + msec * USEC_PER_MSEC;
	return 0;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct http_slot *slot = arg;
	int fd;

	(void)purpose;
	/* Only a resend would connect now; it is refused in any case, so do not even knock. */
	if (slot->begun) {
		slot->resend_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	*socket_state(slot->config->owner, fd) = (struct socket_state){.ours = true};
	return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	*socket_state(arg, fd) = (struct socket_state){0}; /* close() also ends epoll's interest */
	return close(fd);
}

static int add_slot(struct http_transport *t, struct error *err)
{
	struct http_slot *s = xmalloc(sizeof(*s));
	int rc = http_slot_init(s, &t->config, err);

	if (rc) {
		free(s);
		return rc;
	}
	t->slots[t->slots_n++] = s;
	s->next = t->free_slots;
	t->free_slots = s;
	return OK;
}

static void http_close(struct transport *base)
{
	struct http_transport *t = self(base);

	for (size_t i = 0; i < t->slots_n; i++) {
		if (t->slots[i]->busy)
			curl_multi_remove_handle(t->multi, t->slots[i]->easy);
		http_slot_release(t->slots[i]);
		free(t->slots[i]);
	}
	curl_multi_cleanup(t->multi);
	curl_share_cleanup(t->config.share);
	curl_slist_free_all(t->config.headers);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free_ptr(&t->config.url);
	free_ptr(&t->config.ca_file);
	free_ptr(&t->config.capture_header);
	free(t->slots);
	free(t->sockets);
	free(t);
}

static void add_header(struct http_transport *t, const char *name, const char *value)
{
	char *text = xasprintf("%s:%s%s", name, *value ? " " : "", value);
	struct curl_slist *list = curl_slist_append(t->config.headers, text);

	if (!list)
		panic("out of memory");
	t->config.headers = list;
	free(text);
}

/* NULL: the system has none, but perhaps a directory of single files. */
static const char *system_bundle(void)
{
	const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);

	return built->cainfo && access(built->cainfo, R_OK) == 0 ? built->cainfo : NULL;
}

static void copy_options(struct http_transport *t, const struct transport_options *o)
{
	struct http_slot_config *c = &t->config;
	const char *bundle;

	c->url = xstrdup(o->url);
	bundle = o->ca_file && *o->ca_file ? o->ca_file : system_bundle();
	c->ca_file = bundle ? xstrdup(bundle) : NULL;
	c->capture_header = o->capture_header ? xstrdup(o->capture_header) : NULL;
	c->capture_len = c->capture_header ? strlen(c->capture_header) : 0;
	c->timeout = o->timeout;
	c->connect_timeout = o->connect_timeout > 0 ? o->connect_timeout
	                                            : MIN_OF(o->timeout, CONNECT_TIMEOUT_MAX);
	c->max_body = o->max_body;
	c->max_header_bytes = o->max_header_bytes;
	c->opensocket = open_socket;
	c->closesocket = close_socket;
	c->owner = t;

	add_header(t, "Content-Type", "application/json");
	/* Not as CURLOPT_USERAGENT: libcurl would format that line anew for each request. */
	if (o->user_agent && *o->user_agent)
		add_header(t, "User-Agent", o->user_agent);
	if (o->auth_key && *o->auth_key)
		add_header(t, "x-ins-auth-key", o->auth_key);
	add_header(t, "Accept", ""); /* an empty one takes out libcurl's own, which says nothing */
	add_header(t, "Expect", ""); /* never ask before a large body: it costs a round trip */
}

static int check_url(const char *url, struct error *err)
{
	CURLU *u = curl_url();
	CURLUcode code = u ? curl_url_set(u, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;

	curl_url_cleanup(u);
	if (code == CURLUE_OK)
		return OK;
	return error_set(err, ERR_CONFIG, "the webhook URL is not valid: %s", curl_url_strerror(code));
}

static int http_open(struct transport **ret, const struct transport_options *o, struct error *err)
{
	struct http_transport *t;
	int rc;

	rc = check_url(o->url, err);
	if (rc)
		return rc;
	if (o->ca_file && *o->ca_file && access(o->ca_file, R_OK) < 0)
		return error_errno(err, ERR_CONFIG, errno, "cannot read %s", o->ca_file);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(err, ERR_PERMANENT, "libcurl does not start");

	t = xcalloc(1, sizeof(*t));
	t->deadline = USEC_NEVER;
	t->slots = xcalloc(o->max_concurrent + 1, sizeof(struct http_slot *));
	t->multi = curl_multi_init();
	t->config.share = curl_share_init();
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	copy_options(t, o);
	if (t->epoll_fd < 0 || !t->multi || !t->config.share) {
		rc = error_errno(err, ERR_TRANSIENT, errno, "cannot set up the webhook client");
		http_close(&t->base);
		return rc;
	}
	/* Of one thread, so it needs no locks. */
	curl_share_setopt(t->config.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)o->max_concurrent);
	/* The first slot shows whether the settings are right. */
	rc = add_slot(t, err);
	if (rc) {
		http_close(&t->base);
		return rc;
	}
	*ret = &t->base;
	return OK;
}

static void http_start(struct transport *base, const struct transport_request *r)
{
	struct http_transport *t = self(base);
	struct http_slot *s;

	if (!t->free_slots && add_slot(t, NULL) != OK)
		panic("libcurl refuses what it took before");
	s = t->free_slots;
	t->free_slots = s->next;
	http_slot_begin(s, r);
	s->busy = true;
	/* Sets libcurl's timer to 0; the request leaves with the next run(). */
	if (curl_multi_add_handle(t->multi, s->easy) != CURLM_OK)
		panic("out of memory");
}

static void hand_out(struct http_transport *t)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(t->multi, &left))) {
		struct transport_result result;
		struct http_slot *s = NULL;
		CURLcode code = msg->data.result;
		CURL *easy = msg->easy_handle;

		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&s);
		curl_multi_remove_handle(t->multi, easy); /* msg is gone now */
		s->busy = false;
		http_slot_end(s, code, &result);
		transport_ended(&t->base, &result);
		s->next = t->free_slots;
		t->free_slots = s;
	}
}

static void run_timers(struct http_transport *t)
{
	int running;

	if (t->deadline && (t->deadline == USEC_NEVER || clock_mono() < t->deadline))
		return;
	t->deadline = USEC_NEVER;
	curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	hand_out(t);
}

static void on_event(struct http_transport *t, const struct epoll_event *ev)
{
	struct socket_state *s = socket_state(t, ev->data.fd);
	int running, mask = 0;

	if (s->idle) {
		watch(t, ev->data.fd, s, 0);
		return;
	}
	/* On an error, let libcurl find out by reading or writing: only that names the reason. */
	if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		mask |= CURL_CSELECT_IN;
	if (ev->events & (EPOLLOUT | EPOLLERR))
		mask |= CURL_CSELECT_OUT;
	curl_multi_socket_action(t->multi, ev->data.fd, mask, &running);
}

static void http_run(struct transport *base)
{
	struct http_transport *t = self(base);
	struct epoll_event events[EVENTS_PER_RUN];
	int n = epoll_wait(t->epoll_fd, events, EVENTS_PER_RUN, 0);

	for (int i = 0; i < n; i++)
		on_event(t, &events[i]);
	if (n > 0)
		hand_out(t);
	/* Sends what was started, by the callbacks just now or before. */
	run_timers(t);
}

static int http_fd(const struct transport *t)
{
	return self_const(t)->epoll_fd;
}

static usec_t http_timeout(const struct transport *base)
{
	const struct http_transport *t = self_const(base);
	usec_t now;

	if (t->deadline == 0 || t->deadline == USEC_NEVER)
		return t->deadline;
	now = clock_mono();
	return t->deadline > now ? t->deadline - now : 0;
}

static const char *const schemes[] = {"http:", "https:", NULL};

const struct transport_driver transport_http_driver = {
	.schemes = schemes,
	.open = http_open,
	.close = http_close,
	.start = http_start,
	.run = http_run,
	.fd = http_fd,
	.timeout = http_timeout,
};
