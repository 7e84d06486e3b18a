#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "metrics.h"
#include "thread.h"

static void two_lines(struct buf *out, void *arg)
{
	buf_addf(out, "depth{queue=\"a\"} %d\ndepth{queue=\"b\"} 2\n", *(int *)arg);
}

static void renders_families_in_order(void **state)
{
	static const int64_t sizes[] = {1, 10};
	static const usec_t times[] = {5 * USEC_PER_MSEC, USEC_PER_SEC, 2500 * USEC_PER_MSEC};
	struct metrics *m = metrics_new();
	struct metric_histogram *h, *s;
	struct buf b = BUF_INIT;
	metric_counter *sent;
	int depth = 1;

	(void)state;
	sent = metrics_counter(m, "out_total", "Out \\ of\nhere.", "outcome=\"sent\"");
	metric_set(metrics_gauge(m, "level", "Level.", ""), -3);
	h = metrics_histogram(m, "wait_seconds", "Wait.", "", times, ARRAY_SIZE(times));
	s = metrics_size_histogram(m, "batch_size", "Batch.", "kind=\"x\"", sizes, ARRAY_SIZE(sizes));
	metrics_callback(m, "depth", "Depth.", "gauge", two_lines, &depth);
	metric_inc(metrics_counter(m, "out_total", "ignored", "outcome=\"failed\""));
	metric_add(sent, 5);
	metric_observe(h, -1);
	metric_observe(h, 5000); /* a bound belongs to its own bucket */
	metric_observe(h, 5001);
	metric_observe(h, 3 * USEC_PER_SEC);
	metric_observe(s, 10);
	metric_observe(s, 11);

	metrics_render(m, &b);
	assert_string_equal(b.data, "# HELP out_total Out \\\\ of\\nhere.\n"
	                            "# TYPE out_total counter\n"
	                            "out_total{outcome=\"sent\"} 5\n"
	                            "out_total{outcome=\"failed\"} 1\n"
	                            "# HELP level Level.\n"
	                            "# TYPE level gauge\n"
	                            "level -3\n"
	                            "# HELP wait_seconds Wait.\n"
	                            "# TYPE wait_seconds histogram\n"
	                            "wait_seconds_bucket{le=\"0.005\"} 2\n"
	                            "wait_seconds_bucket{le=\"1\"} 3\n"
	                            "wait_seconds_bucket{le=\"2.5\"} 3\n"
	                            "wait_seconds_bucket{le=\"+Inf\"} 4\n"
	                            "wait_seconds_sum 3.010001\n"
	                            "wait_seconds_count 4\n"
	                            "# HELP batch_size Batch.\n"
	                            "# TYPE batch_size histogram\n"
	                            "batch_size_bucket{kind=\"x\",le=\"1\"} 0\n"
	                            "batch_size_bucket{kind=\"x\",le=\"10\"} 1\n"
	                            "batch_size_bucket{kind=\"x\",le=\"+Inf\"} 2\n"
	                            "batch_size_sum{kind=\"x\"} 21\n"
	                            "batch_size_count{kind=\"x\"} 2\n"
	                            "# HELP depth Depth.\n"
	                            "# TYPE depth gauge\n"
	                            "depth{queue=\"a\"} 1\n"
	                            "depth{queue=\"b\"} 2\n");
	buf_release(&b);
	metrics_free(m);
}

static void same_labels_are_the_same_object(void **state)
{
	static const usec_t bounds[] = {1000};
	struct metrics *m = metrics_new();
	char labels[] = "a=\"1\"";

	(void)state;
	metric_counter *first = metrics_counter(m, "x_total", "X.", labels);

	labels[3] = '2'; /* the registry has its own copy */
	assert_ptr_not_equal(metrics_counter(m, "x_total", "X.", labels), first);
	assert_ptr_equal(metrics_counter(m, "x_total", "X.", "a=\"1\""), first);
	assert_ptr_equal(metrics_histogram(m, "h", "H.", "", bounds, 1),
	                 metrics_histogram(m, "h", "H.", "", bounds, 1));
	metrics_free(m);
	metrics_free(NULL);
}

/* The value of a sample without labels. */
static double sample(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	/* behind HELP and TYPE */
	while (at && (at == text || at[-1] != '\n'))
		at = strstr(at + 1, name);
	assert_non_null(at);
	return strtod(at + strlen(name), NULL);
}

static void describes_the_process(void **state)
{
	struct metrics *m = metrics_new();
	struct buf b = BUF_INIT;
	double before;
	int fd;

	(void)state;
	metrics_add_process(m);
	metrics_render(m, &b);
	assert_true(sample(b.data, "process_cpu_seconds_total ") >= 0);
	assert_true(sample(b.data, "process_resident_memory_bytes ") > 100000);
	assert_true(sample(b.data, "process_max_fds ") >= 3);
	assert_true(sample(b.data, "process_start_time_seconds ") <= (double)clock_wall() / 1e6 + 1);
	assert_true(sample(b.data, "process_start_time_seconds ") > (double)clock_wall() / 1e6 - 3600);
	assert_non_null(strstr(b.data, "\nherald_build_info{version=\"" HERALD_VERSION "\"} 1\n"));
	before = sample(b.data, "process_open_fds ");

	fd = dup(0);
	if (fd < 0)
		fd = dup(1);
	assert_true(fd >= 0);
	buf_clear(&b);
	metrics_render(m, &b);
	assert_true(sample(b.data, "process_open_fds ") == before + 1);
	close(fd);
	buf_release(&b);
	metrics_free(m);
}

enum { WRITERS = 4, ROUNDS = 20000 };

struct shared {
	struct metrics *m;
	metric_counter *counter;
	struct metric_histogram *histogram;
};

static void *count(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		metric_inc(s->counter);
		metric_observe(s->histogram, i % 3 * USEC_PER_SEC);
		if (i % 1000 == 0)
			metric_inc(metrics_counter(s->m, "late_total", "Late.", i ? "a=\"1\"" : "a=\"0\""));
	}
	return NULL;
}

static void counts_from_many_threads_while_rendering(void **state)
{
	static const usec_t bounds[] = {0, USEC_PER_SEC};
	struct shared s = {.m = metrics_new()};
	struct buf b = BUF_INIT;
	pthread_t threads[WRITERS];

	(void)state;
	s.counter = metrics_counter(s.m, "n_total", "N.", "");
	s.histogram = metrics_histogram(s.m, "h_seconds", "H.", "", bounds, ARRAY_SIZE(bounds));
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(thread_start(&threads[i], "counter", count, &s, NULL), OK);
	for (int i = 0; i < 50; i++) {
		buf_clear(&b);
		metrics_render(s.m, &b);
		assert_true(sample(b.data, "h_seconds_count ") ==
		            sample(b.data, "h_seconds_bucket{le=\"+Inf\"} "));
	}
	for (int i = 0; i < WRITERS; i++)
		thread_join(threads[i]);
	buf_clear(&b);
	metrics_render(s.m, &b);
	assert_true(sample(b.data, "n_total ") == WRITERS * ROUNDS);
	assert_true(sample(b.data, "h_seconds_count ") == WRITERS * ROUNDS);
	assert_true(sample(b.data, "late_total{a=\"1\"} ") == WRITERS * (ROUNDS / 1000 - 1));
	assert_true(sample(b.data, "late_total{a=\"0\"} ") == WRITERS);
	buf_release(&b);
	metrics_free(s.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renders_families_in_order),
		cmocka_unit_test(same_labels_are_the_same_object),
		cmocka_unit_test(describes_the_process),
		cmocka_unit_test(counts_from_many_threads_while_rendering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
