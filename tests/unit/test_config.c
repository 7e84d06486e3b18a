/* Loading: precedence, origins, and the complaints an operator gets to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "buf.h"
#include "config.h"
#include "preset.h"

#define ARGS_MAX 16

/* A directory with the files of one test, and everything that config_load() is given. */
struct fixture {
	char dir[64];
	char *argv[ARGS_MAX + 1];
	char *owned[ARGS_MAX]; /* the same strings: the loader compacts argv */
	const char *env[ARGS_MAX + 1];
	struct config_sources src;
	struct config cfg;
	struct config_errors errs;
	bool loaded;
};

static const char *const file_names[] = {".env", "herald.yaml", "theirs.yaml", "theirs-test.json"};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/herald-test-config-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->src.dir = f->dir;
	f->src.host_name = "node-7";
	f->src.argv = f->argv;
	f->src.environ = (char *const *)(void *)f->env;
	*state = f;
	return 0;
}

static void remove_file(const struct fixture *f, const char *name)
{
	char *path = xasprintf("%s/%s", f->dir, name);

	unlink(path);
	free(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++)
		remove_file(f, file_names[i]);
	rmdir(f->dir);
	for (int i = 0; i < ARGS_MAX; i++)
		free(f->owned[i]);
	if (f->loaded)
		config_release(&f->cfg);
	config_errors_release(&f->errs);
	free(f);
	return 0;
}

static void write_bytes(const struct fixture *f, const char *name, const char *text, size_t len)
{
	char *path = xasprintf("%s/%s", f->dir, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	free(path);
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
	write_bytes(f, name, text, strlen(text));
}

static void add_env(struct fixture *f, const char *pair)
{
	size_t n = 0;

	while (f->env[n])
		n++;
	assert_true(n < ARGS_MAX);
	f->env[n] = pair;
}

/* The strings stay the test's, so that what happens to their bytes can be seen. */
static void set_args(struct fixture *f, const char *const *args)
{
	for (f->src.argc = 0; args[f->src.argc]; f->src.argc++) {
		free(f->owned[f->src.argc]);
		f->owned[f->src.argc] = xstrdup(args[f->src.argc]);
		f->argv[f->src.argc] = f->owned[f->src.argc];
	}
}
#define args(f, ...) set_args((f), (const char *const[]){__VA_ARGS__, NULL})

static void load_good(struct fixture *f)
{
	int r = config_load(&f->cfg, &f->src, &f->errs);

	for (size_t i = 0; i < f->errs.n; i++)
		print_error("%s\n", f->errs.line[i]);
	assert_int_equal(r, OK);
	f->loaded = true;
	assert_int_equal(f->errs.n, 0);
}

/* Exactly these complaints, in any order. */
static void set_expected(struct fixture *f, const char *const *lines)
{
	size_t n = 0;

	assert_int_equal(config_load(&f->cfg, &f->src, &f->errs), ERR_CONFIG);
	for (; lines[n]; n++) {
		bool found = false;

		for (size_t i = 0; i < f->errs.n; i++)
			found |= strcmp(f->errs.line[i], lines[n]) == 0;
		if (!found)
			for (size_t i = 0; i < f->errs.n; i++)
				print_error("got: %s\n", f->errs.line[i]);
		if (!found)
			fail_msg("missing: %s", lines[n]);
	}
	if (f->errs.n != n)
		for (size_t i = 0; i < f->errs.n; i++)
			print_error("got: %s\n", f->errs.line[i]);
	assert_int_equal(f->errs.n, n);
}
#define expect_errors(f, ...) set_expected((f), (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	struct fixture *f = *state;
	const struct config *c = &f->cfg;

	load_good(f);
	assert_string_equal(c->server_host, "127.0.0.1");
	assert_int_equal(c->server_port, 8080);
	assert_string_equal(c->database_url, "sqlite:herald.db");
	assert_string_equal(c->redis_url, "");
	assert_int_equal(c->cache_ttl, 24 * USEC_PER_HOUR);
	assert_string_equal(c->webhook_url, "");
	assert_string_equal(c->webhook_auth_key, "");
	assert_string_equal(c->webhook_secrets, "");
	assert_int_equal(c->webhook_timeout, 30 * USEC_PER_SEC);
	assert_false(status_set_has(&c->webhook_success, 199));
	assert_true(status_set_has(&c->webhook_success, 200));
	assert_true(status_set_has(&c->webhook_success, 299));
	assert_false(status_set_has(&c->webhook_success, 300));
	assert_string_equal(c->webhook_message_id, "json:/messageId");
	assert_int_equal(c->message_batch_size, 2);
	assert_int_equal(c->message_send_interval, 2 * USEC_PER_MINUTE);
	assert_int_equal(c->message_order, CONFIG_ORDER_FIFO);
	assert_int_equal(c->message_max_content_length, 1000);
	assert_int_equal(c->max_attempts, 5);
	assert_int_equal(c->retry_backoff.n, 5);
	assert_int_equal(c->retry_backoff.at[0], 5 * USEC_PER_SEC);
	assert_int_equal(c->retry_backoff.at[4], 2 * USEC_PER_HOUR);
	assert_int_equal(c->retry_pacing, CONFIG_PACING_SHARED);
	assert_int_equal(c->delivery_mode, CONFIG_DELIVERY_AT_LEAST_ONCE);
	assert_true(c->auto_start_scheduler);
	assert_false(c->seed_data);
	assert_string_equal(c->alert_webhook_url, "");
	assert_int_equal(c->alert_iteration_count, 0);
	assert_int_equal(c->messages_api_keys.n, 0);
	assert_int_equal(c->scheduler_api_keys.n, 0);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_int_equal(c->log_format, LOG_AUTO);
	assert_int_equal(c->api_max_body_bytes, 1024 * 1024);
	assert_int_equal(c->api_max_batch_bytes, 16 * 1024 * 1024);
	assert_int_equal(c->role, CONFIG_ROLE_ALL);
	assert_string_equal(c->origin[CONFIG_server_port], "default");
	assert_null(config_client_key(c, CONFIG_GROUP_MESSAGES));
}

