#include "text.h"

#include <errno.h>
#include <sys/random.h>

#include "alloc.h"

void random_bytes(void *out, size_t len)
{
	char *at = out;
	ssize_t n;

	while (len) {
		n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			panic("getrandom failed (errno %d)", errno);
		at += n;
		len -= (size_t)n;
	}
}

/* splitmix64: a counter run through a mixing function; any seed will do, even 0. */
uint64_t random_u64(void)
{
	static _Thread_local uint64_t counter;
	static _Thread_local bool seeded;
	uint64_t v;

	if (unlikely(!seeded)) {
		random_bytes(&counter, sizeof(counter));
		seeded = true;
	}
	counter += 0x9e3779b97f4a7c15u;
	v = counter;
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
	v = (v ^ v >> 27) * 0x94d049bb133111ebu;
	return v ^ v >> 31;
}

double random_unit(void)
{
	/* 53 bits: as many as a double holds, so that 1 is never reached by rounding. */
	return (double)(random_u64() >> 11) * 0x1p-53;
}
