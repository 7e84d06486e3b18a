#include "transport.h"

#include <strings.h>

#include "transport_driver.h"

/* The one place that names the drivers. */
static const struct transport_driver *const drivers[] = {
	&transport_http_driver,
	&transport_fake_driver,
};

static const struct transport_driver *driver_of(const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		for (const char *const *s = drivers[i]->schemes; *s; s++)
			if (!strncasecmp(url, *s, strlen(*s)))
				return drivers[i];
	return NULL;
}

int transport_open(struct transport **ret, const struct transport_options *options, struct error *err)
{
	const struct transport_driver *driver;
	struct transport *t;
	int rc;

	if (!options->url || !*options->url)
		return error_set(err, ERR_CONFIG, "no webhook URL is set");
	driver = driver_of(options->url);
	if (!driver)
		return error_set(err, ERR_CONFIG, "the webhook URL must begin with http:// or https://");
	if (options->max_concurrent < 1 || options->timeout <= 0)
		return error_set(err, ERR_CONFIG, "the webhook's limits must be positive");
	rc = driver->open(&t, options, err);
	if (rc)
		return rc;
	t->driver = driver;
	t->in_flight = 0;
	t->max_concurrent = options->max_concurrent;
	t->done = options->done;
	t->arg = options->arg;
	*ret = t;
	return OK;
}

void transport_close(struct transport *t)
{
	if (t)
		t->driver->close(t);
}

bool transport_start(struct transport *t, const struct transport_request *r)
{
	if (t->in_flight >= t->max_concurrent)
		return false;
	t->in_flight++;
	t->driver->start(t, r);
	return true;
}

void transport_ended(struct transport *t, const struct transport_result *result)
{
	t->in_flight--;
	t->done(t->arg, result);
}

void transport_run(struct transport *t)
{
	t->driver->run(t);
}

int transport_fd(const struct transport *t)
{
	return t->driver->fd(t);
}

usec_t transport_timeout(const struct transport *t)
{
	return t->driver->timeout(t);
}

size_t transport_in_flight(const struct transport *t)
{
	return t->in_flight;
}