static void test_effective_values(void **state)
{
	struct fixture *f = *state;

	add_env(f, "WEBHOOK_TIMEOUT_SECONDS=5");
	add_env(f, "SERVER_HOST=::");
	load_good(f);
	assert_int_equal(f->cfg.lease_duration, 35 * USEC_PER_SEC);
	assert_int_equal(f->cfg.shutdown_timeout, 15 * USEC_PER_SEC);
	assert_string_equal(f->cfg.node_id, "node-7");
	assert_string_equal(f->cfg.client_url, "http://[::1]:8080");
	assert_string_equal(f->cfg.origin[CONFIG_lease_duration], "default, from WEBHOOK_TIMEOUT_SECONDS");
}

static void test_no_client_url_for_a_free_port(void **state)
{
	struct fixture *f = *state;

	args(f, "--port", "0");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 0);
	assert_string_equal(f->cfg.client_url, "");
}

static void test_precedence_and_origins(void **state)
{
	struct fixture *f = *state;

	write_file(f, "herald.yaml",
	           "server:\n  port: 1001\n  host: localhost\nmessage: {batch_size: 7, order: lifo}\n"
	           "MAX_ATTEMPTS: 9\n");
	write_file(f, ".env", "# ours\nSERVER_PORT=1002\nMESSAGE_BATCH_SIZE=8\nLOG_LEVEL=warn\n");
	add_env(f, "SERVER_PORT=1003");
	add_env(f, "LOG_LEVEL=error");
	add_env(f, "HERALD_CONFIG=herald.yaml");
	args(f, "--port=1004");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 1004);
	assert_string_equal(f->cfg.origin[CONFIG_server_port], "flag --port");
	assert_int_equal(f->cfg.log_level, LOG_ERROR);
	assert_string_equal(f->cfg.origin[CONFIG_log_level], "env LOG_LEVEL");
	assert_int_equal(f->cfg.message_batch_size, 8);
	assert_string_equal(f->cfg.origin[CONFIG_message_batch_size], ".env:3");
	assert_int_equal(f->cfg.message_order, CONFIG_ORDER_LIFO);
	assert_string_equal(f->cfg.origin[CONFIG_message_order], "herald.yaml:4");
	assert_string_equal(f->cfg.server_host, "localhost");
	assert_string_equal(f->cfg.origin[CONFIG_server_host], "herald.yaml:3");
	assert_int_equal(f->cfg.max_attempts, 9);
	assert_string_equal(f->cfg.origin[CONFIG_config_file], "env HERALD_CONFIG");
}

static void test_yaml_lists_and_nulls(void **state)
{
	struct fixture *f = *state;

	write_file(f, "herald.yaml",
	           "delivery:\n  retry_backoff: [1s, 2m]\nwebhook:\n  success:\n    - 202\n    - 300-304\n"
	           "  timeout: ~\nserver:\nauth:\n  messages_api_key: [first-key, second-key]\n");
	args(f, "--config", "herald.yaml");
	load_good(f);
	assert_int_equal(f->cfg.retry_backoff.n, 2);
	assert_int_equal(f->cfg.retry_backoff.at[1], 2 * USEC_PER_MINUTE);
	assert_false(status_set_has(&f->cfg.webhook_success, 200));
	assert_true(status_set_has(&f->cfg.webhook_success, 303));
	assert_int_equal(f->cfg.webhook_timeout, 30 * USEC_PER_SEC);
	assert_int_equal(f->cfg.messages_api_keys.n, 2);
	assert_string_equal(f->cfg.messages_api_keys.at[1].data, "second-key");
	assert_string_equal(config_client_key(&f->cfg, CONFIG_GROUP_MESSAGES), "first-key");
	assert_null(config_client_key(&f->cfg, CONFIG_GROUP_SCHEDULER));
}

static void test_yaml_unknown_names(void **state)
{
	struct fixture *f = *state;

	write_file(f, "herald.yaml",
	           "server:\n  prot: 80\nsrver:\n  host: x\nSERVER_PROT: 1\nserver: 9\nfoo: bar\n"
	           "HERALD_CONFIG: other.yaml\n");
	args(f, "--config", "herald.yaml");
	expect_errors(f, "server.prot: unknown key (herald.yaml:2); did you mean server.port?",
	              "srver: unknown key (herald.yaml:3); did you mean server?",
	              "srver.host: unknown key (herald.yaml:4); did you mean server.host?",
	              "SERVER_PROT: unknown key (herald.yaml:5); did you mean SERVER_PORT?",
	              "server: is a section (herald.yaml:6); its keys go below it, indented",
	              "foo: unknown key (herald.yaml:7); see `herald config print` for all keys",
	              "HERALD_CONFIG: unknown key (herald.yaml:8); did you mean HERALD_CONFIG?");
}

static void expect_yaml_error(struct fixture *f, const char *text, size_t len, const char *error)
{
	write_bytes(f, "herald.yaml", text, len);
	args(f, "--config", "herald.yaml");
	expect_errors(f, error);
	config_errors_release(&f->errs);
}

