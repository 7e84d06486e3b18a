/*
 * The dashboard and the explorer: files that tools/embed made part of the program. A build without them has an
 * empty table.
 */
#ifndef HERALD_PAGES_H
#define HERALD_PAGES_H

#include <stdbool.h>
#include <stddef.h>

struct page {
	const char *name; /* "/index.html", "/assets/app-1A2B3C4D.js" */
	const char *type;
	const char *tag;  /* of the content, for ETag */
	bool for_ever;    /* another content would have another name */
	const unsigned char *plain; /* plain_len 0: only packed */
	size_t plain_len;
	const unsigned char *packed; /* gzip */
	size_t packed_len;
};

extern const struct page pages[];
extern const size_t pages_n;

/* NULL: there is none. */
const struct page *page_find(const char *name, size_t len);

/* What a browser is told of each page. Nothing inline, nothing from elsewhere, in no frame of others. */
#define PAGE_POLICY                                                                                            \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#endif
