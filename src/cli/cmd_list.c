#include "view.h"

static void show_messages(const json_t *items)
{
	static const struct view_column columns[] = {
		{"ID", "id", TABLE_RIGHT},           {"PHONE", "phoneNumber", TABLE_LEFT},
		{"STATUS", "status", TABLE_LEFT},    {"TRIES", "attempts", TABLE_RIGHT},
		{"CREATED", "createdAt", TABLE_LEFT}, {"SENT", "sentAt", TABLE_LEFT},
		{"CONTENT", "content", TABLE_FLEX},
	};

	view_rows(items, columns, ARRAY_SIZE(columns));
}

int cmd_list(struct cli *c)
{
	struct buf path = BUF_INIT;
	int64_t limit;
	int result;

	if (!cli_flag_int(c, "limit", 1, 10000, 20, &limit))
		return CLI_USAGE;
	buf_addlit(&path, "/api/v1/messages");
	pages_filter(c, &path);
	result = view_list(c, path.data, cli_flag(c, "cursor"), limit, show_messages);
	buf_release(&path);
	return result;
}
