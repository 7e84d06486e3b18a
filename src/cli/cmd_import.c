/*
 * Strategy: two passes over the file with the same reader. The first only checks, so that a bad file is known
 * before anything is sent; the second sends. Standard input and pipes, which cannot be read twice, are copied
 * to a temporary file first. Memory stays constant: one window of the file and three batches.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "api.h"
#include "clean.h"
#include "cmd.h"
#include "json_out.h"
#include "progress.h"
#include "row_key.h"
#include "rows.h"
#include "text.h"
#include "upload.h"

#define BAD_SHOWN 20

struct import {
	struct cli *cli;
	const char *name; /* of the file, for people */
	FILE *file;
	FILE *errors; /* --errors, or NULL */
	bool skip_bad;
	int64_t batch_rows;
	struct row_options options;
	struct buf prefix; /* of keys */
	uint64_t size;
	uint64_t rows, good; /* of the first pass */
	uint64_t bad;        /* reported so far */
	struct progress progress;
	struct upload *upload;
	usec_t started;
};

/* --- opening -------------------------------------------------------------------------------------------- */

static FILE *temporary_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	/* tmpfile() does not look at TMPDIR, and /tmp may be too small for what comes. */
	if (!dir || !*dir)
		return tmpfile();
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w+");
}

static int spool(struct import *im, int from, struct error *err)
{
	char *chunk = xmalloc(WINDOW_CHUNK);
	FILE *copy = temporary_file();
	ssize_t n = -1;

	if (copy) {
		while ((n = window_read_fd(&from, chunk, WINDOW_CHUNK)) > 0)
			if (fwrite(chunk, 1, (size_t)n, copy) != (size_t)n) {
				n = -1;
				break;
			}
		if (n == 0 && fflush(copy) != 0)
			n = -1;
	}
	free(chunk);
	if (n < 0) {
		error_errno(err, ERR_PERMANENT, errno, "%s: cannot be copied to a temporary file", im->name);
		if (copy)
			fclose(copy);
		return err->code;
	}
	im->file = copy;
	return OK;
}

static int open_input(struct import *im, const char *path, struct error *err)
{
	struct stat st;
	int fd, code = OK;

	if (strcmp(path, "-") == 0)
		return spool(im, STDIN_FILENO, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, ERR_INVALID, errno, "%s", im->name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		im->file = fdopen(fd, "r");
		return OK;
	}
	code = spool(im, fd, err);
	close(fd);
	return code;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && text_equal_nocase(s + n - m, end);
}

static bool find_format(struct import *im, const char *path, const char *flag)
{
	int c;

	if (flag) {
		im->options.format = text_equal(flag, "ndjson") ? ROW_NDJSON : ROW_CSV;
		return text_equal(flag, "ndjson") || text_equal(flag, "csv");
	}
	if (ends_with(path, ".ndjson") || ends_with(path, ".jsonl")) {
		im->options.format = ROW_NDJSON;
	} else if (ends_with(path, ".csv") || ends_with(path, ".tsv")) {
		im->options.format = ROW_CSV;
	} else {
		rewind(im->file); /* a copy of standard input stands at its end */
		do
			c = getc(im->file);
		while (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == 0xef || c == 0xbb || c == 0xbf);
		im->options.format = c == '{' ? ROW_NDJSON : ROW_CSV;
	}
	return true;
}

static void rewind_input(struct import *im, struct row_reader *r, int *fd)
{
	*fd = fileno(im->file);
	lseek(*fd, 0, SEEK_SET);
	row_reader_init(r, &im->options, window_read_fd, fd);
}

/* --- bad rows ------------------------------------------------------------------------------------------- */

