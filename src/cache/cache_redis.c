/*
 * The cache in Redis or Valkey, shared by all nodes.
 *
 * Strategy: what is put is copied into a bounded queue; one thread writes it to the server, a few
 * hundred commands per round trip. A server that is slow, frozen or away thus costs the dispatcher nothing: the
 * queue grows to its bound, then its oldest entries are dropped and counted. What was sent but not answered when
 * a connection broke is sent again over the next one: writing an entry twice is harmless (an element of a list
 * is then there twice, which is better than not at all).
 *
 * A server that answers but refuses an entry (memory full, no permission) is up: the entry is gone, counted,
 * and the log says so once per spell. One that cannot take commands now (loading, read-only, wrong
 * password) is away like one that is not there.
 *
 * Limits: QUEUE_MAX entries wait, BATCH_MAX are in flight. IO_TIMEOUT without an answer ends a connection,
 * an idle one is asked every PING_INTERVAL, and between attempts to connect go BACKOFF_MIN to BACKOFF_MAX.
 * Closing the cache gives what waits CLOSE_GRACE to reach a server that is up.
 *
 * Known limits: a name is resolved by getaddrinfo(), so closing can take as long as the resolver's own
 * timeout. Redis Cluster and Sentinel are not spoken.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "cache_driver.h"
#include "cache_redis_address.h"
#include "cache_redis_link.h"
#include "cache_redis_list.h"
#include "cache_redis_tls.h"
#include "log.h"
#include "message.h"
#include "metrics.h"
#include "queue.h"
#include "text.h"
#include "thread.h"

#define QUEUE_MAX 65536u
#define BATCH_MAX 256u
#define IO_TIMEOUT (2 * USEC_PER_SEC)
#define PING_INTERVAL (2 * USEC_PER_SEC)
#define BACKOFF_MIN (100 * USEC_PER_MSEC)
#define BACKOFF_MAX (5 * USEC_PER_SEC)
#define CLOSE_GRACE (500 * USEC_PER_MSEC)
#define REFUSAL_SPELL (10 * USEC_PER_SEC) /* at least this between two log lines about refused entries */

struct op {
	struct queue_item item;
	int64_t id;
	usec_t sent_at;
	usec_t put_at; /* monotonic */
	bool known; /* message_id is one */
	char message_id[];
};

struct redis {
	/* Read-only after open. */
	struct redis_address address;
	struct redis_tls *tls;
	const struct cache_layout *layout;
	usec_t ttl;
	struct redis_dial dial, list_dial;
	struct redis_list *list;
	metric_counter *overflow_n, *refused_n; /* NULL: nobody wants to know */
	pthread_t thread;
	int stop_fd; /* readable: the cache is being closed */

	struct queue queue;
	_Atomic uint64_t dropped; /* oldest entries, since the queue was full */
	_Atomic int health;       /* enum cache_health */

	pthread_mutex_t peer_lock;
	struct redis_peer peer; /* of the last connection that worked */

	/* The thread's own. */
	struct redis_link *link;
	struct queue_item *held; /* taken from the queue, not yet answered */
	usec_t away_since;       /* 0: not away */
	unsigned away_logged;    /* bit 1: ERR_TRANSIENT, bit 2: ERR_CONFIG */
	uint64_t dropped_before; /* value of `dropped` when the last spell ended */
	bool overflow_logged;
	uint64_t refused;        /* in this spell */
	usec_t refused_since;    /* 0: no spell */
};

static struct op *op_of(struct queue_item *item)
{
	return container_of(item, struct op, item);
}

static void free_chain(struct queue_item *item)
{
	while (item) {
		struct queue_item *next = item->next;

		free(op_of(item));
		item = next;
	}
}

static void count(metric_counter *c, uint64_t n)
{
	if (c)
		metric_add(c, n);
}

