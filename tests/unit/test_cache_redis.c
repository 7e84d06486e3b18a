/*
 * The Redis cache against real servers, each test its own, on a free port of the loopback: what is written,
 * what is read back, and what the cache does when the server is killed, frozen, full, read-only, or no Redis
 * at all. Without a redis-server on this machine those tests are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "cache.h"
#include "cache_redis_address.h"
#include "cache_redis_list.h"
#include "log.h"
#include "metrics.h"
#include "text.h"

#define SENT_AT INT64_C(1767323045678000) /* 2026-01-02T03:04:05.678Z */
#define HANGS (30 * USEC_PER_SEC)

/* ---- the server ---- */

struct server {
	pid_t pid;
	int port;
	char dir[64];
	const char *extra[12]; /* more arguments */
};

/* Below the range from which the kernel takes ports for outgoing connections and for who asks for any: nobody gets it
 * while a server is not there, nor does a client that knocks there again and again in the end connect to itself. */
static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool taken;
	int fd;

	do {
		a.sin_port = htons((uint16_t)(12000 + random_u64() % 20000));
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		taken = bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0;
		close(fd);
	} while (taken);
	return ntohs(a.sin_port);
}

static bool on_path(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "/usr/bin/%s", name);
	return access(path, X_OK) == 0;
}

static redisContext *try_connect(const struct server *s)
{
	redisContext *c = redisConnectWithTimeout("127.0.0.1", s->port, (struct timeval){.tv_sec = 5});

	if (c && !c->err)
		return c;
	redisFree(c);
	return NULL;
}

/* One command on a connection of its own; the reply as text ("(nil)", "(error)" behind which its text). */
static const char *ask(const struct server *s, const char *fmt, ...)
{
	static char answer[8000];
	redisContext *c = NULL;
	redisReply *r;
	va_list ap;

	for (usec_t give_up = clock_mono() + HANGS; !(c = try_connect(s)); usleep(5000))
		assert_true(clock_mono() < give_up);
	va_start(ap, fmt);
	r = redisvCommand(c, fmt, ap);
	va_end(ap);
	if (!r)
		snprintf(answer, sizeof(answer), "(gone)");
	else if (r->type == REDIS_REPLY_INTEGER)
		snprintf(answer, sizeof(answer), "%lld", r->integer);
	else if (r->type == REDIS_REPLY_NIL)
		snprintf(answer, sizeof(answer), "(nil)");
	else
		snprintf(answer, sizeof(answer), "%s%s", r->type == REDIS_REPLY_ERROR ? "(error) " : "",
		         r->str ? r->str : "");
	if (r)
		freeReplyObject(r);
	redisFree(c);
	return answer;
}

