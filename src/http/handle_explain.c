/* Why a message is where it is: gathers what explain() needs. */
#include <string.h>

#include "explain.h"
#include "handler.h"
#include "http_internal.h"
#include "render.h"

static bool sends(const struct node *n)
{
	return strcmp(n->role, "api") != 0;
}

static void look_at_nodes(struct explain_facts *f, const struct node_page *page)
{
	const char *owner = f->m->owner ? f->m->owner : "";
	const size_t name = strcspn(owner, "/");

	for (size_t i = 0; i < page->n; i++) {
		const struct node *n = &page->items[i];
		const char *status = node_status(n, page->now);

		f->senders += sends(n) && strcmp(status, "up") == 0;
		/* A life of the node, told by its boot id. */
		if (strlen(n->id) == name && strncmp(n->id, owner, name) == 0 && owner[name] == '/' &&
		    strcmp(n->boot, owner + name + 1) == 0)
			f->lease_status = status;
	}
}

static int gather(struct request *r, struct store_session *c, struct message *m, struct scheduler *s,
                  struct explain_facts *f, struct error *err)
{
	struct ahead_query ahead = {.order = f->rules.order, .id = r->id, .limit = EXPLAIN_AHEAD_MAX + 1};
	struct node_page nodes;
	int code = store_get(c, r->id, &r->arena, m, err);

	if (code == OK)
		code = store_scheduler_get(c, s, err);
	if (code == OK && explain_in_queue(m, &f->rules)) {
		ahead.due_at = m->due_at;
		ahead.now = s->now;
		code = store_ahead(c, &ahead, &f->ahead, err);
	}
	if (code == OK)
		code = store_nodes(c, &nodes, err);
	if (code == OK) {
		look_at_nodes(f, &nodes);
		node_page_release(&nodes);
	}
	return code;
}

enum handled handle_explain(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct scheduler s;
	struct message m;
	struct explain_facts f = {.m = &m, .s = &s, .rules = r->http->o.explain, .ids = r->http->o.ids};
	struct json_out j;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = gather(r, c, &m, &s, &f, &err);
	if (code == ERR_NOT_FOUND) {
		answer_error(&r->answer, API_NO_SUCH_MESSAGE);
	} else if (code != OK) {
		handler_store_error(r, "explain", code, &err);
	} else {
		j = answer_begin(&r->answer, 200, NULL);
		explain(&j, &f);
		answer_end(&j);
	}
	return HANDLED_DONE;
}
