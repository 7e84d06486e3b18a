#include <string.h>

#include "progress.h"
#include "text.h"
#include "upload.h"
#include "view.h"

struct seed {
	struct cli *cli;
	struct upload *upload;
	struct progress progress;
};

static bool on_tick(void *arg)
{
	struct seed *s = arg;

	progress_update(&s->progress, upload_counts(s->upload)->done, clock_mono());
	return !interrupt_seen();
}

static void on_notice(void *arg, const char *text)
{
	struct seed *s = arg;

	progress_hide(&s->progress);
	cli_report(s->cli, "%s", text);
}

static void on_refused(void *arg, uint64_t line, const char *why)
{
	struct seed *s = arg;

	progress_hide(&s->progress);
	cli_report(s->cli, "message %llu: %s", (unsigned long long)line, why);
}

/* Keys hold a random name for this call, so that a batch may be repeated, and another call makes others. */
static void add_message(struct buf *out, const char *name, uint64_t i)
{
	buf_addf(out, "{\"phoneNumber\":\"+905%09llu\",\"content\":\"This is message number %llu\","
	         "\"idempotencyKey\":\"seed:%s:%08llx\"}\n",
	         (unsigned long long)(random_u64() % 1000000000), (unsigned long long)i, name,
	         (unsigned long long)i);
}

static int send_messages(struct seed *s, uint64_t count, struct error *err)
{
	struct upload_batch *batch;
	unsigned char bytes[8];
	char name[2 * sizeof(bytes) + 1];
	int code;

	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), name);
	for (uint64_t i = 1; i <= count;) {
		code = upload_take(s->upload, &batch, err);
		if (code != OK)
			return code;
		for (; i <= count && !upload_full(batch); i++) {
			add_message(&batch->body, name, i);
			upload_add(batch, i);
		}
		upload_submit(s->upload, batch);
	}
	return upload_finish(s->upload, err);
}

int cmd_seed(struct cli *c)
{
	struct seed s = {.cli = c};
	struct upload_options options = {
		.refused = on_refused, .notice = on_notice, .tick = on_tick, .arg = &s,
	};
	struct upload_counts counts;
	struct error err = ERROR_INIT;
	struct api *api;
	int64_t count, batch;
	int result = CLI_DONE;

	if (!cli_flag_int(c, "count", 1, 100000000, 10, &count) ||
	    !cli_flag_int(c, "batch", 1, 10000, 5000, &batch))
		return CLI_USAGE;
	if (!view_open(c, &api))
		return CLI_USAGE;
	options.batch_rows = (size_t)batch;
	s.upload = upload_open(api, &options);
	progress_begin(&s.progress, cli_flag(c, "quiet") ? NULL : stderr, "creating", "messages",
	               (uint64_t)count, clock_mono());
	interrupt_watch();
	if (send_messages(&s, (uint64_t)count, &err) != OK)
		result = cli_fail(c, &err);
	progress_hide(&s.progress);
	counts = *upload_counts(s.upload);
	if (c->json)
		printf("{\"created\": %llu}\n", (unsigned long long)counts.created);
	else
		printf("created %llu message%s\n", (unsigned long long)counts.created,
		       counts.created == 1 ? "" : "s");
	upload_close(s.upload);
	api_close(api);
	return result;
}
