/*
 * Text of others made fit for a terminal: a message's content or a server's answer may hold escape
 * sequences that repaint the screen or type for the operator. Pure.
 */
#ifndef HERALD_CLEAN_H
#define HERALD_CLEAN_H

#include <stddef.h>

#include "buf.h"

/* Appends s with line ends and tabs as single spaces, and other control characters (C0, DEL, C1), the
 * marks that reverse the direction of text, and invalid bytes as U+FFFD. */
void clean_text(struct buf *out, const char *s, size_t len);

#endif
