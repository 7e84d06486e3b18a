#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "message.h"
#include "route.h"

static struct route_table own;

static struct route_match find(enum method m, const char *path)
{
	return route_find(&own, 0, m, path, strlen(path));
}

static int setup(void **state)
{
	(void)state;
	route_table_add(&own, &(struct route_source){.rows = routes, .n = route_count, .listeners = 1});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	route_table_release(&own);
	return 0;
}

static void assert_route(enum method m, const char *path, const char *operation, int64_t id)
{
	struct route_match r = find(m, path);

	if (!r.route)
		fail_msg("no route for %s %s", method_name(m), path);
	assert_string_equal(r.route->operation_id, operation);
	assert_int_equal(r.id, id);
}

static void finds_each_route(void **state)
{
	(void)state;
	assert_route(METHOD_POST, "/api/v1/messages", "createMessage", 0);
	assert_route(METHOD_GET, "/api/v1/messages", "listMessages", 0);
	assert_route(METHOD_GET, "/api/v1/messages/sent", "listSentMessages", 0);
	assert_route(METHOD_GET, "/api/v1/messages/17", "getMessage", 17);
	assert_route(METHOD_DELETE, "/api/v1/messages/17", "cancelMessage", 17);
	assert_route(METHOD_GET, "/api/v1/messages/17/attempts", "listAttempts", 17);
	assert_route(METHOD_POST, "/api/v1/messages/17/replay", "replayMessage", 17);
	assert_route(METHOD_POST, "/api/v1/messages/replay/all", "replayAllMessages", 0);
	assert_route(METHOD_GET, "/api/v1/messages/e1745ada-d506-8e83-b0ca-32854895dbea", "getMessage", 2);
	assert_route(METHOD_GET, "/api/v1/messages/e1745ada-d506-8e83-b0ca-32854895dbea/attempts", "listAttempts", 2);
	assert_route(METHOD_POST, "/api/v1/messages/lease", "leaseMessages", 0);
	assert_route(METHOD_POST, "/api/v1/messages/lease/extend", "extendLeases", 0);
	assert_route(METHOD_POST, "/api/v1/messages/17/extend", "extendLease", 17);
	assert_route(METHOD_POST, "/api/v1/messages/17/commit", "commitMessage", 17);
	assert_route(METHOD_POST, "/api/v1/messages/17/fail", "failMessage", 17);
	assert_route(METHOD_GET, "/api/v1/messages/9007199254740991", "getMessage", MESSAGE_ID_MAX);
	for (size_t i = 0; i < route_count; i++)
		if (!strchr(routes[i].pattern, '{') && routes[i].operation_id)
			assert_route(routes[i].method, routes[i].pattern, routes[i].operation_id, 0);
}

static void head_goes_where_get_goes(void **state)
{
	(void)state;
	assert_route(METHOD_HEAD, "/api/v1/messages/stats", "getMessageStats", 0);
	assert_null(find(METHOD_HEAD, "/api/v1/scheduler/run").route);
}

static void other_paths_are_not_there(void **state)
{
	static const char *const paths[] = {"", "//", "/api", "/api/v1/messages/", "/api/v1/message",
	                                    "/api/v1/messages/0", "/api/v1/messages/01", "/api/v1/messages/-1",
	                                    "/api/v1/messages/+1", "/api/v1/messages/1x", "/api/v1/messages/x",
	                                    "/api/v1/messages/9007199254740992", "/api/v1/messages/%31",
	                                    "/api/v1/messages/99999999999999999999", "/api/v1/messages/1/",
	                                    "/api/v1/messages//attempts", "/api/v1/messages/1/nope", "/API/v1/messages",
	                                    "/healthz", "/health/"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (int m = 0; m < METHOD_COUNT; m++) {
			struct route_match r = find((enum method)m, paths[i]);

			if (r.route || r.allowed)
				fail_msg("%s is a path", paths[i]);
		}
}

static void path_is_read_to_its_length_only(void **state)
{
	struct route_match r = route_find(&own, 0, METHOD_GET, "/api/v1/messages/12345", 19);

	(void)state;
	assert_non_null(r.route);
	assert_int_equal(r.id, 12);
}

static void wrong_method_is_told_the_right_ones(void **state)
{
	static const struct {
		enum method method;
		const char *path, *allow;
	} cases[] = {
		{METHOD_DELETE, "/api/v1/messages", "GET, HEAD, POST, OPTIONS"},
		{METHOD_POST, "/api/v1/messages/5", "GET, HEAD, DELETE, OPTIONS"},
		{METHOD_OTHER, "/api/v1/scheduler/run", "POST, OPTIONS"},
		{METHOD_DELETE, "/api/v1/messages/stats", "GET, HEAD, OPTIONS"},
	};
	struct buf allow = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct route_match r = find(cases[i].method, cases[i].path);

		assert_null(r.route);
		buf_clear(&allow);
		route_allow(r.allowed, &allow);
		assert_string_equal(allow.data, cases[i].allow);
	}
	buf_release(&allow);
}