static void test_yaml_structure(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"a: &x 1\n", "herald.yaml:1: anchors are not supported"},
		{"log: *x\n", "herald.yaml:1: aliases are not supported"},
		{"log:\n  level: {deep: 1}\n",
	         "herald.yaml:2: nested too deeply: a section holds plain values and lists"},
		{"log:\n  level: [[info]]\n", "herald.yaml:2: a list may hold plain values only"},
		{"- 1\n", "herald.yaml:1: not a mapping of keys to values"},
		{"LOG_LEVEL: info\n---\nLOG_LEVEL: info\n", "herald.yaml:2: more than one document"},
		{"? [a]\n: 1\n", "herald.yaml:1: a key must be plain text"},
		{"log:\n\tlevel: info\n",
	         "herald.yaml:2: found character that cannot start any token"},
		{"LOG_LEVEL: \"a\\0b\"\n", "herald.yaml:1: a NUL character"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_yaml_error(f, cases[i].text, strlen(cases[i].text), cases[i].error);
	expect_yaml_error(f, "\xff\xfe" "a", 3, "herald.yaml:1: invalid leading UTF-8 octet");
}

static void test_missing_config_file(void **state)
{
	struct fixture *f = *state;

	args(f, "--config", "nowhere.yaml");
	expect_errors(f, "nowhere.yaml: cannot be read: No such file or directory");
}

static void test_directory_named_dotenv(void **state)
{
	struct fixture *f = *state;
	char *path = xasprintf("%s/.env", f->dir);

	assert_int_equal(mkdir(path, 0700), 0);
	load_good(f);
	assert_int_equal(rmdir(path), 0);
	free(path);
}

static void test_files_are_bounded(void **state)
{
	struct fixture *f = *state;
	const size_t len = (1 << 20) + 1;
	char *text = xmalloc(len);

	memset(text, '#', len);
	write_bytes(f, ".env", text, len);
	free(text);
	expect_errors(f, ".env: larger than 1048576 bytes");
}

static void test_empty_yaml_file(void **state)
{
	struct fixture *f = *state;

	write_file(f, "herald.yaml", "# nothing\n");
	args(f, "--config", "herald.yaml");
	load_good(f);
}

static void test_dotenv_syntax(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env",
	           "\xef\xbb\xbf# comment\r\n"
	           "export SERVER_HOST=localhost\r\n"
	           "  SERVER_PORT = 9000   # trailing\r\n"
	           "DATABASE_URL='sqlite:it\\'s $HOME.db' # why not\n"
	           "WEBHOOK_AUTH_KEY=\"a\\\"b\\$c#d\"\n"
	           "MESSAGES_API_KEY=pass#word1\n"
	           "FOREIGN_KEY=\"-----BEGIN\nSERVER_PORT=1\n-----END\"\n"
	           "PATH\n"
	           "NODE_ID=\n"
	           "MAX_ATTEMPTS=\n"
	           "LOG_LEVEL=debug");
	load_good(f);
	assert_string_equal(f->cfg.server_host, "localhost");
	assert_int_equal(f->cfg.server_port, 9000);
	assert_string_equal(f->cfg.database_url, "sqlite:it's $HOME.db");
	assert_string_equal(f->cfg.webhook_auth_key, "a\"b$c#d");
	assert_string_equal(f->cfg.messages_api_keys.at[0].data, "pass#word1");
	assert_string_equal(f->cfg.node_id, "node-7");
	assert_int_equal(f->cfg.max_attempts, 5);
	assert_int_equal(f->cfg.log_level, LOG_DEBUG);
	assert_string_equal(f->cfg.origin[CONFIG_log_level], ".env:13");
}

static void test_dotenv_faults(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env",
	           "SERVER_PORT 80\n=x\nLOG_LEVEL\nLOG_FORMAT='json' x\nexport\nSERVER_HOST=\"open\nnever\n");
	expect_errors(f, ".env:1: not of the form NAME=value", ".env:2: not of the form NAME=value",
	              "LOG_LEVEL: has no value (.env:3); write NAME=value",
	              ".env:4: unexpected characters behind the closing quote",
	              ".env:6: the quote is never closed");
}

static void test_dotenv_nul(void **state)
{
	struct fixture *f = *state;

	write_bytes(f, ".env", "A=1\nB=\0x\n", 9);
	expect_errors(f, ".env:2: a NUL byte");
}

static void test_dotenv_foreign_names(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env",
	           "NODE_ENV=production\nDB_HOSTS=a\nSERVR_PORT=1\nWEBHOOK_ULR=2\nHERALD_FOO=3\n"
	           "REDIS_KEY=x\n");
	expect_errors(f, "SERVR_PORT: unknown key (.env:3); did you mean SERVER_PORT?",
	              "WEBHOOK_ULR: unknown key (.env:4); did you mean WEBHOOK_URL?",
	              "HERALD_FOO: unknown key (.env:5); see `herald config print` for all keys");
}

static void test_environment_foreign_names(void **state)
{
	struct fixture *f = *state;

	add_env(f, "SERVR_PORT=1");
	add_env(f, "HERALD_SERVICE_HOST=10.0.0.1");
	add_env(f, "HERALD_PORT=tcp://10.0.0.1:80");
	add_env(f, "HERALD_PORT_80_TCP_ADDR=10.0.0.1");
	load_good(f);
}

static void test_environment_unknown_names(void **state)
{
	struct fixture *f = *state;

	add_env(f, "HERALD_PORT=80");
	add_env(f, "HERALD_API_KYE=12345678");
	add_env(f, "HERALD_LOG_LEVEL=debug");
	expect_errors(f, "HERALD_PORT: unknown key (env HERALD_PORT); see `herald config print` for "
	                 "all keys",
	              "HERALD_LOG_LEVEL: unknown key (env HERALD_LOG_LEVEL); did you mean LOG_LEVEL?",
	              "HERALD_API_KYE: unknown key (env HERALD_API_KYE); did you mean HERALD_API_KEY?");
}