static void server_run(struct server *s, bool wait)
{
	/* The server is the same program as the checker, known by its name: redis-tools alone is enough. */
	const char *program = on_path("redis-server") ? "/usr/bin/redis-server" : "/usr/bin/redis-check-rdb";
	const char *argv[32] = {"redis-server", "--port", "", "--bind", "127.0.0.1", "--save", "",
	                        "--appendonly", "no", "--logfile", "redis.log", "--dir", s->dir};
	char port[8];
	size_t n = 13;

	snprintf(port, sizeof(port), "%d", s->port);
	argv[2] = port;
	for (size_t i = 0; s->extra[i]; i++)
		argv[n++] = s->extra[i];
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (!s->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(s->dir))
			_exit(126);
		execv(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	for (usec_t give_up = clock_mono() + HANGS; wait; usleep(5000)) {
		const char *a = ask(s, "PING");

		if (!strcmp(a, "PONG") || strstr(a, "NOAUTH"))
			return;
		assert_true(clock_mono() < give_up);
	}
}

static void server_start(struct server *s)
{
	if (!on_path("redis-server") && !on_path("redis-check-rdb"))
		skip();
	snprintf(s->dir, sizeof(s->dir), "/tmp/herald-redis-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->port = free_port();
	server_run(s, true);
}

static void server_kill(struct server *s)
{
	if (!s->pid)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static void server_freeze(const struct server *s)
{
	assert_int_equal(kill(s->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(s->pid, NULL, WUNTRACED), s->pid);
}

static void server_end(struct server *s)
{
	static const char *const files[] = {"redis.log", "dump.rdb", "cert.pem", "key.pem"};
	char path[120];

	server_kill(s);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", s->dir, files[i]);
		unlink(path);
	}
	rmdir(s->dir);
}

/* ---- the cache ---- */

static struct cache *open_url(const char *url, usec_t ttl)
{
	struct cache_options o = {.url = url, .ttl = ttl};
	struct error err = ERROR_INIT;
	struct cache *c = NULL;

	if (cache_open(&c, &o, &err))
		fail_msg("%s", err.text);
	return c;
}

static struct cache *open_at(const struct server *s, const char *before, const char *after, usec_t ttl)
{
	char url[200];

	snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d%s", before, s->port, after);
	return open_url(url, ttl);
}

static void await_health(struct cache *c, enum cache_health want)
{
	for (usec_t give_up = clock_mono() + HANGS; cache_health(c) != want; usleep(2000))
		assert_true(clock_mono() < give_up);
}

static void put(struct cache *c, int64_t id)
{
	char text[40];
	struct cache_entry e = {.id = id, .message_id = text, .sent_at = SENT_AT + id * USEC_PER_MSEC};

	snprintf(text, sizeof(text), "provider-%lld", (long long)id);
	cache_put(c, &e, 1);
}

/* Walks all pages. seen[id] counts; ids above are not counted. */
static void walk(struct cache *c, uint32_t limit, unsigned *seen, size_t seen_n,
                 void (*between)(void *arg), void *arg)
{
	char cursor[64] = "";
	struct error err = ERROR_INIT;
	struct cache_page p;

	memset(seen, 0, seen_n * sizeof(*seen));
	do {
		if (cache_list(c, cursor, limit, &p, &err))
			fail_msg("cache_list: %s", err.text);
		assert_true(p.n <= limit);
		for (size_t i = 0; i < p.n; i++) {
			char text[40];

			for (size_t j = 0; j < i; j++)
				assert_true(p.items[i].id != p.items[j].id);
			if ((size_t)p.items[i].id >= seen_n)
				continue;
			seen[p.items[i].id]++;
			snprintf(text, sizeof(text), "provider-%lld", (long long)p.items[i].id);
			assert_string_equal(p.items[i].message_id, text);
			assert_int_equal(p.items[i].sent_at, SENT_AT + p.items[i].id * USEC_PER_MSEC);
		}
		memcpy(cursor, p.next, sizeof(cursor));
		cache_page_release(&p);
		if (between)
			between(arg);
	} while (*cursor);
}

/* Until the server holds n keys. */
static void await_size(const struct server *s, long n)
{
	for (usec_t give_up = clock_mono() + HANGS; strtol(ask(s, "DBSIZE"), NULL, 10) != n; usleep(2000))
		if (clock_mono() > give_up)
			fail_msg("%s keys, not %ld", ask(s, "DBSIZE"), n);
}

static void await_answer(const struct server *s, const char *want, const char *command)
{
	for (usec_t give_up = clock_mono() + HANGS; strcmp(ask(s, command), want); usleep(2000))
		if (clock_mono() > give_up)
			fail_msg("%s: %s, not %s", command, ask(s, command), want);
}

static int list_code(struct cache *c, const char *cursor)
{
	struct cache_page p;
	int rc = cache_list(c, cursor, 10, &p, NULL);

	if (rc == OK)
		cache_page_release(&p);
	return rc;
}

/* ---- parsing ---- */

static void test_address(void **state)
{
	static const struct {
		const char *url, *host, *user, *password, *shown;
		int port, db;
		bool tls;
	} good[] = {
		{"redis://h", "h", NULL, NULL, "h:6379/0", 6379, 0, false},
		{"redis://h/", "h", NULL, NULL, "h:6379/0", 6379, 0, false},
		{"rediss://h:1/15", "h", NULL, NULL, "h:1/15", 1, 15, true},
		{"REDISS://h", "h", NULL, NULL, "h:6379/0", 6379, 0, true},
		{"redis://:p%40%2f%3aQ@h.example:7000", "h.example", NULL, "p@/:Q", "h.example:7000/0", 7000, 0, false},
		{"redis://u%c3%a9:p@[::1]:7/3", "::1", "u\xc3\xa9", "p", "[::1]:7/3", 7, 3, false},
		{"redis://:@h", "h", NULL, NULL, "h:6379/0", 6379, 0, false},
	};
	static const char *const bad[] = {
		"redis:", "redis:h", "redis://", "http://h", "redis://secret@h", "redis://h/x", "redis://h/-1",
		"redis://h/65536", "redis://h/1/2", "redis://h/0?secret=1", "redis://h#0", "redis://h:0",
		"redis://:se%00cret@h", "redis://:sec:ret@h", "redis://a,b", "rediss",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct redis_address a;
		struct error err = ERROR_INIT;

		if (redis_address_parse(&a, good[i].url, &err))
			fail_msg("%s: %s", good[i].url, err.text);
		assert_string_equal(a.host, good[i].host);
		assert_true(text_equal(a.user, good[i].user));
		assert_true(text_equal(a.password, good[i].password));
		assert_string_equal(a.shown, good[i].shown);
		assert_int_equal(a.port, good[i].port);
		assert_int_equal(a.db, good[i].db);
		assert_int_equal(a.tls, good[i].tls);
		redis_address_release(&a);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct redis_address a;
		struct error err = ERROR_INIT;

		if (redis_address_parse(&a, bad[i], &err) != ERR_CONFIG)
			fail_msg("%s was taken", bad[i]);
		assert_null(strstr(err.text, "secret"));
		assert_null(strstr(err.text, "sec:ret"));
	}
}

static void test_cursors(void **state)
{
	static const char *const good[] = {"", "1", "18446744073709551615", "0:1:0", "7:9007199254740991:0",
	                                   "18446744073709551615:9007199254740991:18446744073709551615"};
	static const char *const bad[] = {"0", "01", "-1", " 1", "1 ", "x", "18446744073709551616", "1:", "1:2",
	                                  "1:2:", "1:0:2", "1:-1:2", "1:02:2", "1:2:02", "1:2:3:4", ":1:2",
	                                  "1:9007199254740992:2", "1::2"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[REDIS_CURSOR_TEXT];
		struct redis_cursor c;

		assert_true(redis_cursor_parse(good[i], &c));
		redis_cursor_format(&c, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct redis_cursor c;

		if (redis_cursor_parse(bad[i], &c))
			fail_msg("taken: %s", bad[i]);
	}
}

/* ---- with a server ---- */

static void test_put_and_list(void **state)
{
	struct server s = {0};
	struct cache_entry anonymous = {.id = 9, .sent_at = SENT_AT};
	struct cache_page p;
	unsigned seen[6];
	struct cache *c;
	long left;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 60 * USEC_PER_SEC);
	await_health(c, CACHE_UP);
	for (int64_t id = 1; id <= 5; id++)
		put(c, id);
	await_size(&s, 5);
	assert_string_equal(ask(&s, "GET sent_message:1"),
	                    "{\"messageId\":\"provider-1\",\"sentAt\":\"2026-01-02T03:04:05.679Z\"}");
	left = strtol(ask(&s, "PTTL sent_message:1"), NULL, 10);
	assert_in_range(left, 20000, 60000);
	walk(c, 10, seen, 6, NULL, NULL);
	for (int i = 1; i <= 5; i++)
		assert_int_equal(seen[i], 1);

	assert_string_equal(ask(&s, "FLUSHALL"), "OK");
	cache_put(c, &anonymous, 1);
	await_size(&s, 1);
	assert_int_equal(cache_list(c, "", 10, &p, NULL), OK);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.items[0].id, 9);
	assert_null(p.items[0].message_id);
	cache_page_release(&p);

	assert_int_equal(list_code(c, "x"), ERR_INVALID);
	assert_int_equal(list_code(c, "0"), ERR_INVALID);
	cache_close(c);
	server_end(&s);
}

/* What others find there, and what /cached gets of it. */
static const struct {
	const char *key, *value;
	bool list;
	usec_t ttl;
	const char *ask, *holds; /* for id 1 */
	bool id, message_id, sent_at;
} layouts[] = {
	{"{id}", "sent", false, 1800 * USEC_PER_SEC, "GET 1", "sent", true, false, false},
	{"{uuid}", "{\"sendingTime\":\"{sentAt}\",\"messageId\":\"{messageId}\"}", false, 300 * USEC_PER_SEC,
	 "GET 3087ef33-a419-8af3-9223-8a63ee9d446d",
	 "{\"sendingTime\":\"2026-01-02T03:04:05.679Z\",\"messageId\":\"provider-1\"}", true, true, true},
	{"message:{messageId}", "{sentAt}", false, 0, "GET message:provider-1", "2026-01-02T03:04:05.679Z", false,
	 true, true},
	{"sent:messages", NULL, true, 0, "LINDEX sent:messages 0",
	 "{\"messageId\":\"provider-1\",\"sentAt\":\"2026-01-02T03:04:05.679Z\"}", false, true, true},
};
#define ENTRIES 250

static void check_layout_entry(size_t n, const struct cache_entry *e, unsigned *seen)
{
	int64_t id = e->id;

	assert_int_equal(e->id != 0, layouts[n].id);
	assert_int_equal(e->message_id != NULL, layouts[n].message_id);
	assert_int_equal(e->sent_at != 0, layouts[n].sent_at);
	if (e->message_id)
		id = strtol(e->message_id + strlen("provider-"), NULL, 10);
	assert_in_range(id, 1, ENTRIES);
	if (e->sent_at)
		assert_int_equal(e->sent_at, SENT_AT + id * USEC_PER_MSEC);
	seen[id]++;
}

static void test_layouts(void **state)
{
	struct server s = {0};
	char url[64];

	(void)state;
	server_start(&s);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", s.port);
	for (size_t n = 0; n < ARRAY_SIZE(layouts); n++) {
		struct cache_options o = {.url = url, .ttl = layouts[n].ttl, .list = layouts[n].list,
		                          .key = layouts[n].key, .value = layouts[n].value};
		struct cache_entry anonymous = {.id = 7777, .sent_at = SENT_AT};
		struct error err = ERROR_INIT;
		unsigned seen[ENTRIES + 1] = {0};
		struct cache_page p;
		char cursor[64] = "";
		struct cache *c;

		assert_string_equal(ask(&s, "FLUSHALL"), "OK");
		assert_string_equal(ask(&s, "MSET note x 0 y message: z sent:other q"), "OK");
		assert_int_equal(cache_open(&c, &o, &err), OK);
		await_health(c, CACHE_UP);
		for (int64_t id = 1; id <= ENTRIES; id++)
			put(c, id);
		if (layouts[n].list)
			await_answer(&s, "250", "LLEN sent:messages");
		else
			await_size(&s, ENTRIES + 4);
		assert_string_equal(ask(&s, layouts[n].ask), layouts[n].holds);
		if (layouts[n].ttl)
			assert_true(strtol(ask(&s, "TTL %s", layouts[n].ask + 4), NULL, 10) >
			            layouts[n].ttl / USEC_PER_SEC - 60);
		else
			assert_string_equal(ask(&s, "TTL %s", layouts[n].list ? "sent:messages" :
			                                                        layouts[n].ask + 4), "-1");
		do {
			assert_int_equal(cache_list(c, cursor, 7, &p, &err), OK);
			assert_true(p.n <= 7);
			for (size_t i = 0; i < p.n; i++)
				check_layout_entry(n, &p.items[i], seen);
			if (layouts[n].list && !*cursor)
				assert_string_equal(p.items[6].message_id, "provider-7");
			memcpy(cursor, p.next, sizeof(cursor));
			cache_page_release(&p);
		} while (*cursor);
		for (int i = 1; i <= ENTRIES; i++)
			assert_int_equal(seen[i], 1);

		/* Without a place when the key wants what is unknown. */
		cache_put(c, &anonymous, 1);
		put(c, 9999);
		if (layouts[n].list)
			await_answer(&s, "252", "LLEN sent:messages");
		else
			await_size(&s, ENTRIES + (strstr(layouts[n].key, "{messageId}") ? 5 : 6));
		assert_int_equal(list_code(c, "x"), ERR_INVALID);
		assert_int_equal(list_code(c, "7:8:9"), layouts[n].list ? ERR_INVALID : OK);
		cache_close(c);
	}
	server_end(&s);
}

static void test_ttl(void **state)
{
	struct server s = {0};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	put(c, 1);
	await_size(&s, 1);
	assert_string_equal(ask(&s, "PTTL sent_message:1"), "-1");
	cache_close(c);

	/* Again if need be: what is written only when its time is over is not written at all. */
	c = open_at(&s, "", "", 50 * USEC_PER_MSEC);
	for (usec_t give_up = clock_mono() + HANGS; strcmp(ask(&s, "GET sent_message:1"), "(nil)"); usleep(100000)) {
		assert_true(clock_mono() < give_up);
		put(c, 1);
	}
	cache_close(c);
	server_end(&s);
}

/* In the time that closing may take. A busy machine may need longer; then it is tried again. */
static void test_closing_writes_what_waits(void **state)
{
	const usec_t give_up = clock_mono() + HANGS, grace = 500 * USEC_PER_MSEC;
	struct server s = {0};
	usec_t began, took;
	struct cache *c;

	(void)state;
	server_start(&s);
	do {
		assert_true(clock_mono() < give_up);
		assert_string_equal(ask(&s, "FLUSHALL"), "OK");
		c = open_at(&s, "", "", 0);
		await_health(c, CACHE_UP);
		for (int64_t id = 1; id <= 2000; id++)
			put(c, id);
		began = clock_mono();
		cache_close(c);
		took = clock_mono() - began;
	} while (took >= grace);
	assert_string_equal(ask(&s, "DBSIZE"), "2000");
	server_end(&s);
}

static void test_database_index(void **state)
{
	struct server s = {0};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "/3", 0);
	await_health(c, CACHE_UP);
	put(c, 1);
	for (usec_t give_up = clock_mono() + HANGS; !strstr(ask(&s, "INFO keyspace"), "db3:keys=1"); usleep(2000))
		assert_true(clock_mono() < give_up);
	cache_close(c);
	assert_string_equal(ask(&s, "DBSIZE"), "0");
	assert_string_equal(ask(&s, "SWAPDB 0 3"), "OK");
	assert_string_equal(ask(&s, "EXISTS sent_message:1"), "1");

	c = open_at(&s, "", "/99", 0);
	put(c, 2);
	usleep(300000);
	assert_int_equal(cache_health(c), CACHE_DOWN);
	cache_close(c);
	server_end(&s);
}

static void test_passwords(void **state)
{
	struct server s = {.extra = {"--requirepass", "right word"}};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, ":right%20word@", "", 0);
	await_health(c, CACHE_UP);
	put(c, 1);
	cache_close(c);
	c = open_at(&s, "default:right%20word@", "", 0);
	await_health(c, CACHE_UP);
	assert_int_equal(list_code(c, ""), OK);
	cache_close(c);

	static const char *const wrong[] = {":wrong@", "", "nobody:right%20word@"};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		c = open_at(&s, wrong[i], "", 0);
		put(c, 2);
		usleep(200000);
		assert_int_equal(cache_health(c), CACHE_DOWN);
		assert_int_equal(list_code(c, ""), ERR_TRANSIENT);
		cache_close(c);
	}
	server_end(&s);
}

