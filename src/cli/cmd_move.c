#include <inttypes.h>
#include <string.h>

#include "alloc.h"
#include "cmd.h"
#include "json_out.h"
#include "progress.h"
#include "url.h"

struct moving {
	bool quiet;
	bool begun, verifying;
	struct progress progress;
};

/* Each of the two steps has a bar of its own. */
static bool on_progress(void *arg, bool verifying, uint64_t done, uint64_t total)
{
	struct moving *m = arg;

	if (!m->begun || verifying != m->verifying) {
		progress_hide(&m->progress);
		progress_begin(&m->progress, m->quiet ? NULL : stderr, verifying ? "verifying" : "copying",
		               "records", total, clock_mono());
	}
	m->begun = true;
	m->verifying = verifying;
	progress_update(&m->progress, done, clock_mono());
	return !interrupt_seen();
}

static bool check_url(const struct cli *c, const char *flag, const char *url)
{
	struct error err = ERROR_INIT;
	struct url parts;

	if (url_parse(url, strlen(url), URL_DATABASE, &parts, &err) == OK)
		return true;
	cli_usage(c, "--%s: %s", flag, err.text);
	return false;
}

static int fail(const struct cli *c, const struct error *err)
{
	cli_fail(c, err);
	return err->code == ERR_CONFIG ? CLI_USAGE : CLI_FAILED;
}

static void print_result(const struct cli *c, const struct cli_move *m)
{
	struct buf text cleanup(buf_release) = BUF_INIT;
	struct json_out j = json_begin(&text);
	char checksum[20];
	size_t i;

	snprintf(checksum, sizeof(checksum), "%016" PRIx64, m->checksum);
	if (c->json) {
		json_open_object(&j);
		json_kv_int(&j, "messages", m->messages);
		json_kv_int(&j, "attempts", m->attempts);
		json_kv_int(&j, "runs", m->runs);
		json_kv_int(&j, "jobs", m->jobs);
		for (i = 0; m->counts[i].status; i++)
			json_kv_int(&j, m->counts[i].status, m->counts[i].n);
		json_kv_str(&j, "checksum", checksum);
		json_kv_bool(&j, "resumed", m->resumed);
		json_end(&j);
		printf("%s\n", text.data);
		return;
	}
	progress_number(&text, (uint64_t)m->messages);
	buf_addstr(&text, m->messages == 1 ? " message (" : " messages (");
	for (i = 0; m->counts[i].status; i++) {
		if (i)
			buf_addlit(&text, ", ");
		progress_number(&text, (uint64_t)m->counts[i].n);
		buf_addf(&text, " %s", m->counts[i].status);
	}
	buf_addlit(&text, "), ");
	progress_number(&text, (uint64_t)m->attempts);
	buf_addlit(&text, " attempts and ");
	progress_number(&text, (uint64_t)m->runs);
	printf("moved %s runs; both sides are the same (checksum %s)\n", text.data, checksum);
}

static int move_all(struct cli *c, const char *from, const char *to)
{
	struct moving moving = {.quiet = cli_flag(c, "quiet") != NULL};
	struct cli_move m = {.from = from, .to = to, .progress = on_progress, .arg = &moving};
	struct error err = ERROR_INIT;
	int rc;

	if (!to)
		return cli_usage(c, "--to is missing: where to move to");
	if (!check_url(c, "to", to))
		return CLI_USAGE;
	interrupt_watch();
	rc = c->host->move(&m, &err);
	progress_hide(&moving.progress);
	if (m.stopped) {
		cli_report(c, "interrupted; the same command goes on from here");
		return CLI_FAILED;
	}
	if (rc)
		return fail(c, &err);
	print_result(c, &m);
	return CLI_DONE;
}

static int release(struct cli *c, const char *url, const char *to)
{
	struct error err = ERROR_INIT;

	if (to)
		return cli_usage(c, "--release is about --from alone");
	if (c->host->move_release(url, &err) != OK)
		return fail(c, &err);
	puts(c->json ? "{\"released\": true}" : "released: servers may work with it again");
	return CLI_DONE;
}

int cmd_move(struct cli *c)
{
	char *given cleanup(free_ptr) = cli_take_secret(c, "from");
	char *to cleanup(free_ptr) = cli_take_secret(c, "to");
	const char *from = given ? given : c->cfg.database_url;

	if (!c->host->move || !c->host->move_release) {
		cli_report(c, "this build cannot do that");
		return CLI_FAILED;
	}
	if (!check_url(c, "from", from))
		return CLI_USAGE;
	return cli_flag(c, "release") ? release(c, from, to) : move_all(c, from, to);
}
