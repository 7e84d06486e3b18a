/* /openapi.json: the paths come from routes.def, the shapes from schemas.json, so neither can be forgotten; and the
 * same document of another system's routes. */
#include <stdio.h>
#include <string.h>

#include "attr.h"
#include "http.h"
#include "json_out.h"
#include "lease_token.h"
#include "route.h"

/* {"components":{…},"tags":[…]} */
static const char schemas[] = {
#include "schemas.inc"
};

/* Calls fn for each word of a list separated by spaces. */
static void each_word(const char *list, void (*fn)(struct json_out *j, const char *word), struct json_out *j)
{
	char word[64];

	while (list && *list) {
		size_t len = strcspn(list, " ");

		snprintf(word, sizeof(word), "%.*s", (int)len, list);
		fn(j, word);
		list += len;
		list += strspn(list, " ");
	}
}

static void reference(struct json_out *j, const char *kind, const char *name)
{
	char path[120];

	snprintf(path, sizeof(path), "#/components/%s/%s", kind, name);
	json_open_object(j);
	json_kv_str(j, "$ref", path);
	json_end(j);
}

static void write_parameter(struct json_out *j, const char *name)
{
	reference(j, "parameters", name);
}

/* "503Health": status 503, described by the response of the whole name. */
static void write_further_answer(struct json_out *j, const char *name)
{
	char status[4];

	snprintf(status, sizeof(status), "%.3s", name);
	json_key(j, status);
	reference(j, "responses", name);
}

static void write_content(struct json_out *j, const char *type, const char *schema)
{
	json_key(j, "content");
	json_open_object(j);
	json_key(j, type);
	json_open_object(j);
	json_key(j, "schema");
	reference(j, "schemas", schema);
	json_end(j);
	if (strcmp(schema, "MessageBatch") == 0) {
		json_key(j, "application/x-ndjson");
		json_open_object(j);
		json_key(j, "schema");
		json_open_object(j);
		json_kv_str(j, "type", "string");
		json_kv_str(j, "description", "One MessageDraft per line.");
		json_end(j);
		json_end(j);
	}
	json_end(j);
}

static void write_request(struct json_out *j, const struct route *r)
{
	if (!r->request)
		return;
	json_key(j, "requestBody");
	json_open_object(j);
	json_kv_bool(j, "required", r->body != BODY_OPTIONAL_JSON);
	write_content(j, "application/json", r->request);
	json_end(j);
}

/* Some answers are no JSON. */
static const char *content_type(const char *schema)
{
	if (strcmp(schema, "Metrics") == 0 || strcmp(schema, "Text") == 0)
		return "text/plain";
	return strcmp(schema, "EventStream") == 0 ? "text/event-stream" : "application/json";
}

static void write_answers(struct json_out *j, const struct route *r)
{
	char status[8];

	json_key(j, "responses");
	json_open_object(j);
	snprintf(status, sizeof(status), "%d", r->success);
	json_key(j, status);
	json_open_object(j);
	json_kv_str(j, "description", r->success == 201 ? "Stored" : "Done");
	json_key(j, "headers");
	json_open_object(j);
	json_key(j, "X-Correlation-Id");
	reference(j, "headers", "CorrelationId");
	json_end(j);
	write_content(j, content_type(r->response), r->response);
	json_end(j);
	each_word(r->answers, write_further_answer, j);
	json_end(j);
}

static void write_security(struct json_out *j, enum access access)
{
	static const char *const schemes[] = {"apiKey", "bearer"};

	json_key(j, "security");
	json_open_array(j);
	for (size_t i = 0; access != ACCESS_OPEN && i < ARRAY_SIZE(schemes); i++) {
		json_open_object(j);
		json_key(j, schemes[i]);
		json_open_array(j);
		json_end(j);
		json_end(j);
	}
	json_end(j);
}

static void write_operation(struct json_out *j, const struct route *r, bool open)
{
	char method[16];

	snprintf(method, sizeof(method), "%s", method_name(r->method));
	for (char *c = method; *c; c++)
		*c |= 0x20; /* lower case */
	json_key(j, method);
	json_open_object(j);
	json_kv_str(j, "operationId", r->operation_id);
	json_kv_str(j, "summary", r->summary);
	json_key(j, "tags");
	json_open_array(j);
	json_str(j, r->tag);
	json_end(j);
	write_security(j, open ? ACCESS_OPEN : r->access);
	if (r->parameters) {
		json_key(j, "parameters");
		json_open_array(j);
		each_word(r->parameters, write_parameter, j);
		json_end(j);
	}
	write_request(j, r);
	write_answers(j, r);
	json_end(j);
}

static void write_paths(struct json_out *j, const struct http_document *d)
{
	json_key(j, "paths");
	json_open_object(j);
	for (size_t i = 0; i < d->routes_n; i++) {
		const char *pattern = d->routes[i].pattern;
		bool seen = !d->routes[i].operation_id; /* a page */

		for (size_t k = 0; k < i; k++)
			seen |= strcmp(d->routes[k].pattern, pattern) == 0;
		if (seen)
			continue;
		json_key(j, pattern);
		json_open_object(j);
		for (size_t k = i; k < d->routes_n; k++)
			if (strcmp(d->routes[k].pattern, pattern) == 0)
				write_operation(j, &d->routes[k], d->open);
		json_end(j);
	}
	json_end(j);
}

void http_openapi_of(struct buf *out, const struct http_document *d)
{
	struct json_out j = json_begin(out);

	json_open_object(&j);
	json_kv_str(&j, "openapi", "3.1.0");
	json_key(&j, "info");
	json_open_object(&j);
	json_kv_str(&j, "title", d->title);
	json_kv_str(&j, "version", d->version);
	json_kv_int(&j, "x-lease-protocol", LEASE_PROTOCOL);
	json_kv_str(&j, "summary", d->summary);
	json_key(&j, "license");
	json_open_object(&j);
	json_kv_str(&j, "name", "Apache-2.0");
	json_kv_str(&j, "identifier", "Apache-2.0");
	json_end(&j);
	json_end(&j);
	json_key(&j, "servers");
	json_open_array(&j);
	json_open_object(&j);
	json_kv_str(&j, "url", "/");
	json_kv_str(&j, "description", "The server that this document comes from.");
	json_end(&j);
	json_end(&j);
	write_paths(&j, d);
	json_end(&j);
	/* The rest of the members come ready-made: put them in place of the closing brace. */
	buf_truncate(out, out->len - 1);
	buf_addch(out, ',');
	buf_add(out, d->schemas + 1, d->schemas_len - 1);
}

void http_openapi(struct buf *out, const char *version)
{
	const struct http_document own = {
		.title = "herald",
		.version = version,
		.summary = "Accepts messages durably and sends them to a webhook at an exact pace.",
		.routes = routes,
		.routes_n = route_count,
		.schemas = schemas,
		.schemas_len = sizeof(schemas),
	};

	http_openapi_of(out, &own);
}
