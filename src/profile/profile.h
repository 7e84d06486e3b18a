/*
 * Profiles: herald in the place of another system, so that its clients, environment files and dashboards need no
 * change. A profile is a description: routes, defaults, names under which it is configured, the shape of its
 * answers. It changes where herald starts from and adds routes; it takes nothing away. One is active at a time,
 * chosen by HERALD_PROFILE.
 *
 * How to write one (docs/profiles.md goes through it step by step): a file profile_NAME.c with a constant
 * `const struct profile profile_NAME`, an OpenAPI part NAME.json, a line in profiles.def, and the expectations in
 * tests/profiles/NAME.yaml.
 *
 *	- What is configured (preset) are ordinary options and names for them; see preset.h. Anything a profile
 *	  needs that no option can say becomes an option first, that any user can set.
 *	- What is answered are rows as in http/routes.def, written with PROFILE_ROUTE below, whose handlers are
 *	  in the same file. {id} in a pattern stands for a message id as a number, another {name} for any text:
 *	  r->path_text. A row with the method and path of one of herald's wins over it (PROFILE_ROUTE_BUT: but for herald's
 *	  own clients). Handlers have the tools of
 *	  handler.h and shape.h, and profile_context() for the configuration.
 *	- A row's access group (MESSAGES, SCHEDULER) is whose key closes it. With `open`, nobody is asked for a
 *	  key, as in the original, unless PROFILE_AUTH=required; herald warns at start.
 *	- Two listeners: the first is on SERVER_PORT, one with `second` on SERVER_SECOND_PORT, each in the roles it
 *	  names, with all of herald's own routes beside it. So a system of two services runs as one process, or
 *	  as two with --role api and --role worker. A process whose role leaves it one listener has that one.
 *
 * Everything here is constant, or called from main's thread; handlers run as http/route.h says.
 */
#ifndef HERALD_PROFILE_H
#define HERALD_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "adopt.h"
#include "config.h"
#include "handle_pages.h"
#include "handler.h"
#include "http.h"
#include "preset.h"
#include "route.h"

struct profile_listener {
	const struct route *rows;
	size_t n;
	bool second;    /* on SERVER_SECOND_PORT */
	unsigned roles; /* bits 1 << CONFIG_ROLE_…; 0: any */
	bool workers;   /* also what workers without the database need, below PROFILE_WORKER_PATH */
};
#define PROFILE_LISTENERS_MAX 2
#define PROFILE_WORKER_PATH "/profile/worker"
#define PROFILE_ROLES_API (1U << CONFIG_ROLE_ALL | 1U << CONFIG_ROLE_API)
#define PROFILE_ROLES_WORKER (1U << CONFIG_ROLE_ALL | 1U << CONFIG_ROLE_WORKER)

struct profile {
	struct config_preset preset; /* its name is the profile's */
	struct profile_listener listeners[PROFILE_LISTENERS_MAX];
	size_t listeners_n;
	bool open;                   /* the original asks nobody for a key */
	bool cors;                   /* any origin may use its routes */
	error_shape_fn *shape_error; /* NULL: herald's envelope */
	const struct adopt_map *adopt; /* where the original keeps its messages; NULL: nowhere that can be read */

	/* Of its OpenAPI document: {"components":{…},"tags":[…]} with the names that the rows use. */
	const char *title, *summary;
	const char *schemas;
	size_t schemas_len;
};

/* One row, with the arguments of ROUTE in http/routes.def. */
#define PROFILE_ROUTE(...) PROFILE_ROUTE_BUT(NULL, __VA_ARGS__)
/* One that hides a row of herald's own, but from requests with the query parameter `but`. */
#define PROFILE_ROUTE_BUT(but, m, path, handler, group, kind, where, op, t, sum, params, req, ok, resp, more) \
	{                                                                                                    \
		.method = METHOD_##m, .pattern = path, .handle = handler, .access = ACCESS_##group,          \
		.body = BODY_##kind, .place = PLACE_##where, .operation_id = op, .tag = t, .summary = sum,   \
		.parameters = params, .request = req, .success = ok, .response = resp, .answers = more,      \
		.leaves = but,                                                                               \
	}

/* The rows of an explorer at `place`, with the document of the profile's routes. */
#define PROFILE_EXPLORER_ROW(path, handler)                                                                  \
	PROFILE_ROUTE(GET, path, handler, OPEN, NONE, INLINE, NULL, NULL, NULL, NULL, NULL, 200, NULL, NULL)
#define PROFILE_EXPLORER(place)                                                                              \
	PROFILE_EXPLORER_ROW(place "/openapi.json", profile_handle_document),                                \
		PROFILE_EXPLORER_ROW(place, handle_explorer_folder),                                         \
		PROFILE_EXPLORER_ROW(place "/", handle_explorer),                                            \
		PROFILE_EXPLORER_ROW(place "/{file}", handle_explorer)
handler_fn profile_handle_document;

/* Ended by NULL, for config_load(). */
const struct config_preset *const *profile_presets(void);

/* NULL: none has that name ("" is no profile's). */
const struct profile *profile_find(const char *name);

/* What handlers may want to know; handed to http_options.profile, and must outlive the server. */
struct profile_context {
	const struct profile *profile;
	const struct config *cfg;
};
const struct profile_context *profile_context(const struct request *r);

#define PROFILE_SOURCES_MAX (3 * PROFILE_LISTENERS_MAX)

/* The listeners of http_options for cfg, by its role, ports and PROFILE_AUTH. `sources` is room for what they
 * point to, for as long as http_open() runs. Returns their number. */
size_t profile_listen(const struct profile *p, const struct config *cfg,
                      struct route_source sources[PROFILE_SOURCES_MAX],
                      struct http_listener ret[PROFILE_LISTENERS_MAX]);

/* MESSAGES_URL, made complete: one without a path, in a profile whose first service serves workers, means that
 * service's PROFILE_WORKER_PATH; one that is the profile's default has the port of SERVER_PORT. p may be NULL. The
 * caller frees. */
char *profile_messages_url(const struct profile *p, const struct config *cfg) __attribute__((returns_nonnull));

/* Whether its routes are open to everybody with this configuration. */
bool profile_is_open(const struct profile *p, const struct config *cfg);

/* The OpenAPI document of the profile's own routes in the configured role, which its servers have at
 * PROFILE_OPENAPI_PATH; of a profile without any, herald's. */
#define PROFILE_OPENAPI_PATH "/profile/openapi.json"
void profile_openapi(const struct profile *p, const struct config *cfg, const char *version, struct buf *out);

#endif
