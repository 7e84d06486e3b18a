/*
 * What the store costs per message: fills a store, then claims and settles a part of it in batches.
 *
 *	store_bench URL [ROWS [BATCH [WORK [KEYS [SINGLES]]]]]
 *
 * ROWS messages are inserted (default 100,000; in calls of 5000), unless the store has as many pending.
 * WORK of them are claimed and settled as sent, BATCH at a time. KEYS=1 gives every message an
 * idempotency key, in ascending order. At last SINGLES messages are stored one by one through the writer,
 * with 64 under way at any time.
 */
#include <inttypes.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "store.h"
#include "writer.h"

#define INSERT_BATCH 5000

static void must(int rc, const struct error *err)
{
	if (!rc)
		return;
	fprintf(stderr, "store_bench: %s\n", err->text);
	exit(1);
}

static int64_t number(int argc, char **argv, int i, int64_t otherwise)
{
	return i < argc ? strtoll(argv[i], NULL, 10) : otherwise;
}

static void insert(struct store_session *c, int64_t rows, bool keys, struct error *err)
{
	struct message_draft *drafts = xcalloc(INSERT_BATCH, sizeof(*drafts));
	char(*key)[32] = xcalloc(INSERT_BATCH, sizeof(*key));
	struct insert_group group = {.drafts = drafts};
	usec_t start = clock_mono(), spent;
	int64_t done, i;

	for (done = 0; done < rows; done += (int64_t)group.n) {
		group.n = (size_t)MIN_OF(rows - done, INSERT_BATCH);
		for (i = 0; i < (int64_t)group.n; i++) {
			snprintf(key[i], sizeof(key[i]), "key-%012" PRId64, done + i);
			drafts[i] = (struct message_draft){
				.phone = "+905551234567",
				.content = "Your code is 123456. Do not give it to anybody.",
				.idempotency_key = keys ? key[i] : NULL,
			};
		}
		must(store_insert(c, &group, 1, err), err);
	}
	spent = clock_mono() - start;
	printf("insert  %9" PRId64 " rows  %6.2f us each  %8.0f/s\n", rows,
	       (double)spent / (double)rows, (double)rows * 1e6 / (double)spent);
	free(drafts);
	free(key);
}

static void drain(struct store_session *c, int64_t work, uint32_t batch, struct error *err)
{
	const struct claim_request request = {
		.node = "bench",
		.owner = "bench/1",
		.want = batch,
		.lease = USEC_PER_MINUTE,
	};
	struct settlement *s = xcalloc(batch, sizeof(*s));
	struct settle_result result;
	struct claim_batch b;
	usec_t claim = 0, settle = 0, start;
	int64_t done = 0;
	size_t i;

	while (done < work) {
		start = clock_mono();
		must(store_claim(c, &request, &b, err), err);
		claim += clock_mono() - start;
		if (!b.n)
			break;
		for (i = 0; i < b.n; i++)
			s[i] = (struct settlement){
				.id = b.items[i].id,
				.fence = b.items[i].fence,
				.run = b.run,
				.attempt = b.items[i].attempt,
				.verdict = VERDICT_SENT,
				.http_status = 202,
				.started_at = b.now,
				.duration = 1234,
				.message_id = "67f2f8a8-ea58-4ed0-a6f9-ff217d4d8490",
			};
		start = clock_mono();
		must(store_settle(c, s, b.n, &result, err), err);
		settle += clock_mono() - start;
		done += (int64_t)b.n;
		claim_batch_release(&b);
	}
	if (done)
		printf("claim   %9" PRId64 " rows  %6.2f us each\nsettle  %9" PRId64
		       " rows  %6.2f us each\nboth                    %6.2f us each\n",
		       done, (double)claim / (double)done, done, (double)settle / (double)done,
		       (double)(claim + settle) / (double)done);
	free(s);
}

struct single {
	struct insert_job job;
	struct message_draft draft;
};

static struct {
	struct writer *writer;
	_Atomic int64_t left;
	sem_t idle;
} singles;

/* On the writer's thread: what is answered is submitted anew. */
static void single_done(struct insert_job *job, int code, const struct error *err)
{
	must(code, err);
	if (atomic_fetch_sub(&singles.left, 1) <= 0 || !writer_submit(singles.writer, job))
		sem_post(&singles.idle);
}

static void insert_singles(struct store *s, int64_t n, struct error *err)
{
	static struct single single[64];
	usec_t start = clock_mono(), spent;
	size_t i;

	must(writer_start(&singles.writer, s, 1000, err), err);
	atomic_store(&singles.left, n);
	sem_init(&singles.idle, 0, 0);
	for (i = 0; i < ARRAY_SIZE(single); i++) {
		single[i].draft = (struct message_draft){.phone = "+905551234567",
		                                         .content = "Your code is 123456."};
		single[i].job = (struct insert_job){.group = {.drafts = &single[i].draft, .n = 1},
		                                    .done = single_done};
		if (!writer_submit(singles.writer, &single[i].job))
			abort();
	}
	for (i = 0; i < ARRAY_SIZE(single); i++)
		while (sem_wait(&singles.idle))
			;
	spent = clock_mono() - start;
	printf("single  %9" PRId64 " rows  %6.2f us each  %8.0f/s\n", n, (double)spent / (double)n,
	       (double)n * 1e6 / (double)spent);
	writer_stop(singles.writer);
	sem_destroy(&singles.idle);
}

static void print_memory(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "VmHWM:", 6) || !strncmp(line, "VmRSS:", 6))
			fputs(line, stdout);
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct store_options options = {.url = argc > 1 ? argv[1] : "memory:"};
	const struct scheduler_defaults defaults = {.auto_start = true, .interval = 0, .batch = 1};
	int64_t rows = number(argc, argv, 2, 100000), batch = number(argc, argv, 3, 500),
		work = number(argc, argv, 4, rows);
	struct error err = ERROR_INIT;
	struct scheduler scheduler;
	struct store_counts counts;
	struct store_session *c;
	struct store *s;
	usec_t start = clock_mono();

	must(store_open(&s, &options, &err), &err);
	must(store_session_open(s, &c, &err), &err);
	must(store_scheduler_init(c, &defaults, &scheduler, &err), &err);
	must(store_counts(c, &counts, &err), &err);
	printf("open    %6.2f ms\n", (double)(clock_mono() - start) / 1000);
	rows -= counts.by_status[MESSAGE_PENDING];
	if (rows > 0)
		insert(c, rows, number(argc, argv, 5, 0) != 0, &err);
	drain(c, work, (uint32_t)batch, &err);
	if (number(argc, argv, 6, 0) > 0)
		insert_singles(s, number(argc, argv, 6, 0), &err);
	print_memory();
	store_session_close(c);
	start = clock_mono();
	store_close(s);
	printf("close   %6.2f ms\n", (double)(clock_mono() - start) / 1000);
	return 0;
}