static void methods_have_names(void **state)
{
	(void)state;
	for (int m = 0; m < METHOD_OTHER; m++)
		assert_int_equal(method_parse(method_name((enum method)m)), m);
	assert_int_equal(method_parse("get"), METHOD_OTHER);
	assert_int_equal(method_parse("other"), METHOD_OTHER);
	assert_int_equal(method_parse(""), METHOD_OTHER);
}

/* The table's own promises, on which others rely. */
static void table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *r = &routes[i];

		if (r->place == PLACE_INLINE)
			assert_true(r->body == BODY_JSON || r->body == BODY_NONE);
		assert_int_equal(r->access == ACCESS_SCHEDULER,
		                 strstr(r->pattern, "/scheduler/") || !strcmp(r->pattern, "/api/v1/nodes"));
		assert_int_equal(r->access == ACCESS_MESSAGES, strstr(r->pattern, "/messages") != NULL);
		for (size_t k = 0; k < i; k++) {
			if (r->operation_id && routes[k].operation_id)
				assert_string_not_equal(r->operation_id, routes[k].operation_id);
			assert_false(r->method == routes[k].method &&
			             strcmp(r->pattern, routes[k].pattern) == 0);
		}
	}
}

static void another_systems_routes_come_first(void **state)
{
	static const struct route foreign[] = {
		{.method = METHOD_GET, .pattern = "/api/v1/messages", .operation_id = "theirs", .access = ACCESS_MESSAGES},
		{.method = METHOD_PUT, .pattern = "/commit/{key}", .operation_id = "commit"},
		{.method = METHOD_GET, .pattern = "/second", .operation_id = "second"},
	};
	struct route_table t = {0};
	struct route_match m;

	(void)state;
	route_table_add(&t, &(struct route_source){.rows = foreign, .n = 2, .open = true, .cors = true, .listeners = 1});
	route_table_add(&t, &(struct route_source){.rows = foreign + 2, .n = 1, .listeners = 2});
	route_table_add(&t, &(struct route_source){.rows = routes, .n = route_count, .listeners = ~0U});

	m = route_find(&t, 0, METHOD_GET, "/api/v1/messages", 16);
	assert_string_equal(m.route->operation_id, "theirs");
	assert_int_equal(m.route->access, ACCESS_OPEN);
	assert_true(m.cors);
	assert_int_equal(m.allowed, 1U << METHOD_GET | 1U << METHOD_HEAD | 1U << METHOD_POST | 1U << METHOD_OPTIONS);
	m = route_find(&t, 0, METHOD_POST, "/api/v1/messages", 16);
	assert_string_equal(m.route->operation_id, "createMessage");
	m = route_find(&t, 1, METHOD_GET, "/api/v1/messages", 16);
	assert_string_equal(m.route->operation_id, "listMessages");
	assert_false(m.cors);

	m = route_find(&t, 0, METHOD_PUT, "/commit/6f-x", 12);
	assert_string_equal(m.route->operation_id, "commit");
	assert_int_equal(m.text_len, 4);
	assert_memory_equal(m.text, "6f-x", 4);
	assert_null(route_find(&t, 0, METHOD_PUT, "/commit/", 8).route);
	assert_null(route_find(&t, 0, METHOD_PUT, "/commit/a/b", 11).route);

	assert_int_equal(route_find(&t, 0, METHOD_GET, "/second", 7).allowed, 0);
	assert_non_null(route_find(&t, 1, METHOD_GET, "/second", 7).route);
	route_table_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_each_route),
		cmocka_unit_test(head_goes_where_get_goes),
		cmocka_unit_test(other_paths_are_not_there),
		cmocka_unit_test(path_is_read_to_its_length_only),
		cmocka_unit_test(wrong_method_is_told_the_right_ones),
		cmocka_unit_test(methods_have_names),
		cmocka_unit_test(table_is_sound),
		cmocka_unit_test(another_systems_routes_come_first),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