struct churn {
	const struct server *s;
	long next, step;
};

/* Grows and shrinks the database by keys of others and of entries that come and go, so that the table is
 * resized while it is walked. */
static void churn(void *arg)
{
	struct churn *ch = arg;

	if (ch->step++ % 2) {
		ask(ch->s, "EVAL %s 0 %d %d",
		    "for i = ARGV[1], ARGV[2] do redis.call('DEL', 'other:' .. i, 'sent_message:' .. (100000 + i)) "
		    "end", (int)(ch->next - 3000), (int)ch->next);
	} else {
		ch->next += 3000;
		ask(ch->s, "EVAL %s 0 %d %d",
		    "for i = ARGV[1], ARGV[2] do redis.call('SET', 'other:' .. i, 'x') "
		    "redis.call('SET', 'sent_message:' .. (100000 + i), '{}') end",
		    (int)(ch->next - 3000), (int)ch->next);
	}
}

static void test_walks(void **state)
{
	static const uint32_t limits[] = {1, 2, 7, 10, 100, 1000};
	enum { N = 500 };
	unsigned seen[N + 1];
	struct server s = {.extra = {"--enable-debug-command", "yes"}};
	struct churn ch = {.s = &s};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	for (int64_t id = 1; id <= N; id++)
		put(c, id);
	await_size(&s, N);
	/* Not entries, though some look it. */
	ask(&s, "RPUSH sent_message:1001 a b");
	ask(&s, "SET sent_message:1002 x");
	ask(&s, "SET sent_message:0001 x");
	ask(&s, "SET sent_message:abc x");
	ask(&s, "HSET sent_message:1003 a b");
	ask(&s, "EVAL %s 0", "for i = 1, 3000 do redis.call('SET', 'other:' .. i, 'x') end");

	/* A table that is not being resized is walked without repetitions. */
	while (strstr(ask(&s, "DEBUG HTSTATS 0"), "rehashing"))
		usleep(20000);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		walk(c, limits[i], seen, N + 1, NULL, NULL);
		for (int id = 1; id <= N; id++)
			if (seen[id] != 1)
				fail_msg("limit %u: id %d seen %u times", limits[i], id, seen[id]);
	}
	for (size_t i = 2; i < ARRAY_SIZE(limits); i++) {
		walk(c, limits[i], seen, N + 1, churn, &ch);
		for (int id = 1; id <= N; id++)
			if (!seen[id])
				fail_msg("limit %u: id %d not seen", limits[i], id);
	}
	/* An entry is written whatever was there. */
	put(c, 1001);
	await_answer(&s, "string", "TYPE sent_message:1001");
	cache_close(c);
	server_end(&s);
}

