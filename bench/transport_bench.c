/*
 * How fast the webhook client alone is: POSTs a small message many times and prints the rate and the CPU
 * time of this side.
 *
 *	transport_bench URL [REQUESTS [CONCURRENT]]
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "transport.h"

struct bench {
	struct transport *transport;
	struct transport_request request;
	uint64_t left, accepted, other;
};

static void start(struct bench *b)
{
	if (b->left && transport_start(b->transport, &b->request))
		b->left--;
}

static void on_done(void *arg, const struct transport_result *r)
{
	struct bench *b = arg;

	if (r->end == ATTEMPT_ANSWERED && r->status / 100 == 2 && !r->body_cut)
		b->accepted++;
	else if (!b->other++)
		fprintf(stderr, "status %d: %s\n", r->status, r->error ? r->error : "");
	start(b);
}

static usec_t cpu_time(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static void run(struct bench *b)
{
	while (transport_in_flight(b->transport)) {
		struct pollfd p = {.fd = transport_fd(b->transport), .events = POLLIN};
		usec_t wait = transport_timeout(b->transport);

		if (wait)
			poll(&p, 1, wait == USEC_NEVER ? -1 : (int)(wait / USEC_PER_MSEC) + 1);
		transport_run(b->transport);
	}
}

int main(int argc, char **argv)
{
	static const char body[] = "{\"to\":\"+905551234567\",\"content\":\"Your parcel is on its way.\"}";
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;
	size_t concurrent = argc > 3 ? strtoul(argv[3], NULL, 10) : 64;
	struct bench b = {
		.left = n,
		.request = {.body = body, .body_len = sizeof(body) - 1, .key = "0192f3c4-5d6e-7f80"},
	};
	struct transport_options options = {
		.url = argc > 1 ? argv[1] : "",
		.timeout = 30 * USEC_PER_SEC,
		.max_concurrent = concurrent,
		.max_body = 65536,
		.max_header_bytes = 65536,
		.auth_key = "bench",
		.user_agent = "herald/bench",
		.done = on_done,
		.arg = &b,
	};
	struct error err = ERROR_INIT;
	usec_t began, took;

	if (transport_open(&b.transport, &options, &err)) {
		fprintf(stderr, "transport_bench: %s\n", err.text);
		return 1;
	}
	began = clock_mono();
	for (size_t i = 0; i < concurrent; i++)
		start(&b);
	run(&b);
	took = clock_mono() - began;
	printf("%" PRIu64 " requests, %zu at a time: %.0f/s, %.2f us of CPU each, %" PRIu64 " not accepted\n",
	       n, concurrent, (double)n * 1e6 / (double)took, (double)cpu_time() / (double)n, b.other);
	transport_close(b.transport);
	return b.accepted == n ? 0 : 1;
}
