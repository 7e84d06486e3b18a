#include "batch.h"

#include <string.h>

#include "body.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct batch_cutter *c)
{
	while (c->at < c->end && is_space(*c->at))
		c->at++;
}

void batch_cut_begin(struct batch_cutter *c, enum batch_format format, const char *text, size_t len)
{
	*c = (struct batch_cutter){.format = format, .at = text, .end = text + len};
	if (format == BATCH_LINES)
		return;
	skip_space(c);
	if (c->at == c->end || *c->at != '[') {
		c->malformed = true;
		return;
	}
	c->at++;
	skip_space(c);
	if (c->at < c->end && *c->at == ']') {
		c->at++;
		c->closed = true;
	}
}

/* The ',' or ']' that ends an element of the array, or NULL. Strings and nesting are followed just far enough
 * to find it; whether the element is JSON is for the parser to say. */
static const char *element_end(const char *at, const char *end)
{
	size_t depth = 0;

	for (; at < end; at++) {
		switch (*at) {
		case '"':
			for (at++; at < end && *at != '"'; at++)
				if (*at == '\\')
					at++;
			if (at >= end)
				return NULL;
			break;
		case '[':
		case '{':
			depth++;
			break;
		case '}':
			if (depth)
				depth--;
			break;
		case ']':
			if (!depth)
				return at;
			depth--;
			break;
		case ',':
			if (!depth)
				return at;
			break;
		default:
			break;
		}
	}
	return NULL;
}

static bool cut_element(struct batch_cutter *c, const char **ret_row, size_t *ret_len)
{
	const char *stop;

	if (c->malformed)
		return false;
	if (c->closed) {
		skip_space(c);
		c->malformed = c->at != c->end;
		return false;
	}
	stop = element_end(c->at, c->end);
	if (!stop) {
		c->malformed = true;
		return false;
	}
	*ret_row = c->at;
	*ret_len = (size_t)(stop - c->at);
	c->closed = *stop == ']';
	c->at = stop + 1;
	c->rows++;
	return true;
}

static bool cut_line(struct batch_cutter *c, const char **ret_row, size_t *ret_len)
{
	skip_space(c);
	if (c->at == c->end)
		return false;
	*ret_row = c->at;
	c->at = memchr(c->at, '\n', (size_t)(c->end - c->at));
	if (!c->at)
		c->at = c->end;
	*ret_len = (size_t)(c->at - *ret_row);
	c->rows++;
	return true;
}

bool batch_cut(struct batch_cutter *c, const char **ret_row, size_t *ret_len)
{
	return c->format == BATCH_LINES ? cut_line(c, ret_row, ret_len) : cut_element(c, ret_row, ret_len);
}

int batch_parse(enum batch_format format, const char *text, size_t len,
                const struct message_rules *rules, struct arena *a, struct message_draft **ret,
                size_t *ret_n, struct details *d, enum api_error *ret_error)
{
	bool malformed = false, nul;
	struct message_draft *drafts = NULL;
	struct batch_cutter c;
	size_t cap = 0, row_len;
	const char *row;

	batch_cut_begin(&c, format, text, len);
	while (batch_cut(&c, &row, &row_len)) {
		const size_t i = c.rows - 1;
		json_t *doc;

		if (c.rows > BATCH_ROWS_MAX) {
			details_add(d, "body", "must hold at most %d messages", BATCH_ROWS_MAX);
			break;
		}
		if (i == cap) {
			struct message_draft *more;

			cap = cap ? 2 * cap : 64;
			more = arena_alloc(a, cap * sizeof(*more));
			if (i)
				memcpy(more, drafts, i * sizeof(*more));
			drafts = more;
		}
		if (body_json(row, row_len, i, &doc, &nul, d) != OK) {
			malformed |= !nul;
			if (malformed)
				break;
			continue;
		}
		if (body_draft(doc, rules, i, a, &drafts[i], d))
			draft_copy(&drafts[i], a);
		json_decref(doc);
	}
	if (c.malformed)
		details_add(d, "body", format == BATCH_ARRAY ? "must be an array of messages"
		                                             : "must hold one message per line");
	if (!c.rows && !c.malformed)
		details_add(d, "body", "must hold at least one message");
	*ret_error = malformed || c.malformed ? API_MALFORMED_JSON : API_INVALID;
	if (d->n)
		return ERR_INVALID;
	*ret = drafts;
	*ret_n = c.rows;
	return OK;
}