static void test_killed_and_restarted(void **state)
{
	struct server s = {0};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	await_health(c, CACHE_UP);
	put(c, 1);
	await_size(&s, 1);
	assert_int_equal(list_code(c, ""), OK);

	server_kill(&s);
	await_health(c, CACHE_DOWN);
	assert_int_equal(list_code(c, ""), ERR_TRANSIENT);
	for (int64_t id = 2; id <= 1000; id++)
		put(c, id);

	server_run(&s, true);
	await_health(c, CACHE_UP);
	await_size(&s, 999); /* the first was lost with the server, those of the outage were not */
	assert_int_equal(list_code(c, ""), OK); /* though the kept connection is dead */
	cache_close(c);
	server_end(&s);
}

static void test_killed_under_load(void **state)
{
	struct server s = {0};
	struct cache *c;
	int64_t id = 0;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	await_health(c, CACHE_UP);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20000; i++)
			put(c, ++id);
		server_kill(&s);
		for (int i = 0; i < 100; i++)
			put(c, ++id);
		server_run(&s, true);
		await_health(c, CACHE_UP);
	}
	put(c, ++id);
	for (usec_t give_up = clock_mono() + HANGS; strcmp(ask(&s, "EXISTS sent_message:%lld", (long long)id), "1");
	     usleep(2000))
		assert_true(clock_mono() < give_up);
	cache_close(c);
	server_end(&s);
}