static void test_all_faults_are_reported(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env", "SERVER_PORT=70000\nMESSAGE_ORDER=random\n");
	add_env(f, "SERVER_PORT=80"); /* does not excuse the wrong line in .env */
	add_env(f, "MESSAGE_SEND_INTERVAL=5ms");
	add_env(f, "CACHE_TTL=90");
	add_env(f, "SEED_DATA=maybe");
	add_env(f, "API_MAX_BODY_BYTES=1MB");
	add_env(f, "RETRY_BACKOFF=1s,11h");
	add_env(f, "WEBHOOK_SUCCESS=200-404");
	args(f, "--max-attempts", "101", "--webhook-timeout", "11m");
	expect_errors(f, "SERVER_PORT: \"70000\" is out of range (.env:1); allowed: 0 to 65535",
	              "MESSAGE_ORDER: \"random\" is not a known value (.env:2); allowed: fifo or lifo",
	              "MESSAGE_SEND_INTERVAL: \"5ms\" is out of range (env MESSAGE_SEND_INTERVAL); allowed: "
	              "0, or 10ms to 7d",
	              "CACHE_TTL: \"90\" is not a duration (as 500ms, 90s, 2m) (env CACHE_TTL); allowed: 0, "
	              "or 1s to 365d",
	              "SEED_DATA: \"maybe\" is neither true nor false (env SEED_DATA); allowed: true or false",
	              "API_MAX_BODY_BYTES: \"1MB\" is not a number of bytes (as 65536, 64KiB, 16MiB) (env "
	              "API_MAX_BODY_BYTES); allowed: 1KiB to 1GiB",
	              "RETRY_BACKOFF: \"1s,11h\" entry 2 is out of range (env RETRY_BACKOFF); allowed: 1 to "
	              "32 durations, separated by commas, each 0 to 10h",
	              "WEBHOOK_SUCCESS: \"200-404\" not a list of status codes from 200 to 399 (env "
	              "WEBHOOK_SUCCESS); allowed: codes and ranges within 200-399, e.g. 200-299,304",
	              "MAX_ATTEMPTS: \"101\" is out of range (flag --max-attempts); allowed: 1 to 100",
	              "WEBHOOK_TIMEOUT: \"11m\" is out of range (flag --webhook-timeout); allowed: 1s to 10m");
}

static void test_secrets_are_not_quoted(void **state)
{
	struct fixture *f = *state;

	add_env(f, "MESSAGES_API_KEY=hunter2");
	add_env(f, "WEBHOOK_SECRET=hunter2");
	add_env(f, "WEBHOOK_AUTH_KEY=hunter2\n");
	add_env(f, "DATABASE_URL=oracle://u:hunter2@h/d");
	add_env(f, "SERVER_HOST=u:hunter2@h");
	assert_int_equal(config_load(&f->cfg, &f->src, &f->errs), ERR_CONFIG);
	assert_int_equal(f->errs.n, 5);
	for (size_t i = 0; i < f->errs.n; i++)
		assert_null(strstr(f->errs.line[i], "hunter2"));
}

static void test_names_cannot_forge_lines(void **state)
{
	struct fixture *f = *state;

	args(f, "--a\nb\x1b[31m=1");
	expect_errors(f, "--a?b?[31m: unknown flag; see --help");
}

static void test_minutes_alias(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env", "MESSAGE_SEND_INTERVAL_MINUTES=3\nMESSAGE_SEND_INTERVAL=180s\n");
	load_good(f);
	assert_int_equal(f->cfg.message_send_interval, 3 * USEC_PER_MINUTE);
}

static void test_contradicting_names(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env", "MESSAGE_SEND_INTERVAL_MINUTES=3\nMESSAGE_SEND_INTERVAL=3s\nLOG_LEVEL=info\n");
	add_env(f, "LOG_LEVEL=warn"); /* another source: merely stronger */
	args(f, "--webhook-timeout", "3s", "--webhook-timeout-seconds", "4", "--port", "1", "--server-port", "2");
	expect_errors(f,
	              "MESSAGE_SEND_INTERVAL and MESSAGE_SEND_INTERVAL_MINUTES: set to different values "
	              "(.env:1 and .env:2); allowed: one of them",
	              "WEBHOOK_TIMEOUT_SECONDS and WEBHOOK_TIMEOUT: set to different values (flag "
	              "--webhook-timeout and flag --webhook-timeout-seconds); allowed: one of them");
}

static void test_set_twice(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env", "LOG_LEVEL=info\nLOG_LEVEL=warn\n");
	write_file(f, "herald.yaml", "SERVER_PORT: 1\nserver: {port: 2}\n");
	args(f, "--config", "herald.yaml");
	expect_errors(f, "LOG_LEVEL: set to two different values (.env:1 and .env:2)",
	              "SERVER_PORT: set to two different values (herald.yaml:1 and herald.yaml:2)");
}

static void test_repeated_flag_last_counts(void **state)
{
	struct fixture *f = *state;

	args(f, "--port", "1", "--server-port=2");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 2);
}

