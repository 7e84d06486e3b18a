/* The front door: finds the driver, checks arguments. */
#include "cache.h"

#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "cache_driver.h"
#include "message.h"

#define LIST_LIMIT_MAX 1000

struct cache {
	const struct cache_driver *driver;
	struct cache_layout layout;
	void *state;
};

/* The registry: the one place that names the drivers. */
static const struct cache_driver *const drivers[] = {
	&cache_driver_memory,
	&cache_driver_none,
#ifdef HERALD_REDIS
	&cache_driver_redis,
#endif
};
#ifdef HERALD_REDIS
static const char driver_names[] = "memory, none, redis";
#else
static const char driver_names[] = "memory, none";
#endif

static const struct cache_driver *driver_of_scheme(const char *scheme, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		for (const char *const *s = drivers[i]->schemes; *s; s++)
			if (strlen(*s) == len && !strncasecmp(*s, scheme, len))
				return drivers[i];
	return NULL;
}

int cache_open(struct cache **ret, const struct cache_options *options, struct error *err)
{
	const char *url = options->url ? options->url : "";
	size_t scheme = strcspn(url, ":");
	const struct cache_driver *driver = driver_of_scheme(url, scheme);
	struct cache *c;
	int rc;

	/* The URL may hold a password, so no more than a plain scheme of it is repeated. */
	if (!driver && (!strncasecmp(url, "redis:", 6) || !strncasecmp(url, "rediss:", 7)))
		return error_set(err, ERR_CONFIG, "this build has no redis cache driver; built in: %s",
		                 driver_names);
	if (!driver || url[scheme] != ':')
		return error_set(err, ERR_CONFIG, "not the URL of a cache; built in: %s", driver_names);
	if (options->ttl < 0)
		return error_set(err, ERR_CONFIG, "the cache's TTL is negative");

	if (options->list && options->ttl)
		return error_set(err, ERR_CONFIG, "the elements of a list have no TTL");

	c = xcalloc(1, sizeof(*c));
	c->driver = driver;
	rc = cache_layout_init(&c->layout, options->list, options->key, options->value, err);
	if (rc == OK)
		rc = driver->open(&c->state, options, &c->layout, err);
	if (rc) {
		cache_layout_release(&c->layout);
		free(c);
		return rc;
	}
	*ret = c;
	return OK;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	c->driver->close(c->state);
	cache_layout_release(&c->layout);
	free(c);
}

void cache_put(struct cache *c, const struct cache_entry *entries, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		if (entries[i].id < 1 || entries[i].id > MESSAGE_ID_MAX)
			panic("cache_put: id %lld", (long long)entries[i].id);
		if (cache_layout_takes(&c->layout, &entries[i]))
			continue;
		if (i > from)
			c->driver->put(c->state, entries + from, i - from);
		from = i + 1;
	}
	if (n > from)
		c->driver->put(c->state, entries + from, n - from);
}

int cache_list(struct cache *c, const char *cursor, uint32_t limit, struct cache_page *ret, struct error *err)
{
	struct cache_page page = {0};
	int rc;

	if (limit < 1 || limit > LIST_LIMIT_MAX)
		return error_set(err, ERR_INVALID, "limit must be 1 to %d", LIST_LIMIT_MAX);
	if (strlen(cursor) >= sizeof(page.next))
		return cache_bad_cursor(err);
	rc = c->driver->list(c->state, cursor, limit, &page, err);
	if (rc) {
		cache_page_release(&page);
		return rc;
	}
	for (size_t i = 0; i < page.n; i++)
		cache_layout_blank(&c->layout, &page.items[i]);
	*ret = page;
	return OK;
}

void cache_page_release(struct cache_page *p)
{
	arena_release(&p->arena);
	p->items = NULL;
	p->n = 0;
}

enum cache_health cache_health(struct cache *c)
{
	return c->driver->health(c->state);
}

int cache_bad_cursor(struct error *err)
{
	return error_set(err, ERR_INVALID, "not a cursor of this list");
}
