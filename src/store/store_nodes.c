#include "store_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_rules.h"

void local_nodes_init(struct local_nodes *l)
{
	pthread_mutex_init(&l->lock, NULL);
	l->items = NULL;
	l->n = 0;
}

static void forget(struct node *n)
{
	const char *const texts[] = {n->id, n->boot, n->version, n->role};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free((char *)(uintptr_t)texts[i]);
}

void local_nodes_release(struct local_nodes *l)
{
	for (size_t i = 0; i < l->n; i++)
		forget(&l->items[i]);
	free(l->items);
	pthread_mutex_destroy(&l->lock);
}

static bool outdated(const struct node *n, const struct node_report *r, usec_t now)
{
	if (n->last_seen < now - NODE_FORGET_AFTER)
		return true;
	return !strcmp(n->id, r->node) && strcmp(n->boot, r->boot) != 0 &&
	       (n->left || n->last_seen < now - NODE_REPLACE_AFTER);
}

static struct node *find(struct local_nodes *l, const struct node_report *r, usec_t now)
{
	struct node *n;

	for (n = l->items; n < l->items + l->n; n++) {
		if (!strcmp(n->id, r->node) && !strcmp(n->boot, r->boot))
			return n;
	}
	l->items = xreallocarray(l->items, l->n + 1, sizeof(*l->items));
	n = &l->items[l->n++];
	*n = (struct node){
		.id = xstrdup(r->node),
		.boot = xstrdup(r->boot),
		.version = xstrdup(r->version),
		.role = xstrdup(r->role),
		.started_at = now,
	};
	return n;
}

void local_nodes_seen(struct local_nodes *l, const struct node_report *r, usec_t now)
{
	struct node *n;
	size_t i, kept = 0;

	pthread_mutex_lock(&l->lock);
	for (i = 0; i < l->n; i++) {
		if (outdated(&l->items[i], r, now))
			forget(&l->items[i]);
		else
			l->items[kept++] = l->items[i];
	}
	l->n = kept;
	n = find(l, r, now);
	n->last_seen = now;
	n->in_flight = r->in_flight;
	n->left = r->leaving;
	pthread_mutex_unlock(&l->lock);
}

void local_nodes_list(struct local_nodes *l, usec_t now, struct node_page *ret)
{
	size_t i;

	*ret = (struct node_page){.now = now};
	pthread_mutex_lock(&l->lock);
	ret->n = MIN_OF(l->n, NODES_LISTED);
	ret->items = arena_calloc(&ret->arena, MAX_OF(ret->n, 1), sizeof(*ret->items));
	for (i = 0; i < ret->n; i++) {
		ret->items[i] = l->items[i];
		ret->items[i].id = arena_strdup(&ret->arena, l->items[i].id);
		ret->items[i].boot = arena_strdup(&ret->arena, l->items[i].boot);
		ret->items[i].version = arena_strdup(&ret->arena, l->items[i].version);
		ret->items[i].role = arena_strdup(&ret->arena, l->items[i].role);
	}
	pthread_mutex_unlock(&l->lock);
}
