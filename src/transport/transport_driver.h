/*
 * What a transport driver implements; only files of this folder include it. The front door
 * (transport.c) counts what is in flight and keeps the limit, so a driver's start() may rely on a free
 * place. All calls come from one thread.
 */
#ifndef HERALD_TRANSPORT_DRIVER_H
#define HERALD_TRANSPORT_DRIVER_H

#include "transport.h"

struct transport_driver {
	/* URL schemes with their colon, ended by NULL. */
	const char *const *schemes;

	/* Sets *ret on success only. Copies what it needs of options. */
	int (*open)(struct transport **ret, const struct transport_options *options, struct error *err);
	void (*close)(struct transport *t);
	void (*start)(struct transport *t, const struct transport_request *r);
	void (*run)(struct transport *t);
	int (*fd)(const struct transport *t);
	usec_t (*timeout)(const struct transport *t);
};

/* The first member of each driver's own struct; filled in by the front door after open(). */
struct transport {
	const struct transport_driver *driver;
	size_t in_flight;
	size_t max_concurrent;
	void (*done)(void *arg, const struct transport_result *result);
	void *arg;
};

/* Called by drivers, once per request. The place is free when the callback runs, so it may start the next
 * request; the driver must therefore not hand the memory behind *result to that one. */
void transport_ended(struct transport *t, const struct transport_result *result);

extern const struct transport_driver transport_http_driver;
extern const struct transport_driver transport_fake_driver;

#endif
