#include <string.h>

#include "alloc.h"
#include "store_memory.h"

static bool less(struct order_key a, struct order_key b)
{
	return a.at != b.at ? a.at < b.at : a.id < b.id;
}

size_t order_before(const struct order *o, usec_t at, int64_t id)
{
	const struct order_key key = {at, id};
	size_t low = 0, high = o->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (less(order_at(o, middle), key))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void grow(struct order *o)
{
	size_t cap = o->n < 8 ? 16 : 3 * o->n, start = (cap - o->n) / 2;
	struct order_key *keys = xreallocarray(NULL, cap, sizeof(*keys));

	if (o->n)
		memcpy(keys + start, o->keys + o->start, o->n * sizeof(*keys));
	free(o->keys);
	*o = (struct order){.keys = keys, .start = start, .n = o->n, .cap = cap};
}

void order_add(struct order *o, usec_t at, int64_t id)
{
	size_t i = order_before(o, at, id);

	if (i < o->n / 2 ? !o->start : o->start + o->n == o->cap)
		grow(o);
	if (i < o->n / 2) {
		memmove(o->keys + o->start - 1, o->keys + o->start, i * sizeof(*o->keys));
		o->start--;
	} else {
		memmove(o->keys + o->start + i + 1, o->keys + o->start + i,
		        (o->n - i) * sizeof(*o->keys));
	}
	o->keys[o->start + i] = (struct order_key){at, id};
	o->n++;
}

void order_remove(struct order *o, usec_t at, int64_t id)
{
	size_t i = order_before(o, at, id);

	if (i == o->n || order_at(o, i).id != id)
		panic("message %lld is not where it should be", (long long)id);
	if (i < o->n / 2) {
		memmove(o->keys + o->start + 1, o->keys + o->start, i * sizeof(*o->keys));
		o->start++;
	} else {
		memmove(o->keys + o->start + i, o->keys + o->start + i + 1,
		        (o->n - i - 1) * sizeof(*o->keys));
	}
	o->n--;
}
