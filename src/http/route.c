#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "message_uuid.h"

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

static const char *const method_names[METHOD_COUNT] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"};

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

static bool matches(const char *pattern, const char *path, size_t len, struct route_match *ret)
{
	const char *end = path + len;
	struct route_match found = {0};

	while (*pattern) {
		if (*pattern == '{') {
			const char *slash = memchr(path, '/', (size_t)(end - path));
			const char *stop = slash ? slash : end;

			if (strncmp(pattern, "{id}", 4) != 0) {
				found.text = path;
				found.text_len = (size_t)(stop - path);
			}
			if (found.text ? stop == path : !message_id_parse(path, (size_t)(stop - path), &found.id))
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
	*ret = found;
	return true;
}

void route_table_add(struct route_table *t, const struct route_source *s)
{
	if (!s->n)
		return;
	t->rows = xreallocarray(t->rows, t->n + s->n, sizeof(*t->rows));
	for (size_t i = 0; i < s->n; i++) {
		struct route *r = &t->rows[t->n + i];

		*r = s->rows[i];
		r->listeners = s->listeners;
		r->cors = s->cors;
		r->shape_error = s->shape_error;
		r->turns = s->open && r->access == ACCESS_SCHEDULER;
		if (s->open)
			r->access = ACCESS_OPEN;
	}
	t->n += s->n;
}

void route_table_release(struct route_table *t)
{
	free(t->rows);
	*t = (struct route_table){0};
}

struct route_match route_find(const struct route_table *t, unsigned listener, enum method method, const char *path,
                              size_t len)
{
	enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;
	struct route_match m = {0}, one;

	for (size_t i = 0; i < t->n; i++) {
		const struct route *r = &t->rows[i];

		if (!(r->listeners & 1U << listener) || !matches(r->pattern, path, len, &one))
			continue;
		m.allowed |= 1U << r->method | 1U << METHOD_OPTIONS;
		if (r->method == METHOD_GET)
			m.allowed |= 1U << METHOD_HEAD;
		m.cors |= r->cors;
		if (r->method == wanted && m.route && !m.hidden)
			m.hidden = r;
		if (r->method == wanted && !m.route) {
			m.route = r;
			m.id = one.id;
			m.text = one.text;
			m.text_len = one.text_len;
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
