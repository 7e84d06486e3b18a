#include "api_thread.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "dispatch.h"
#include "http_internal.h"
#include "intake.h"
#include "log.h"
#include "request.h"
#include "stream.h"
#include "thread.h"

/* Per connection. Half of it is the first read; room above HEADER_BYTES_MAX, so that a request with too many
 * headers is told so in our words. */
#define CONNECTION_MEMORY ((size_t)32 * 1024)
#define TICK USEC_PER_SEC
#define EVENTS 32

static enum MHD_Result accept_policy(void *cls, const struct sockaddr *addr, socklen_t len)
{
	struct api_thread *t = cls;

	(void)addr;
	(void)len;
	return atomic_load_explicit(&t->http->connections, memory_order_relaxed) < t->http->o.max_connections
	               ? MHD_YES
	               : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
	struct api_thread *t = cls;
	struct http *h = t->http;
	struct connection *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

		*context = connection_new(&t->connections, mhd, fd, clock_mono() + h->o.request_timeout);
		atomic_fetch_add_explicit(&h->connections, 1, memory_order_relaxed);
	} else {
		if (c->linger)
			linger_add(&t->lingering, c->fd);
		connection_free(&t->connections, c);
		*context = NULL;
		atomic_fetch_sub_explicit(&h->connections, 1, memory_order_relaxed);
	}
}

static void on_log(void *cls, const char *fmt, va_list ap) printf_like(2, 0);
static void on_log(void *cls, const char *fmt, va_list ap)
{
	char text[300];
	size_t len;

	(void)cls;
	if (!log_enabled(LOG_DEBUG))
		return;
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	len = strcspn(text, "\n");
	text[len] = '\0';
	log_debug("libmicrohttpd", kv_str("text", text));
}

static struct MHD_Daemon *start_daemon(struct api_thread *t)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, accept_policy, t,
	                        intake_request, t,
	                        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
	                        MHD_OPTION_LISTEN_SOCKET, t->listen_fd,
	                        MHD_OPTION_CONNECTION_LIMIT, t->http->o.max_connections + 1,
	                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
	                        MHD_OPTION_URI_LOG_CALLBACK, intake_line, t,
	                        MHD_OPTION_NOTIFY_COMPLETED, intake_completed, t,
	                        MHD_OPTION_NOTIFY_CONNECTION, on_connection, t,
	                        MHD_OPTION_END);
}

static int watch(const struct api_thread *t, int fd, void *tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = tag};

	return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int api_thread_init(struct api_thread *t, struct http *h, size_t index, unsigned listener, int listen_fd,
                    struct error *err)
{
	*t = (struct api_thread){
		.http = h, .index = index, .listener = listener,
		.listen_fd = listen_fd, .epoll_fd = -1, .wake_fd = -1,
	};
	queue_init(&t->answers, 0, true);
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	t->lingering.epoll_fd = t->epoll_fd;
	streams_init(t);
	if (t->epoll_fd < 0 || t->wake_fd < 0 || watch(t, t->wake_fd, &t->wake_fd) < 0 ||
	    watch(t, queue_fd(&t->answers), &t->answers) < 0)
		return error_errno(err, ERR_TRANSIENT, errno, "the API has no descriptor left");
	return OK;
}

/* --- the loop --------------------------------------------------------------------------------------- */

static void take_answers(struct api_thread *t)
{
	struct queue_item *item = queue_take(&t->answers, 0, NULL), *next;
	bool created = false;

	for (; item; item = next) {
		struct request *r = container_of(item, struct request, item);

		next = item->next;
		if (r->finish)
			r->finish(r);
		created |= r->created;
		r->outside = false;
		if (!r->conn) {
			api_thread_recycle(t, r); /* the client left */
			continue;
		}
		if (r->suspended)
			MHD_resume_connection(r->conn->mhd);
		r->suspended = false;
	}
	if (created && t->http->o.dispatch)
		dispatch_poke(t->http->o.dispatch);
}

static void stop_accepting(struct api_thread *t)
{
	/* Who is in the backlog was promised a connection. */
	MHD_run(t->daemon);
	MHD_quiesce_daemon(t->daemon);
	close(t->listen_fd);
	t->listen_fd = -1;
	connection_close_idle(&t->connections);
	streams_end(t);
	t->quiet = true;
}

static void tick(struct api_thread *t, usec_t now)
{
	t->ticked_at = now;
	connection_expire(&t->connections, now, intake_too_slow);
	linger_expire(&t->lingering, now);
}

