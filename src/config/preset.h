/*
 * A preset: the defaults of another system and the names under which it is configured, as data. herald then
 * starts from those defaults and reads that system's own environment and files. Which presets there are is the
 * business of whoever calls config_load(); this folder knows none by name.
 *
 * Strength: herald's defaults < the preset's values < the system's own configuration file < herald's YAML file
 * < .env < environment < flags. In .env and in the environment the system's names stand beside herald's own; two
 * different values for one option in one source are an error, as ever.
 *
 * All of it is constant and lives as long as the process.
 */
#ifndef HERALD_PRESET_H
#define HERALD_PRESET_H

#include "config.h"

/* An option's default with this preset, in the option's own spelling. Of a URL's parts (DB_DRIVER) it counts
 * only once somebody has named a database (DB_NAME). */
struct preset_value {
	enum config_id id;
	const char *text;
};

/* The option stands for nothing that herald has: known, read over. */
#define PRESET_IGNORED CONFIG_COUNT

/* A name of the other system. */
struct preset_name {
	const char *name;  /* of a variable; of a file's key with its sections: "scheduler.interval" */
	enum config_id id;
	const char *prefix; /* put before the text; NULL: none */
	usec_t unit;       /* of a duration that is a bare number; 0: refused */
	int64_t min, max;  /* what the system itself takes, a whole number; max 0: whatever the option takes */
	const char *what;  /* of min and max: "seconds"; NULL: a plain number */
	enum config_id port; /* with host_port: the text may be HOST:PORT, and this is the option of PORT */
	bool host_port;
};

/* The system's configuration file: YAML or JSON by the end of its name. */
struct preset_file {
	/* Relative to the working directory, ended by NULL; the first that is there is read. A '*' stands for the
	 * value of the variable `select`. PROFILE_CONFIG names another place. */
	const char *const *paths;
	const struct preset_name *names; /* ended by .name == NULL */
	const char *select;              /* a variable, e.g. "ENV"; NULL: none */
	const char *select_default;      /* when it is not set */
	const char *select_allowed;      /* words separated by spaces */
};

struct config_preset {
	const char *name;                  /* "messaging-service": what HERALD_PROFILE says */
	const struct preset_value *values; /* ended by .text == NULL; NULL: none */
	const struct preset_name *env;     /* ended by .name == NULL; NULL: none */
	const struct preset_file *file;    /* NULL: it has none */
};

#endif
