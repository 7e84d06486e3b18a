/*
 * Strategy: both formats find where a row begins and ends, point at its parts inside the window, and hand
 * them to the same checks. CSV copies nothing unless there is metadata; NDJSON goes through jansson, since
 * JSON's strings need decoding anyway.
 */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clean.h"
#include "message.h"
#include "text.h"

void row_reader_init(struct row_reader *r, const struct row_options *options, window_read_fn *read,
                     void *arg)
{
	*r = (struct row_reader){.options = *options, .line = 1};
	window_init(&r->window, read, arg);
}

void row_reader_release(struct row_reader *r)
{
	json_decref(r->json);
	free(r->metadata);
	window_release(&r->window);
	r->json = NULL;
	r->metadata = NULL;
}

uint64_t row_reader_position(const struct row_reader *r)
{
	return r->window.consumed;
}

/* --- checks ------------------------------------------------------------------------------------------- */

static enum row_result bad_row(struct row *row, const char *fmt, ...) printf_like(2, 3);
static enum row_result bad_row(struct row *row, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(row->why, sizeof(row->why), fmt, ap);
	va_end(ap);
	return ROW_BAD;
}

/* The start of a value, fit to be shown within a message. */
static const char *shown(struct row_text t, char out[64])
{
	struct buf b = BUF_INIT;

	clean_text(&b, t.s, MIN_OF(t.len, 120));
	if (b.len > 40) {
		buf_truncate(&b, utf8_prefix(b.data, 40, 40));
		buf_addstr(&b, "...");
	}
	snprintf(out, 64, "%s", b.data);
	buf_release(&b);
	return out;
}

static struct row_text trimmed(struct row_text t)
{
	while (t.len && (t.s[0] == ' ' || t.s[0] == '\t'))
		t.s++, t.len--;
	while (t.len && (t.s[t.len - 1] == ' ' || t.s[t.len - 1] == '\t'))
		t.len--;
	return t;
}

static bool phone_ok(const struct row_reader *r, struct row_text t)
{
	char copy[MESSAGE_PHONE_MAX + 1];

	if (t.len > MESSAGE_PHONE_MAX || memchr(t.s, '\0', t.len))
		return false;
	memcpy(copy, t.s, t.len);
	copy[t.len] = '\0';
	return message_rules_takes_phone(r->options.rules, copy);
}

static enum row_result check_row(const struct row_reader *r, struct row *row)
{
	size_t points;
	char text[64];

	if (!row->phone.s || !row->phone.len)
		return bad_row(row, "phoneNumber: is missing");
	if (!phone_ok(r, row->phone))
		return bad_row(row, r->options.rules->patterned || r->options.rules->park
		                            ? "phoneNumber: \"%s\" does not match PHONE_PATTERN"
		                            : "phoneNumber: \"%s\" is not an E.164 number: '+', then 2 to 15 "
		                              "digits, the first not 0",
		               shown(row->phone, text));
	if (!row->content.s || (!row->content.len && !r->options.rules->park))
		return bad_row(row, "content: is missing");
	if (!utf8_valid(row->content.s, row->content.len))
		return bad_row(row, "content: is not valid UTF-8");
	if (memchr(row->content.s, '\0', row->content.len))
		return bad_row(row, "content: holds a NUL character");
	if (!message_rules_takes_content(r->options.rules, row->content.s, row->content.len)) {
		points = utf8_length(row->content.s, row->content.len);
		return bad_row(row, "content: has %zu characters, the maximum is %zu", points,
		               r->options.rules->max_content);
	}
	if (row->send_at.s && (!clock_parse(row->send_at.s, row->send_at.len, &row->send_at_time) ||
	                       row->send_at_time == 0))
		return bad_row(row, "sendAt: \"%s\" is not an RFC 3339 time, e.g. 2026-01-31T09:00:00Z",
		               shown(row->send_at, text));
	if (row->key.s && !text_is_token(row->key.s, row->key.len, MESSAGE_KEY_MAX))
		return bad_row(row, "idempotencyKey: must be 1 to %d visible ASCII characters",
		               MESSAGE_KEY_MAX);
	return ROW_OK;
}

/* JSON text or value -> row->metadata, which is compact, so that one value has one spelling and one line. */
static enum row_result set_metadata(struct row_reader *r, struct row *row, const json_t *value)
{
	if (!json_is_object(value))
		return bad_row(row, "metadata: must be a JSON object");
	free(r->metadata);
	r->metadata = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	if (!r->metadata)
		return bad_row(row, "metadata: cannot be written as JSON");
	row->metadata = (struct row_text){r->metadata, strlen(r->metadata)};
	if (row->metadata.len > MESSAGE_METADATA_MAX)
		return bad_row(row, "metadata: has %zu bytes, the maximum is %d", row->metadata.len,
		               MESSAGE_METADATA_MAX);
	return ROW_OK;
}

/* --- CSV ---------------------------------------------------------------------------------------------- */

