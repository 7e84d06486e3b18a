#include "values.h"

#include <string.h>

#include "alloc.h"
#include "text.h"

/* The next piece of a separated list, without the spaces around it; false at the end of the list. A
 * separator at the very end yields one last, empty piece, which every caller refuses. */
struct pieces {
	const char *s, *end;
	bool done;
};

static bool next_piece(struct pieces *p, char separator, const char **ret, size_t *ret_len)
{
	const char *from = p->s, *to;

	if (p->done)
		return false;
	for (to = from; to < p->end && *to != separator; to++)
		;
	p->done = to == p->end;
	p->s = p->done ? to : to + 1;
	while (from < to && *from == ' ')
		from++;
	while (to > from && to[-1] == ' ')
		to--;
	*ret = from;
	*ret_len = (size_t)(to - from);
	return true;
}

static void wipe(char *data, size_t len)
{
	if (data && len > 0)
		explicit_bzero(data, len);
}

int status_set_parse(const char *text, size_t len, int lowest, int highest, struct status_set *ret,
                     struct error *err)
{
	struct pieces p = {.s = text, .end = text + len};
	struct status_set set = {0};
	const char *s;
	size_t n;

	while (next_piece(&p, ',', &s, &n)) {
		const char *dash = memchr(s, '-', n);
		size_t first_len = dash ? (size_t)(dash - s) : n;
		int64_t first, last;

		if (!text_to_i64(s, first_len, lowest, highest, &first))
			return error_set(err, ERR_INVALID, "not a list of status codes from %d to %d", lowest,
			                 highest);
		last = first;
		if (dash && !text_to_i64(dash + 1, n - first_len - 1, lowest, highest, &last))
			return error_set(err, ERR_INVALID, "not a list of status codes from %d to %d", lowest,
			                 highest);
		if (last < first)
			return error_set(err, ERR_INVALID, "a range of status codes runs backwards");
		for (int64_t code = first; code <= last; code++)
			set.bits[code / 64] |= UINT64_C(1) << (code % 64);
	}
	*ret = set;
	return OK;
}

void status_set_format(const struct status_set *s, struct buf *out)
{
	const int end = STATUS_SET_WORDS * 64;
	bool some = false;

	for (int first = 0; first < end; first++) {
		int last = first;

		if (!status_set_has(s, first))
			continue;
		while (last + 1 < end && status_set_has(s, last + 1))
			last++;
		if (some)
			buf_addch(out, ',');
		some = true;
		buf_addi64(out, first);
		if (last > first) {
			buf_addch(out, '-');
			buf_addi64(out, last);
		}
		first = last;
	}
}

int duration_list_parse(const char *text, size_t len, usec_t min, usec_t max, struct duration_list *ret,
                        struct error *err)
{
	struct pieces p = {.s = text, .end = text + len};
	struct duration_list list = {0};
	const char *s;
	size_t n;

	while (next_piece(&p, ',', &s, &n)) {
		usec_t d;

		if (list.n == DURATION_LIST_MAX)
			return error_set(err, ERR_INVALID, "more than %d entries", DURATION_LIST_MAX);
		if (!duration_parse(s, n, &d))
			return error_set(err, ERR_INVALID, "entry %zu is not a duration", list.n + 1);
		if (d < min || d > max)
			return error_set(err, ERR_INVALID, "entry %zu is out of range", list.n + 1);
		list.at[list.n++] = d;
	}
	*ret = list;
	return OK;
}

void duration_list_format(const struct duration_list *l, struct buf *out)
{
	char text[DURATION_TEXT];

	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			buf_addch(out, ',');
		buf_addstr(out, duration_format(l->at[i], text));
	}
}

void config_list_release(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		wipe(l->at[i].data, l->at[i].len);
		free(l->at[i].data);
	}
	*l = (struct config_list){0};
}