static void report_bad(void *arg, uint64_t line, const char *why)
{
	struct import *im = arg;
	struct buf text = BUF_INIT;

	im->bad++;
	clean_text(&text, why, strlen(why));
	if (im->bad <= BAD_SHOWN) {
		progress_hide(&im->progress);
		fprintf(stderr, "%s:%llu: %s\n", im->name, (unsigned long long)line, text.data);
	}
	if (im->errors)
		fprintf(im->errors, "%llu: %s\n", (unsigned long long)line, text.data);
	buf_release(&text);
}

static int close_errors(struct import *im, struct error *err)
{
	bool failed;

	if (!im->errors)
		return OK;
	failed = ferror(im->errors) != 0;
	failed |= fclose(im->errors) != 0;
	im->errors = NULL;
	if (failed)
		return error_set(err, ERR_PERMANENT, "%s: cannot be written", cli_flag(im->cli, "errors"));
	return OK;
}

/* --- the passes ----------------------------------------------------------------------------------------- */

static int check_pass(struct import *im, struct error *err)
{
	struct row_reader reader;
	struct row row;
	enum row_result result;
	int fd;

	progress_begin(&im->progress, cli_flag(im->cli, "quiet") ? NULL : stderr, "checking", "bytes", im->size,
	               clock_mono());
	rewind_input(im, &reader, &fd);
	while ((result = row_next(&reader, &row, err)) == ROW_OK || result == ROW_BAD) {
		if (result == ROW_OK)
			im->good++;
		else
			report_bad(im, row.line, row.why);
		if (((im->good + im->bad) & 4095) == 0)
			progress_update(&im->progress, row_reader_position(&reader), clock_mono());
	}
	im->rows = im->good + im->bad;
	row_reader_release(&reader);
	progress_hide(&im->progress);
	return result == ROW_END ? OK : error_prefix(err, "%s", im->name);
}

static void add_row(struct buf *out, const struct row *row, const struct buf *prefix)
{
	char tail[ROW_KEY_TAIL + 1];

	/* Digits and a plus need no escaping. */
	buf_addlit(out, "{\"phoneNumber\":\"");
	buf_add(out, row->phone.s, row->phone.len);
	buf_addlit(out, "\",\"content\":");
	json_quote(out, row->content.s, row->content.len);
	if (row->send_at.s) {
		buf_addlit(out, ",\"sendAt\":");
		json_quote(out, row->send_at.s, row->send_at.len);
	}
	if (row->metadata.s) {
		buf_addlit(out, ",\"metadata\":");
		buf_add(out, row->metadata.s, row->metadata.len);
	}
	buf_addlit(out, ",\"idempotencyKey\":");
	if (row->key.s) {
		json_quote(out, row->key.s, row->key.len);
	} else {
		row_key_tail(row, tail);
		/* The prefix is quoted already, its closing quote left out. */
		buf_add(out, prefix->data, prefix->len);
		buf_add(out, tail, ROW_KEY_TAIL);
		buf_addch(out, '"');
	}
	buf_addlit(out, "}\n");
}

static bool on_tick(void *arg)
{
	struct import *im = arg;

	progress_update(&im->progress, upload_counts(im->upload)->done, clock_mono());
	return !interrupt_seen();
}

static void on_notice(void *arg, const char *text)
{
	struct import *im = arg;

	progress_hide(&im->progress);
	cli_report(im->cli, "%s", text);
}

static int send_rows(struct import *im, struct row_reader *reader, struct error *err)
{
	struct upload_batch *batch = NULL;
	enum row_result result;
	struct row row;
	uint64_t sent = 0;
	int code;

	while ((result = row_next(reader, &row, err)) == ROW_OK || result == ROW_BAD) {
		if (result == ROW_BAD) {
			if (!im->skip_bad)
				return error_set(err, ERR_INVALID, "%s:%llu: %s: the file was changed while "
				                 "it was being read", im->name, (unsigned long long)row.line,
				                 row.why);
			continue;
		}
		if (!batch) {
			code = upload_take(im->upload, &batch, err);
			if (code != OK)
				return code;
		}
		add_row(&batch->body, &row, &im->prefix);
		upload_add(batch, row.line);
		sent++;
		if (upload_full(batch)) {
			upload_submit(im->upload, batch);
			batch = NULL;
		}
	}
	if (result == ROW_ERROR)
		return error_prefix(err, "%s", im->name);
	if (batch)
		upload_submit(im->upload, batch);
	code = upload_finish(im->upload, err);
	if (code == OK && sent != im->good)
		return error_set(err, ERR_INVALID, "%s: the file was changed while it was being read: %llu good "
		                 "rows, then %llu", im->name, (unsigned long long)im->good,
		                 (unsigned long long)sent);
	return code;
}