static void test_flushed(void **state)
{
	struct server s = {0};
	unsigned seen[3];
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	put(c, 1);
	await_size(&s, 1);
	ask(&s, "FLUSHALL");
	put(c, 2);
	await_size(&s, 1);
	walk(c, 10, seen, 3, NULL, NULL);
	assert_int_equal(seen[1], 0);
	assert_int_equal(seen[2], 1);
	assert_int_equal(cache_health(c), CACHE_UP);
	cache_close(c);
	server_end(&s);
}

static void test_frozen(void **state)
{
	enum { N = 100000 };
	struct server s = {0};
	struct cache *c;

	(void)state;
	server_start(&s);
	c = open_at(&s, "", "", 0);
	await_health(c, CACHE_UP);
	server_freeze(&s);
	/* More than may wait; each of these would hang if it waited for the server. */
	for (int64_t id = 1; id <= N; id++)
		put(c, id);
	assert_int_equal(list_code(c, ""), ERR_TRANSIENT);
	await_health(c, CACHE_DOWN);
	assert_int_equal(kill(s.pid, SIGCONT), 0);
	await_health(c, CACHE_UP);
	await_answer(&s, "1", "EXISTS sent_message:100000");
	/* The oldest gave way, but for those that were in flight already: up to a batch of neighbours, the oldest of
	 * when the cache's thread came to run. */
	assert_in_range(strtol(ask(&s, "DBSIZE"), NULL, 10), 65536 - 256, 65536 + 256);
	assert_in_range(strtol(ask(&s, "EXISTS sent_message:1000 sent_message:20000 sent_message:34000"), NULL, 10), 0, 1);
	assert_string_equal(ask(&s, "EXISTS sent_message:36000 sent_message:50000 sent_message:99999"), "3");
	cache_close(c);

	/* Closing does not wait for it either. */
	c = open_at(&s, "", "", 0);
	await_health(c, CACHE_UP);
	server_freeze(&s);
	put(c, 1);
	cache_close(c);
	server_end(&s);
}

