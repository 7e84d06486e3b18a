/*
 * serve: the whole server, put together and taken apart.
 *
 * Start: everything that can refuse (store, webhook, port) is opened before anything is sent or answered, so
 * that a wrong setting never leaves half a server behind. A database that is away is no wrong setting: the
 * server starts, says so in /health and /readyz, and goes to work when it is there (store_options.wait).
 *
 * Stop, on SIGTERM or SIGINT, each step with a log line and a bound:
 *	1. the API stops accepting; readiness turns to 503
 *	2. the dispatcher stops claiming and gives back what has not started
 *	3. requests in progress are answered
 *	4. what is on the wire finishes within its timeout and is settled
 *	5. the writer stores what waits (nothing does: the API has gone before)
 *	6. the node is marked as having left, and lets go of its database sessions
 *	7. the cache is closed
 *	8. the store is closed
 * A step that fails or outlasts its bound is logged and left behind; the next one follows all the same.
 * A second signal shortens 3 and 4: what is still on the wire then is "outcome unknown" for whoever comes
 * next, as after a crash. A third one ends the process at once.
 */
#include "serve.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc.h"
#include "cache.h"
#include "cli.h"
#include "dispatch.h"
#include "error.h"
#include "feed.h"
#include "http.h"
#include "leasing.h"
#include "message_rules.h"
#include "metrics.h"
#include "move.h"
#include "presence.h"
#include "profile.h"
#include "seed.h"
#include "store.h"
#include "thread.h"
#include "url.h"
#include "watch.h"
#include "writer.h"

/* Creates that may wait for the group commit before clients are told 503. */
#define WRITER_MAX_WAITING 100000
/* Step 3 is short: an answer waits for one commit at most. */
#define API_FINISH_TIMEOUT (5 * USEC_PER_SEC)
/* Steps 6, 7 and 8, each. */
#define CLOSE_TIMEOUT (10 * USEC_PER_SEC)

struct server {
	const struct config *cfg;
	struct message_rules rules;
	struct metrics *metrics;
	char *messages_at; /* URL of the store */
	struct store *store;
	struct cache *cache;
	struct writer *writer;
	struct dispatch *dispatch; /* NULL with role api */
	struct leasing *leasing;   /* NULL with role worker */
	struct http *http;
	struct presence *presence;
	struct profile_context profile; /* .profile is NULL without one */
	struct feed *feed;
	struct watch *watch;
	_Atomic bool hurried;
	bool stuck; /* a step of the shutdown was left behind, and may still touch what is here */
};

static int fail(const struct error *err)
{
	log_error(err->text);
	return err->code == ERR_CONFIG || err->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
}

static void join_keys(const struct config_list *keys, struct buf *out)
{
	for (size_t i = 0; i < keys->n; i++) {
		if (i)
			buf_addch(out, ',');
		buf_add(out, keys->at[i].data, keys->at[i].len);
	}
}

/* Each connection and each request in flight is a descriptor; the usual soft limit of 1024 is for
 * programs that use select(). */
static void raise_descriptor_limit(const struct config *cfg)
{
	rlim_t want = (rlim_t)(cfg->api_max_connections + 2 * cfg->send_concurrency + 256);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = MIN_OF(want, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < want)
		log_warn("fewer descriptors allowed than connections configured",
		         kv_uint("allowed", limit.rlim_cur), kv_uint("wanted", want));
}

/* The database is there, perhaps later than herald: what it needs before anyone uses it. Each step finds
 * out by itself whether it was done before. */
