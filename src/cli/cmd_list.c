#include "table.h"
#include "view.h"

static void show_messages(const json_t *items)
{
	struct table t = TABLE_INIT;
	char scratch[32];

	table_column(&t, "ID", TABLE_RIGHT);
	table_column(&t, "PHONE", TABLE_LEFT);
	table_column(&t, "STATUS", TABLE_LEFT);
	table_column(&t, "TRIES", TABLE_RIGHT);
	table_column(&t, "CREATED", TABLE_LEFT);
	table_column(&t, "SENT", TABLE_LEFT);
	table_column(&t, "CONTENT", TABLE_FLEX);
	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *m = json_array_get(items, i);

		table_cell(&t, api_text(m, "id", scratch));
		table_cell(&t, api_text(m, "phoneNumber", scratch));
		table_cell(&t, api_text(m, "status", scratch));
		table_cell(&t, api_text(m, "attempts", scratch));
		table_cell(&t, api_text(m, "createdAt", scratch));
		table_cell(&t, api_text(m, "sentAt", scratch));
		table_cell(&t, api_text(m, "content", scratch));
	}
	table_write(&t, stdout, cli_width(stdout));
	table_release(&t);
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
