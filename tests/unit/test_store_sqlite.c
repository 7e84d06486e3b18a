/* The SQLite driver and the file: what is wrong with it, in words. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "alloc.h"
#include "store_file.h"

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
	expect_refused("oracle://user:secret@host/db", false, "\"oracle\" (this build has: sqlite, ");
	expect_refused("herald.db", false, "(this build has: sqlite, ");
	expect_refused("herald.db", false, ", memory)");
	expect_refused(":x", false, "does not begin with the name of a driver");
	expect_refused("", false, "does not begin with the name of a driver");
	expect_refused("sqlite:", false, "the path behind sqlite: is missing");
	expect_refused("sqlit:x", false, "\"sqlit\"");
	expect_refused("memory:x", false, "nothing may follow memory:");
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

/* As the first release left it. */
#define TO_SCHEMA_1                                                                                \
	"ALTER TABLE herald_totals DROP COLUMN invalid; ALTER TABLE herald_scheduler DROP COLUMN not_before;" \
	"ALTER TABLE herald_scheduler DROP COLUMN job; DROP TABLE herald_jobs;"                    \
	"DROP TABLE herald_phones; ALTER TABLE herald_totals DROP COLUMN phones_upto;"                     \
	"PRAGMA user_version=1"

static void test_an_older_schema(void **state)
{
	struct store_counts counts;
	struct store_session *c;
	int found, current;
	struct store *s;

	(void)state;
	fill(3);
	sql(TO_SCHEMA_1);
	expect_refused(url, true, "herald migrate");
	s = open_it();
	store_schema(s, &found, &current);
	assert_int_equal(found, 1);
	assert_true(current > 1);
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	assert_int_equal(store_counts(c, &counts, NULL), OK);
	assert_int_equal(counts.by_status[MESSAGE_PENDING], 3);
	assert_int_equal(counts.by_status[MESSAGE_INVALID], 0);
	store_session_close(c);
	store_close(s);
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

/* --- by phone number --------------------------------------------------------------------------------------- */

#define NUMBERS 7000

static const char *number(size_t i, char out[16])
{
	snprintf(out, 16, "+1%06zu", i * 7919 % NUMBERS);
	return out;
}

static void fill_numbers(struct store_session *c, size_t from, size_t n)
{
	struct message_draft *drafts = xcalloc(n, sizeof(*drafts));
	struct insert_group g = {.drafts = drafts, .n = n};
	char(*phones)[16] = xcalloc(n, sizeof(*phones));
	size_t i;

	for (i = 0; i < n; i++)
		drafts[i] = (struct message_draft){.phone = number(from + i, phones[i]), .content = "x"};
	assert_int_equal(store_insert(c, &g, 1, NULL), OK);
	free(phones);
	free(drafts);
}

/* That the lists of a number hold what was inserted for it, walked in pages. */
static void expect_numbers(struct store_session *c, size_t rows)
{
	char phone[16];

	for (size_t i = 0; i < NUMBERS; i += 997) {
		struct list_query q = {.phone = number(i, phone), .limit = 3, .want_total = true};
		size_t expected = rows / NUMBERS + (i < rows % NUMBERS), seen;
		struct message_page page;

		for (q.status = -1; q.status <= MESSAGE_SENT; q.status++) {
			q.after = (struct list_position){.id = 0};
			seen = 0;
			do {
				assert_int_equal(store_list(c, &q, &page, NULL), OK);
				assert_int_equal(page.total, q.status > MESSAGE_PENDING ? 0 : expected);
				/* The newest first: each NUMBERS before the one ahead of it. */
				for (size_t k = 0; k < page.n; k++, seen++)
					assert_int_equal(page.items[k].id,
					                 i + 1 + (expected - 1 - seen) * NUMBERS);
				q.after = page.last;
				message_page_release(&page);
			} while (seen < expected && q.status <= MESSAGE_PENDING);
			assert_int_equal(seen, q.status > MESSAGE_PENDING ? 0 : expected);
		}
	}
}

static int64_t count_sql(const char *text)
{
	sqlite3_stmt *st;
	int64_t n;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void test_messages_by_phone_number(void **state)
{
	static const size_t parts[] = {30000, 2767, 1, 1, 40000, 500};
	struct store *s = open_it();
	struct store_session *c;
	size_t rows = 0;

	(void)state;
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		fill_numbers(c, rows, parts[i]);
		rows += parts[i];
		expect_numbers(c, rows);
	}
	store_session_close(c);
	store_close(s);
	/* Some of it is in segments by now, the rest in none. */
	assert_int_equal(count_sql("SELECT count(DISTINCT segment) FROM herald_phones"), 2);
	assert_int_equal(count_sql("SELECT count(*) FROM herald_phones"), rows - 500);

	/* A file of before gets all of them. */
	sql(TO_SCHEMA_1);
	s = open_it();
	assert_int_equal(store_session_open(s, &c, NULL), OK);
	expect_numbers(c, rows);
	fill_numbers(c, rows, 10);
	expect_numbers(c, rows + 10);
	store_session_close(c);
	store_close(s);
	assert_int_equal(count_sql("SELECT count(*) FROM herald_phones"), rows);
}

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
		TEST(test_an_older_schema),
		TEST(test_the_schema_can_be_left_alone),
		TEST(test_in_use),
		TEST(test_messages_by_phone_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