static void test_full(void **state)
{
	struct server s = {.extra = {"--maxmemory-policy", "noeviction"}};
	struct metrics *m = metrics_new();
	metric_counter *refused = metrics_counter(m, "herald_cache_dropped_total", "", "reason=\"refused\"");
	struct cache_options o = {.metrics = m};
	struct error err = ERROR_INIT;
	char url[64];
	struct cache *c;

	(void)state;
	server_start(&s);
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d", s.port);
	o.url = url;
	assert_int_equal(cache_open(&c, &o, &err), OK);
	put(c, 1);
	await_size(&s, 1);
	assert_string_equal(ask(&s, "CONFIG SET maxmemory 1"), "OK");
	for (int64_t id = 2; id <= 600; id++)
		put(c, id);
	for (usec_t give_up = clock_mono() + HANGS; atomic_load(refused) < 599; usleep(2000))
		assert_true(clock_mono() < give_up);
	assert_int_equal(cache_health(c), CACHE_UP);
	assert_int_equal(list_code(c, ""), OK);
	assert_string_equal(ask(&s, "CONFIG SET maxmemory 0"), "OK");
	/* A refused entry is not tried again. */
	put(c, 700);
	await_size(&s, 2);
	cache_close(c);
	metrics_free(m);
	server_end(&s);
}

