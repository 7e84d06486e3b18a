/*
 * 122 bits are free in a UUID of version 8. 64 of them hold the id behind a mixing function that can be undone
 * (the finalizer of SplitMix64); the other 58 are a hash of it. So reading back is arithmetic, and of the
 * UUIDs that others make, one in 2^69 passes for ours.
 */
#include "message_uuid.h"

#include "message.h"
#include "text.h"

/* Part of the spelling: never change them. */
#define SALT UINT64_C(0x686572616c640001)
#define CHECK_SALT UINT64_C(0x686572616c640002)

static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

/* The factors are the inverses of those above, modulo 2^64. */
static uint64_t unmix(uint64_t v)
{
	v = (v ^ (v >> 31) ^ (v >> 62)) * UINT64_C(0x319642b2d24d8ec3);
	v = (v ^ (v >> 27) ^ (v >> 54)) * UINT64_C(0x96de1b173f119089);
	return v ^ (v >> 30) ^ (v >> 60);
}

static void uuid_of(int64_t id, uint64_t *ret_high, uint64_t *ret_low)
{
	uint64_t body = mix((uint64_t)id ^ SALT), check = mix(body ^ CHECK_SALT) >> 6;

	*ret_high = (body >> 16 << 16) | UINT64_C(0x8000) | (body >> 4 & 0xfff);
	*ret_low = UINT64_C(1) << 63 | (body & 0xf) << 58 | check;
}

void message_uuid_format(int64_t id, char out[MESSAGE_UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t half[2];
	unsigned nibble = 0;

	uuid_of(id, &half[0], &half[1]);
	for (int i = 0; i < MESSAGE_UUID_LEN; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			out[i] = '-';
			continue;
		}
		out[i] = digits[half[nibble / 16] >> (60 - nibble % 16 * 4) & 0xf];
		nibble++;
	}
	out[MESSAGE_UUID_LEN] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool message_uuid_parse(const char *text, size_t len, int64_t *ret)
{
	uint64_t half[2] = {0}, high, low, id;
	unsigned nibble = 0;

	if (len != MESSAGE_UUID_LEN)
		return false;
	for (int i = 0; i < MESSAGE_UUID_LEN; i++) {
		int digit = hex_digit(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		if (digit < 0)
			return false;
		half[nibble / 16] = half[nibble / 16] << 4 | (uint64_t)digit;
		nibble++;
	}
	id = unmix((half[0] >> 16 << 16) | (half[0] & 0xfff) << 4 | (half[1] >> 58 & 0xf)) ^ SALT;
	if (id < 1 || id > (uint64_t)MESSAGE_ID_MAX)
		return false;
	/* Version, variant and check are right when it is spelled the same again. */
	uuid_of((int64_t)id, &high, &low);
	if (high != half[0] || low != half[1])
		return false;
	*ret = (int64_t)id;
	return true;
}

bool message_id_parse(const char *text, size_t len, int64_t *ret)
{
	if (len && text[0] >= '1' && text[0] <= '9' && text_to_i64(text, len, 1, MESSAGE_ID_MAX, ret))
		return true;
	return message_uuid_parse(text, len, ret);
}
