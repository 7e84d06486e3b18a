#include "view.h"

#include <string.h>

#include "alloc.h"
#include "message_uuid.h"
#include "text.h"

bool view_open(struct cli *c, struct api **ret)
{
	struct error err = ERROR_INIT;

	if (api_open(ret, &c->cfg, &err) == OK)
		return true;
	cli_fail(c, &err);
	return false;
}

int view_call(struct cli *c, const char *method, const char *path, const struct buf *body,
              void (*show)(const json_t *data))
{
	struct api_answer answer = API_ANSWER_INIT;
	struct error err = ERROR_INIT;
	struct api *api;
	int result = CLI_DONE;

	if (!view_open(c, &api))
		return CLI_USAGE;
	if (api_call(api, method, path, body, &answer, &err) != OK)
		result = cli_fail(c, &err);
	else if (c->json || !show)
		cli_print_json(answer.data);
	else
		show(answer.data);
	api_answer_release(&answer);
	api_close(api);
	return result;
}

static void add_value(struct table *t, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	char scratch[32], *text;

	if (!json_is_object(value) && !json_is_array(value)) {
		table_cell(t, api_text(object, name, scratch));
		return;
	}
	text = json_dumps(value, JSON_COMPACT);
	table_cell(t, text);
	free(text);
}

static void show_members(const json_t *object, enum table_align align)
{
	struct table t = TABLE_INIT;
	const char *name;
	json_t *value, *members = json_deep_copy(object);

	table_column(&t, "", TABLE_LEFT);
	table_column(&t, "", align);
	json_object_foreach(members, name, value) {
		table_cell(&t, name);
		add_value(&t, object, name);
	}
	table_write(&t, stdout, 0);
	table_release(&t);
	json_decref(members);
}

void view_object(const json_t *object)
{
	show_members(object, TABLE_LEFT);
}

void view_counts(const json_t *object)
{
	show_members(object, TABLE_RIGHT);
}

void view_rows(const json_t *items, const struct view_column *columns, size_t n)
{
	struct table t = TABLE_INIT;
	char scratch[32];

	for (size_t i = 0; i < n; i++)
		table_column(&t, columns[i].heading, columns[i].align);
	for (size_t i = 0; i < json_array_size(items); i++) {
		for (size_t k = 0; k < n; k++)
			table_cell(&t, api_text(json_array_get(items, i), columns[k].member, scratch));
	}
	table_write(&t, stdout, cli_width(stdout));
	table_release(&t);
}

bool view_id(const struct cli *c, const char *text, int64_t *ret)
{
	if (message_id_parse(text, strlen(text), ret))
		return true;
	cli_usage(c, "\"%s\" is not a message id: a whole number from 1 on, or a UUID of herald's", text);
	return false;
}

void pages_filter(const struct cli *c, struct buf *path)
{
	api_query(path, "status", cli_flag(c, "status"));
	api_query(path, "phoneNumber", cli_flag(c, "phone"));
	api_query(path, "since", cli_flag(c, "since"));
	api_query(path, "until", cli_flag(c, "until"));
}

void pages_init(struct pages *p, struct api *api, const char *path, const char *cursor)
{
	*p = (struct pages){.api = api, .path = path, .cursor = BUF_INIT};
	if (cursor)
		buf_addstr(&p->cursor, cursor);
}

void pages_release(struct pages *p)
{
	buf_release(&p->cursor);
}

int pages_next(struct pages *p, int64_t most, struct api_answer *ret, struct error *err)
{
	struct buf path = BUF_INIT;
	char size[32];
	const char *next;
	int code;

	snprintf(size, sizeof(size), "%lld", (long long)MIN_OF(most, 100));
	buf_addstr(&path, p->path);
	api_query(&path, "pageSize", size);
	if (p->cursor.len)
		api_query(&path, "cursor", p->cursor.data);
	code = api_call(p->api, "GET", path.data, NULL, ret, err);
	buf_release(&path);
	if (code != OK)
		return code;
	if (!json_is_array(ret->data))
		return error_set(err, ERR_PERMANENT, "%s: the answer holds no list", api_url(p->api));
	next = json_string_value(json_object_get(ret->body, "nextCursor"));
	p->at_end = !next || !json_array_size(ret->data);
	buf_clear(&p->cursor);
	if (next)
		buf_addstr(&p->cursor, next);
	return OK;
}

static int gather(struct pages *p, int64_t limit, json_t *items, struct error *err)
{
	struct api_answer answer = API_ANSWER_INIT;
	int code = OK;

	while (code == OK && !p->at_end && (int64_t)json_array_size(items) < limit) {
		code = pages_next(p, limit - (int64_t)json_array_size(items), &answer, err);
		for (size_t i = 0; code == OK && i < json_array_size(answer.data); i++)
			json_array_append(items, json_array_get(answer.data, i));
		api_answer_release(&answer);
	}
	return code;
}

int view_list(struct cli *c, const char *path, const char *cursor, int64_t limit,
              void (*show)(const json_t *items))
{
	struct error err = ERROR_INIT;
	json_t *items = json_array();
	struct pages pages;
	struct api *api;
	int result = CLI_DONE;

	if (!view_open(c, &api)) {
		json_decref(items);
		return CLI_USAGE;
	}
	pages_init(&pages, api, path, cursor);
	if (gather(&pages, limit, items, &err) != OK)
		result = cli_fail(c, &err);
	else if (c->json)
		cli_print_json(items);
	else
		show(items);
	if (result == CLI_DONE && !pages.at_end) {
		fflush(stdout);
		fprintf(stderr, "more follow: --cursor %s\n", pages.cursor.data);
	}
	pages_release(&pages);
	json_decref(items);
	api_close(api);
	return result;
}
