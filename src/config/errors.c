/* The list of problems that one load has found. */
#include <stdarg.h>
#include <string.h>

#include "alloc.h"
#include "config.h"
#include "text.h"

/* Names come from files and arguments: none may break the line or the terminal. */
static void make_printable(char *s)
{
	bool valid = utf8_valid(s, strlen(s));

	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f || (!valid && (unsigned char)*s > 0x7f))
			*s = '?';
}

void config_errors_add(struct config_errors *errs, const char *fmt, ...)
{
	char *line;
	va_list ap;

	if (errs->n == CONFIG_ERRORS_MAX) {
		errs->dropped++;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		panic("out of memory");
	va_end(ap);
	make_printable(line);
	errs->line = xreallocarray(errs->line, errs->n + 1, sizeof(*errs->line));
	errs->line[errs->n++] = line;
}

void config_errors_release(struct config_errors *errs)
{
	for (size_t i = 0; i < errs->n; i++)
		free(errs->line[i]);
	free(errs->line);
	*errs = (struct config_errors){0};
}
