/*
 * The composition root: hands the command line the parts that it may not know itself.
 */
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
		.presets = profile_presets(), .serve = serve, .migrate = migrate, .openapi = openapi};

	return cli_main(argc, argv, &host);
}