static int prepare_store(struct store *store, struct store_session *session, void *arg, struct error *err)
{
	const struct config *cfg = arg;
	struct scheduler_defaults defaults = {
		.auto_start = cfg->auto_start_scheduler,
		.interval = cfg->message_send_interval,
		.batch = (uint32_t)cfg->message_batch_size,
		.first_after_interval = cfg->first_run == CONFIG_FIRST_AFTER_INTERVAL,
		.job_name = cfg->job_name,
	};
	struct scheduler scheduler;
	int found, current, rc = move_check(session, err);

	if (rc)
		return rc;

	store_schema(store, &found, &current);
	if (found && found != current)
		log_info("database schema migrated", kv_int("from", found), kv_int("to", current));
	rc = store_scheduler_init(session, &defaults, &scheduler, err);
	if (!rc && cfg->seed_data && !(store_capabilities(store) & STORE_REMOTE))
		rc = seed_examples(session, err);
	return rc;
}

/* A worker may have no database of its own. */
static char *messages_at(const struct server *s)
{
	if (s->cfg->role == CONFIG_ROLE_WORKER && *s->cfg->messages_url)
		return profile_messages_url(s->profile.profile, s->cfg);
	return xstrdup(s->cfg->database_url);
}

static int open_store(struct server *s, struct error *err)
{
	struct store_options options = {
		.url = s->messages_at,
		.metrics = s->metrics,
		.messages_key = s->cfg->messages_api_keys.n ? s->cfg->messages_api_keys.at[0].data : NULL,
		.scheduler_key = s->cfg->scheduler_api_keys.n ? s->cfg->scheduler_api_keys.at[0].data : NULL,
		.wait = true,
		.on_open = prepare_store,
		.on_open_arg = (void *)(uintptr_t)s->cfg,
	};
	int rc = store_open(&s->store, &options, err);

	if (!rc && (store_capabilities(s->store) & STORE_REMOTE) && s->cfg->role != CONFIG_ROLE_WORKER)
		return error_set(err, ERR_CONFIG,
		                 "DATABASE_URL names another herald; that is for workers alone (ROLE=worker)");
	return rc;
}

static int open_cache(struct server *s, struct error *err)
{
	const struct config *cfg = s->cfg;
	struct cache_options options = {
		.url = *cfg->redis_url ? cfg->redis_url : "memory:",
		.ttl = cfg->cache_ttl,
		.max_entries = (size_t)cfg->cache_max_entries,
		.list = cfg->cache_layout == CONFIG_CACHE_LIST,
		.key = cfg->cache_key,
		.value = cfg->cache_value,
		.metrics = s->metrics,
	};

	return cache_open(&s->cache, &options, err);
}

static struct delivery_policy policy_of(const struct config *cfg)
{
	struct delivery_policy p = {
		.max_attempts = (int)cfg->max_attempts,
		.backoff_n = cfg->retry_backoff.n,
		.strict = cfg->delivery_mode == CONFIG_DELIVERY_STRICT,
		.retry_free = cfg->retry_pacing == CONFIG_PACING_FREE,
	};

	static_assert(sizeof(p.success) == sizeof(cfg->webhook_success.bits),
	              "both are a bitmap of the same codes");
	static_assert(RETRY_STEPS_MAX == DURATION_LIST_MAX, "all configured steps fit");
	memcpy(p.success, cfg->webhook_success.bits, sizeof(p.success));
	memcpy(p.backoff, cfg->retry_backoff.at, cfg->retry_backoff.n * sizeof(usec_t));
	return p;
}

static int open_dispatch(struct server *s, struct error *err)
{
	const struct config *cfg = s->cfg;
	struct dispatch_options options = {
		.store = s->store,
		.cache = s->cache,
		.metrics = s->metrics,
		.feed = s->feed,
		.node_id = cfg->node_id,
		.webhook_url = cfg->webhook_url,
		.webhook_auth_key = cfg->webhook_auth_key,
		.webhook_secrets = cfg->webhook_secrets,
		.webhook_timeout = cfg->webhook_timeout,
		.webhook_ca_file = cfg->webhook_ca_file,
		.message_id_from = cfg->webhook_message_id,
		.policy = policy_of(cfg),
		.order = cfg->message_order == CONFIG_ORDER_LIFO ? ORDER_LIFO : ORDER_FIFO,
		.rules = &s->rules,
		.concurrency = (size_t)cfg->send_concurrency,
		.lease = cfg->lease_duration,
		.max_lost_claims = (int)cfg->max_lost_claims,
		.alert_url = cfg->alert_webhook_url,
		.alert_after = (uint32_t)cfg->alert_iteration_count,
	};

	if (cfg->role == CONFIG_ROLE_API)
		return OK;
	return dispatch_open(&s->dispatch, &options, err);
}

