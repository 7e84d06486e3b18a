/*
 * Reads the subset of YAML that a configuration needs: one document, a mapping of keys to scalars or to
 * sections, a section being a mapping of keys to scalars; where a scalar may stand, a list of scalars may
 * too. No anchors, aliases or merges: they only hide where a value comes from. Private to config/.
 */
#ifndef HERALD_YAML_FILE_H
#define HERALD_YAML_FILE_H

#include <stddef.h>

struct yaml_handler {
	/* section is NULL at the top. value: the scalar's text, or a list's items joined with commas;
	 * empty for null. NUL-terminated (and free of other NULs); gone after the call. */
	void (*pair)(void *arg, size_t line, const char *section, const char *key, const char *value);
	void (*section)(void *arg, size_t line, const char *name); /* a mapping below `name` begins */
	void (*error)(void *arg, size_t line, const char *what);   /* the rest is not read */
	void *arg;
};

void yaml_file_parse(const char *text, size_t len, const struct yaml_handler *h);

#endif
