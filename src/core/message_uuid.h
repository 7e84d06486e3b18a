/*
 * A message's id spelled as a UUID (RFC 9562, version 8), for clients that expect one. The id stays what it
 * is: the spelling is computed from it and read back without a lookup, the same on every node, for ever. It
 * looks evenly spread, so neighbours have nothing in common; it is no secret, for anybody who has this file
 * can compute it. Pure; thread-safe.
 */
#ifndef HERALD_MESSAGE_UUID_H
#define HERALD_MESSAGE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

/* How clients are shown ids. */
enum id_format { ID_NUMBER, ID_UUID };

#define MESSAGE_UUID_LEN 36
#define MESSAGE_UUID_TEXT (MESSAGE_UUID_LEN + 1)

/* id: 1 to MESSAGE_ID_MAX. Lower case, NUL-terminated. */
void message_uuid_format(int64_t id, char out[MESSAGE_UUID_TEXT]);

/* True only for what message_uuid_format() writes, in either case of letters (RFC 9562 section 4). */
must_check bool message_uuid_parse(const char *text, size_t len, int64_t *ret);

/* Either spelling: a decimal number from 1 to MESSAGE_ID_MAX without a leading zero, or a UUID as above. */
must_check bool message_id_parse(const char *text, size_t len, int64_t *ret);

#endif
