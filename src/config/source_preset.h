/* The sources of settings that a preset brings (preset.h). Private to config/. */
#ifndef HERALD_SOURCE_PRESET_H
#define HERALD_SOURCE_PRESET_H

#include "preset.h"
#include "source.h"

/* NULL: there is none of that name. presets: ended by NULL; may be NULL. */
const struct config_preset *preset_find(const struct config_preset *const *presets, const char *name);

/* The variable of that name, or NULL. p may be NULL. */
const struct preset_name *preset_env_name(const struct config_preset *p, const char *name);

void source_preset_values(struct settings *s, const struct config_preset *p);

/* One value under a name of the preset's. Takes the origin. */
void source_preset_pair(struct settings *s, const struct preset_name *n, const char *text, char *origin,
                        struct config_errors *errs);

/* The text of the system's file; `json`: that, else YAML. */
void source_preset_text(struct settings *s, const struct config_preset *p, const char *file, bool json,
                        const char *text, size_t len, struct config_errors *errs);

#endif
