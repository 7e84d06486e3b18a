/* The SQLite driver where it differs from others: what is wrong with a file, and a disk that is full. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "alloc.h"
#include "store.h"

static char dir[64], path[128], url[160];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/herald-sqlite-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/herald.db", dir);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[160];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(path);
	return rmdir(dir);
}

static void expect_refused(const char *at, bool read_only_schema, const char *why)
{
	const struct store_options options = {.url = at, .read_only_schema = read_only_schema};
	struct error err = ERROR_INIT;
	struct store *s;

	assert_int_equal(store_open(&s, &options, &err), ERR_CONFIG);
	assert_int_equal(err.code, ERR_CONFIG);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static struct store *open_it(void)
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	if (store_open(&s, &options, &err))
		fail_msg("%s", err.text);
	return s;
}

/* Makes the file a database of herald with that many messages of a kilobyte. */
static void fill(size_t n)
{
	struct message_draft *drafts = xcalloc(n, sizeof(*drafts));
	struct insert_group g = {.drafts = drafts, .n = n};
	struct store *s = open_it();
	struct store_session *c;
	char content[1001];
	size_t i;

	memset(content, 'x', 1000);
	content[1000] = '\0';
	for (i = 0; i < n; i++)
		drafts[i] = (struct message_draft){.phone = "+1234567", .content = content};
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	assert_int_equal(store_insert(c, &g, 1, NULL), OK);
	store_session_close(c);
	store_close(s);
	free(drafts);
}

static void sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

/* --- the URL ----------------------------------------------------------------------------------------------- */

static void test_unknown_drivers_are_named_with_those_there_are(void **state)
{
	(void)state;
	expect_refused("oracle://user:secret@host/db", false, "\"oracle\" (this build has: sqlite, memory)");
	expect_refused("herald.db", false, "this build has: sqlite, memory");
	expect_refused(":x", false, "does not begin with the name of a driver");
	expect_refused("", false, "does not begin with the name of a driver");
	expect_refused("sqlite:", false, "the path behind sqlite: is missing");
	expect_refused("sqlit:x", false, "\"sqlit\"");
	expect_refused("memory:x", false, "nothing may follow memory:");
	assert_string_equal(store_drivers(), "sqlite, memory");
}

static void test_a_refusal_shows_no_password(void **state)
{
	const struct store_options options = {.url = "oracle://user:secret@host/db"};
	struct error err = ERROR_INIT;
	struct store *s;

	(void)state;
	assert_int_equal(store_open(&s, &options, &err), ERR_CONFIG);
	assert_null(strstr(err.text, "secret"));
}

/* --- the file ---------------------------------------------------------------------------------------------- */

static void test_a_new_file_is_private(void **state)
{
	struct stat st;

	(void)state;
	fill(1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_a_name_that_sqlite_would_not_take_for_a_file(void **state)
{
	const struct store_options options = {.url = "sqlite::memory:"};
	char *before = getcwd(NULL, 0);
	struct store *s;

	(void)state;
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(store_open(&s, &options, NULL), OK);
	store_close(s);
	assert_int_equal(access(":memory:", F_OK), 0);
	assert_true(unlink(":memory:") == 0);
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void test_no_such_directory(void **state)
{
	char *at = xasprintf("sqlite:%s/none/herald.db", dir), *why = xasprintf("directory %s/none", dir);

	(void)state;
	expect_refused(at, false, why);
	free(at);
	free(why);
}

static void test_a_directory_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused(url, false, "is a directory");
}

static void test_a_pipe_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(url, false, "not a regular file");
}

/* In a child that is nobody, as root may do everything. 0 when the refusal says so. */
static int as_nobody(const char *why)
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store *s;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (!geteuid() && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
			_exit(2);
		if (store_open(&s, &options, &err) != ERR_CONFIG || !strstr(err.text, why)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void test_no_permission(void **state)
{
	(void)state;
	fill(1);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(as_nobody("no permission to read and write it"), 0);
}

static void test_no_permission_for_the_log_beside_it(void **state)
{
	(void)state;
	fill(1);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0555), 0);
	assert_int_equal(as_nobody("no permission to create the log"), 0);
	assert_int_equal(chmod(dir, 0755), 0);
}

static void test_not_a_database(void **state)
{
	char text[5000];

	(void)state;
	memset(text, '#', sizeof(text));
	write_file(text, sizeof(text));
	expect_refused(url, false, "not an SQLite database");
	write_file("id,phone\n", 9);
	expect_refused(url, false, "not an SQLite database");
	/* What was there is still there. */
	assert_int_equal(truncate(path, 9), 0);
}

static void test_a_truncated_database(void **state)
{
	struct stat st;

	(void)state;
	fill(200);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2 / 4096 * 4096), 0);
	expect_refused(url, false, "damaged");
	assert_int_equal(truncate(path, 50), 0);
	expect_refused(url, false, "damaged");
}

