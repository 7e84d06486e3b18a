/*
 * Strategy: pages of 100 by cursor over one connection, each written before the next is asked for. A named
 * file is written beside its name and renamed at the end, so that what carries the name is whole.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "progress.h"
#include "text.h"
#include "view.h"

static const char *const columns[] = {
	"id", "phoneNumber", "content", "status", "attempts", "messageId", "sentAt", "sendAt",
	"lastError", "idempotencyKey", "metadata", "createdAt", "updatedAt",
};

struct export {
	struct cli *cli;
	FILE *out;
	bool ndjson;
	struct progress progress;
	uint64_t rows;
	struct buf line;
};

static void add_csv(struct buf *out, const char *text)
{
	const char *quote;

	if (!text[strcspn(text, ",;\t\"\r\n")] && text[0] != ' ' && (!*text || text[strlen(text) - 1] != ' ')) {
		buf_addstr(out, text);
		return;
	}
	buf_addch(out, '"');
	while ((quote = strchr(text, '"'))) {
		buf_add(out, text, (size_t)(quote - text) + 1);
		buf_addch(out, '"');
		text = quote + 1;
	}
	buf_addstr(out, text);
	buf_addch(out, '"');
}

static void add_message(struct export *e, const json_t *message)
{
	const json_t *value;
	char scratch[32], *text;

	if (e->ndjson) {
		text = json_dumps(message, JSON_COMPACT);
		buf_addstr(&e->line, text ? text : "");
		free(text);
	}
	for (size_t i = 0; !e->ndjson && i < ARRAY_SIZE(columns); i++) {
		value = json_object_get(message, columns[i]);
		if (i)
			buf_addch(&e->line, ',');
		if (json_is_object(value)) {
			text = json_dumps(value, JSON_COMPACT);
			add_csv(&e->line, text ? text : "");
			free(text);
		} else {
			add_csv(&e->line, api_text(message, columns[i], scratch));
		}
	}
	/* RFC 4180 ends its lines with CRLF, but every reader takes LF, and so do line tools. */
	buf_addch(&e->line, '\n');
}

static int write_page(struct export *e, const json_t *items, struct error *err)
{
	size_t n = json_array_size(items);

	buf_clear(&e->line);
	for (size_t i = 0; i < n; i++)
		add_message(e, json_array_get(items, i));
	if (fwrite(e->line.data, 1, e->line.len, e->out) != e->line.len)
		return error_errno(err, ERR_PERMANENT, errno, "the output cannot be written");
	e->rows += n;
	progress_update(&e->progress, e->rows, clock_mono());
	return OK;
}

static int write_all(struct export *e, struct api *api, const char *path, struct error *err)
{
	struct api_answer answer = API_ANSWER_INIT;
	struct pages pages;
	int code = OK;

	pages_init(&pages, api, path, NULL);
	while (code == OK && !pages.at_end) {
		code = pages_next(&pages, 100, &answer, err);
		/* A total that is only a part of it is worse than none. */
		if (code == OK && !e->progress.total && !json_object_get(answer.body, "totalCountExact"))
			e->progress.total = (uint64_t)api_int(answer.body, "totalCount");
		if (code == OK && e->rows == 0 && !e->ndjson)
			for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
				fprintf(e->out, "%s%s", columns[i], i + 1 < ARRAY_SIZE(columns) ? "," : "\n");
		if (code == OK)
			code = write_page(e, answer.data, err);
		if (code == OK && interrupt_seen())
			code = error_set(err, ERR_CONFLICT, "interrupted after %llu messages",
			                 (unsigned long long)e->rows);
		api_answer_release(&answer);
	}
	pages_release(&pages);
	if (code == OK && fflush(e->out) != 0)
		code = error_errno(err, ERR_PERMANENT, errno, "the output cannot be written");
	return code;
}

static int write_file(struct export *e, struct api *api, const char *path, const char *name, struct error *err)
{
	char *part = xasprintf("%s.part", name);
	int code;

	e->out = fopen(part, "we");
	if (!e->out) {
		code = error_errno(err, ERR_INVALID, errno, "%s", part);
		free(part);
		return code;
	}
	code = write_all(e, api, path, err);
	/* On disk before it gets its name. Pipes and the like have no disk. */
	if (code == OK && fsync(fileno(e->out)) != 0 && errno != EINVAL && errno != EROFS)
		code = error_errno(err, ERR_PERMANENT, errno, "%s", part);
	if (fclose(e->out) != 0 && code == OK)
		code = error_errno(err, ERR_PERMANENT, errno, "%s", part);
	e->out = NULL;
	if (code == OK && rename(part, name) != 0)
		code = error_errno(err, ERR_PERMANENT, errno, "%s", name);
	if (code != OK)
		unlink(part);
	free(part);
	return code;
}

/* False: not a format. */
static bool find_format(struct export *e, const char *flag, const char *output)
{
	size_t len = output ? strlen(output) : 0;

	if (flag) {
		e->ndjson = text_equal(flag, "ndjson");
		return e->ndjson || text_equal(flag, "csv");
	}
	e->ndjson = (len > 7 && text_equal_nocase(output + len - 7, ".ndjson")) ||
	            (len > 6 && text_equal_nocase(output + len - 6, ".jsonl"));
	return true;
}

int cmd_export(struct cli *c)
{
	const char *output = cli_flag(c, "output");
	struct export e = {.cli = c, .out = stdout, .line = BUF_INIT};
	struct buf path = BUF_INIT;
	struct error err = ERROR_INIT;
	struct api *api;
	int code;

	if (!find_format(&e, cli_flag(c, "format"), output))
		return cli_usage(c, "--format: must be csv or ndjson");
	if (!view_open(c, &api))
		return CLI_USAGE;
	buf_addlit(&path, "/api/v1/messages");
	pages_filter(c, &path);
	progress_begin(&e.progress, cli_flag(c, "quiet") ? NULL : stderr, "exporting", "messages", 0,
	               clock_mono());
	interrupt_watch();
	if (output && !text_equal(output, "-"))
		code = write_file(&e, api, path.data, output, &err);
	else
		code = write_all(&e, api, path.data, &err);
	progress_hide(&e.progress);
	if (code == OK && output && !text_equal(output, "-")) {
		if (c->json)
			printf("{\"exported\": %llu}\n", (unsigned long long)e.rows);
		else
			printf("exported %llu message%s to %s\n", (unsigned long long)e.rows,
			       e.rows == 1 ? "" : "s", output);
	}
	buf_release(&e.line);
	buf_release(&path);
	api_close(api);
	return code == OK ? CLI_DONE : cli_fail(c, &err);
}
