#include "move_end.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

/* A node that was starting when the mark was set has reported by then. */
#define NOTICE (NODE_REPORT_EVERY + USEC_PER_SEC)

int end_blame(const struct end *e, int rc, struct error *err)
{
	struct error old = *err;

	return rc ? error_set(err, rc, "%s %s: %s", e->name, e->shown, old.text) : OK;
}

/* The source must be there already: a mistyped name shall not make an empty database. An older schema of its
 * own is brought up first, by `herald migrate`. */
int end_open(struct end *e, bool create, struct error *err)
{
	const struct store_options options = {.url = e->url, .read_only_schema = !create};
	int rc = store_open(&e->store, &options, err);

	if (!rc && !(store_capabilities(e->store) & STORE_DURABLE))
		rc = error_set(err, ERR_CONFIG, "it keeps nothing: there is nothing to move");
	if (!rc)
		rc = store_session_open(e->store, &e->c, err);
	if (!rc)
		rc = mark_get(e->c, &e->mark, err);
	return end_blame(e, rc, err);
}

void end_close(struct end *e)
{
	store_session_close(e->c);
	store_close(e->store);
}

bool end_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return text_starts_with(a, "sqlite:") && text_starts_with(b, "sqlite:") && !stat(strchr(a, ':') + 1, &x) &&
	       !stat(strchr(b, ':') + 1, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int end_check_nodes(struct end *e, struct error *err)
{
	struct node_page page;
	const struct node *n;
	int rc;
	size_t i;

	/* Who could be there but the one that has it open: this process. */
	if (store_capabilities(e->store) & STORE_EXCLUSIVE)
		return OK;
	rc = store_nodes(e->c, &page, err);
	if (rc)
		return end_blame(e, rc, err);
	for (i = 0; !rc && i < page.n; i++) {
		n = &page.items[i];
		if (!n->left && n->last_seen > page.now - NODE_SILENT_AFTER)
			rc = error_set(err, ERR_CONFIG,
			               "%s %s: the node %s works with it (seen %.1f s ago): stop all nodes "
			               "first; one that was killed counts for %d s more",
			               e->name, e->shown, n->id,
			               (double)MAX_OF(page.now - n->last_seen, 0) / (double)USEC_PER_SEC,
			               (int)(NODE_SILENT_AFTER / USEC_PER_SEC));
	}
	node_page_release(&page);
	return rc;
}

int end_wait_notice(struct end *e, struct error *err)
{
	usec_t now;
	int rc;

	if (store_capabilities(e->store) & STORE_EXCLUSIVE)
		return OK;
	rc = store_now(e->c, &now, err);
	if (!rc && now >= e->mark.at && now < e->mark.at + NOTICE)
		usleep((useconds_t)(e->mark.at + NOTICE - now));
	return end_blame(e, rc, err);
}

int end_check_empty(struct end *e, struct error *err)
{
	struct run_record_page runs;
	struct record_page page;
	bool empty;
	int rc = store_export_messages(e->c, 0, 1, &page, err);

	if (rc)
		return end_blame(e, rc, err);
	empty = !page.n;
	record_page_release(&page);
	if (empty) {
		rc = store_export_runs(e->c, 0, 1, &runs, err);
		if (rc)
			return end_blame(e, rc, err);
		empty = !runs.n;
		run_record_page_release(&runs);
	}
	return empty ? OK
	             : error_set(err, ERR_CONFIG,
	                         "target %s: it holds messages or runs already; a move needs an empty database",
	                         e->shown);
}

int end_set_mark(struct end *e, enum move_role role, const char *peer, struct error *err)
{
	int rc = store_now(e->c, &e->mark.at, err);

	e->mark.role = role;
	snprintf(e->mark.peer, sizeof(e->mark.peer), "%s", peer);
	return end_blame(e, rc ? rc : mark_set(e->c, &e->mark, err), err);
}