static bool stopping(const struct redis *r)
{
	struct pollfd p = {.fd = r->stop_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* ---- what the log hears ---- */

static void went_away(struct redis *r, const struct error *err)
{
	unsigned bit = err->code == ERR_CONFIG ? 2 : 1;

	redis_link_close(r->link);
	r->link = NULL;
	atomic_store(&r->health, CACHE_DOWN);
	if (!r->away_since)
		r->away_since = clock_mono();
	/* Once per outage and kind: a wrong password must not hide behind the lost connection before it. */
	if (!(r->away_logged & bit) && !stopping(r))
		log_warn("redis is away; sending goes on without it", kv_str("server", r->address.shown),
		         kv_str("error", err->text));
	r->away_logged |= bit;
}

static void is_there(struct redis *r)
{
	if (atomic_exchange(&r->health, CACHE_UP) == CACHE_UP)
		return;
	if (r->away_logged)
		log_info("redis is back", kv_str("server", r->address.shown),
		         kv_int("away_ms", (clock_mono() - r->away_since) / USEC_PER_MSEC));
	else
		log_info("redis is connected", kv_str("server", r->address.shown));
	r->away_since = 0;
	r->away_logged = 0;
}

static void report_dropped(struct redis *r)
{
	uint64_t dropped = atomic_load(&r->dropped) - r->dropped_before;

	if (!dropped)
		return;
	if (!r->overflow_logged)
		log_warn("redis does not keep up; the oldest waiting entries are dropped",
		         kv_str("server", r->address.shown), kv_uint("waiting", queue_len(&r->queue)));
	r->overflow_logged = true;
	if (r->link && !r->held && !queue_len(&r->queue)) {
		log_info("redis has caught up", kv_uint("dropped", dropped));
		r->dropped_before += dropped;
		r->overflow_logged = false;
	}
}

static void report_refused(struct redis *r, const char *text)
{
	if (!r->refused_since) {
		r->refused_since = clock_mono();
		log_warn("redis refuses entries", kv_str("server", r->address.shown), kv_str("error", text));
	}
	r->refused++;
	count(r->refused_n, 1);
}

static void report_taken(struct redis *r)
{
	if (!r->refused_since || clock_mono() - r->refused_since < REFUSAL_SPELL)
		return;
	log_info("redis takes entries again", kv_uint("refused", r->refused));
	r->refused_since = 0;
	r->refused = 0;
}

/* ---- the thread ---- */

static int dial(struct redis *r, struct error *err)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%d", r->address.port);
	rc = getaddrinfo(r->address.host, port, &hints, &found);
	if (rc)
		return error_set(err, ERR_TRANSIENT, "resolving the host: %s", gai_strerror(rc));
	rc = error_set(err, ERR_TRANSIENT, "the host has no address");
	for (const struct addrinfo *a = found; a && rc; a = a->ai_next) {
		struct redis_peer peer = {.len = a->ai_addrlen};

		memcpy(&peer.addr, a->ai_addr, a->ai_addrlen);
		rc = redis_link_open(&r->link, &r->dial, &peer, clock_mono() + IO_TIMEOUT, err);
		if (rc == OK) {
			pthread_mutex_lock(&r->peer_lock);
			r->peer = peer;
			pthread_mutex_unlock(&r->peer_lock);
		}
	}
	freeaddrinfo(found);
	return rc;
}

static void free_held_head(struct redis *r)
{
	struct queue_item *head = r->held;

	r->held = head->next;
	free(op_of(head));
}

static void add_put(struct redis *r, const struct cache_entry *e, usec_t ttl)
{
	struct buf key = BUF_INIT, value = BUF_INIT, ms = BUF_INIT;

	cache_layout_key(r->layout, e, &key);
	cache_layout_value(r->layout, e, &value);
	/* Redis counts in milliseconds and takes no zero. */
	buf_addi64(&ms, MAX_OF(ttl / USEC_PER_MSEC, 1));
	if (r->layout->list)
		redis_link_add(r->link, 3, (const char *const[]){"RPUSH", key.data, value.data},
		               (const size_t[]){5, key.len, value.len});
	else
		redis_link_add(r->link, ttl ? 5 : 3,
		               (const char *const[]){"SET", key.data, value.data, "PX", ms.data},
		               (const size_t[]){3, key.len, value.len, 2, ms.len});
	buf_release(&key);
	buf_release(&value);
	buf_release(&ms);
}

/* Adds a command for each held entry; those whose time is over leave. */
static void add_held(struct redis *r)
{
	struct queue_item **at = &r->held;
	usec_t now = clock_mono();

	while (*at) {
		struct op *o = op_of(*at);
		usec_t left = r->ttl ? r->ttl - (now - o->put_at) : 0;
		struct cache_entry e = {
			.id = o->id,
			.message_id = o->known ? o->message_id : NULL,
			.sent_at = o->sent_at,
		};

		if (r->ttl && left <= 0) {
			*at = o->item.next;
			free(o);
			continue;
		}
		add_put(r, &e, left);
		at = &o->item.next;
	}
}

/* Writes what is held. After an error, what has no answer yet is still held. */
static int write_held(struct redis *r, struct error *err)
{
	bool all_taken = true;
	int rc;

	add_held(r);
	rc = redis_link_flush(r->link, clock_mono() + IO_TIMEOUT, err);
	while (rc == OK && r->held) {
		redisReply *reply;

		rc = redis_link_reply(r->link, &reply, clock_mono() + IO_TIMEOUT, err);
		if (rc)
			return rc;
		if (redis_reply_is_not_now(reply)) {
			rc = error_set(err, ERR_TRANSIENT, "%s", reply->str);
		} else {
			if (reply->type == REDIS_REPLY_ERROR) {
				report_refused(r, reply->str);
				all_taken = false;
			}
			free_held_head(r);
		}
		freeReplyObject(reply);
	}
	if (rc == OK && all_taken)
		report_taken(r);
	return rc;
}

static int ping(struct redis *r, struct error *err)
{
	redisReply *reply;
	int rc;

	redis_link_add(r->link, 1, (const char *const[]){"PING"}, (const size_t[]){4});
	rc = redis_link_flush(r->link, clock_mono() + IO_TIMEOUT, err);
	if (rc == OK)
		rc = redis_link_reply(r->link, &reply, clock_mono() + IO_TIMEOUT, err);
	if (rc)
		return rc;
	if (redis_reply_is_not_now(reply))
		rc = error_set(err, ERR_TRANSIENT, "%s", reply->str);
	freeReplyObject(reply);
	return rc;
}

/* Sleeps until there is work, the connection has something to say (most often: that it ended), or a PING is
 * due. Returns true when there is work. */
static bool await_work(struct redis *r)
{
	struct pollfd p[3] = {
		{.fd = queue_fd(&r->queue), .events = POLLIN},
		{.fd = redis_link_fd(r->link), .events = POLLIN},
		{.fd = r->stop_fd, .events = POLLIN},
	};

	poll(p, 3, (int)(PING_INTERVAL / USEC_PER_MSEC));
	return p[0].revents != 0;
}

/* One exchange with the server, and the wait before it. */
static int step(struct redis *r, struct error *err)
{
	int rc;

	if (!r->held && (queue_len(&r->queue) || await_work(r)))
		r->held = queue_take(&r->queue, BATCH_MAX, NULL);
	if (r->held)
		rc = write_held(r, err);
	else
		rc = stopping(r) ? OK : ping(r, err);
	return rc;
}

static void back_off(struct redis *r, usec_t *backoff)
{
	struct pollfd p = {.fd = r->stop_fd, .events = POLLIN};
	usec_t wait = *backoff / 2 + (usec_t)(random_unit() * (double)(*backoff / 2));

	poll(&p, 1, (int)(wait / USEC_PER_MSEC));
	*backoff = MIN_OF(*backoff * 2, BACKOFF_MAX);
}

static void *redis_main(void *arg)
{
	struct redis *r = arg;
	usec_t backoff = BACKOFF_MIN;

	/* Closing ends it once nothing waits or the server is away. */
	while (!stopping(r) || (r->link && (r->held || queue_len(&r->queue)))) {
		struct error err = ERROR_INIT;
		int rc = OK;

		if (!r->link)
			rc = dial(r, &err);
		/* A server is there when it has taken a batch or, with none to write, when it was dialled. */
		if (rc == OK && atomic_load(&r->health) != CACHE_UP && !r->held && !queue_len(&r->queue))
			is_there(r);
		if (rc == OK)
			rc = step(r, &err);
		if (rc == OK) {
			is_there(r);
			backoff = BACKOFF_MIN;
		} else {
			went_away(r, &err);
			back_off(r, &backoff);
		}
		report_dropped(r);
	}
	return NULL;
}

/* ---- the driver ---- */

static void release(struct redis *r)
{
	redis_list_free(r->list);
	redis_link_close(r->link);
	free_chain(r->held);
	free_chain(queue_take(&r->queue, 0, NULL));
	queue_destroy(&r->queue);
	pthread_mutex_destroy(&r->peer_lock);
	close(r->stop_fd);
	redis_tls_free(r->tls);
	redis_address_release(&r->address);
	free(r);
}

static void register_metrics(struct redis *r, struct metrics *m)
{
	static const char name[] = "herald_cache_dropped_total";
	static const char help[] = "Entries that are not in Redis, since it was away for long or refused them.";

	if (!m)
		return;
	r->overflow_n = metrics_counter(m, name, help, "reason=\"overflow\"");
	r->refused_n = metrics_counter(m, name, help, "reason=\"refused\"");
}

static int redis_open(void **ret, const struct cache_options *options, const struct cache_layout *layout,
                      struct error *err)
{
	struct redis_address address;
	struct redis_tls *tls = NULL;
	struct redis *r;
	int rc;

	rc = redis_address_parse(&address, options->url, err);
	if (rc)
		return rc;
	if (address.tls && (rc = redis_tls_new(&tls, err))) {
		redis_address_release(&address);
		return rc;
	}

	r = xcalloc(1, sizeof(*r));
	r->address = address;
	r->tls = tls;
	r->layout = layout;
	r->ttl = options->ttl;
	register_metrics(r, options->metrics);
	r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->stop_fd < 0 || pthread_mutex_init(&r->peer_lock, NULL))
		panic("redis: no eventfd or no lock to be had (errno %d)", errno);
	r->dial = (struct redis_dial){.address = &r->address, .tls = tls, .stop_fd = r->stop_fd,
	                              .grace = CLOSE_GRACE};
	r->list_dial = (struct redis_dial){.address = &r->address, .tls = tls, .stop_fd = -1};
	r->list = redis_list_new(&r->list_dial, r->layout);
	queue_init(&r->queue, 0, true);
	atomic_init(&r->health, CACHE_DOWN);
	rc = thread_start(&r->thread, "redis", redis_main, r, err);
	if (rc) {
		release(r);
		return rc;
	}
	*ret = r;
	return OK;
}