static void test_database_parts(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;

	write_file(f, ".env",
	           "DB_DRIVER=postgres\nDB_HOST=::1\nDB_PORT=5433\nDB_USER=me\nDB_PASSWORD='p@ss/w:rd'\n");
	add_env(f, "DB_NAME=my db");
	write_file(f, "herald.yaml", "database: {url: 'sqlite:weaker.db'}\n");
	args(f, "--config", "herald.yaml");
	load_good(f);
	assert_string_equal(f->cfg.database_url, "postgres://me:p%40ss%2Fw%3Ard@[::1]:5433/my%20db");
	assert_string_equal(f->cfg.origin[CONFIG_database_url], "composed of parts, env DB_NAME");
	config_print(&f->cfg, &out, false);
	assert_non_null(strstr(out.data, "postgres://me:********@[::1]:5433/my%20db"));
	assert_null(strstr(out.data, "p@ss"));
	assert_null(strstr(out.data, "p%40ss"));
	buf_release(&out);
}

static void test_database_url_overrides_weaker_parts(void **state)
{
	struct fixture *f = *state;

	write_file(f, ".env", "DB_HOST=db\n");
	add_env(f, "DATABASE_URL=memory:");
	load_good(f);
	assert_string_equal(f->cfg.database_url, "memory:");
}

static void test_database_socket_directory(void **state)
{
	struct fixture *f = *state;

	add_env(f, "DB_DRIVER=postgres");
	add_env(f, "DB_HOST=/run/postgresql");
	add_env(f, "DB_NAME=herald");
	load_good(f);
	assert_string_equal(f->cfg.database_url, "postgres://%2Frun%2Fpostgresql/herald");
}

static void test_sqlite_parts(void **state)
{
	struct fixture *f = *state;

	add_env(f, "DB_DRIVER=sqlite");
	add_env(f, "DB_NAME=/var/lib/herald.db");
	load_good(f);
	assert_string_equal(f->cfg.database_url, "sqlite:/var/lib/herald.db");
}

static void test_parts_and_url_contradict(void **state)
{
	struct fixture *f = *state;

	add_env(f, "DATABASE_URL=memory:");
	add_env(f, "DB_HOST=db");
	add_env(f, "REDIS_URL=redis://a");
	add_env(f, "REDIS_HOST=b");
	expect_errors(f,
	              "DATABASE_URL and DB_HOST: both set (env DATABASE_URL and env DB_HOST); allowed: one of "
	              "them",
	              "REDIS_URL and REDIS_HOST: both set (env REDIS_URL and env REDIS_HOST); allowed: one of "
	              "them");
}

static void test_cache_templates(void **state)
{
	static const struct {
		const char *set[2], *says;
	} rows[] = {
		{{"CACHE_KEY=sent"}, "CACHE_KEY: needs one of {id}, {uuid} and {messageId}"},
		{{"CACHE_KEY={id}:{uuid}"}, "CACHE_KEY: more than one placeholder"},
		{{"CACHE_KEY={id}", "CACHE_LAYOUT=list"}, "CACHE_KEY: the key of a list holds no placeholder"},
		{{"CACHE_VALUE={id} {sentAt}"}, "CACHE_VALUE: more than one placeholder"},
		{{"CACHE_VALUE={\"at\":\"at {sentAt}\"}"}, "CACHE_VALUE: at: a placeholder in JSON stands alone"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(f->env, 0, sizeof(f->env));
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].set) && rows[i].set[k]; k++)
			add_env(f, rows[i].set[k]);
		expect_errors(f, rows[i].says);
		config_errors_release(&f->errs);
	}
	memset(f->env, 0, sizeof(f->env));
	add_env(f, "CACHE_LAYOUT=list");
	add_env(f, "CACHE_KEY=sent");
	add_env(f, "CACHE_VALUE={\"id\":\"{id}\",\"at\":\"{sentAt}\"}");
	load_good(f);
}

static void test_incomplete_parts(void **state)
{
	struct fixture *f = *state;

	add_env(f, "DB_HOST=db");
	add_env(f, "DB_PASSWORD=x");
	add_env(f, "REDIS_PORT=6380");
	expect_errors(f,
	              "DB_DRIVER: not set, but needed by DB_HOST (env DB_HOST); allowed: postgres, mysql, "
	              "mongodb or sqlite",
	              "DB_HOST: set (env DB_HOST) without DB_NAME",
	              "DB_PASSWORD: set (env DB_PASSWORD) without DB_USER",
	              "REDIS_PORT: set (env REDIS_PORT) without REDIS_HOST");
}

static void test_sqlite_with_network_parts(void **state)
{
	struct fixture *f = *state;

	add_env(f, "DB_DRIVER=sqlite");
	add_env(f, "DB_NAME=x.db");
	add_env(f, "DB_PORT=5432");
	expect_errors(f, "DB_PORT: set (env DB_PORT), but DB_DRIVER is sqlite (env DB_DRIVER)");
}

static void test_redis_parts(void **state)
{
	struct fixture *f = *state;

	add_env(f, "REDIS_HOST=cache");
	add_env(f, "REDIS_PASSWORD=a b");
	add_env(f, "REDIS_DB=3");
	add_env(f, "DATABASE_URL="); /* compose templates leave such behind */
	load_good(f);
	assert_string_equal(f->cfg.redis_url, "redis://:a%20b@cache:6379/3");
	assert_string_equal(f->cfg.database_url, "sqlite:herald.db");
}

static void test_contradictions(void **state)
{
	struct fixture *f = *state;

	add_env(f, "ALERT_ITERATION_COUNT=3");
	add_env(f, "LEASE_DURATION=40s");
	expect_errors(f, "ALERT_ITERATION_COUNT: set (env ALERT_ITERATION_COUNT) without ALERT_WEBHOOK_URL",
	              "LEASE_DURATION: 40s (env LEASE_DURATION) contradicts WEBHOOK_TIMEOUT_SECONDS of 30s "
	              "(default); allowed: more than 40s, or 0");
}

