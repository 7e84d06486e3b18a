/*
 * The composition root: hands the command line the parts that it may not know itself.
 */
#include <assert.h>

#include "adopt.h"
#include "cli.h"
#include "http.h"
#include "move.h"
#include "profile.h"
#include "serve.h"
#include "store.h"
#include "url.h"

static int migrate(const struct config *cfg, struct cli_migration *ret, struct error *err)
{
	struct store_options options = {.url = cfg->database_url};
	struct buf shown cleanup(buf_release) = BUF_INIT;
	struct store *store;
	int rc;

	rc = store_open(&store, &options, err);
	if (rc)
		return rc;
	url_redact(&shown, cfg->database_url, strlen(cfg->database_url));
	snprintf(ret->store, sizeof(ret->store), "%s", shown.data);
	store_schema(store, &ret->found, &ret->current);
	store_close(store);
	return OK;
}

/* Not what is being moved elsewhere, or has been. */
static int fit_for_use(struct store *store maybe_unused, struct store_session *c, void *arg maybe_unused,
                       struct error *err)
{
	return move_check(c, err);
}

static int adopt_from(const struct config *cfg, const char *from, const struct cli_adopt_watch *watch,
                      struct cli_adoption *ret, struct error *err)
{
	struct store_options store_options = {.url = cfg->database_url, .on_open = fit_for_use};
	struct adopt_options options = {
		.profile = profile_find(cfg->profile),
		.from = from,
		.progress = watch->progress,
		.left_out = watch->left_out,
		.stop = watch->stop,
		.arg = watch->arg,
	};
	struct adopt_result result;
	int rc = store_open(&options.store, &store_options, err);

	if (rc)
		return rc;
	rc = adopt(&options, &result, err);
	ret->adopted = result.adopted;
	ret->known = result.known;
	ret->left_out = result.left_out;
	store_close(options.store);
	return rc;
}

static bool move_progress(void *arg, enum move_step step, uint64_t done, uint64_t total)
{
	const struct cli_move *m = arg;

	return m->progress(m->arg, step == MOVE_VERIFY, done, total);
}

static int move(struct cli_move *m, struct error *err)
{
	struct buf from cleanup(buf_release) = BUF_INIT, to cleanup(buf_release) = BUF_INIT;
	struct move_options options = {
		.from = m->from, .to = m->to, .progress = move_progress, .arg = m};
	struct move_result result;
	int rc, i;

	static_assert(MESSAGE_STATUS_COUNT < ARRAY_SIZE(m->counts), "all statuses fit");
	url_redact(&from, m->from, strlen(m->from));
	url_redact(&to, m->to, strlen(m->to));
	options.from_shown = from.data;
	options.to_shown = to.data;
	rc = move_run(&options, &result, &m->stopped, err);
	if (rc)
		return rc;
	m->resumed = result.resumed;
	m->messages = result.messages;
	m->attempts = result.attempts;
	m->runs = result.runs;
	m->jobs = result.jobs;
	m->checksum = result.checksum;
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++) {
		m->counts[i].status = message_status_name((enum message_status)i);
		m->counts[i].n = result.by_status[i];
	}
	return OK;
}

static int release(const char *url, struct error *err)
{
	struct buf shown cleanup(buf_release) = BUF_INIT;

	url_redact(&shown, url, strlen(url));
	return move_release(url, shown.data, err);
}

/* With a profile, the document of its routes: herald's own is had without. */
static int openapi(const struct config *cfg, struct buf *out, struct error *err maybe_unused)
{
	const struct profile *p = profile_find(cfg->profile);

	if (p)
		profile_openapi(p, cfg, HERALD_VERSION, out);
	else
		http_openapi(out, HERALD_VERSION);
	return OK;
}

int main(int argc, char **argv)
{
	const struct cli_host host = {
		.presets = profile_presets(),
		.serve = serve,
		.migrate = migrate,
		.adopt = adopt_from,
		.move = move,
		.move_release = release,
		.openapi = openapi,
	};

	return cli_main(argc, argv, &host);
}
