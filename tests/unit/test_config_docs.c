/*
 * herald.example.yaml and docs/configuration.md say what options.def says. After a change there, run this
 * program with HERALD_UPDATE_DOCS=1 to write them anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "buf.h"
#include "config.h"
#include "option.h"

static void read_all(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "r");
	char piece[4096];
	size_t n;

	if (!file)
		return; /* as different as an empty file */
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_add(out, piece, n);
	fclose(file);
}

static void write_all(const char *path, const struct buf *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
	assert_int_equal(fclose(file), 0);
}

static void check_file(const char *path, void (*generate)(struct buf *))
{
	struct buf expected = BUF_INIT, found = BUF_INIT;

	generate(&expected);
	if (getenv("HERALD_UPDATE_DOCS"))
		write_all(path, &expected);
	read_all(path, &found);
	if (found.len != expected.len || memcmp(found.data, expected.data, found.len) != 0)
		fail_msg("%s differs from options.def: run this test with HERALD_UPDATE_DOCS=1", path);
	buf_release(&expected);
	buf_release(&found);
}

static void test_docs(void **state)
{
	(void)state;
	check_file(SOURCE_ROOT "/docs/configuration.md", config_docs);
}

static void test_sample(void **state)
{
	(void)state;
	check_file(SOURCE_ROOT "/herald.example.yaml", config_sample);
}

static void load_text(const struct buf *yaml, struct config *cfg)
{
	char path[] = "/tmp/herald-test-sample-XXXXXX", flag[] = "--config";
	char *argv[] = {flag, path, NULL};
	struct config_sources src = {
		.argc = 2, .argv = argv, .dir = "/proc/self/fdinfo", /* surely without a .env */
		.host_name = "host"};
	struct config_errors errs = CONFIG_ERRORS_INIT;
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, yaml->data, yaml->len), yaml->len);
	close(fd);
	r = config_load(cfg, &src, &errs);
	unlink(path);
	for (size_t i = 0; i < errs.n; i++)
		print_error("%s\n", errs.line[i]);
	config_errors_release(&errs);
	assert_int_equal(r, OK);
}

/* The sample sets every option to its default: with it and without it, values are the same. */
static void test_sample_is_the_default(void **state)
{
	struct buf yaml = BUF_INIT, empty = BUF_INIT, with = BUF_INIT, without = BUF_INIT;
	struct config a, b;

	(void)state;
	config_sample(&yaml);
	load_text(&yaml, &a);
	load_text(&empty, &b);
	for (int id = 0; id < CONFIG_COUNT; id++) {
		free(a.origin[id]);
		free(b.origin[id]);
		a.origin[id] = xstrdup("");
		b.origin[id] = xstrdup("");
	}
	free(a.config_file);
	free(b.config_file);
	a.config_file = xstrdup("");
	b.config_file = xstrdup("");
	config_print(&a, &with, false);
	config_print(&b, &without, false);
	assert_string_equal(with.data, without.data);
	config_release(&a);
	config_release(&b);
	buf_release(&yaml);
	buf_release(&with);
	buf_release(&without);
}

/* Every line that is commented out in the sample is a key that the loader knows. */
static void test_sample_comments_are_keys(void **state)
{
	struct buf sample = BUF_INIT, yaml = BUF_INIT;
	struct config cfg;

	(void)state;
	config_sample(&sample);
	for (const char *line = sample.data; *line;) {
		size_t n = strcspn(line, "\n");
		bool key = n > 3 && memcmp(line, "  #", 3) == 0 && line[3] != ' ';

		/* Left empty, so that nothing contradicts. */
		if (key)
			buf_addf(&yaml, "  %.*s\n", (int)(strcspn(line, ":") - 2), line + 3);
		else
			buf_addf(&yaml, "%.*s\n", (int)n, line);
		line += n + 1;
	}
	load_text(&yaml, &cfg);
	config_release(&cfg);
	buf_release(&sample);
	buf_release(&yaml);
}

static void test_help_names_every_option(void **state)
{
	struct buf help = BUF_INIT;

	(void)state;
	config_help(&help);
	for (int id = 0; id < CONFIG_COUNT; id++)
		assert_non_null(strstr(help.data, options[id].env));
	for (const char *line = help.data; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
	buf_release(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_docs),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_sample_is_the_default),
		cmocka_unit_test(test_sample_comments_are_keys),
		cmocka_unit_test(test_help_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