static int send_pass(struct import *im, struct api *api, struct upload_counts *ret, struct error *err)
{
	struct upload_options options = {
		.batch_rows = (size_t)im->batch_rows, .skip_refused = im->skip_bad,
		.refused = report_bad, .notice = on_notice, .tick = on_tick, .arg = im,
	};
	struct row_reader reader;
	int fd, code;

	im->upload = upload_open(api, &options);
	progress_begin(&im->progress, cli_flag(im->cli, "quiet") ? NULL : stderr, "importing", "rows", im->good,
	               clock_mono());
	rewind_input(im, &reader, &fd);
	interrupt_watch();
	code = send_rows(im, &reader, err);
	*ret = *upload_counts(im->upload);
	row_reader_release(&reader);
	upload_close(im->upload);
	progress_hide(&im->progress);
	return code;
}

/* --- the command ---------------------------------------------------------------------------------------- */

static void print_summary(struct import *im, const struct upload_counts *counts, bool dry)
{
	double seconds = (double)(clock_mono() - im->started) / 1e6;
	struct buf text = BUF_INIT;
	json_t *json;

	if (im->cli->json) {
		json = json_pack("{s:I, s:I, s:I, s:I, s:f}", "rows", (json_int_t)im->rows,
		                 "created", (json_int_t)counts->created,
		                 "repeated", (json_int_t)counts->repeated,
		                 "skipped", (json_int_t)im->bad, "seconds", seconds);
		cli_print_json(json);
		json_decref(json);
		return;
	}
	if (dry) {
		progress_number(&text, im->good);
		buf_addlit(&text, " good rows, ");
		progress_number(&text, im->bad);
		buf_addlit(&text, " bad ones; nothing was imported");
	} else {
		buf_addlit(&text, "imported ");
		progress_number(&text, counts->created);
		buf_addf(&text, " row%s", counts->created == 1 ? "" : "s");
		if (counts->repeated) {
			buf_addlit(&text, "; ");
			progress_number(&text, counts->repeated);
			buf_addlit(&text, " were there already");
		}
		if (im->bad) {
			buf_addlit(&text, "; left out ");
			progress_number(&text, im->bad);
			buf_addlit(&text, " bad ones");
		}
		buf_addf(&text, " (%.1f s, ", seconds);
		progress_number(&text, (uint64_t)((double)counts->done / MAX_OF(seconds, 0.001)));
		buf_addlit(&text, " rows/s)");
	}
	printf("%s\n", text.data);
	buf_release(&text);
}

static int stopped(struct import *im, const struct upload_counts *counts, const struct error *err)
{
	cli_report(im->cli, "%s", err->text);
	cli_report(im->cli, "stopped after %llu of %llu rows; run the same command again%s to go on, what is "
	           "imported is recognised", (unsigned long long)counts->done, (unsigned long long)im->good,
	           err->code == ERR_INVALID ? " with the rows corrected, or with --skip-bad," : "");
	return CLI_FAILED;
}

