/*
 * The composition root: hands the command line the parts that it may not know itself.
 */
#include "adopt.h"
#include "cli.h"
#include "http.h"
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

static int adopt_from(const struct config *cfg, const char *from, const struct cli_adopt_watch *watch,
                      struct cli_adoption *ret, struct error *err)
{
	struct store_options store_options = {.url = cfg->database_url};
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
		.presets = profile_presets(), .serve = serve, .migrate = migrate, .adopt = adopt_from, .openapi = openapi};

	return cli_main(argc, argv, &host);
}