static void test_a_list_has_no_ttl(void **state)
{
	struct fixture *f = *state;

	add_env(f, "CACHE_LAYOUT=list");
	load_good(f);
	assert_int_equal(f->cfg.cache_layout, CONFIG_CACHE_LIST);
	assert_int_equal(f->cfg.cache_ttl, 0);
}

static void test_a_list_with_a_ttl(void **state)
{
	struct fixture *f = *state;

	add_env(f, "CACHE_LAYOUT=list");
	add_env(f, "CACHE_TTL=1h");
	expect_errors(f, "CACHE_TTL: 1h (env CACHE_TTL) contradicts CACHE_LAYOUT of list (env CACHE_LAYOUT); "
	                 "allowed: 0");
}

static void test_lease_just_long_enough(void **state)
{
	struct fixture *f = *state;

	add_env(f, "LEASE_DURATION=40s1ms");
	load_good(f);
	assert_int_equal(f->cfg.lease_duration, 40 * USEC_PER_SEC + USEC_PER_MSEC);
}

static void test_faulty_option_causes_no_second_complaint(void **state)
{
	struct fixture *f = *state;

	add_env(f, "ALERT_ITERATION_COUNT=3");
	add_env(f, "ALERT_WEBHOOK_URL=ftp://x");
	expect_errors(f,
	              "ALERT_WEBHOOK_URL: does not begin with http:// or https:// (env ALERT_WEBHOOK_URL); "
	              "allowed: an http:// or https:// URL");
}

static void test_unfit_host_name(void **state)
{
	struct fixture *f = *state;

	f->src.host_name = "";
	expect_errors(f, "NODE_ID: not set (default), and the host name does not fit; allowed: up to 64 "
	                 "visible ASCII characters");
}

static void test_rest_of_arguments(void **state)
{
	static const struct config_flag own[] = {{"port", true}, {"json", false}, {NULL, false}};
	static const char *const rest[] = {"12", "--port", "9", "--json", "--port=8", "-x", "-", "--",
	                                   "--log-level", "debug"};
	struct fixture *f = *state;

	f->src.command_flags = own;
	args(f, "12", "--port", "9", "--log-level", "warn", "--json", "--port=8", "--seed-data", "-x",
	     "--no-auto-start-scheduler", "-", "--", "--log-level", "debug");
	load_good(f);
	assert_int_equal(f->src.argc, ARRAY_SIZE(rest));
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
		assert_string_equal(f->src.argv[i], rest[i]);
	assert_null(f->src.argv[f->src.argc]);
	assert_int_equal(f->cfg.server_port, 8080);
	assert_int_equal(f->cfg.log_level, LOG_WARN);
	assert_true(f->cfg.seed_data);
	assert_false(f->cfg.auto_start_scheduler);
}

static void test_flag_faults(void **state)
{
	static const struct config_flag own[] = {{"count", true}, {NULL, false}};
	struct fixture *f = *state;

	f->src.command_flags = own;
	args(f, "--prot", "1", "--cuont=3", "--log-level", "--database");
	expect_errors(f, "--prot: unknown flag; did you mean --port?",
	              "--cuont: unknown flag; did you mean --count?", "--log-level: the value is missing",
	              "--database: the value is missing");
}

static void test_secrets_leave_the_arguments(void **state)
{
	struct fixture *f = *state;
	char key[] = "--api-key=sesame-sesame", flag[] = "--webhook-url";
	char url[] = "https://me:sesame@h/p?token=sesame";
	char *argv[] = {key, flag, url, NULL};

	f->src.argv = argv;
	f->src.argc = 3;
	load_good(f);
	assert_string_equal(f->cfg.client_api_key, "sesame-sesame");
	assert_string_equal(f->cfg.webhook_url, "https://me:sesame@h/p?token=sesame");
	assert_string_equal(key, "--api-key=*************");
	assert_string_equal(url, "https://**:******@h/p?************");
}

static void test_other_secrets_are_no_flags(void **state)
{
	struct fixture *f = *state;
	char flag[] = "--messages-api-key", key[] = "sesame-sesame";
	char *argv[] = {flag, key, NULL};

	f->src.argv = argv;
	f->src.argc = 2;
	expect_errors(f, "MESSAGES_API_KEY: a secret is not taken from the command line, which others can read "
	                 "(flag --messages-api-key); allowed: the environment, .env or the YAML file");
	assert_string_equal(key, "*************");
}

static void test_print_masks_secrets(void **state)
{
	static const char *const secrets[] = {
		"MESSAGES_API_KEY=sesame-one,sesame-two",
		"SCHEDULER_API_KEY=sesame-three",
		"WEBHOOK_AUTH_KEY=sesame-four",
		"WEBHOOK_SECRET=whsec_c2VzYW1lc2VzYW1lc2VzYW1lc2VzYW1lc2VzYW1l",
		"HERALD_API_KEY=sesame-five",
		"REDIS_URL=redis://:sesame@h",
		"WEBHOOK_URL=http://sesame@h/?access_token=sesame&n=1",
	};
	struct fixture *f = *state;
	struct buf text = BUF_INIT, json = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		add_env(f, secrets[i]);
	load_good(f);
	config_print(&f->cfg, &text, false);
	config_print(&f->cfg, &json, true);
	assert_null(strstr(text.data, "sesame"));
	assert_null(strstr(json.data, "sesame"));
	assert_null(strstr(text.data, "c2VzYW1l"));
	assert_null(strstr(json.data, "c2VzYW1l"));
	assert_non_null(strstr(json.data, "\"HERALD_API_KEY\":{\"value\":\"********\",\"origin\":\"env "
	                                  "HERALD_API_KEY\"}"));
	assert_non_null(strstr(json.data, "\"SERVER_PORT\":{\"value\":8080,\"origin\":\"default\"}"));
	assert_non_null(strstr(json.data, "\"http://********@h/?access_token=********&n=1\""));
	buf_release(&text);
	buf_release(&json);
}

