/*
 * Manual pages in the man(7) macros, written so that any text comes out as it is: no character of it is
 * taken for a request or an escape.
 */
#ifndef HERALD_ROFF_H
#define HERALD_ROFF_H

#include "buf.h"

/* The page's head. title in capitals; section 1 to 8. Without a date, so that a build can be reproduced. */
void roff_title(struct buf *out, const char *title, int section, const char *manual);
void roff_section(struct buf *out, const char *heading); /* shown in capitals */

/* Within a line that has begun. */
void roff_text(struct buf *out, const char *text);
/* As a line, or several, of its own. */
void roff_line(struct buf *out, const char *text);
/* As they are, lines and spaces included, in a fixed pitch. */
void roff_verbatim(struct buf *out, const char *lines);

#endif