/* Passes over the first line of what is at hand, of whatever length. */
static void skip_line(struct row_reader *r)
{
	struct window *w = &r->window;
	char *newline;

	while (!(newline = memchr(window_data(w), '\n', w->len))) {
		window_consume(w, w->len);
		if (!window_more(w))
			return;
	}
	window_consume(w, (size_t)(newline - window_data(w)) + 1);
	r->line++;
}

static enum row_result read_failed(struct row_reader *r, struct error *err)
{
	error_errno(err, ERR_PERMANENT, r->window.errnum, "line %llu: reading failed",
	            (unsigned long long)r->line);
	return ROW_ERROR;
}

/* The next record that is not an empty line: CSV_RECORD, CSV_BAD (passed over already) or CSV_END. */
static enum csv_result next_record(struct row_reader *r, uint64_t *ret_line)
{
	struct window *w = &r->window;
	enum csv_result result;

	for (;;) {
		if (!w->len && !w->at_end)
			window_more(w);
		result = csv_split(w->len ? window_data(w) : NULL, w->len, w->at_end, r->separator, &r->record);
		*ret_line = r->line;
		switch (result) {
		case CSV_MORE:
			if (window_more(w))
				continue;
			if (w->errnum)
				return CSV_END; /* what is at hand may be half a record */
			if (w->at_end)
				continue;
			r->record.why = "longer than 4 MiB, or a quote is not closed";
			skip_line(r);
			return CSV_BAD;
		case CSV_END:
			return CSV_END;
		case CSV_BLANK:
		case CSV_RECORD:
		case CSV_BAD:
			/* The fields stay where they are until the window is asked for more. */
			window_consume(w, r->record.used);
			r->line += r->record.newlines;
			if (result != CSV_BLANK)
				return result;
		}
	}
}

static enum row_result read_header(struct row_reader *r, struct error *err)
{
	bool seen[COLUMN_USED] = {false};
	struct csv_record *rec = &r->record;
	enum csv_result result;
	uint64_t line;
	char text[64];

	while (!r->window.len || !memchr(window_data(&r->window), '\n', r->window.len))
		if (!window_more(&r->window))
			break;
	r->separator = csv_separator(r->window.len ? window_data(&r->window) : "", r->window.len);
	result = next_record(r, &line);
	if (result == CSV_BAD) {
		error_set(err, ERR_INVALID, "line %llu: the header is not CSV: %s", (unsigned long long)line,
		          rec->why);
		return ROW_ERROR;
	}
	if (result == CSV_END) {
		if (r->window.errnum)
			return read_failed(r, err);
		error_set(err, ERR_INVALID, "the file is empty: a header row such as phoneNumber,content "
		          "is needed");
		return ROW_ERROR;
	}
	r->columns = rec->n;
	for (size_t i = 0; i < rec->n; i++) {
		struct row_text name = trimmed((struct row_text){rec->field[i].s, rec->field[i].len});
		enum column c = column_parse(name.s, name.len);

		r->column[i] = c;
		if (c == COLUMN_UNKNOWN && !r->options.ignore_unknown) {
			error_set(err, ERR_INVALID, "line %llu: unknown column \"%s\"; known are phoneNumber, "
			          "content, sendAt, idempotencyKey, metadata (see `herald help import`), "
			          "and --ignore-columns passes over others", (unsigned long long)line,
			          shown(name, text));
			return ROW_ERROR;
		}
		if (c < COLUMN_USED) {
			if (seen[c]) {
				error_set(err, ERR_INVALID, "line %llu: two columns mean %s",
				          (unsigned long long)line, column_name(c));
				return ROW_ERROR;
			}
			seen[c] = true;
		}
	}
	for (int c = COLUMN_PHONE; c <= COLUMN_CONTENT; c++)
		if (!seen[c]) {
			error_set(err, ERR_INVALID, "line %llu: the header has no column %s (or %s)",
			          (unsigned long long)line, column_name((enum column)c),
			          column_aliases((enum column)c));
			return ROW_ERROR;
		}
	return ROW_OK;
}

static enum row_result csv_metadata(struct row_reader *r, struct row *row, struct row_text text)
{
	enum row_result result;
	json_t *value = json_loadb(text.s, text.len, JSON_REJECT_DUPLICATES, NULL);

	result = set_metadata(r, row, value);
	json_decref(value);
	return result;
}

static enum row_result next_csv(struct row_reader *r, struct row *row, struct error *err)
{
	const struct csv_record *rec = &r->record;

