#include "profile.h"

#include <string.h>

#include "alloc.h"
#include "attr.h"
#include "profile_worker.h"
#include "text.h"

#define PROFILE(symbol) extern const struct profile profile_##symbol;
#include "profiles.def"
#undef PROFILE

static const struct profile *const profiles[] = {
#define PROFILE(symbol) &profile_##symbol,
#include "profiles.def"
#undef PROFILE
};

const struct config_preset *const *profile_presets(void)
{
	static const struct config_preset *const presets[] = {
#define PROFILE(symbol) &profile_##symbol.preset,
#include "profiles.def"
#undef PROFILE
		NULL,
	};

	return presets;
}

const struct profile *profile_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
		if (text_equal(profiles[i]->preset.name, name))
			return profiles[i];
	return NULL;
}

const struct profile_context *profile_context(const struct request *r)
{
	return handler_profile(r);
}

static void write_document(const struct profile *p, const struct config *cfg, const struct profile_listener *only,
                           const char *version, struct buf *out);

/* The listener whose rows have this one; NULL: none in particular. */
static const struct profile_listener *listener_of(const struct profile *p, const struct route *route)
{
	for (size_t i = 0; i < p->listeners_n; i++)
		for (size_t n = 0; n < p->listeners[i].n; n++)
			if (p->listeners[i].rows[n].pattern == route->pattern)
				return &p->listeners[i];
	return NULL;
}

/* An explorer beside a listener's routes shows those: what the page asks for goes to where the page came from. */
enum handled profile_handle_document(struct request *r, struct store_session *c maybe_unused)
{
	const struct profile_context *x = profile_context(r);

	if (!handler_no_query(r))
		return HANDLED_DONE;
	r->answer.status = 200;
	write_document(x->profile, x->cfg, listener_of(x->profile, r->route), HERALD_VERSION, &r->answer.body);
	return HANDLED_DONE;
}

/* What every profile has. */
static const struct route common_rows[] = {
	PROFILE_ROUTE(GET, PROFILE_OPENAPI_PATH, profile_handle_document, OPEN, NONE, INLINE, "getProfileOpenApi", "Operation",
	              "The document of the profile's routes", NULL, NULL, 200, "OpenApi", "431"),
	/* The explorer shows what lies beside it. */
	PROFILE_EXPLORER_ROW("/swagger/openapi.json", profile_handle_document),
};

char *profile_messages_url(const struct profile *p, const struct config *cfg)
{
	const char *host = strstr(cfg->messages_url, "//"), *path = host ? strchr(host + 2, '/') : NULL;
	bool serves = false;

	for (size_t i = 0; p && i < p->listeners_n; i++)
		serves |= p->listeners[i].workers;
	if (!host || !serves || (path && path[1]))
		return xstrdup(cfg->messages_url);
	/* Nobody has said where it is: on this machine, at the port that both processes are told. */
	if (text_starts_with(cfg->origin[CONFIG_messages_url], "profile ") && cfg->server_port)
		return xasprintf("http://127.0.0.1:%d" PROFILE_WORKER_PATH, (int)cfg->server_port);
	return xasprintf("%.*s" PROFILE_WORKER_PATH,
	                 (int)(path ? path - cfg->messages_url : (ptrdiff_t)strlen(cfg->messages_url)),
	                 cfg->messages_url);
}

bool profile_is_open(const struct profile *p, const struct config *cfg)
{
	return p->open && cfg->profile_auth == CONFIG_PROFILE_OPEN;
}

static bool plays(const struct profile_listener *l, enum config_role role)
{
	return !l->roles || l->roles & 1U << role;
}

size_t profile_listen(const struct profile *p, const struct config *cfg,
                      struct route_source sources[PROFILE_SOURCES_MAX],
                      struct http_listener ret[PROFILE_LISTENERS_MAX])
{
	size_t n = 0, used = 0;

	for (size_t i = 0; i < p->listeners_n; i++) {
		const struct profile_listener *l = &p->listeners[i];

		if (!plays(l, cfg->role))
			continue;
		ret[n] = (struct http_listener){
			.port = (int)(l->second ? cfg->second_port : cfg->server_port),
			.routes = &sources[used],
			.routes_n = l->workers ? 3 : 2,
		};
		sources[used++] = (struct route_source){
			.rows = l->rows,
			.n = l->n,
			.open = profile_is_open(p, cfg),
			.cors = p->cors,
			.shape_error = p->shape_error,
		};
		sources[used++] = (struct route_source){.rows = common_rows, .n = ARRAY_SIZE(common_rows)};
		if (l->workers)
			sources[used++] = profile_worker_source(profile_is_open(p, cfg));
		n++;
	}
	return n;
}

static void write_document(const struct profile *p, const struct config *cfg, const struct profile_listener *only,
                           const char *version, struct buf *out)
{
	struct route_table all = {0};

	if (!p->schemas) {
		http_openapi(out, version);
		return;
	}
	for (size_t i = 0; i < p->listeners_n; i++) {
		const struct profile_listener *l = &p->listeners[i];

		if (only ? l == only : plays(l, cfg->role))
			route_table_add(&all, &(struct route_source){.rows = l->rows, .n = l->n});
	}
	http_openapi_of(out, &(struct http_document){
				     .title = p->title,
				     .version = version,
				     .summary = p->summary,
				     .routes = all.rows,
				     .routes_n = all.n,
				     .open = profile_is_open(p, cfg),
				     .schemas = p->schemas,
				     .schemas_len = p->schemas_len,
			     });
	route_table_release(&all);
}

void profile_openapi(const struct profile *p, const struct config *cfg, const char *version, struct buf *out)
{
	write_document(p, cfg, NULL, version, out);
}