static void redis_close(void *state)
{
	const uint64_t one = 1;
	struct redis *r = state;
	uint64_t left;

	if (write(r->stop_fd, &one, sizeof(one)) != sizeof(one))
		panic("redis: writing an eventfd failed (errno %d)", errno);
	thread_join(r->thread);
	left = queue_len(&r->queue);
	for (const struct queue_item *i = r->held; i; i = i->next)
		left++;
	if (left)
		log_warn("redis did not take the last entries", kv_str("server", r->address.shown),
		         kv_uint("dropped", left));
	release(r);
}

static struct op *op_new(int64_t id, const char *message_id)
{
	size_t len = message_id ? strnlen(message_id, MESSAGE_PROVIDER_ID_MAX) : 0;
	struct op *o = xmalloc(sizeof(*o) + len + 1);

	*o = (struct op){.id = id, .put_at = clock_mono(), .known = message_id != NULL};
	if (len)
		memcpy(o->message_id, message_id, len);
	o->message_id[len] = '\0';
	return o;
}

/* Behind what waits; then the front gives way. The thread may take some at the same time, so that a few more
 * than needed can go: they are only a cache's. */
static void enqueue(struct redis *r, struct queue_item *first, struct queue_item *last, size_t n)
{
	size_t waiting;

	if (!queue_push_chain(&r->queue, first, last, n))
		panic("redis: the queue is closed");
	waiting = queue_len(&r->queue);
	if (waiting > QUEUE_MAX) {
		struct queue_item *oldest = queue_take(&r->queue, waiting - QUEUE_MAX, &n);

		atomic_fetch_add(&r->dropped, n);
		count(r->overflow_n, n);
		free_chain(oldest);
	}
}

