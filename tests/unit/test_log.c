#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "alloc.h"
#include "log.h"
#include "text.h"
#include "thread.h"

static FILE *sink;

static int open_sink(void **state)
{
	(void)state;
	sink = tmpfile();
	return sink ? 0 : -1;
}

static int close_sink(void **state)
{
	(void)state;
	return fclose(sink);
}

static void start(enum log_level level, enum log_format format)
{
	if (ftruncate(fileno(sink), 0) < 0 || lseek(fileno(sink), 0, SEEK_SET) < 0)
		fail();
	log_init(level, format, fileno(sink));
}

/* All that was logged since start(); the caller frees. */
static char *logged(void)
{
	off_t size = lseek(fileno(sink), 0, SEEK_END);
	char *text = xmalloc((size_t)size + 1);

	assert_int_equal(pread(fileno(sink), text, (size_t)size, 0), size);
	text[size] = '\0';
	return text;
}

/* Compares what follows "ts=<24 bytes> ". */
static void assert_logged(const char *want)
{
	char *text = logged();
	usec_t t;

	assert_memory_equal(text, "ts=", 3);
	assert_true(clock_parse(text + 3, CLOCK_TEXT - 1, &t));
	assert_true(llabs(clock_wall() - t) < USEC_PER_MINUTE);
	assert_string_equal(text + 3 + CLOCK_TEXT, want);
	free(text);
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
	(void)state;
	start(LOG_INFO, LOG_LOGFMT);
	log_info("run finished", kv_int("run", -7), kv_uint("u", UINT64_MAX), kv_str("node", "a-1"),
	         kv_bool("ok", true), kv_double("rate", 0.25), kv_str("none", NULL), kv_str("empty", ""),
	         kv_str("eq", "a=b"), kv_str("utf8", "\xc3\xa9"));
	assert_logged("level=info msg=\"run finished\" run=-7 u=18446744073709551615 node=a-1 ok=true "
	              "rate=0.25 empty=\"\" eq=\"a=b\" utf8=\xc3\xa9\n");
}

static void a_value_cannot_forge_a_line(void **state)
{
	(void)state;
	start(LOG_INFO, LOG_LOGFMT);
	log_warn("x\nlevel=error", kv_str("a", "\r\n\t\"\\"), kv_str("b", "\x1b[2J"), kv_str("c", "\x7f"),
	         kv_str("d", "\xc2\x9b"), kv_str("e", "\xff"));
	assert_logged("level=warn msg=\"x\\nlevel=error\" a=\"\\r\\n\\t\\\"\\\\\" b=\"\\u001b[2J\" "
	              "c=\"\\u007f\" d=\"\\u009b\" e=\"\xef\xbf\xbd\"\n");
}

static void json_lines_parse(void **state)
{
	char *text;
	json_t *doc;

	(void)state;
	start(LOG_DEBUG, LOG_JSON);
	log_debug("say \"hi\"\n", kv_int("i", INT64_MIN), kv_double("d", 1.5), kv_double("nan", 0.0 / 0.0),
	          kv_bool("f", false), kv_str("s", "\xff\x01"), kv_str("none", NULL));
	text = logged();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	assert_int_equal(json_object_size(doc), 8);
	assert_string_equal(json_string_value(json_object_get(doc, "level")), "debug");
	assert_string_equal(json_string_value(json_object_get(doc, "msg")), "say \"hi\"\n");
	assert_true(json_integer_value(json_object_get(doc, "i")) == INT64_MIN);
	assert_true(json_real_value(json_object_get(doc, "d")) == 1.5);
	assert_true(json_is_null(json_object_get(doc, "nan")));
	assert_true(json_is_false(json_object_get(doc, "f")));
	assert_string_equal(json_string_value(json_object_get(doc, "s")), "\xef\xbf\xbd\x01");
	json_decref(doc);
	free(text);
}

static int evaluations;

static int64_t evaluated(void)
{
	return ++evaluations;
}

static void levels_below_the_threshold_cost_nothing(void **state)
{
	char *text;

	(void)state;
	evaluations = 0;
	start(LOG_WARN, LOG_LOGFMT);
	log_debug("no", kv_int("n", evaluated()));
	log_info("no", kv_int("n", evaluated()));
	log_warn("yes", kv_int("n", evaluated()));
	log_error("yes", kv_int("n", evaluated()));
	assert_int_equal(evaluations, 2);
	text = logged();
	assert_null(strstr(text, "no"));
	assert_non_null(strstr(text, "level=warn msg=yes n=1\n"));
	assert_non_null(strstr(text, "level=error msg=yes n=2\n"));
	free(text);

	start(LOG_OFF, LOG_LOGFMT);
	log_error("no", kv_int("n", evaluated()));
	text = logged();
	assert_string_equal(text, "");
	free(text);
}

