/*
 * Mounting the explorer: a system that is stood in for names four rows of routes, the more specific ones first
 * (route.h). With P for its place:
 *
 *	P/openapi.json  its own handler, which writes the document
 *	P               handle_explorer_folder
 *	P/              handle_explorer
 *	P/{file}        handle_explorer
 *
 * All are GET, open, PLACE_INLINE and without an operation_id, which keeps them out of the document.
 */
#ifndef HERALD_HANDLE_PAGES_H
#define HERALD_HANDLE_PAGES_H

#include "route.h"

handler_fn handle_explorer;
handler_fn handle_explorer_folder;

#endif