static void redis_put(void *state, const struct cache_entry *entries, size_t n)
{
	struct queue_item *first = NULL, **tail = &first, *last = NULL;

	for (size_t i = 0; i < n; i++) {
		struct op *o = op_new(entries[i].id, entries[i].message_id);

		o->sent_at = entries[i].sent_at;
		last = *tail = &o->item;
		tail = &o->item.next;
	}
	enqueue(state, first, last, n);
}

static int redis_list(void *state, const char *cursor, uint32_t limit, struct cache_page *ret,
                      struct error *err)
{
	struct redis *r = state;
	struct redis_cursor ignored;
	struct redis_peer peer;

	if (!redis_cursor_parse(cursor, &ignored))
		return cache_bad_cursor(err);
	/* Known to be away: the caller need not wait to find out. */
	if (atomic_load(&r->health) != CACHE_UP)
		return error_set(err, ERR_TRANSIENT, "redis is away");
	pthread_mutex_lock(&r->peer_lock);
	peer = r->peer;
	pthread_mutex_unlock(&r->peer_lock);
	return redis_list_page(r->list, &peer, cursor, limit, ret, err);
}

static enum cache_health redis_health(void *state)
{
	struct redis *r = state;

	return (enum cache_health)atomic_load(&r->health);
}

static const char *const schemes[] = {"redis", "rediss", NULL};

const struct cache_driver cache_driver_redis = {
	.name = "redis",
	.schemes = schemes,
	.open = redis_open,
	.close = redis_close,
	.put = redis_put,
	.list = redis_list,
	.health = redis_health,
};