/* Values of every length around the limit, made of pieces of every width: the line stays whole. */
static void long_lines_are_cut_and_stay_valid(void **state)
{
	static const char *const units[] = {"x", "\"", "\x01", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xff"};
	char value[9000], *text;
	json_t *doc;
	bool cut;

	(void)state;
	for (size_t u = 0; u < ARRAY_SIZE(units); u++)
		for (size_t len = 1200; len < sizeof(value) - 4; len += len < 8000 ? 1301 : 7) {
			size_t at = 0;

			while (at < len) {
				memcpy(value + at, units[u], strlen(units[u]) + 1);
				at += strlen(units[u]);
			}
			start(LOG_INFO, LOG_JSON);
			log_info("m", kv_str("v", value), kv_int("after", 5));
			text = logged();
			assert_in_range(strlen(text), 1, 8192);
			doc = json_loads(text, 0, NULL);
			assert_non_null(doc);
			cut = json_is_true(json_object_get(doc, "cut"));
			assert_true(cut != (json_object_get(doc, "after") != NULL));
			assert_true(cut || strlen(text) > 1200);
			json_decref(doc);
			free(text);

			start(LOG_INFO, LOG_LOGFMT);
			log_info("m", kv_str("v", value), kv_int("after", 5));
			text = logged();
			assert_in_range(strlen(text), 1, 8192);
			assert_true(utf8_valid(text, strlen(text)));
			assert_non_null(strstr(text, strstr(text, " cut=true\n") ? "\" cut=true\n"
			                                                        : " after=5\n"));
			free(text);
		}
}

static void many_fields_are_cut_too(void **state)
{
	struct log_field fields[1001];
	json_t *doc;
	char *text;

	(void)state;
	for (int i = 0; i < 1000; i++)
		fields[i] = kv_int("a_key_of_some_length", i);
	fields[1000] = (struct log_field){.key = NULL};
	start(LOG_INFO, LOG_JSON);
	log_write(LOG_INFO, "m", fields);
	text = logged();
	assert_in_range(strlen(text), 8000, 8192);
	doc = json_loads(text, 0, NULL);
	assert_non_null(doc);
	assert_true(json_is_true(json_object_get(doc, "cut")));
	json_decref(doc);
	free(text);
}

static void auto_means_json_away_from_a_terminal(void **state)
{
	char *text;

	(void)state;
	start(LOG_INFO, LOG_AUTO);
	log_info("x");
	text = logged();
	assert_int_equal(text[0], '{');
	free(text);
}

static void errno_survives(void **state)
{
	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT, -1);
	errno = ENOENT;
	log_info("to nowhere");
	assert_int_equal(errno, ENOENT);
}

enum { WRITERS = 4, LINES = 500 };

static void *write_lines(void *arg)
{
	(void)arg;
	for (int i = 0; i < LINES; i++)
		log_info("a line", kv_int("i", i), kv_str("text", "some text of some length"));
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	pthread_t threads[WRITERS];
	char *text, *line, *end;
	int lines = 0;

	(void)state;
	start(LOG_INFO, LOG_JSON);
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(thread_start(&threads[i], "writer", write_lines, NULL, NULL), OK);
	for (int i = 0; i < WRITERS; i++)
		thread_join(threads[i]);
	text = logged();
	for (line = text; (end = strchr(line, '\n')); line = end + 1) {
		json_t *doc = json_loadb(line, (size_t)(end - line), 0, NULL);

		assert_non_null(doc);
		json_decref(doc);
		lines++;
	}
	assert_int_equal(lines, WRITERS * LINES);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logfmt_quotes_only_what_needs_it),
		cmocka_unit_test(a_value_cannot_forge_a_line),
		cmocka_unit_test(json_lines_parse),
		cmocka_unit_test(levels_below_the_threshold_cost_nothing),
		cmocka_unit_test(long_lines_are_cut_and_stay_valid),
		cmocka_unit_test(many_fields_are_cut_too),
		cmocka_unit_test(auto_means_json_away_from_a_terminal),
		cmocka_unit_test(errno_survives),
		cmocka_unit_test(lines_of_threads_do_not_mix),
	};

	return cmocka_run_group_tests(tests, open_sink, close_sink);
}