/* For senders outside this process. */
static void open_leasing(struct server *s)
{
	const struct config *cfg = s->cfg;

	if (cfg->role == CONFIG_ROLE_WORKER)
		return;
	s->leasing = leasing_new(&(struct leasing_options){
		.cache = s->cache,
		.metrics = s->metrics,
		.owner = s->dispatch ? dispatch_owner(s->dispatch) : NULL,
		.policy = policy_of(cfg),
		.rules = &s->rules,
		.order = cfg->message_order == CONFIG_ORDER_LIFO ? ORDER_LIFO : ORDER_FIFO,
		.lease = cfg->lease_duration,
		.max_lost_claims = (int)cfg->max_lost_claims,
	});
}

static const char *const roles[] = {"all", "api", "worker"};

static int open_http(struct server *s, struct error *err)
{
	const struct config *cfg = s->cfg;
	struct buf messages cleanup(buf_release) = BUF_INIT;
	struct buf scheduler cleanup(buf_release) = BUF_INIT;

	/* A worker is steered and watched over HTTP, but takes no messages. */
	if (cfg->role != CONFIG_ROLE_WORKER)
		join_keys(&cfg->messages_api_keys, &messages);
	join_keys(&cfg->scheduler_api_keys, &scheduler);

	struct route_source sources[PROFILE_SOURCES_MAX];
	struct http_listener listeners[PROFILE_LISTENERS_MAX];
	size_t listeners_n = 0;

	if (s->profile.profile)
		listeners_n = profile_listen(s->profile.profile, cfg, sources, listeners);

	struct http_options options = {
		.host = cfg->server_host,
		.port = (int)cfg->server_port,
		.listeners = listeners,
		.listeners_n = listeners_n,
		.profile = &s->profile,
		.api_threads = (unsigned)cfg->api_threads,
		.workers = (unsigned)cfg->store_workers,
		.max_connections = (unsigned)cfg->api_max_connections,
		.max_body = (size_t)cfg->api_max_body_bytes,
		.max_batch_body = (size_t)cfg->api_max_batch_bytes,
		.request_timeout = cfg->api_request_timeout,
		.allowed_hosts = cfg->server_allowed_hosts,
		.messages_keys = messages.data,
		.scheduler_keys = scheduler.data,
		.rules = &s->rules,
		.explain = {
			.order = cfg->message_order == CONFIG_ORDER_LIFO ? ORDER_LIFO : ORDER_FIFO,
			.retry_free = cfg->retry_pacing == CONFIG_PACING_FREE,
			.max_attempts = (int)cfg->max_attempts,
		},
		.first_after_interval = cfg->first_run == CONFIG_FIRST_AFTER_INTERVAL,
		.job_name = cfg->job_name,
		.ids = cfg->message_id_format == CONFIG_ID_UUID ? ID_UUID : ID_NUMBER,
		.version = HERALD_VERSION,
		.node_id = cfg->node_id,
		.role = roles[cfg->role],
		.store = s->store,
		.writer = s->writer,
		.cache = s->cache,
		.redis = *cfg->redis_url,
		.dispatch = s->dispatch,
		.feed = s->feed,
		.leasing = s->leasing,
		.metrics = s->metrics,
	};

	return http_open(&s->http, &options, err);
}

static int start_presence(struct server *s, struct error *err)
{
	const struct presence_options options = {
		.store = s->store,
		.dispatch = s->dispatch,
		.node_id = s->cfg->node_id,
		.version = HERALD_VERSION,
		.role = roles[s->cfg->role],
	};

	return presence_start(&s->presence, &options, err);
}

