/*
 * Configuration: one struct of checked, typed values, loaded once at start and then read-only (so it
 * may be shared by all threads). The options themselves are listed in options.def.
 *
 * Sources, weakest first: defaults, those of a preset (--profile or HERALD_PROFILE, preset.h) and its own
 * configuration file, the YAML file (--config or HERALD_CONFIG), .env in the working directory, the
 * environment, flags. Loading takes everything it reads as arguments and reports all
 * problems at once, each as one line that names the key, its origin and what is allowed. Secret values
 * never occur in those lines, nor in anything printed here.
 */
#ifndef HERALD_CONFIG_H
#define HERALD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "buf.h"
#include "clock.h"
#include "log.h"
#include "values.h"

enum config_role { CONFIG_ROLE_ALL, CONFIG_ROLE_API, CONFIG_ROLE_WORKER };
enum config_order { CONFIG_ORDER_FIFO, CONFIG_ORDER_LIFO };
enum config_cache_layout { CONFIG_CACHE_STRING, CONFIG_CACHE_LIST };
enum config_invalid { CONFIG_INVALID_REJECT, CONFIG_INVALID_PARK };
enum config_id_format { CONFIG_ID_NUMBER, CONFIG_ID_UUID };
enum config_first_run { CONFIG_FIRST_AT_ONCE, CONFIG_FIRST_AFTER_INTERVAL };
enum config_pacing { CONFIG_PACING_SHARED, CONFIG_PACING_FREE };
enum config_delivery { CONFIG_DELIVERY_AT_LEAST_ONCE, CONFIG_DELIVERY_STRICT };
enum config_profile_auth { CONFIG_PROFILE_OPEN, CONFIG_PROFILE_REQUIRED };

/* CONFIG_server_host, CONFIG_server_port, ... in the order of options.def. */
enum config_id {
#define OPTION(type, field, ...) CONFIG_##field,
#include "options.def"
	CONFIG_COUNT
};

#define CONFIG_CTYPE_STRING char *
#define CONFIG_CTYPE_PATH char *
#define CONFIG_CTYPE_HTTP_URL char *
#define CONFIG_CTYPE_DATABASE_URL char *
#define CONFIG_CTYPE_REDIS_URL char *
#define CONFIG_CTYPE_INT int64_t
#define CONFIG_CTYPE_SIZE int64_t
#define CONFIG_CTYPE_BOOL bool
#define CONFIG_CTYPE_DURATION usec_t
#define CONFIG_CTYPE_DURATIONS struct duration_list
#define CONFIG_CTYPE_STATUS_SET struct status_set
#define CONFIG_CTYPE_KEYS struct config_list
#define CONFIG_CTYPE_SIGNING_KEYS char *
#define CONFIG_CTYPE_MESSAGE_ID char *

/*
 * The fields are those of options.def, e.g. char *server_host; int64_t server_port; enum config_role
 * role; usec_t webhook_timeout. Strings are owned by the struct and never NULL (empty = not set).
 * config_load() puts effective values in place of these "0 or empty means": lease_duration,
 * shutdown_timeout, node_id, client_url (stays empty when server_port is 0), and database_url and
 * redis_url when composed of their parts. api_threads stays 0 for "one per core".
 */
struct config {
#define OPTION(type, field, ...) CONFIG_CTYPE_##type field;
#define ENUM(tag, field, ...) enum tag field;
#include "options.def"
	char *origin[CONFIG_COUNT]; /* "default", "profile NAME", "herald.yaml:12", ".env:3", "env NAME", "flag --port" */
};

/* Lines for the operator, without newline. */
struct config_errors {
	size_t n;
	char **line;
	size_t dropped; /* beyond CONFIG_ERRORS_MAX lines, which are not kept */
};
#define CONFIG_ERRORS_MAX 100
#define CONFIG_ERRORS_INIT {0}

void config_errors_add(struct config_errors *errs, const char *fmt, ...) printf_like(2, 3);
void config_errors_release(struct config_errors *errs);

/* A flag that belongs to the command and not to the configuration, without its leading "--". */
struct config_flag {
	const char *name;
	bool takes_value; /* "--name VALUE" or "--name=VALUE" */
};

struct config_preset;

struct config_sources {
	/*
	 * The arguments behind the command's name. Flags that are options ("--port 8080", "--port=8080",
	 * "--seed-data", "--no-seed-data") are consumed; argv is compacted in place, argc lowered, and
	 * argv[argc] set to NULL: there must be room for it, as there is in main()'s argv. What
	 * remains, in order: positional arguments, the command's own flags with their values, "--" and
	 * all behind it, and anything with a single dash. Bytes of secrets are overwritten with '*' in
	 * the strings themselves, so that they leave the process title.
	 */
	int argc;
	char **argv;
	/* Ended by name == NULL; may be NULL. These win over options of the same name (`sink --port`). An
	 * unknown flag is an error that suggests the closest known one. */
	const struct config_flag *command_flags;

	/* What HERALD_PROFILE may name, ended by NULL; may be NULL. */
	const struct config_preset *const *presets;

	char *const *environ; /* "NAME=value", ended by NULL; may be NULL */
	const char *dir;      /* where .env and relative paths of --config are looked up; NULL: "." */
	const char *host_name; /* for an empty NODE_ID; NULL: gethostname(2) */
};

/*
 * OK, with *ret filled (release it), or ERR_CONFIG with at least one line in errs and *ret untouched.
 * src->argc and argv change in either case.
 */
must_check int config_load(struct config *ret, struct config_sources *src, struct config_errors *errs);
void config_release(struct config *cfg); /* frees and wipes; a zeroed struct is fine */

/* What `serve` needs beyond a valid configuration: a webhook URL unless the role is api. */
must_check int config_check_serve(const struct config *cfg, struct config_errors *errs);

/* The key a client presents: HERALD_API_KEY, else the first of the group; NULL when there is none.
 * Valid while cfg is. */
enum config_group { CONFIG_GROUP_MESSAGES, CONFIG_GROUP_SCHEDULER };
const char *config_client_key(const struct config *cfg, enum config_group group);

/* Value and origin of every option: aligned columns, or one JSON object of
 * "NAME": {"value": ..., "origin": "..."}. Secrets that are set appear as ********, passwords in URLs
 * too. */
void config_print(const struct config *cfg, struct buf *out, bool json);

/* A flag that sets an option, for shell completion. Texts live as long as the call. */
struct config_flag_info {
	const char *flag;  /* without "--" */
	const char *word;  /* stands for its value, e.g. "PORT"; "" for a switch */
	const char *words; /* the values there are, separated by spaces; NULL: too many to name */
	const char *help;  /* one or more sentences */
};
void config_each_flag(void (*fn)(void *arg, const struct config_flag_info *info), void *arg);

void config_help(struct buf *out);   /* the options part of --help */
void config_manual(struct buf *out); /* herald.yaml(5), in roff */
void config_sample(struct buf *out); /* herald.example.yaml */
void config_docs(struct buf *out);   /* docs/configuration.md */

#endif