static void test_another_applications_database(void **state)
{
	(void)state;
	sql("CREATE TABLE t(x); PRAGMA user_version=3");
	expect_refused(url, false, "another application");
	sql("PRAGMA user_version=0; PRAGMA application_id=77");
	expect_refused(url, false, "another application");
}

static void test_tables_may_live_beside_an_applications_own(void **state)
{
	(void)state;
	sql("CREATE TABLE t(x); INSERT INTO t VALUES(1)");
	fill(1);
	sql("INSERT INTO t VALUES(2)");
}

static void test_a_newer_schema(void **state)
{
	(void)state;
	fill(1);
	sql("PRAGMA user_version=99");
	expect_refused(url, false, "newer herald");
	expect_refused(url, true, "newer herald");
}

static void test_the_schema_can_be_left_alone(void **state)
{
	const struct store_options options = {.url = url, .read_only_schema = true};
	int found, current;
	struct store *s;

	(void)state;
	expect_refused(url, true, "herald migrate");
	assert_int_equal(access(path, F_OK), -1); /* not even created */
	sql("CREATE TABLE t(x)");
	expect_refused(url, true, "herald migrate");
	fill(1);
	assert_int_equal(store_open(&s, &options, NULL), OK);
	store_schema(s, &found, &current);
	assert_true(found > 0);
	assert_int_equal(found, current);
	store_close(s);
}

static void test_in_use(void **state)
{
	struct store *s = open_it();

	(void)state;
	expect_refused(url, false, "in use by another herald process");
	store_close(s);
	store_close(open_it());
}

/* --- a full disk ------------------------------------------------------------------------------------------- */

/* In a child: exit status 0 or a line that says what was not as it should be. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,        \
			        err.text);                                                         \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static int insert_hundred(struct store_session *c, struct error *err)
{
	static char content[1001];
	struct message_draft drafts[100];
	struct insert_group g = {.drafts = drafts, .n = 100};
	size_t i;

	memset(content, 'x', 1000);
	for (i = 0; i < 100; i++)
		drafts[i] = (struct message_draft){.phone = "+1234567", .content = content};
	return store_insert(c, &g, 1, err);
}

/* Fills the store until the disk has no room, checks that nothing is half there, makes room, goes on. */
static void fill_up(const char *why, void (*make_room)(void))
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct store_session *c;
	struct scheduler sched;
	struct claim_request r = {.node = "n", .owner = "n/1", .want = 10, .lease = USEC_PER_MINUTE};
	struct claim_batch b;
	struct store *s;
	int stored = 0, rc, i;

	MUST(store_open(&s, &options, &err) == OK);
	MUST(store_session_open(s, &c, &err) == OK);
	MUST(store_scheduler_init(c, &(struct scheduler_defaults){true, 0, 1}, &sched, &err) == OK);
	while (!(rc = insert_hundred(c, &err))) {
		stored += 100;
		MUST(stored < 1000000);
	}
	for (i = 0; i < 3; i++) {
		MUST(rc == ERR_TRANSIENT);
		MUST(strstr(err.text, why));
		MUST(store_counts(c, &counts, &err) == OK);
		MUST(counts.by_status[MESSAGE_PENDING] == stored);
		rc = insert_hundred(c, &err);
	}
	make_room();
	MUST(insert_hundred(c, &err) == OK);
	MUST(store_claim(c, &r, &b, &err) == OK);
	MUST(b.n == 10);
	claim_batch_release(&b);
	MUST(store_counts(c, &counts, &err) == OK);
	MUST(counts.by_status[MESSAGE_PENDING] == stored + 90);
	store_session_close(c);
	store_close(s);

	/* And after a restart it is the same. */
	MUST(store_open(&s, &options, &err) == OK);
	MUST(store_session_open(s, &c, &err) == OK);
	MUST(store_counts(c, &counts, &err) == OK);
	MUST(counts.by_status[MESSAGE_PENDING] == stored + 90);
	MUST(counts.by_status[MESSAGE_SENDING] == 10);
	store_session_close(c);
	store_close(s);
}

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void lift_limit(void)
{
	limit_files(RLIM_INFINITY);
}

static void expect_child(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void check_integrity(void)
{
	sqlite3_stmt *st;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void test_a_limit_on_file_sizes_is_like_a_full_disk(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		signal(SIGXFSZ, SIG_IGN);
		limit_files(1 << 20);
		fill_up("limit on file sizes", lift_limit);
		_exit(0);
	}
	expect_child(pid);
	check_integrity();
}

/* A file system of 3 MB that only this process sees; exit status 77 where that is not allowed. */
static void mount_small(void)
{
	int fd;
	char text[64];
	uid_t uid = getuid();

	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		_exit(77);
	fd = open("/proc/self/uid_map", O_WRONLY);
	if (uid && fd >= 0) {
		snprintf(text, sizeof(text), "0 %u 1", (unsigned)uid);
		if (write(fd, text, strlen(text)) < 0)
			_exit(77);
	}
	if (fd >= 0)
		close(fd);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("herald", dir, "tmpfs", 0, "size=3m"))
		_exit(77);
}

