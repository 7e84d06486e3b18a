#include "answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "text.h"

static const struct {
	int code;
	int retry_after;
	const char *text;
	const char *meaning;
} errors[] = {
#define API_ERROR(name, code, retry, text, meaning) [API_##name] = {code, retry, text, meaning},
#include "errors.def"
#undef API_ERROR
};

int api_error_status(enum api_error e)
{
	return errors[e].code / 1000;
}

void api_error_docs(struct buf *out)
{
	buf_addstr(out, "# Error codes of the API\n\n"
	                "Generated from `src/http/errors.def`. An error is answered with\n"
	                "`{\"success\":false,\"error\":\"…\",\"code\":…,\"details\"?:{…}}`; the first three digits of the\n"
	                "code are the HTTP status. The bodies of 401001 and 500001 are fixed and carry no code.\n\n"
	                "| code | error | meaning |\n|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		buf_addf(out, "| %d | %s | %s |\n", errors[i].code, errors[i].text, errors[i].meaning);
}

void answer_init(struct answer *a)
{
	*a = (struct answer){.body = BUF_INIT, .details.members = BUF_INIT};
}

/* Memory above this goes back, lest one large page stays in the pool for ever. */
#define KEEP_BYTES (16 * 1024)

static void clear_or_release(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_release(b);
	else
		buf_clear(b);
}

void answer_clear(struct answer *a)
{
	struct buf body = a->body, members = a->details.members;

	clear_or_release(&body);
	clear_or_release(&members);
	*a = (struct answer){.body = body, .details.members = members};
}

void answer_release(struct answer *a)
{
	buf_release(&a->body);
	buf_release(&a->details.members);
}

struct json_out answer_begin(struct answer *a, int status, const char *message)
{
	struct json_out j;

	a->status = status;
	a->error = NULL;
	buf_clear(&a->body);
	j = json_begin(&a->body);
	json_open_object(&j);
	json_kv_bool(&j, "success", true);
	if (message)
		json_kv_str(&j, "message", message);
	json_key(&j, "data");
	return j;
}

void answer_end(struct json_out *j)
{
	json_end(j);
}

struct json_out answer_page_begin(struct answer *a)
{
	struct json_out j = answer_begin(a, 200, NULL);

	json_open_array(&j);
	return j;
}

void answer_page_end(struct json_out *j, const struct page_totals *t)
{
	json_end(j);
	json_kv_int(j, "page", (int64_t)t->page);
	json_kv_int(j, "pageSize", t->size);
	json_kv_int(j, "totalCount", t->total);
	json_kv_int(j, "totalPages", (t->total + t->size - 1) / t->size);
	if (t->more)
		json_kv_bool(j, "totalCountExact", false);
	if (*t->next)
		json_kv_str(j, "nextCursor", t->next);
	json_end(j);
}

void answer_text(struct answer *a, int status, const char *text)
{
	a->status = status;
	a->error = NULL;
	a->content_type = "text/plain; charset=utf-8";
	buf_clear(&a->body);
	buf_addstr(&a->body, text);
}

/* Makes room for one more member; false when there are enough. */
static bool details_open(struct details *d)
{
	if (d->n++ >= DETAILS_MAX)
		return false;
	buf_addch(&d->members, d->members.len ? ',' : '{');
	return true;
}

static void quote_field(struct buf *out, const char *prefix, const char *field)
{
	char name[64 + DETAIL_NAME_MAX];
	size_t len = strnlen(field, DETAIL_NAME_MAX + 1);

	if (len > DETAIL_NAME_MAX) {
		/* Cut between code points. */
		len = DETAIL_NAME_MAX;
		while (len && ((unsigned char)field[len] & 0xc0) == 0x80)
			len--;
	}
	snprintf(name, sizeof(name), "%s%.*s", prefix, (int)len, field);
	json_quote(out, name, strlen(name));
}

static void details_addv(struct details *d, const char *prefix, const char *field, const char *why, va_list ap)
	printf_like(4, 0);
static void details_addv(struct details *d, const char *prefix, const char *field, const char *why, va_list ap)
{
	char text[300];
	int n;

	if (!details_open(d))
		return;
	n = vsnprintf(text, sizeof(text), why, ap);
	if (n < 0)
		n = 0;
	quote_field(&d->members, prefix, field);
	buf_addch(&d->members, ':');
	json_quote(&d->members, text, MIN_OF((size_t)n, sizeof(text) - 1));
}

void details_add(struct details *d, const char *field, const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	details_addv(d, "", field, why, ap);
	va_end(ap);
}

void details_add_row(struct details *d, size_t row, const char *field, const char *why, ...)
{
	char prefix[32];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "%zu%s", row, *field ? "." : "");
	va_start(ap, why);
	details_addv(d, prefix, field, why, ap);
	va_end(ap);
}

void details_add_json(struct details *d, const char *field, const char *json)
{
	if (!details_open(d))
		return;
	quote_field(&d->members, "", field);
	buf_addch(&d->members, ':');
	buf_addstr(&d->members, json);
}

void answer_error(struct answer *a, enum api_error e)
{
	answer_error_text(a, e, errors[e].text);
}

void answer_error_text(struct answer *a, enum api_error e, const char *text)
{
	struct json_out j;

	buf_clear(&a->body);
	a->status = api_error_status(e);
	j = json_begin(&a->body);
	json_open_object(&j);
	json_kv_bool(&j, "success", false);
	json_kv_str(&j, "error", text);
	if (e != API_UNAUTHORIZED && e != API_NO_KEY_CONFIGURED)
		json_kv_int(&j, "code", errors[e].code);
	if (a->details.n) {
		if (a->details.n > DETAILS_MAX) {
			buf_addf(&a->details.members, ",\"more\":\"%zu further errors are not listed\"",
			         a->details.n - DETAILS_MAX);
		}
		buf_addch(&a->details.members, '}');
		json_key(&j, "details");
		json_raw(&j, a->details.members.data, a->details.members.len);
	}
	json_end(&j);
	a->error = text;
	a->retry_after = errors[e].retry_after;
	a->authenticate = e == API_UNAUTHORIZED;
}
