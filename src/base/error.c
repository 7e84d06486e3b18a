#include "error.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

/*
 * Texts quote what peers and libraries said. Whatever that was, the stored text is one line of valid
 * UTF-8, so that it can go into a log, a database column or a JSON answer as it is.
 */
static void store_text(struct error *err, const char *text)
{
	size_t len = strlen(text), at = 0, out = 0, n;

	while (at < len) {
		n = utf8_sequence(text + at, len - at);
		if (out + MAX_OF(n, (size_t)1) >= sizeof(err->text))
			break;
		if (n == 0 || (unsigned char)text[at] < 0x20 || text[at] == 0x7f) {
			err->text[out++] = n == 0 ? '?' : ' ';
			at++;
			continue;
		}
		memcpy(err->text + out, text + at, n);
		out += n;
		at += n;
	}
	while (out && err->text[out - 1] == ' ')
		out--;
	err->text[out] = '\0';
}

int error_setv(struct error *err, int code, const char *fmt, va_list ap)
{
	/* Longer than err->text, so that the cut is made there, between characters. An argument may
	 * be err->text itself. */
	char text[sizeof(err->text) + 8];

	if (!err)
		return code;
	vsnprintf(text, sizeof(text), fmt, ap);
	err->code = code;
	store_text(err, text);
	return code;
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_setv(err, code, fmt, ap);
	va_end(ap);
	return code;
}

int error_errno(struct error *err, int code, int errnum, const char *fmt, ...)
{
	char message[sizeof(err->text)], why[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return error_set(err, code, "%s: %s", message, strerror_r(errnum, why, sizeof(why)));
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char place[sizeof(err->text)];
	va_list ap;

	if (!err)
		return OK;
	va_start(ap, fmt);
	vsnprintf(place, sizeof(place), fmt, ap);
	va_end(ap);
	return error_set(err, err->code, "%s: %s", place, err->text);
}

const char *error_name(int code)
{
	switch (code) {
	case OK:
		return "ok";
	case ERR_INVALID:
		return "invalid";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_CONFLICT:
		return "conflict";
	case ERR_TRANSIENT:
		return "transient";
	case ERR_PERMANENT:
		return "permanent";
	case ERR_UNCERTAIN:
		return "uncertain";
	case ERR_CONFIG:
		return "config";
	default:
		return "unknown";
	}
}
