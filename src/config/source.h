/*
 * The sources of settings. Each reads its syntax, knows which foreign names it must tolerate, and yields
 * a list of settings; values are checked later, when the lists are applied in order. Private to config/.
 */
#ifndef HERALD_SOURCE_H
#define HERALD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

/* In the order of strength. */
enum layer {
	LAYER_DEFAULT,
	LAYER_PRESET,
	LAYER_PRESET_FILE,
	LAYER_YAML,
	LAYER_DOTENV,
	LAYER_ENVIRON,
	LAYER_FLAG,
};
#define LAYER_COUNT (LAYER_FLAG + 1)

struct config_preset;

struct setting {
	enum config_id id;
	bool alias; /* given under the option's second name */
	const char *name; /* given under this name of a preset's; NULL: under one of the option's */
	usec_t unit;      /* with name: what a bare number of a duration counts */
	char *text;
	size_t len;
	char *origin;
};

struct settings {
	size_t n, cap;
	struct setting *at;
};

/* Takes a copy of text, and the origin itself. */
void settings_add(struct settings *s, enum config_id id, bool alias, const char *text, size_t len,
                  char *origin);
void settings_release(struct settings *s); /* wipes the texts */

/* file: the name under which it is shown. */
void source_yaml(struct settings *s, const char *file, const char *text, size_t len,
                 struct config_errors *errs);
/* p: whose names stand beside the options' own; NULL: nobody's. */
void source_dotenv(struct settings *s, const struct config_preset *p, const char *file, const char *text,
                   size_t len, struct config_errors *errs);
void source_environ(struct settings *s, const struct config_preset *p, char *const *env,
                    struct config_errors *errs);
/* Compacts the arguments and overwrites secrets in them, as config.h says. */
void source_flags(struct settings *s, struct config_sources *src, struct config_errors *errs);

/* Applies the lists (LAYER_COUNT places, by layer), completes and cross-checks: config_load() without the files. */
must_check int config_apply(struct config *ret, const struct settings *layers, const char *host_name,
                            struct config_errors *errs);

/* What is known of each option once all lists are applied; input of config_check(). */
struct applied {
	enum layer layer[CONFIG_COUNT]; /* where its value comes from */
	bool filled[CONFIG_COUNT];      /* set by someone to a text that is not empty */
	bool faulty[CONFIG_COUNT];      /* has an error of its own: nothing may be concluded from it */
};

/* Composes URLs of their parts, puts effective values in place of "0 or empty means", and finds
 * contradictions between options. */
void config_complete(struct config *cfg, const struct applied *a, const char *host_name,
                     struct config_errors *errs);

#endif
