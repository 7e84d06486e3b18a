/* The cache that keeps nothing; also the template of a new driver. */
#include "cache_driver.h"

static int none_open(void **ret, const struct cache_options *options, const struct cache_layout *layout,
                     struct error *err)
{
	(void)layout;
	(void)options;
	(void)err;
	*ret = NULL;
	return OK;
}

static void none_close(void *state)
{
	(void)state;
}

static void none_put(void *state, const struct cache_entry *entries, size_t n)
{
	(void)state;
	(void)entries;
	(void)n;
}

static int none_list(void *state, const char *cursor, uint32_t limit, struct cache_page *ret,
                     struct error *err)
{
	(void)state;
	(void)limit;
	(void)ret;
	return *cursor ? cache_bad_cursor(err) : OK;
}

static enum cache_health none_health(void *state)
{
	(void)state;
	return CACHE_DISABLED;
}

static const char *const schemes[] = {"none", NULL};

const struct cache_driver cache_driver_none = {
	.name = "none",
	.schemes = schemes,
	.open = none_open,
	.close = none_close,
	.put = none_put,
	.list = none_list,
	.health = none_health,
};