	switch (next_record(r, &row->line)) {
	case CSV_END:
		return r->window.errnum ? read_failed(r, err) : ROW_END;
	case CSV_BAD:
		return bad_row(row, "%s", rec->why);
	case CSV_RECORD:
	case CSV_BLANK:
	case CSV_MORE:
		break;
	}
	if (rec->n != r->columns)
		return bad_row(row, "has %zu column%s, the header has %zu", rec->n, rec->n == 1 ? "" : "s",
		               r->columns);
	for (size_t i = 0; i < rec->n; i++) {
		struct row_text value = {rec->field[i].s, rec->field[i].len};
		struct row_text bare;

		switch (r->column[i]) {
		case COLUMN_PHONE:
			row->phone = trimmed(value);
			break;
		case COLUMN_CONTENT:
			row->content = value;
			break;
		case COLUMN_SEND_AT:
		case COLUMN_KEY:
			bare = trimmed(value);
			if (bare.len)
				*(r->column[i] == COLUMN_KEY ? &row->key : &row->send_at) = bare;
			break;
		case COLUMN_METADATA:
			bare = trimmed(value);
			if (bare.len && csv_metadata(r, row, bare) != ROW_OK)
				return ROW_BAD;
			break;
		case COLUMN_KNOWN:
		case COLUMN_UNKNOWN:
			break;
		}
	}
	return check_row(r, row);
}

/* --- NDJSON ------------------------------------------------------------------------------------------- */

static enum row_result set_text(struct row *row, struct row_text *text, const char *name, const json_t *value)
{
	if (text->s)
		return bad_row(row, "%s: is given twice", name);
	if (json_is_null(value))
		return ROW_OK;
	if (!json_is_string(value))
		return bad_row(row, "%s: must be a string", name);
	*text = (struct row_text){json_string_value(value), json_string_length(value)};
	return ROW_OK;
}

static enum row_result set_member(struct row_reader *r, struct row *row, const char *name,
                                  const json_t *value)
{
	enum column c = column_parse(name, strlen(name));
	char out[64];

	switch (c) {
	case COLUMN_PHONE:
		return set_text(row, &row->phone, column_name(c), value);
	case COLUMN_CONTENT:
		return set_text(row, &row->content, column_name(c), value);
	case COLUMN_SEND_AT:
		return set_text(row, &row->send_at, column_name(c), value);
	case COLUMN_KEY:
		return set_text(row, &row->key, column_name(c), value);
	case COLUMN_METADATA:
		return json_is_null(value) ? ROW_OK : set_metadata(r, row, value);
	case COLUMN_KNOWN:
		return ROW_OK;
	case COLUMN_UNKNOWN:
		break;
	}
	if (r->options.ignore_unknown)
		return ROW_OK;
	return bad_row(row, "%s: unknown member (--ignore-columns passes over it)",
	               shown((struct row_text){name, strlen(name)}, out));
}

static enum row_result parse_object(struct row_reader *r, struct row *row, const char *s, size_t len)
{
	json_error_t why;
	const char *name;
	json_t *value;
	char out[64];

	json_decref(r->json);
	r->json = json_loadb(s, len, JSON_REJECT_DUPLICATES, &why);
	if (!r->json)
		return bad_row(row, "not JSON: %s, at character %d",
		               shown((struct row_text){why.text, strlen(why.text)}, out), why.column);
	if (!json_is_object(r->json))
		return bad_row(row, "must be a JSON object");
	json_object_foreach(r->json, name, value)
		if (set_member(r, row, name, value) != ROW_OK)
			return ROW_BAD;
	return check_row(r, row);
}

static enum row_result next_ndjson(struct row_reader *r, struct row *row, struct error *err)
{
	struct window *w = &r->window;
	char *newline = NULL;
	size_t len, searched;
	struct row_text text;

	for (;;) {
		searched = 0;
		while (!w->len || !(newline = memchr(window_data(w) + searched, '\n', w->len - searched))) {
			searched = w->len;
			if (window_more(w))
				continue;
			if (w->errnum)
				return read_failed(r, err);
			if (w->at_end)
				break;
			row->line = r->line;
			skip_line(r);
			return bad_row(row, "longer than 4 MiB");
		}
		if (!w->len)
			return ROW_END;
		len = newline ? (size_t)(newline - window_data(w)) : w->len;
		text = (struct row_text){window_data(w), len};
		row->line = r->line;
		window_consume(w, len + (newline ? 1 : 0));
		r->line += newline ? 1 : 0;
		if (text.len && text.s[text.len - 1] == '\r')
			text.len--;
		text = trimmed(text);
		if (text.len)
			return parse_object(r, row, text.s, text.len);
	}
}

/* A byte order mark, which spreadsheets like to write. */
static void begin(struct row_reader *r)
{
	struct window *w = &r->window;

	r->begun = true;
	while (w->len < 3 && window_more(w))
		;
	if (w->len >= 3 && memcmp(window_data(w), "\xef\xbb\xbf", 3) == 0)
		window_consume(w, 3);
}

enum row_result row_next(struct row_reader *r, struct row *ret, struct error *err)
{
	ret->line = r->line;
	ret->phone = ret->content = ret->send_at = ret->key = ret->metadata = (struct row_text){0};
	ret->send_at_time = 0;
	ret->why[0] = '\0';
	if (!r->begun) {
		begin(r);
		if (r->options.format == ROW_CSV && read_header(r, err) != ROW_OK)
			return ROW_ERROR;
	}
	return r->options.format == ROW_CSV ? next_csv(r, ret, err) : next_ndjson(r, ret, err);
}