static void test_serve_needs_a_webhook(void **state)
{
	struct fixture *f = *state;

	args(f, "--role", "worker");
	load_good(f);
	assert_int_equal(config_check_serve(&f->cfg, &f->errs), ERR_CONFIG);
	assert_string_equal(f->errs.line[0],
	                    "WEBHOOK_URL: not set (default), but needed to send (ROLE is worker, flag --role)");
	f->cfg.role = CONFIG_ROLE_API;
	assert_int_equal(config_check_serve(&f->cfg, &f->errs), OK);
}

static void test_errors_are_bounded(void **state)
{
	struct config_errors errs = CONFIG_ERRORS_INIT;

	(void)state;
	for (int i = 0; i < CONFIG_ERRORS_MAX + 7; i++)
		config_errors_add(&errs, "line %d", i);
	assert_int_equal(errs.n, CONFIG_ERRORS_MAX);
	assert_string_equal(errs.line[99], "line 99");
	assert_int_equal(errs.dropped, 7);
	config_errors_release(&errs);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* --- presets --------------------------------------------------------------------------------------------- */

static const struct preset_name their_variables[] = {
	{.name = "PORT", .id = CONFIG_server_port, .min = 1, .max = 65535},
	{.name = "TICKER", .id = CONFIG_message_send_interval, .unit = USEC_PER_SEC},
	{.name = "MYSQL_HOST", .id = CONFIG_db_host, .host_port = true, .port = CONFIG_db_port},
	{.name = "APP_NAME", .id = PRESET_IGNORED},
	{.name = "LIST", .id = CONFIG_cache_key},
	{0},
};
static const struct preset_name their_keys[] = {
	{.name = "scheduler.interval", .id = CONFIG_message_send_interval, .unit = USEC_PER_SEC, .min = 5, .max = 300,
	 .what = "seconds"},
	{.name = "sender.address", .id = CONFIG_webhook_url},
	{.name = "port", .id = CONFIG_server_port},
	{.name = "db.name", .id = CONFIG_db_name},
	{.name = "db.password", .id = CONFIG_db_password},
	{0},
};
static const struct config_preset theirs = {
	.name = "theirs",
	.values = (const struct preset_value[]){{CONFIG_db_driver, "mysql"},
                                                {CONFIG_max_attempts, "1"},
                                                {CONFIG_server_port, "3000"},
                                                {CONFIG_cache_key, "theirs:{id}"},
                                                {0}},
	.env = their_variables,
	.file = &(const struct preset_file){.paths = (const char *const[]){"theirs-*.json", "theirs.yaml", NULL},
                                            .names = their_keys,
                                            .select = "ENV",
                                            .select_default = "local",
                                            .select_allowed = "local test"},
};
static const struct config_preset other = {.name = "other"};
static const struct config_preset *const presets[] = {&theirs, &other, NULL};

static void test_preset_is_a_default(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	args(f, "--profile", "theirs");
	load_good(f);
	assert_int_equal(f->cfg.max_attempts, 1);
	assert_string_equal(f->cfg.origin[CONFIG_max_attempts], "profile theirs");
	assert_int_equal(f->cfg.server_port, 3000);
	/* Knowing the kind of database is not yet naming one. */
	assert_string_equal(f->cfg.database_url, "sqlite:herald.db");
}

static void test_preset_strength(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs.yaml", "port: 1\nscheduler:\n  interval: 5\nsender:\n  address: http://a/\ndb:\n  name: x\n");
	write_file(f, "herald.yaml", "server:\n  port: 2\nmessage:\n  send_interval: 6s\nwebhook:\n  url: http://b/\n"
	                             "profile:\n  name: theirs\n");
	write_file(f, ".env", "PORT=3\nTICKER=7\nHERALD_CONFIG=herald.yaml\n");
	add_env(f, "PORT=4");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 4);
	assert_string_equal(f->cfg.origin[CONFIG_server_port], "env PORT");
	assert_int_equal(f->cfg.message_send_interval, 7 * USEC_PER_SEC);
	assert_string_equal(f->cfg.origin[CONFIG_message_send_interval], ".env:2");
	assert_string_equal(f->cfg.webhook_url, "http://b/");
	assert_string_equal(f->cfg.db_name, "x");
	assert_string_equal(f->cfg.origin[CONFIG_db_name], "theirs.yaml:7");
	assert_string_equal(f->cfg.database_url, "mysql://localhost/x");
}

/* As the other system took it: nobody has set anything. */
static void test_preset_empty_is_not_set(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs.yaml", "port: ''\ndb:\n  name: x\n  password: ''\n");
	write_file(f, ".env", "LIST=\nTICKER=\n");
	add_env(f, "PORT=");
	add_env(f, "HERALD_PROFILE=theirs");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 3000);
	assert_string_equal(f->cfg.cache_key, "theirs:{id}");
	assert_string_equal(f->cfg.origin[CONFIG_cache_key], "profile theirs");
	assert_string_equal(f->cfg.origin[CONFIG_db_password], "theirs.yaml:4");
}

/* "host" is two letters away from "port", and another word. */
static void test_preset_keys_for_others(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs.yaml", "host: 0.0.0.0\ndb:\n  mode: x\n");
	add_env(f, "HERALD_PROFILE=theirs");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 3000);
}