static int start_watch(struct server *s, struct error *err)
{
	const struct watch_options options = {.store = s->store, .dispatch = s->dispatch, .feed = s->feed};

	return watch_start(&s->watch, &options, err);
}

static int start(struct server *s, struct error *err)
{
	int rc;

	s->metrics = metrics_new();
	s->messages_at = messages_at(s);
	metrics_add_process(s->metrics);
	s->feed = feed_new();
	if ((rc = message_rules_init(&s->rules, s->cfg->phone_pattern,
	                             (size_t)s->cfg->message_max_content_length,
	                             s->cfg->invalid_messages == CONFIG_INVALID_PARK, err)) ||
	    (rc = open_store(s, err)) || (rc = open_cache(s, err)) ||
	    (rc = writer_start(&s->writer, s->store, WRITER_MAX_WAITING, err)) ||
	    (rc = open_dispatch(s, err)))
		return rc;
	open_leasing(s);
	if ((rc = open_http(s, err)))
		return rc;
	if ((s->dispatch && (rc = dispatch_start(s->dispatch, err))) || (rc = http_start(s->http, err)))
		return rc;
	rc = start_watch(s, err);
	return rc ? rc : start_presence(s, err);
}

static void log_ready(const struct server *s)
{
	const struct config *cfg = s->cfg;
	struct buf database cleanup(buf_release) = BUF_INIT;
	struct buf webhook cleanup(buf_release) = BUF_INIT;

	url_redact(&database, s->messages_at, strlen(s->messages_at));
	url_redact(&webhook, cfg->webhook_url, strlen(cfg->webhook_url));
	log_info("herald is ready", kv_str("version", HERALD_VERSION), kv_str("api", http_url(s->http, 0)),
	         kv_str("database", database.data), kv_str("webhook", webhook.data),
	         kv_str("node", cfg->node_id), kv_str("profile", *cfg->profile ? cfg->profile : NULL),
	         kv_int("pid", getpid()));
	if (!cfg->messages_api_keys.n && cfg->role != CONFIG_ROLE_WORKER)
		log_warn("MESSAGES_API_KEY is not set: the message routes refuse every request");
	if (s->profile.profile && profile_is_open(s->profile.profile, cfg))
		log_warn("the routes of the profile are open to everybody who reaches the port; PROFILE_AUTH=required "
		         "closes them with herald's keys",
		         kv_str("profile", cfg->profile));
	if (!cfg->scheduler_api_keys.n)
		log_warn("SCHEDULER_API_KEY is not set: the scheduler routes refuse every request");
}

static void stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
}

/* Runs beside the waiting steps of the shutdown. The next signal hurries them, the one after ends the
 * process. It can be cancelled while it waits, and only then. */
static void *watch_signals(void *arg)
{
	struct server *s = arg;
	sigset_t set;
	int signum;

	stop_signals(&set);
	sigwait(&set, &signum);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	atomic_store(&s->hurried, true);
	log_warn("second signal: not waiting for answers any more");
	if (s->dispatch)
		dispatch_hurry(s->dispatch);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	sigwait(&set, &signum);
	log_error("third signal: ending at once");
	_exit(CLI_FAILED);
}

static void finish(struct server *s, usec_t began)
{
	size_t left;

	if (s->http) {
		log_info("shutdown: the API stops accepting", kv_int("step", 1));
		http_stop_accepting(s->http);
	}
	if (s->dispatch) {
		log_info("shutdown: the dispatcher stops claiming", kv_int("step", 2),
		         kv_uint("inFlight", dispatch_in_flight(s->dispatch)));
		dispatch_stop_claiming(s->dispatch);
	}
	if (s->http) {
		left = http_finish(s->http, API_FINISH_TIMEOUT);
		log_info("shutdown: API requests are answered", kv_int("step", 3), kv_uint("cutOff", left));
	}
	if (s->dispatch) {
		usec_t limit = s->cfg->shutdown_timeout - (clock_mono() - began);

		left = dispatch_finish(s->dispatch, atomic_load(&s->hurried) ? 0 : MAX_OF(limit, 0));
		log_info("shutdown: deliveries are settled", kv_int("step", 4), kv_uint("outcomeUnknown", left));
	}
	if (s->writer) {
		writer_stop(s->writer);
		log_info("shutdown: the writer has stored what waited", kv_int("step", 5));
	}
}