/* Milliseconds until there is something to do unasked. */
static int patience(const struct api_thread *t, usec_t now, usec_t finish_by)
{
	usec_t wait = TICK - (now - t->ticked_at);
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(t->daemon, &ms) == MHD_YES && ms == 0)
		return 0;
	if (finish_by)
		wait = MIN_OF(wait, MIN_OF(finish_by - now, 20 * USEC_PER_MSEC));
	return (int)((MAX_OF(wait, 0) + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static void wait_for_events(struct api_thread *t, int ms)
{
	struct epoll_event events[EVENTS];
	uint64_t count;
	int n = epoll_wait(t->epoll_fd, events, EVENTS, ms);

	for (int i = 0; i < n; i++) {
		void *tag = events[i].data.ptr;

		if (tag == t || tag == &t->answers)
			continue; /* both are looked at in every round */
		if (tag == &t->wake_fd)
			(void)!read(t->wake_fd, &count, sizeof(count));
		else
			linger_ready(&t->lingering, tag);
	}
}

static void loop(struct api_thread *t)
{
	for (;;) {
		const usec_t now = clock_mono();
		const usec_t finish_by = atomic_load(&t->finish_by);

		if (!t->quiet && atomic_load(&t->http->stopping))
			stop_accepting(t);
		if (now - t->ticked_at >= TICK)
			tick(t, now);
		if (finish_by && (t->connections.n == 0 || now >= finish_by))
			break;
		wait_for_events(t, patience(t, now, finish_by));
		take_answers(t);
		streams_run(t, clock_mono());
		MHD_run(t->daemon);
	}
}

/* What is still unanswered is cut off. Requests that others have come back to the queue later. */
static void cut_off(struct api_thread *t)
{
	t->unanswered = t->connections.busy;
	take_answers(t);
	for (struct connection *c = t->connections.head; c; c = c->next)
		if (c->request && c->request->suspended)
			MHD_resume_connection(c->mhd);
	MHD_stop_daemon(t->daemon);
	t->daemon = NULL;
	linger_release(&t->lingering);
}

static void *run(void *arg)
{
	struct api_thread *t = arg;

	t->ticked_at = clock_mono();
	loop(t);
	cut_off(t);
	return NULL;
}

int api_thread_start(struct api_thread *t, struct error *err)
{
	const union MHD_DaemonInfo *info;
	char name[16];
	int code;

	t->daemon = start_daemon(t);
	if (!t->daemon)
		return error_set(err, ERR_TRANSIENT, "the API's event loop cannot be made");
	info = MHD_get_daemon_info(t->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (watch(t, info->epoll_fd, t) < 0)
		return error_errno(err, ERR_TRANSIENT, errno, "the API has no descriptor left");
	snprintf(name, sizeof(name), "api-%u", (unsigned)(t->index % 1000));
	code = thread_start(&t->thread, name, run, t, err);
	t->started = code == OK;
	return code;
}

void api_thread_wake(struct api_thread *t)
{
	const uint64_t one = 1;

	(void)!write(t->wake_fd, &one, sizeof(one));
}

void api_thread_finish(struct api_thread *t, usec_t by)
{
	atomic_store(&t->finish_by, by);
	api_thread_wake(t);
}

size_t api_thread_join(struct api_thread *t)
{
	if (!t->started)
		return 0;
	thread_join(t->thread);
	t->started = false;
	return t->unanswered;
}

void api_thread_release(struct api_thread *t)
{
	struct queue_item *item, *next;

	if (t->daemon)
		MHD_stop_daemon(t->daemon);
	for (item = queue_take(&t->answers, 0, NULL); item; item = next) {
		struct request *r = container_of(item, struct request, item);

		next = item->next;
		request_release(r);
		free(r);
	}
	queue_destroy(&t->answers);
	while (t->free_n) {
		struct request *r = t->free_requests[--t->free_n];

		request_release(r);
		free(r);
	}
	if (t->listen_fd >= 0)
		close(t->listen_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
}

/* --- requests --------------------------------------------------------------------------------------- */

void api_thread_take_back(struct api_thread *t, struct request *r)
{
	/* The queue is closed by nobody, so it takes everything. */
	if (!queue_push_chain(&t->answers, &r->item, &r->item, 1))
		panic("http: the queue of answers is closed");
}

struct request *api_thread_request(struct api_thread *t)
{
	struct request *r;

	if (t->free_n)
		return t->free_requests[--t->free_n];
	r = xmalloc(sizeof(*r));
	request_init(r);
	return r;
}

void api_thread_recycle(struct api_thread *t, struct request *r)
{
	if (t->free_n == FREE_REQUESTS_MAX) {
		request_release(r);
		free(r);
		return;
	}
	request_clear(r);
	t->free_requests[t->free_n++] = r;
}
