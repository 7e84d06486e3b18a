#include "pages.h"

#include <string.h>

#ifdef HERALD_PAGES
#include "pages.inc"
#else
const struct page pages[] = {{.name = ""}};
const size_t pages_n = 0;
#endif

const struct page *page_find(const char *name, size_t len)
{
	for (size_t i = 0; i < pages_n; i++)
		if (strlen(pages[i].name) == len && memcmp(pages[i].name, name, len) == 0)
			return &pages[i];
	return NULL;
}