int api_keys_parse(const char *text, size_t len, struct config_list *ret, struct error *err)
{
	struct pieces p = {.s = text, .end = text + len};
	struct config_list list = {0};
	const char *s;
	size_t n;
	int r = OK;

	/* An empty key among others would be a typing mistake at best and open access at worst. */
	while (r == OK && next_piece(&p, ',', &s, &n)) {
		if (list.n == CONFIG_LIST_MAX)
			r = error_set(err, ERR_INVALID, "more than %d keys", CONFIG_LIST_MAX);
		else if (n < 8 || !text_is_token(s, n, 256))
			r = error_set(err, ERR_INVALID, "key %zu is not 8 to 256 visible ASCII characters",
			              list.n + 1);
		else
			list.at[list.n++] = (struct config_bytes){.data = xstrndup(s, n), .len = n};
	}
	if (r == OK)
		*ret = list;
	else
		config_list_release(&list);
	return r;
}

static bool signing_key_valid(const char *s, size_t len)
{
	static const char prefix[] = "whsec_";
	const size_t skip = sizeof(prefix) - 1;
	struct buf key = BUF_INIT;
	bool valid;

	/* Bounded before it is decoded: 64 bytes are 88 characters. */
	if (len < skip || len > skip + 88 || memcmp(s, prefix, skip) != 0)
		return false;
	valid = base64_decode(&key, s + skip, len - skip) && key.len >= 24 && key.len <= 64;
	wipe(key.data, key.len);
	buf_release(&key);
	return valid;
}

int signing_keys_parse(const char *text, size_t len, struct buf *out, struct error *err)
{
	size_t keys = 0, start = out->len, i = 0;

	while (i < len) {
		size_t from;

		while (i < len && (text[i] == ' ' || text[i] == ','))
			i++;
		for (from = i; i < len && text[i] != ' ' && text[i] != ','; i++)
			;
		if (i == from)
			break;
		if (++keys > CONFIG_LIST_MAX) {
			buf_truncate(out, start);
			return error_set(err, ERR_INVALID, "more than %d keys", CONFIG_LIST_MAX);
		}
		if (!signing_key_valid(text + from, i - from)) {
			buf_truncate(out, start);
			return error_set(err, ERR_INVALID,
			                 "key %zu is not whsec_ and the base64 of 24 to 64 bytes", keys);
		}
		if (keys > 1)
			buf_addch(out, ' ');
		buf_add(out, text + from, i - from);
	}
	if (keys == 0)
		return error_set(err, ERR_INVALID, "holds no key");
	return OK;
}

static bool json_pointer_valid(const char *s, size_t len)
{
	if (len > 256 || !utf8_valid(s, len) || (len > 0 && s[0] != '/'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
		if (s[i] == '~' && (i + 1 == len || (s[i + 1] != '0' && s[i + 1] != '1')))
			return false;
	}
	return true;
}

/* A token of RFC 9110 section 5.6.2. */
static bool header_name_valid(const char *s, size_t len)
{
	if (!text_is_token(s, len, 128))
		return false;
	for (size_t i = 0; i < len; i++)
		if (strchr("\"(),/:;<=>?@[\\]{}", s[i]))
			return false;
	return true;
}

int message_id_check(const char *text, size_t len, struct error *err)
{
	if (len >= 5 && memcmp(text, "json:", 5) == 0) {
		if (!json_pointer_valid(text + 5, len - 5))
			return error_set(err, ERR_INVALID, "not a JSON pointer behind json:");
		return OK;
	}
	if (len >= 7 && memcmp(text, "header:", 7) == 0) {
		if (!header_name_valid(text + 7, len - 7))
			return error_set(err, ERR_INVALID, "not a header name behind header:");
		return OK;
	}
	return error_set(err, ERR_INVALID, "begins neither with json: nor with header:");
}

static const struct size_unit {
	const char *name;
	int64_t bytes;
} size_units[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}};

bool size_parse(const char *text, size_t len, int64_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
		const struct size_unit *u = &size_units[i];
		size_t unit_len = strlen(u->name);
		int64_t n;

		if (len <= unit_len || memcmp(text + len - unit_len, u->name, unit_len) != 0)
			continue;
		if (!text_to_i64(text, len - unit_len, 0, INT64_MAX / u->bytes, &n))
			return false;
		*ret = n * u->bytes;
		return true;
	}
	return false;
}

void size_format(int64_t bytes, struct buf *out)
{
	size_t i = 0;

	while (bytes == 0 ? size_units[i].bytes > 1 : bytes % size_units[i].bytes != 0)
		i++;
	buf_addi64(out, bytes / size_units[i].bytes);
	buf_addstr(out, size_units[i].name);
}
