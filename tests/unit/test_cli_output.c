#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc.h"
#include "clean.h"
#include "progress.h"
#include "table.h"

/* What fn writes to a file, as text; free() it. */
static char *written(void (*fn)(FILE *f, void *arg), void *arg)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fn(f, arg);
	fclose(f);
	return text;
}

/* --- clean ---------------------------------------------------------------------------------------------- */

static void check_clean(const char *in, const char *want)
{
	struct buf b = BUF_INIT;

	clean_text(&b, in, strlen(in));
	assert_string_equal(b.data, want);
	buf_release(&b);
}

#define BAD "\xef\xbf\xbd"

static void test_clean(void **state)
{
	(void)state;
	check_clean("", "");
	check_clean("plain \xc3\xbc \xf0\x9f\x98\x80", "plain \xc3\xbc \xf0\x9f\x98\x80");
	check_clean("two\r\nlines\tand tab", "two lines and tab");
	check_clean("\x1b[31mred\x07\x7f", BAD "[31mred" BAD BAD);
	check_clean("\xc2\x9b" "2J", BAD "2J");                        /* C1: CSI in one character */
	check_clean("a\xe2\x80\xae" "b\xe2\x81\xa6" "c", "a" BAD "b" BAD "c"); /* reversed text */
	check_clean("a\xff" "b\xc3", "a" BAD "b" BAD);
}

/* --- tables --------------------------------------------------------------------------------------------- */

struct table_out {
	struct table t;
	size_t width;
};

static void write_table(FILE *f, void *arg)
{
	struct table_out *o = arg;

	table_write(&o->t, f, o->width);
}

static void check_table(struct table_out *o, size_t width, const char *want)
{
	char *text;

	o->width = width;
	text = written(write_table, o);
	assert_string_equal(text, want);
	free(text);
}

static void test_table(void **state)
{
	struct table_out o = {.t = TABLE_INIT};

	(void)state;
	table_column(&o.t, "ID", TABLE_RIGHT);
	table_column(&o.t, "NAME", TABLE_FLEX);
	table_column(&o.t, "STATUS", TABLE_LEFT);
	check_table(&o, 0, "ID  NAME  STATUS\n");
	table_cell(&o.t, "7");
	table_cell(&o.t, "\xc3\xbc" "ber\nall");
	table_cell(&o.t, "sent");
	table_cell(&o.t, "-1234");
	table_cell(&o.t, "a name that is much too long");
	table_cell(&o.t, NULL);
	check_table(&o, 0, "   ID  NAME                          STATUS\n"
	                   "    7  \xc3\xbc" "ber all                      sent\n"
	                   "-1234  a name that is much too long\n");
	check_table(&o, 35, "   ID  NAME                  STATUS\n"
	                    "    7  \xc3\xbc" "ber all              sent\n"
	                    "-1234  a name that is mu...\n");
	/* However narrow, something of the text stays. */
	check_table(&o, 5, "   ID  NAME        STATUS\n"
	                   "    7  \xc3\xbc" "ber all    sent\n"
	                   "-1234  a name ...\n");
	table_release(&o.t);
}

static void test_table_without_headings(void **state)
{
	struct table_out o = {.t = TABLE_INIT};

	(void)state;
	table_column(&o.t, "", TABLE_LEFT);
	table_column(&o.t, "", TABLE_RIGHT);
	check_table(&o, 0, "");
	table_cell(&o.t, "pending");
	table_cell(&o.t, "5");
	table_cell(&o.t, "sent");
	table_cell(&o.t, "1000");
	check_table(&o, 0, "pending     5\nsent     1000\n");
	table_release(&o.t);
}

/* --- progress ------------------------------------------------------------------------------------------- */

static void check_render(const struct progress *p, uint64_t done, usec_t now, const char *want)
{
	struct buf b = BUF_INIT;

	progress_render(p, done, now, &b);
	assert_string_equal(b.data, want);
	buf_release(&b);
}

static void test_progress_render(void **state)
{
	struct progress p = {.verb = "importing", .unit = "rows", .total = 1000000, .width = 80};

	(void)state;
	check_render(&p, 0, 0, "importing   0% 0 / 1,000,000 rows");
	check_render(&p, 250000, 2 * USEC_PER_SEC,
	             "importing  25% 250,000 / 1,000,000 rows  125,000 rows/s  ETA 0:06");
	check_render(&p, 1000000, 8 * USEC_PER_SEC,
	             "importing 100% 1,000,000 / 1,000,000 rows  125,000 rows/s");
	check_render(&p, 10, 10 * USEC_PER_SEC, "importing   0% 10 / 1,000,000 rows  1 rows/s  ETA 277:46:30");
	p.total = 0;
	check_render(&p, 1234, 2 * USEC_PER_SEC, "importing 1,234 rows  617 rows/s");
	p = (struct progress){.verb = "checking", .unit = "bytes", .total = 20000000};
	check_render(&p, 5000000, USEC_PER_SEC, "checking  25% 5.0 / 20.0 MB  5.0 MB/s  ETA 0:03");
}

static void test_progress_bar(void **state)
{
	struct progress p = {.verb = "importing", .unit = "rows", .total = 100, .width = 80, .terminal = true};
	struct buf b = BUF_INIT;

	(void)state;
	check_render(&p, 50, USEC_PER_SEC,
	             "importing  50% [#############--------------] 50 / 100 rows  50 rows/s  ETA 0:01");
	/* Never as wide as the terminal, whose last column may wrap. */
	for (p.width = 20; p.width < 120; p.width++) {
		buf_clear(&b);
		progress_render(&p, 50, USEC_PER_SEC, &b);
		assert_true(b.len < (size_t)p.width);
	}
	buf_release(&b);
}

static void run_plain(FILE *f, void *arg)
{
	struct progress p;
	usec_t now = 5 * USEC_PER_HOUR;

	(void)arg;
	progress_begin(&p, f, "importing", "rows", 12000, now);
	assert_false(p.terminal);
	for (uint64_t done = 0; done <= 12000; done += 100)
		progress_update(&p, done, now + (usec_t)done * USEC_PER_MSEC);
	progress_hide(&p);
}

/* No terminal: a line every five seconds, no control characters. */
static void test_progress_plain(void **state)
{
	char *text = written(run_plain, NULL);

	(void)state;
	assert_string_equal(text, "importing  41% 5,000 / 12,000 rows  1,000 rows/s  ETA 0:07\n"
	                          "importing  83% 10,000 / 12,000 rows  1,000 rows/s  ETA 0:02\n");
	free(text);
}

static void test_progress_silent(void **state)
{
	struct progress p;

	(void)state;
	progress_begin(&p, NULL, "importing", "rows", 10, 0);
	progress_update(&p, 5, USEC_PER_HOUR);
	progress_hide(&p);
	assert_false(p.drawn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_without_headings),
		cmocka_unit_test(test_progress_render),
		cmocka_unit_test(test_progress_bar),
		cmocka_unit_test(test_progress_plain),
		cmocka_unit_test(test_progress_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
