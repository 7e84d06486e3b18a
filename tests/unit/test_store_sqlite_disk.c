/* The SQLite driver when the disk is full, read-only or cannot flush: nothing accepted is lost, nothing is half
 * there, and it goes on when it can. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "store_file.h"

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

/* Fills the store until the disk has no room, checks that nothing is half there, makes room, goes on. log_first:
 * the first to find no room is the log, whose content the database still has room for. */
static void fill_up(const char *why, bool log_first, void (*make_room)(void))
{
	const struct store_options options = {.url = url};
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct store_session *c;
	struct scheduler sched;
	struct claim_request r = {.node = "n", .owner = "n/1", .want = 10, .lease = USEC_PER_MINUTE};
	struct claim_batch b;
	struct store *s;
	int stored = 0, stored_at_first = -1, rc, i;

	MUST(store_open(&s, &options, &err) == OK);
	MUST(store_session_open(s, &c, &err) == OK);
	MUST(store_scheduler_init(c, &(struct scheduler_defaults){true, 0, 1}, &sched, &err) == OK);
	for (i = 0; i < 3;) {
		rc = insert_hundred(c, &err);
		if (!rc) {
			stored += 100;
			MUST(stored < 1000000);
			i = 0;
			continue;
		}
		i++;
		if (stored_at_first < 0)
			stored_at_first = stored;
		MUST(rc == ERR_TRANSIENT);
		MUST(strstr(err.text, why));
		MUST(store_counts(c, &counts, &err) == OK);
		MUST(counts.by_status[MESSAGE_PENDING] == stored);
	}
	MUST(!log_first || stored > stored_at_first);
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
		fill_up("limit on file sizes", true, lift_limit);
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
		fill_up("the disk is full", false, drop_ballast);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_limit_on_file_sizes_is_like_a_full_disk),
		TEST(test_a_full_disk_loses_nothing_and_passes),
		TEST(test_a_full_disk_at_the_start),
		TEST(test_a_read_only_file_system),
		TEST(test_a_failed_flush_is_uncertain),
		TEST(test_every_commit_is_flushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
