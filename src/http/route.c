#include "route.h"

#include <stdbool.h>
#include <string.h>

#include "message.h"
#include "text.h"

const struct route routes[] = {
#define ROUTE(m, path, handler, group, kind, where, op, t, sum, params, req, ok, resp, more)              \
	{                                                                                                \
		.method = METHOD_##m,                                                                    \
		.pattern = path,                                                                         \
		.handle = handler,                                                                       \
		.access = ACCESS_##group,                                                                \
		.body = BODY_##kind,                                                                     \
		.place = PLACE_##where,                                                                  \
		.operation_id = op,                                                                      \
		.tag = t,                                                                                \
		.summary = sum,                                                                          \
		.parameters = params,                                                                    \
		.request = req,                                                                          \
		.success = ok,                                                                           \
		.response = resp,                                                                        \
		.answers = more,                                                                         \
	},
#include "routes.def"
#undef ROUTE
};
const size_t route_count = ARRAY_SIZE(routes);

static const char *const method_names[METHOD_COUNT] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "other"};

enum method method_parse(const char *text)
{
	for (int m = 0; m < METHOD_OTHER; m++)
		if (strcmp(text, method_names[m]) == 0)
			return (enum method)m;
	return METHOD_OTHER;
}

const char *method_name(enum method m)
{
	return method_names[m];
}

/* An id has one spelling: no sign, no leading zero. */
static bool parse_id(const char *s, size_t len, int64_t *ret)
{
	return len && s[0] >= '1' && s[0] <= '9' && text_to_i64(s, len, 1, MESSAGE_ID_MAX, ret);
}

static bool matches(const char *pattern, const char *path, size_t len, int64_t *ret_id)
{
	const char *end = path + len;
	int64_t id = 0;

	while (*pattern) {
		if (*pattern == '{') {
			const char *slash = memchr(path, '/', (size_t)(end - path));
			const char *stop = slash ? slash : end;

			if (!parse_id(path, (size_t)(stop - path), &id))
				return false;
			path = stop;
			pattern = strchr(pattern, '}') + 1;
			continue;
		}
		if (path == end || *path != *pattern)
			return false;
		path++;
		pattern++;
	}
	if (path != end)
		return false;
	*ret_id = id;
	return true;
}

struct route_match route_find(enum method method, const char *path, size_t len)
{
	enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;
	struct route_match m = {0};

	for (size_t i = 0; i < route_count; i++) {
		int64_t id;

		if (!matches(routes[i].pattern, path, len, &id))
			continue;
		m.allowed |= 1U << routes[i].method | 1U << METHOD_OPTIONS;
		if (routes[i].method == METHOD_GET)
			m.allowed |= 1U << METHOD_HEAD;
		if (routes[i].method == wanted && !m.route) {
			m.route = &routes[i];
			m.id = id;
		}
	}
	return m;
}

void route_allow(unsigned allowed, struct buf *out)
{
	const char *sep = "";

	for (int m = 0; m < METHOD_OTHER; m++) {
		if (!(allowed & 1U << m))
			continue;
		buf_addstr(out, sep);
		buf_addstr(out, method_names[m]);
		sep = ", ";
	}
}
