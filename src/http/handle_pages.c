/*
 * Pages: the dashboard at /, the explorer wherever a folder of it is mounted. They hold no secrets, so they need no
 * key. The explorer's folder has beside its files an openapi.json: the document that it shows is the one beside it.
 */
#include "handle_pages.h"

#include <stdio.h>
#include <string.h>

#include "handler.h"
#include "http_internal.h"
#include "pages.h"

static enum handled give(struct request *r, const char *name, size_t len)
{
	const struct page *p = page_find(name, len);
	struct answer *a = &r->answer;

	if (!p) {
		answer_error(a, API_NO_SUCH_PATH);
		return HANDLED_DONE;
	}
	a->status = 200;
	a->page = p;
	if (strstr(r->headers.if_none_match, p->tag))
		a->status = 304;
	return HANDLED_DONE;
}

static enum handled no_pages(struct request *r)
{
	static const char text[] = "This build of herald has no pages: Node.js was not at hand when it was made.\n"
	                           "All they do can be done with the API (/openapi.json) and the herald command.\n";

	r->answer.status = 404;
	r->answer.content_type = "text/plain; charset=utf-8";
	buf_add(&r->answer.body, text, sizeof(text) - 1);
	return HANDLED_DONE;
}

enum handled handle_dashboard(struct request *r, struct store_session *c)
{
	(void)c;
	return pages_n ? give(r, "/index.html", 11) : no_pages(r);
}

enum handled handle_asset(struct request *r, struct store_session *c)
{
	char name[200];
	int len;

	(void)c;
	len = snprintf(name, sizeof(name), "/assets/%.*s", (int)MIN_OF(r->path_text_len, sizeof(name)),
	               r->path_text);
	return give(r, name, MIN_OF((size_t)len, sizeof(name) - 1));
}

enum handled handle_explorer(struct request *r, struct store_session *c)
{
	char name[200];
	int len;

	(void)c;
	if (!pages_n)
		return no_pages(r);
	if (!r->path_text)
		return give(r, "/swagger/index.html", 19);
	len = snprintf(name, sizeof(name), "/swagger/%.*s", (int)MIN_OF(r->path_text_len, sizeof(name)),
	               r->path_text);
	return give(r, name, MIN_OF((size_t)len, sizeof(name) - 1));
}

enum handled handle_explorer_folder(struct request *r, struct store_session *c)
{
	(void)c;
	/* Its files are named relative to the folder, so the slash matters. */
	r->answer.status = 308;
	r->answer.to_folder = true;
	return HANDLED_DONE;
}