static void test_preset_without_its_names(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	add_env(f, "PORT=4");
	add_env(f, "ENV=nonsense");
	add_env(f, "TICKER=7");
	write_file(f, "theirs.yaml", "port: 1\n");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 8080);
	assert_string_equal(f->cfg.origin[CONFIG_message_send_interval], "default");
}

static void test_preset_json_by_variable(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs-test.json", "{\"scheduler\":{\"interval\":9,\"x\":[1]},\"port\":77,\"more\":{\"deep\":{}},"
	                                  "\"db\":{\"name\":null}}");
	add_env(f, "ENV=test");
	add_env(f, "HERALD_PROFILE=theirs");
	load_good(f);
	assert_int_equal(f->cfg.server_port, 77);
	assert_string_equal(f->cfg.origin[CONFIG_server_port], "theirs-test.json");
	assert_int_equal(f->cfg.message_send_interval, 9 * USEC_PER_SEC);
}

static void test_preset_host_and_port(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	add_env(f, "HERALD_PROFILE=theirs");
	add_env(f, "MYSQL_HOST=db.example:3307");
	add_env(f, "DB_NAME=x");
	add_env(f, "DB_USER=u");
	load_good(f);
	assert_string_equal(f->cfg.database_url, "mysql://u@db.example:3307/x");
}

static void test_preset_complaints(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs.yaml", "scheduler:\n  interval: 4\n  intervall: 9\nsender:\n  address: ftp\nunrelated: 1\n");
	add_env(f, "HERALD_PROFILE=theirs");
	add_env(f, "PORT=99999");
	add_env(f, "TICKER=soon");
	expect_errors(f, "scheduler.interval: \"4\" is out of range (theirs.yaml:2); allowed: 5 to 300 seconds",
	       "scheduler.intervall: unknown key (theirs.yaml:3); did you mean scheduler.interval?",
	       "sender.address: does not begin with http:// or https:// (theirs.yaml:5); allowed: an http:// or https:// URL",
	       "PORT: \"99999\" is out of range (env PORT); allowed: 1 to 65535",
	       "TICKER: \"soon\" is not a duration (a number, or as 500ms, 90s, 2m) (env TICKER); allowed: 0, or 10ms to 7d");
}

static void test_preset_json_hides_its_text(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	write_file(f, "theirs-test.json", "{\"db\":{\"password\":\"geheim\" oops}}");
	add_env(f, "ENV=test");
	args(f, "--profile=theirs");
	expect_errors(f, "theirs-test.json:1: is not valid JSON (column 31)");
}

static void test_preset_unknown(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	args(f, "--profile", "thiers");
	expect_errors(f, "HERALD_PROFILE: \"thiers\" is no profile (flag --profile); allowed: theirs or other");
}

static void test_preset_selects_no_file(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	add_env(f, "HERALD_PROFILE=theirs");
	add_env(f, "ENV=prod");
	expect_errors(f, "ENV: \"prod\" is not a known value; allowed: local test");
}

static void test_preset_same_option_twice(void **state)
{
	struct fixture *f = *state;

	f->src.presets = presets;
	add_env(f, "HERALD_PROFILE=theirs");
	add_env(f, "PORT=1");
	add_env(f, "SERVER_PORT=2");
	expect_errors(f, "SERVER_PORT: set to two different values (env PORT and env SERVER_PORT)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_defaults),
		T(test_effective_values),
		T(test_no_client_url_for_a_free_port),
		T(test_precedence_and_origins),
		T(test_yaml_lists_and_nulls),
		T(test_yaml_unknown_names),
		T(test_yaml_structure),
		T(test_missing_config_file),
		T(test_empty_yaml_file),
		T(test_directory_named_dotenv),
		T(test_files_are_bounded),
		T(test_dotenv_syntax),
		T(test_dotenv_faults),
		T(test_dotenv_nul),
		T(test_dotenv_foreign_names),
		T(test_environment_foreign_names),
		T(test_environment_unknown_names),
		T(test_all_faults_are_reported),
		T(test_secrets_are_not_quoted),
		T(test_names_cannot_forge_lines),
		T(test_minutes_alias),
		T(test_contradicting_names),
		T(test_set_twice),
		T(test_repeated_flag_last_counts),
		T(test_preset_is_a_default),
		T(test_preset_strength),
		T(test_preset_empty_is_not_set),
		T(test_preset_keys_for_others),
		T(test_preset_without_its_names),
		T(test_preset_json_by_variable),
		T(test_preset_host_and_port),
		T(test_preset_complaints),
		T(test_preset_json_hides_its_text),
		T(test_preset_unknown),
		T(test_preset_selects_no_file),
		T(test_preset_same_option_twice),
		T(test_database_parts),
		T(test_database_url_overrides_weaker_parts),
		T(test_database_socket_directory),
		T(test_sqlite_parts),
		T(test_parts_and_url_contradict),
		T(test_cache_templates),
		T(test_incomplete_parts),
		T(test_sqlite_with_network_parts),
		T(test_redis_parts),
		T(test_contradictions),
		T(test_lease_just_long_enough),
		T(test_a_list_has_no_ttl),
		T(test_a_list_with_a_ttl),
		T(test_faulty_option_causes_no_second_complaint),
		T(test_unfit_host_name),
		T(test_rest_of_arguments),
		T(test_flag_faults),
		T(test_secrets_leave_the_arguments),
		T(test_other_secrets_are_no_flags),
		T(test_print_masks_secrets),
		T(test_serve_needs_a_webhook),
		cmocka_unit_test(test_errors_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
