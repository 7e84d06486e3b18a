/*
 * Errors are int codes that answer "what should the caller do", plus an optional text for people.
 * Functions return 0 or one of these; they fill a struct error when given one. A library returns its
 * errors; whoever owns the operation logs once.
 */
#ifndef HERALD_ERROR_H
#define HERALD_ERROR_H

#include <stdarg.h>

#include "attr.h"

enum {
	OK = 0,
	ERR_INVALID = -1,   /* the caller's input is wrong: tell them, do not repeat */
	ERR_NOT_FOUND = -2, /* no such thing */
	ERR_CONFLICT = -3,  /* it exists in a state that forbids this */
	ERR_TRANSIENT = -4, /* nothing happened; the same call may work later */
	ERR_PERMANENT = -5, /* nothing happened; the same call will not work later either */
	ERR_UNCERTAIN = -6, /* it may or may not have happened: look before repeating */
	ERR_CONFIG = -7,    /* the operator must change something */
};

struct error {
	int code;
	char text[600]; /* UTF-8, one line, no trailing full stop or newline */
};

#define ERROR_INIT {0}

/* Sets code and text (cut when too long) and returns the code; err may be NULL. */
int error_set(struct error *err, int code, const char *fmt, ...) printf_like(3, 4);
int error_setv(struct error *err, int code, const char *fmt, va_list ap) printf_like(3, 0);

/* As error_set, with ": <text of errnum>" behind the message. */
int error_errno(struct error *err, int code, int errnum, const char *fmt, ...) printf_like(4, 5);

/* Puts "<text>: " before what is there, to name the place as an error travels up. Returns err->code
 * (OK when err is NULL). */
int error_prefix(struct error *err, const char *fmt, ...) printf_like(2, 3);

const char *error_name(int code); /* "invalid", "not_found", …; for logs */

#endif
