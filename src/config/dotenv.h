/*
 * Reads .env files as docker compose and the dotenv libraries do: NAME=value lines, comments, `export`,
 * single quotes (literal, \' for a quote), double quotes (\n \r \t \\ \" \$), quoted values over several
 * lines, a BOM, CRLF. Nothing is expanded: "$" is a character like any other. Pure; private to config/.
 */
#ifndef HERALD_DOTENV_H
#define HERALD_DOTENV_H

#include <stddef.h>

#define DOTENV_LINE_MAX 65536

struct dotenv_handler {
	/* value is NULL for a bare name without "="; otherwise NUL-terminated. Gone after the call. */
	void (*pair)(void *arg, size_t line, const char *name, const char *value, size_t value_len);
	void (*error)(void *arg, size_t line, const char *what); /* what never quotes the text */
	void *arg;
};

/* Goes on behind a faulty line; stops at what makes the rest unreadable (an open quote, a NUL byte). */
void dotenv_parse(const char *text, size_t len, const struct dotenv_handler *h);

#endif
