#include "yaml_file.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#include "alloc.h"
#include "buf.h"

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	const struct yaml_handler *h;
};

static bool fail_at(struct reader *r, size_t line, const char *what)
{
	r->h->error(r->h->arg, line, what);
	return false;
}

static size_t event_line(const struct reader *r)
{
	return r->event.start_mark.line + 1;
}

static bool fail(struct reader *r, const char *what)
{
	return fail_at(r, event_line(r), what);
}

/* Replaces the current event by the next. */
static bool next(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = yaml_parser_parse(&r->parser, &r->event) == 1;
	if (!r->have_event) {
		/* libyaml's texts are constants, without a piece of the file. */
		const char *problem = r->parser.problem ? r->parser.problem : "not readable";
		size_t line = r->parser.error == YAML_READER_ERROR ? r->parser.mark.line
		                                                   : r->parser.problem_mark.line;

		return fail_at(r, line + 1, problem);
	}
	if (r->event.type == YAML_ALIAS_EVENT)
		return fail(r, "aliases are not supported");
	return true;
}

static bool has_anchor(const yaml_event_t *e)
{
	return (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
	       (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor) ||
	       (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor);
}

/* Appends the current scalar. Null is empty, unless it is quoted. */
static bool add_scalar(struct reader *r, struct buf *out)
{
	const char *s = (const char *)r->event.data.scalar.value;
	size_t len = r->event.data.scalar.length;

	if (memchr(s, '\0', len))
		return fail(r, "a NUL character");
	if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (strcmp(s, "~") == 0 || strcmp(s, "null") == 0 || strcmp(s, "Null") == 0 || strcmp(s, "NULL") == 0))
		return true;
	buf_add(out, s, len);
	return true;
}

/* The current event starts a sequence; ends on its end. */
static bool add_list(struct reader *r, struct buf *out)
{
	for (bool first = true;; first = false) {
		if (!next(r))
			return false;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			return true;
		if (r->event.type != YAML_SCALAR_EVENT || has_anchor(&r->event))
			return fail(r, "a list may hold plain values only");
		if (!first)
			buf_addch(out, ',');
		if (!add_scalar(r, out))
			return false;
	}
}

/* The current event starts a mapping; ends on its end. */
static bool read_mapping(struct reader *r, const char *section)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	bool good = true;

	while (good) {
		size_t line;

		good = next(r);
		if (!good || r->event.type == YAML_MAPPING_END_EVENT)
			break;
		line = event_line(r);
		buf_clear(&key);
		buf_clear(&value);
		if (r->event.type != YAML_SCALAR_EVENT || has_anchor(&r->event)) {
			good = fail(r, "a key must be plain text");
			break;
		}
		good = add_scalar(r, &key) && next(r);
		if (!good)
			break;
		if (has_anchor(&r->event)) {
			good = fail(r, "anchors are not supported");
		} else if (r->event.type == YAML_MAPPING_START_EVENT) {
			if (section) {
				good = fail(r, "nested too deeply: a section holds plain values and lists");
			} else {
				r->h->section(r->h->arg, line, key.data);
				good = read_mapping(r, key.data);
			}
		} else {
			good = r->event.type == YAML_SEQUENCE_START_EVENT ? add_list(r, &value)
			                                                  : add_scalar(r, &value);
			if (good)
				r->h->pair(r->h->arg, line, section, key.data, value.data);
		}
	}
	explicit_bzero(value.data, value.len);
	buf_release(&key);
	buf_release(&value);
	return good;
}

static bool read_document(struct reader *r)
{
	if (!next(r) || !next(r)) /* the stream's start; the first document's */
		return false;
	if (r->event.type == YAML_STREAM_END_EVENT)
		return true;
	if (!next(r))
		return false;
	if (has_anchor(&r->event))
		return fail(r, "anchors are not supported");
	if (r->event.type == YAML_MAPPING_START_EVENT) {
		if (!read_mapping(r, NULL))
			return false;
	} else if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.length > 0) {
		return fail(r, "not a mapping of keys to values");
	}
	if (!next(r) || !next(r)) /* the document's end; what follows */
		return false;
	return r->event.type == YAML_STREAM_END_EVENT || fail(r, "more than one document");
}

void yaml_file_parse(const char *text, size_t len, const struct yaml_handler *h)
{
	struct reader r = {.h = h};

	if (!yaml_parser_initialize(&r.parser))
		panic("out of memory");
	/* Not UTF-16, which libyaml would guess from a BOM: what else reads the file would not. */
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	(void)read_document(&r);
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
}