static int import_file(struct import *im, struct api *api)
{
	struct upload_counts counts = {0};
	struct error err = ERROR_INIT;
	bool dry = cli_flag(im->cli, "dry-run") != NULL;
	int code;

	if (check_pass(im, &err) != OK)
		return cli_fail(im->cli, &err);
	if (im->bad > BAD_SHOWN)
		fprintf(stderr, "%s: and %llu more bad rows%s\n", im->name,
		        (unsigned long long)(im->bad - BAD_SHOWN),
		        im->errors ? "" : " (--errors FILE writes all)");
	if (im->bad && !im->skip_bad && !dry) {
		if (close_errors(im, &err) != OK)
			return cli_fail(im->cli, &err);
		cli_report(im->cli, "nothing was imported: %llu of %llu rows are bad; --skip-bad imports the others",
		           (unsigned long long)im->bad, (unsigned long long)im->rows);
		return CLI_FAILED;
	}
	if (!dry && im->good) {
		code = send_pass(im, api, &counts, &err);
		if (code != OK)
			return stopped(im, &counts, &err);
	}
	if (close_errors(im, &err) != OK)
		return cli_fail(im->cli, &err);
	print_summary(im, &counts, dry);
	return dry && im->bad ? CLI_FAILED : CLI_DONE;
}

static int open_all(struct import *im, const char *path, struct error *err)
{
	const char *errors = cli_flag(im->cli, "errors");
	struct stat st;

	if (open_input(im, path, err) != OK)
		return err->code;
	if (fstat(fileno(im->file), &st) == 0)
		im->size = (uint64_t)st.st_size;
	if (errors) {
		im->errors = fopen(errors, "we");
		if (!im->errors)
			return error_errno(err, ERR_INVALID, errno, "--errors %s", errors);
	}
	return OK;
}

static int set_prefix(struct import *im, const char *path)
{
	const char *given = cli_flag(im->cli, "key-prefix");
	struct buf text = BUF_INIT;
	size_t len;

	if (given && !text_is_token(given, strlen(given), ROW_KEY_PREFIX_MAX))
		return cli_usage(im->cli, "--key-prefix: must be 1 to %d visible ASCII characters",
		                 ROW_KEY_PREFIX_MAX);
	if (given)
		buf_addstr(&text, given);
	else
		row_key_prefix(&text, strcmp(path, "-") == 0 ? "stdin" : path);
	json_quote(&im->prefix, text.data, text.len);
	len = im->prefix.len;
	buf_truncate(&im->prefix, len - 1);
	buf_release(&text);
	return CLI_DONE;
}

int cmd_import(struct cli *c)
{
	const char *path = c->argv[0];
	struct import im = {
		.cli = c, .name = strcmp(path, "-") == 0 ? "standard input" : path,
		.skip_bad = cli_flag(c, "skip-bad") != NULL, .prefix = BUF_INIT, .started = clock_mono(),
		.options.ignore_unknown = cli_flag(c, "ignore-columns") != NULL,
	};
	struct message_rules rules cleanup(message_rules_release) = {0};
	struct error err = ERROR_INIT;
	struct api *api = NULL;
	int result;

	if (!cli_flag_int(c, "batch", 1, 10000, 5000, &im.batch_rows))
		return CLI_USAGE;
	if (message_rules_init(&rules, c->cfg.phone_pattern, (size_t)c->cfg.message_max_content_length,
	                       c->cfg.invalid_messages == CONFIG_INVALID_PARK, &err) != OK)
		return cli_fail(c, &err);
	im.options.rules = &rules;
	result = set_prefix(&im, path);
	if (result == CLI_DONE && open_all(&im, path, &err) != OK)
		result = cli_fail(c, &err);
	if (result == CLI_DONE && !find_format(&im, path, cli_flag(c, "format")))
		result = cli_usage(c, "--format: must be csv or ndjson");
	if (result == CLI_DONE && api_open(&api, &c->cfg, &err) != OK) {
		cli_fail(c, &err);
		result = CLI_USAGE;
	}
	if (result == CLI_DONE)
		result = import_file(&im, api);
	api_close(api);
	if (im.errors)
		fclose(im.errors);
	if (im.file)
		fclose(im.file);
	buf_release(&im.prefix);
	return result;
}
