/*
 * Structured log lines, one per event, to one file descriptor (stderr). logfmt:
 *
 *	ts=2026-01-02T03:04:05.678Z level=info msg="run finished" run=7 claimed=2
 *
 * or the same as one JSON object. Each line is one write(2), so lines of several threads never mix;
 * text is escaped, a newline in a value cannot forge a line, and a line is cut at 8 KiB (and then says
 * cut=true). Values that are secret must not be passed in. errno is left as it was.
 *
 *	log_info("run finished", kv_int("run", run), kv_str("node", node));
 *
 * The log is the one process-wide object: every part may report, and threading it through every
 * signature would say nothing. Thread-safe after log_init().
 */
#ifndef HERALD_LOG_H
#define HERALD_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "attr.h"
#include "clock.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_AUTO, LOG_LOGFMT, LOG_JSON }; /* AUTO: logfmt on a terminal, JSON elsewhere */

struct log_field {
	const char *key; /* an identifier, written as it is; NULL ends the list */
	enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_DOUBLE, LOG_FIELD_BOOL } type;
	union {
		const char *str; /* NULL: the field is left out */
		int64_t i;
		uint64_t u;
		double d;
		bool b;
	};
};

#define kv_str(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .str = (v)})
#define kv_int(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .i = (v)})
#define kv_uint(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_UINT, .u = (v)})
#define kv_double(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_DOUBLE, .d = (v)})
#define kv_bool(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_BOOL, .b = (v)})

/* fd stays the caller's. Before this call, lines of level info and above go to stderr as logfmt. */
void log_init(enum log_level level, enum log_format format, int fd);

extern enum log_level log_threshold; /* read-only outside log.c */
static inline bool log_enabled(enum log_level level)
{
	return level >= log_threshold;
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields);

/* Fields are not evaluated when the level is off. */
#define log_at(level, msg, ...)                                                                    \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write(level, msg,                                                      \
			          (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {.key = NULL}}); \
	} while (0)
#define log_debug(msg, ...) log_at(LOG_DEBUG, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_info(msg, ...) log_at(LOG_INFO, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(msg, ...) log_at(LOG_WARN, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_error(msg, ...) log_at(LOG_ERROR, msg __VA_OPT__(, ) __VA_ARGS__)

#endif
