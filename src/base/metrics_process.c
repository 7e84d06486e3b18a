#include "metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* What is read here comes from /proc; where that is not mounted, the sample is left out, not guessed. */

/* Reads a short file; false when there is none. */
static bool read_file(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, ret, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	ret[n] = '\0';
	return true;
}

/* Field number n (from 1) of text separated by single spaces, as a number. */
static bool number_field(const char *text, int n, uint64_t *ret)
{
	char *end;

	while (--n) {
		text = strchr(text, ' ');
		if (!text)
			return false;
		text++;
	}
	*ret = strtoull(text, &end, 10);
	return end != text;
}

static void cpu_seconds(struct buf *out, void *arg)
{
	struct rusage use;

	(void)arg;
	getrusage(RUSAGE_SELF, &use);
	buf_addf(out, "process_cpu_seconds_total %.6f\n",
	         (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / (double)USEC_PER_SEC);
}

static void resident_memory(struct buf *out, void *arg)
{
	uint64_t pages;
	char text[256];

	(void)arg;
	if (!read_file("/proc/self/statm", text, sizeof(text)) || !number_field(text, 2, &pages))
		return;
	buf_addlit(out, "process_resident_memory_bytes ");
	buf_addu64(out, pages * (uint64_t)sysconf(_SC_PAGESIZE));
	buf_addch(out, '\n');
}

static void open_fds(struct buf *out, void *arg)
{
	const struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	int64_t n = -1; /* the one that reads the directory */

	(void)arg;
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	buf_addlit(out, "process_open_fds ");
	buf_addi64(out, n);
	buf_addch(out, '\n');
}

static void max_fds(struct buf *out, void *arg)
{
	struct rlimit limit;

	(void)arg;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	buf_addlit(out, "process_max_fds ");
	if (limit.rlim_cur == RLIM_INFINITY)
		buf_addlit(out, "+Inf");
	else
		buf_addu64(out, limit.rlim_cur);
	buf_addch(out, '\n');
}

/*
 * The kernel tells the start in ticks since boot; what "now" is since boot turns it into a date. Asked
 * once: computed anew, it would wander with the clock, and a start that changes means a restart.
 */
static bool start_time(int64_t *ret)
{
	char text[1024], *after_name;
	struct timespec boot;
	uint64_t ticks;
	usec_t age;

	if (!read_file("/proc/self/stat", text, sizeof(text)))
		return false;
	/* The second field is the program's name in brackets, which may itself hold any of these. */
	after_name = strrchr(text, ')');
	if (!after_name || !number_field(after_name, 21, &ticks) || clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
		return false;
	age = boot.tv_sec - (int64_t)(ticks / (uint64_t)sysconf(_SC_CLK_TCK));
	*ret = clock_wall() / USEC_PER_SEC - age;
	return true;
}

void metrics_add_process(struct metrics *m)
{
	int64_t start;

	metrics_callback(m, "process_cpu_seconds_total", "User and system CPU time spent, in seconds.",
	                 "counter", cpu_seconds, NULL);
	metrics_callback(m, "process_resident_memory_bytes", "Resident memory, in bytes.", "gauge",
	                 resident_memory, NULL);
	metrics_callback(m, "process_open_fds", "Open file descriptors.", "gauge", open_fds, NULL);
	metrics_callback(m, "process_max_fds", "Most file descriptors that may be open.", "gauge", max_fds,
	                 NULL);
	if (start_time(&start))
		metric_set(metrics_gauge(m, "process_start_time_seconds",
		                         "Start of the process, in Unix time.", ""),
		           start);
	metric_set(metrics_gauge(m, "herald_build_info", "1, labelled with the version that runs.",
	                         "version=\"" HERALD_VERSION "\""),
	           1);
}