static void test_read_only(void **state)
{
	struct server s = {0};
	struct cache *c;
	char port[8];

	(void)state;
	server_start(&s);
	snprintf(port, sizeof(port), "%d", free_port());
	c = open_at(&s, "", "", 0);
	await_health(c, CACHE_UP);
	assert_string_equal(ask(&s, "REPLICAOF 127.0.0.1 %s", port), "OK");
	put(c, 1);
	await_health(c, CACHE_DOWN);
	assert_string_equal(ask(&s, "REPLICAOF NO ONE"), "OK");
	await_size(&s, 1);
	await_health(c, CACHE_UP);
	cache_close(c);
	server_end(&s);
}

static size_t count_lines(const char *path, const char *needle)
{
	FILE *f = fopen(path, "r");
	char line[9000];
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, needle) != NULL;
	fclose(f);
	return n;
}

static void test_outages_are_logged_once(void **state)
{
	char path[] = "/tmp/herald-redis-log-XXXXXX";
	int fd = mkstemp(path);
	struct server s = {0};
	struct cache *c;

	(void)state;
	server_start(&s);
	log_init(LOG_INFO, LOG_LOGFMT, fd);
	c = open_at(&s, ":s3cret@", "", 0); /* a password where none is wanted */
	for (usec_t give_up = clock_mono() + HANGS; count_lines(path, "redis is away") == 0; usleep(2000))
		assert_true(clock_mono() < give_up);
	usleep(500000); /* several attempts */
	ask(&s, "CONFIG SET requirepass s3cret");
	await_health(c, CACHE_UP);
	server_kill(&s);
	await_health(c, CACHE_DOWN);
	usleep(700000); /* several attempts */
	s.extra[0] = "--requirepass";
	s.extra[1] = "other";
	server_run(&s, true);
	for (usec_t give_up = clock_mono() + HANGS; count_lines(path, "WRONGPASS") == 0; usleep(2000))
		assert_true(clock_mono() < give_up);
	server_kill(&s);
	s.extra[1] = "s3cret";
	server_run(&s, true);
	await_health(c, CACHE_UP);
	cache_close(c);
	log_init(LOG_INFO, LOG_AUTO, STDERR_FILENO);

	/* Two outages; in the second, first the network and then the password was the reason. */
	assert_int_equal(count_lines(path, "redis is away"), 3);
	assert_int_equal(count_lines(path, "redis is back"), 2);
	assert_int_equal(count_lines(path, "s3cret"), 0);
	close(fd);
	unlink(path);
	server_end(&s);
}

/* ---- what is not a Redis ---- */

struct stranger {
	int fd, port;
	const char *says; /* to whoever connects; NULL: nothing, and does not even accept */
	pid_t pid;
};

static void stranger_start(struct stranger *st)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	st->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(st->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(st->fd, 16), 0);
	assert_int_equal(getsockname(st->fd, (struct sockaddr *)&a, &len), 0);
	st->port = ntohs(a.sin_port);
	st->pid = st->says ? fork() : 0;
	if (st->says && !st->pid) {
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while ((fd = accept(st->fd, NULL, NULL)) >= 0) {
			send(fd, st->says, strlen(st->says), MSG_NOSIGNAL);
			usleep(20000);
			close(fd);
		}
		_exit(0);
	}
}

static void stranger_end(struct stranger *st)
{
	if (st->pid) {
		kill(st->pid, SIGKILL);
		waitpid(st->pid, NULL, 0);
	}
	close(st->fd);
}

