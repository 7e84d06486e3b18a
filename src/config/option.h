/* The table behind options.def, and the one place where the text of an option becomes its value and
 * back. Private to config/. Thread-safe: the table is constant. */
#ifndef HERALD_OPTION_H
#define HERALD_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "config.h"
#include "error.h"
#include "url.h"

enum option_type {
	OPTION_STRING,
	OPTION_PATH,
	OPTION_HTTP_URL,
	OPTION_DATABASE_URL,
	OPTION_REDIS_URL,
	OPTION_INT,
	OPTION_SIZE,
	OPTION_BOOL,
	OPTION_ENUM,
	OPTION_DURATION,
	OPTION_DURATIONS,
	OPTION_STATUS_SET,
	OPTION_KEYS,
	OPTION_SIGNING_KEYS,
	OPTION_MESSAGE_ID,
};

enum option_check {
	CHECK_TEXT, /* UTF-8 without control characters; holds for every STRING and PATH */
	CHECK_HOST,
	CHECK_HOST_OR_SOCKET, /* or the absolute path of a socket directory */
	CHECK_TOKEN,        /* visible ASCII */
	CHECK_HEADER_VALUE, /* visible ASCII with single spaces within */
	CHECK_PATTERN,      /* a POSIX extended regular expression */
};

struct option {
	enum option_type type;
	size_t offset; /* of the field in struct config */
	const char *env;
	const char *yaml;     /* "section.key"; NULL: has no place in a YAML file */
	const char *fallback; /* the default, as text; when empty, the value may be empty */
	const char *flag;       /* instead of the environment name in kebab-case */
	const char *short_flag; /* in addition */
	const char *alias;      /* second environment name; its flag follows from it */
	const char *alias_yaml;
	usec_t unit;       /* what a bare number counts under `env` and `yaml`; 0: refused */
	usec_t alias_unit; /* under the alias names */
	int64_t min, max;  /* texts: bytes, max 0 for none */
	bool zero;         /* 0 is allowed outside [min, max] too */
	const char *allowed; /* words separated by single spaces */
	bool secret;
	const char *part_of; /* the URL that is composed of this and others */
	enum option_check check;
	const char *help;
};

extern const struct option options[CONFIG_COUNT];

/* options.def in its order, for people: a section's heading or an option. */
struct option_row {
	const char *section; /* NULL: an option */
	const char *title, *intro;
	enum config_id id;
};
extern const struct option_row option_rows[];
extern const size_t option_row_count;

#define OPTION_MASK URL_MASK

static inline usec_t option_unit(const struct option *o, bool alias)
{
	return alias ? o->alias_unit : o->unit;
}

/*
 * Parses and checks the text, and puts the value into cfg in place of what is there. unit: microseconds
 * that a bare number of a DURATION counts, or 0. Otherwise ERR_INVALID with a text like `"x" is not a
 * whole number`, which quotes no secret; cfg is unchanged.
 */
must_check int option_parse(const struct option *o, struct config *cfg, const char *text, size_t len,
                            usec_t unit, struct error *err);

/* Appends the value in its canonical form, secrets included: equal values give equal text. */
void option_format(const struct option *o, const struct config *cfg, struct buf *out);

/* As option_format, with secrets and passwords in URLs masked. */
void option_show(const struct option *o, const struct config *cfg, struct buf *out);

/* "0 to 65535", "all, api or worker", ... */
void option_allowed(const struct option *o, struct buf *out);

void option_release(const struct option *o, struct config *cfg);

/* Whether secrets of this option may be given as a flag. Anyone on the machine can read a process's
 * arguments until they are overwritten, so only the client's key may: it is short-lived. */
bool option_flag_allowed(const struct option *o);

/* Appends the flag of the option's main or alias name, without "--". */
void option_flag(const struct option *o, bool alias, struct buf *out);

/* What stands for a value in help: "URL", "N", …; "" for a switch. */
const char *option_word(const struct option *o);

/* Find an option by a name of one kind; ret_alias tells which of its names it was. */
must_check bool option_by_env(const char *name, enum config_id *ret, bool *ret_alias);
must_check bool option_by_yaml(const char *key, enum config_id *ret, bool *ret_alias);
must_check bool option_by_flag(const char *name, enum config_id *ret, bool *ret_alias);
bool option_section_exists(const char *name);

#endif
