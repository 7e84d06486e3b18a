#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "clock.h"
#include "cmd.h"
#include "progress.h"

struct watch {
	struct cli *c;
	struct progress progress;
	bool begun;
};

static void show(void *arg, uint64_t done, uint64_t total)
{
	struct watch *w = arg;
	usec_t now = clock_mono();

	if (!w->begun)
		progress_begin(&w->progress, cli_flag(w->c, "quiet") ? NULL : stderr, "adopting", "rows", total, now);
	w->begun = true;
	progress_update(&w->progress, done, now);
}

static void name_left_out(void *arg, const char *id, const char *why)
{
	struct watch *w = arg;
	struct buf shown = BUF_INIT;

	if (w->begun)
		progress_hide(&w->progress);
	clean_text(&shown, id, strlen(id));
	cli_report(w->c, "row %s is left out: %s", shown.data, why);
	buf_release(&shown);
}

static bool stopped(void *arg maybe_unused)
{
	return interrupt_seen();
}

static void print(const struct cli *c, const struct cli_adoption *a)
{
	if (c->json) {
		json_t *value = json_pack("{s:I,s:I,s:I}", "adopted", (json_int_t)a->adopted,
		                          "known", (json_int_t)a->known, "leftOut", (json_int_t)a->left_out);

		cli_print_json(value);
		json_decref(value);
		return;
	}
	printf("adopted %llu messages; %llu had been adopted before, %llu were left out\n",
	       (unsigned long long)a->adopted, (unsigned long long)a->known, (unsigned long long)a->left_out);
}

int cmd_adopt(struct cli *c)
{
	struct watch w = {.c = c};
	const struct cli_adopt_watch watch = {show, name_left_out, stopped, &w};
	struct cli_adoption done = {0};
	struct error err = ERROR_INIT;
	char *from;
	int rc;

	if (!cli_flag(c, "from"))
		return cli_usage(c, "--from is missing: the database of the original");
	if (!*c->cfg.profile)
		return cli_usage(c, "--profile is missing: which system it is that the messages come from");
	if (!c->host->adopt) {
		cli_report(c, "this build cannot adopt");
		return CLI_FAILED;
	}
	from = cli_take_secret(c, "from");
	interrupt_watch();
	rc = c->host->adopt(&c->cfg, from, &watch, &done, &err);
	free(from);
	if (w.begun)
		progress_hide(&w.progress);
	if (rc && !done.adopted && !done.known)
		return cli_fail(c, &err);
	print(c, &done);
	if (rc)
		return cli_fail(c, &err);
	return done.left_out ? CLI_FAILED : CLI_DONE;
}