static void test_strangers(void **state)
{
	static const char *const says[] = {
		NULL, "", "HTTP/1.1 400 Bad Request\r\n\r\n", "-ERR who are you\r\n", "*3\r\n$5\r\nab",
		"$-7\r\n", "*1000000\r\n*1000000\r\n", ":9\r\n:99999999999999999999999\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		struct stranger st = {.says = says[i]};
		struct server s = {0};
		struct cache *c;

		stranger_start(&st);
		s.port = st.port;
		c = open_at(&s, ":password@", "/1", 0);
		put(c, 1);
		usleep(150000);
		assert_int_equal(cache_health(c), CACHE_DOWN);
		assert_int_equal(list_code(c, ""), ERR_TRANSIENT);
		cache_close(c);
		stranger_end(&st);
	}
}

static void test_nobody_there(void **state)
{
	struct server s = {.port = free_port()};
	struct cache *c = open_at(&s, "", "", 0);

	(void)state;
	for (int64_t id = 1; id <= 70000; id++)
		put(c, id);
	assert_int_equal(cache_health(c), CACHE_DOWN);
	cache_close(c);
	cache_close(open_url("redis://name.invalid", 0));
}

/* ---- TLS ---- */

/* A self-signed certificate for the name localhost, valid for an hour. */
static void write_certificate(const char *cert_path, const char *key_path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509V3_CTX ctx;
	X509_EXTENSION *san;
	FILE *f;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	san = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "DNS:localhost");
	assert_non_null(san);
	X509_add_ext(x, san, -1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);

	f = fopen(cert_path, "w");
	assert_true(PEM_write_X509(f, x));
	fclose(f);
	f = fopen(key_path, "w");
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void test_tls(void **state)
{
	struct server s = {.extra = {"--tls-port", "", "--tls-cert-file", "cert.pem", "--tls-key-file",
	                             "key.pem", "--tls-auth-clients", "no", "--tls-ca-cert-file", "cert.pem"}};
	char tls_port[8], cert[120], key[120], url[80];
	unsigned seen[301];
	struct cache *c;
	int port = free_port();

	(void)state;
	while ((s.port = free_port()) == port)
		;
	if (!on_path("redis-server") && !on_path("redis-check-rdb"))
		skip();
	snprintf(s.dir, sizeof(s.dir), "/tmp/herald-redis-XXXXXX");
	assert_non_null(mkdtemp(s.dir));
	snprintf(cert, sizeof(cert), "%s/cert.pem", s.dir);
	snprintf(key, sizeof(key), "%s/key.pem", s.dir);
	write_certificate(cert, key);
	snprintf(tls_port, sizeof(tls_port), "%d", port);
	s.extra[1] = tls_port;
	server_run(&s, true);

	setenv("SSL_CERT_FILE", cert, 1);
	snprintf(url, sizeof(url), "rediss://localhost:%d/0", port);
	c = open_url(url, 0);
	await_health(c, CACHE_UP);
	for (int64_t id = 1; id <= 300; id++)
		put(c, id);
	await_size(&s, 300);
	walk(c, 100, seen, 301, NULL, NULL);
	for (int id = 1; id <= 300; id++)
		assert_true(seen[id]);

	/* Killed while in use, and without a warning to the writer. */
	server_kill(&s);
	for (int64_t id = 1; id <= 1000; id++)
		put(c, id);
	await_health(c, CACHE_DOWN);
	server_run(&s, true);
	await_health(c, CACHE_UP);
	await_size(&s, 1000);
	cache_close(c);

	/* The certificate is for another name. */
	snprintf(url, sizeof(url), "rediss://127.0.0.1:%d/0", port);
	c = open_url(url, 0);
	usleep(300000);
	assert_int_equal(cache_health(c), CACHE_DOWN);
	cache_close(c);

	/* Nobody vouches for it. */
	unsetenv("SSL_CERT_FILE");
	snprintf(url, sizeof(url), "rediss://localhost:%d/0", port);
	c = open_url(url, 0);
	usleep(300000);
	assert_int_equal(cache_health(c), CACHE_DOWN);
	cache_close(c);

	/* The port without TLS, and the other way round. */
	snprintf(url, sizeof(url), "rediss://localhost:%d/0", s.port);
	c = open_url(url, 0);
	usleep(300000);
	assert_int_equal(cache_health(c), CACHE_DOWN);
	cache_close(c);
	server_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_cursors),
		cmocka_unit_test(test_put_and_list),
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_closing_writes_what_waits),
		cmocka_unit_test(test_database_index),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_walks),
		cmocka_unit_test(test_killed_and_restarted),
		cmocka_unit_test(test_killed_under_load),
		cmocka_unit_test(test_flushed),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_outages_are_logged_once),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
