#include "text.h"

#include <endian.h>

/*
 * FNV-1a widened to words of eight bytes, read as little-endian on every machine, with a shift after
 * each multiplication (which only ever carries upwards) and a final mix. Every step is a bijection of the
 * state, so two texts of up to eight bytes and equal length never collide. Not a defence against somebody
 * who picks keys to collide, unless the seed is secret.
 */
static const uint64_t prime = 0x9e3779b97f4a7c15u;

static uint64_t step(uint64_t h, uint64_t word)
{
	h = (h ^ word) * prime;
	return h ^ h >> 32;
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const unsigned char *u = data;
	uint64_t h = step(0xcbf29ce484222325u ^ seed, len), word;
	size_t rest;

	for (rest = len; rest >= sizeof(word); rest -= sizeof(word), u += sizeof(word)) {
		memcpy(&word, u, sizeof(word));
		h = step(h, le64toh(word));
	}
	if (rest) {
		word = 0;
		memcpy(&word, u, rest);
		h = step(h, le64toh(word));
	}
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return h ^ h >> 31;
}