static void ballast_name(char name[160])
{
	snprintf(name, 160, "%s/ballast", dir);
}

static void write_ballast(size_t most)
{
	static char block[4096];
	char name[160];
	FILE *f;

	ballast_name(name);
	f = fopen(name, "w");
	while (f && most >= sizeof(block) && fwrite(block, 1, sizeof(block), f) == sizeof(block))
		most -= sizeof(block);
	if (f)
		fclose(f);
}

static void drop_ballast(void)
{
	char name[160];

	ballast_name(name);
	unlink(name);
}

static void test_a_full_disk_loses_nothing_and_passes(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		mount_small();
		write_ballast(1536 * 1024);
		fill_up("the disk is full", drop_ballast);
		_exit(0);
	}
	expect_child(pid);
}

static void test_a_full_disk_at_the_start(void **state)
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store *s;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		mount_small();
		write_ballast(SIZE_MAX);
		MUST(store_open(&s, &options, &err) == ERR_CONFIG);
		MUST(strstr(err.text, "disk is full"));
		drop_ballast();
		MUST(store_open(&s, &options, &err) == OK);
		store_close(s);
		_exit(0);
	}
	expect_child(pid);
}

static void test_a_read_only_file_system(void **state)
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store *s;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		mount_small();
		if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL))
			_exit(77);
		MUST(store_open(&s, &options, &err) == ERR_CONFIG);
		MUST(strstr(err.text, "read-only file system"));
		_exit(0);
	}
	expect_child(pid);
}

/* --- a disk that cannot flush ------------------------------------------------------------------------------ */

static bool flush_fails;

/* Stand in for libc's, which SQLite calls. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
	errno = EIO;
	return flush_fails ? -1 : (int)syscall(SYS_fdatasync, fd);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	errno = EIO;
	return flush_fails ? -1 : (int)syscall(SYS_fsync, fd);
}

/* The log may hold the whole commit by then, and a start after a crash would find it: so neither yes nor no. */
static void test_a_failed_flush_is_uncertain(void **state)
{
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct store_session *c;
	struct store *s = open_it();

	(void)state;
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	assert_int_equal(insert_hundred(c, &err), OK);
	flush_fails = true;
	assert_int_equal(insert_hundred(c, &err), ERR_UNCERTAIN);
	assert_int_equal(err.code, ERR_UNCERTAIN);
	assert_int_equal(store_counts(c, &counts, NULL), OK);
	assert_int_equal(counts.by_status[MESSAGE_PENDING], 100);
	flush_fails = false;
	assert_int_equal(insert_hundred(c, &err), OK);
	assert_int_equal(store_counts(c, &counts, NULL), OK);
	assert_int_equal(counts.by_status[MESSAGE_PENDING], 200);
	store_session_close(c);
	store_close(s);
	check_integrity();
}

/* Durable means flushed: a commit that does not ask the disk is none. */
static void test_every_commit_is_flushed(void **state)
{
	struct store_session *c;
	struct store *s = open_it();
	struct scheduler sched;
	struct claim_request r = {.node = "n", .owner = "n/1", .want = 10, .lease = USEC_PER_MINUTE};
	struct settlement outcome = {.id = 1, .fence = 1, .verdict = VERDICT_SENT};
	struct settle_result result;
	struct claim_batch b;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	assert_int_equal(
		store_scheduler_init(c, &(struct scheduler_defaults){true, 0, 1}, &sched, &err), OK);
	assert_int_equal(insert_hundred(c, &err), OK);
	flush_fails = true;
	assert_int_equal(store_claim(c, &r, &b, &err), ERR_UNCERTAIN);
	assert_int_equal(store_settle(c, &outcome, 1, &result, &err), ERR_UNCERTAIN);
	assert_int_equal(insert_hundred(c, &err), ERR_UNCERTAIN);
	flush_fails = false;
	store_session_close(c);
	store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unknown_drivers_are_named_with_those_there_are),
		TEST(test_a_refusal_shows_no_password),
		TEST(test_a_new_file_is_private),
		TEST(test_a_name_that_sqlite_would_not_take_for_a_file),
		TEST(test_no_such_directory),
		TEST(test_a_directory_is_no_file),
		TEST(test_a_pipe_is_no_file),
		TEST(test_no_permission),
		TEST(test_no_permission_for_the_log_beside_it),
		TEST(test_not_a_database),
		TEST(test_a_truncated_database),
		TEST(test_another_applications_database),
		TEST(test_tables_may_live_beside_an_applications_own),
		TEST(test_a_newer_schema),
		TEST(test_the_schema_can_be_left_alone),
		TEST(test_in_use),
		TEST(test_a_limit_on_file_sizes_is_like_a_full_disk),
		TEST(test_a_full_disk_loses_nothing_and_passes),
		TEST(test_a_full_disk_at_the_start),
		TEST(test_a_read_only_file_system),
		TEST(test_a_failed_flush_is_uncertain),
		TEST(test_every_commit_is_flushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