static void *leave(void *arg)
{
	struct server *s = arg;

	/* In the reverse order of use: the API refers to all of them. */
	presence_stop(s->presence);
	watch_stop(s->watch);
	http_close(s->http);
	if (s->dispatch)
		dispatch_close(s->dispatch);
	return NULL;
}

static void *close_cache(void *arg)
{
	struct server *s = arg;

	if (s->cache)
		cache_close(s->cache);
	return NULL;
}

static void *close_store(void *arg)
{
	struct server *s = arg;

	if (s->store)
		store_close(s->store);
	return NULL;
}

/* Runs the step on a thread of its own, so that it can be left behind. False: it was. */
static bool close_within(struct server *s, int step, const char *what, void *(*run)(void *), usec_t limit)
{
	const usec_t until = clock_mono() + limit;
	struct error err = ERROR_INIT;
	pthread_t thread;

	if (thread_start(&thread, "close", run, s, &err) != OK) {
		run(s);
		log_info(what, kv_int("step", step));
		return true;
	}
	/* pthread_timedjoin_np() goes by a clock that may be set, and one that does not is unknown to sanitizers. */
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		if (clock_mono() > until) {
			log_error("shutdown: a step outlasts its time and is left behind", kv_int("step", step),
			          kv_str("what", what), kv_int("limitMs", limit / USEC_PER_MSEC));
			s->stuck = true;
			return false;
		}
		usleep(USEC_PER_MSEC);
	}
	log_info(what, kv_int("step", step));
	return true;
}

static void stop(struct server *s)
{
	usec_t began = clock_mono();
	struct error err = ERROR_INIT;
	pthread_t watcher;
	bool watched = thread_start(&watcher, "signals", watch_signals, s, &err) == OK;
	bool left;

	finish(s, began);
	if (watched) {
		/* Before anything that it touches is closed. */
		pthread_cancel(watcher);
		thread_join(watcher);
	}
	left = close_within(s, 6, "shutdown: the node has left", leave, CLOSE_TIMEOUT);
	close_within(s, 7, "shutdown: the cache is closed", close_cache, CLOSE_TIMEOUT);
	/* Its sessions may be in use until then; what is in a database is safe without its being closed. */
	if (left)
		close_within(s, 8, "shutdown: the store is closed", close_store, CLOSE_TIMEOUT);
	log_info("shutdown is complete", kv_int("durationMs", (clock_mono() - began) / USEC_PER_MSEC));
	if (s->stuck)
		_exit(CLI_FAILED); /* everything that had to be safe is */
	leasing_free(s->leasing);
	feed_free(s->feed);
	metrics_free(s->metrics);
	message_rules_release(&s->rules);
	free(s->messages_at);
}

int serve(const struct config *cfg)
{
	struct server s = {.cfg = cfg, .profile = {profile_find(cfg->profile), cfg}};
	struct error err = ERROR_INIT;
	int code = CLI_DONE, signum;
	sigset_t set;

	log_init(cfg->log_level, cfg->log_format, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	stop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise_descriptor_limit(cfg);

	if (start(&s, &err)) {
		code = fail(&err);
	} else {
		log_ready(&s);
		sigwait(&set, &signum);
		log_info("shutdown begins", kv_str("signal", signum == SIGINT ? "SIGINT" : "SIGTERM"));
	}
	stop(&s);
	return code;
}
