#include "adopt.h"

#include <jansson.h> /* ahead of json_out.h, which then leaves it its names */
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_out.h"
#include "profile.h"
#include "store_records.h"
#include "text.h"

/* A row that was on its way when the original stopped may have arrived; so it is with herald's own, see
 * docs/delivery.md. It goes back into the queue. */

struct reading {
	const struct adopt_options *o;
	struct foreign_table table;
	int at[ADOPT_ROLES]; /* the column of each role; -1: none */
	uint64_t done, total;
};

static void describe(struct reading *r, const struct adopt_map *map)
{
	r->table.name = map->table;
	for (int role = 0; role < ADOPT_ROLES; role++) {
		bool time = role >= ADOPT_CREATED_AT && role <= ADOPT_FAILED_AT;

		r->at[role] = -1;
		if (!map->columns[role])
			continue;
		r->at[role] = (int)r->table.columns_n;
		r->table.columns[r->table.columns_n++] =
			(struct foreign_column){map->columns[role], time ? FOREIGN_TIME : FOREIGN_TEXT};
	}
	r->table.order[0] = (size_t)r->at[ADOPT_CREATED_AT];
	r->table.order[1] = (size_t)r->at[ADOPT_ID];
}

static const char *text(const struct reading *r, const struct foreign_cell *row, enum adopt_role role)
{
	return r->at[role] < 0 ? NULL : row[r->at[role]].text;
}

static usec_t when(const struct reading *r, const struct foreign_cell *row, enum adopt_role role)
{
	return r->at[role] < 0 ? 0 : MAX_OF(row[r->at[role]].time, 0);
}

static usec_t first_of(usec_t a, usec_t b)
{
	return a ? a : b;
}

/* Why the row cannot become a message; NULL: it can. */
static const char *fault(const struct reading *r, const struct foreign_cell *row, enum message_status *ret)
{
	const struct adopt_status *s = r->o->profile->adopt->statuses;
	const char *id = text(r, row, ADOPT_ID), *phone = text(r, row, ADOPT_PHONE);
	const char *content = text(r, row, ADOPT_CONTENT), *status = text(r, row, ADOPT_STATUS);

	if (!id || !text_is_token(id, strlen(id), MESSAGE_KEY_MAX - 64))
		return "it has no usable id";
	if (!phone || !*phone || strlen(phone) > MESSAGE_PHONE_MAX || !utf8_valid(phone, strlen(phone)))
		return "its phone number is empty or too long";
	/* Empty is not missing: such a message becomes invalid at its turn, or is so. */
	if (!content || strlen(content) > MESSAGE_CONTENT_MAX_BYTES || !utf8_valid(content, strlen(content)))
		return "its content is missing, too long or no text";
	while (s->text && (!status || strcmp(s->text, status) != 0))
		s++;
	if (!s->text)
		return "its status is unknown";
	*ret = s->is;
	return NULL;
}

static const char *metadata(struct arena *arena, const char *id)
{
	struct buf b = BUF_INIT;
	struct json_out j = json_begin(&b);
	const char *kept;

	json_open_object(&j);
	json_kv_str(&j, "originalId", id);
	json_end(&j);
	kept = arena_strdup(arena, b.data);
	buf_release(&b);
	return kept;
}

static void fill(const struct reading *r, const struct foreign_cell *row, enum message_status status, usec_t now,
                 struct arena *arena, struct message_record *ret, struct attempt_record *space)
{
	const char *name = r->o->profile->preset.name, *id = text(r, row, ADOPT_ID);
	const char *provider = text(r, row, ADOPT_MESSAGE_ID);
	usec_t created = first_of(when(r, row, ADOPT_CREATED_AT), now);
	usec_t updated = first_of(when(r, row, ADOPT_UPDATED_AT), created);
	struct buf key = BUF_INIT;

	buf_addf(&key, "%s:%s", name, id);
	*ret = (struct message_record){.said = -1};
	ret->m = (struct message){
		.status = status,
		.phone = text(r, row, ADOPT_PHONE),
		.content = text(r, row, ADOPT_CONTENT),
		.idempotency_key = arena_strdup(arena, key.data),
		.metadata = metadata(arena, id),
		.created_at = created,
		.updated_at = updated,
	};
	buf_release(&key);
	if (status == MESSAGE_PENDING) {
		ret->m.due_at = created;
		return;
	}
	if (status == MESSAGE_SENT) {
		ret->m.sent_at = first_of(when(r, row, ADOPT_SENT_AT), updated);
		ret->m.updated_at = MAX_OF(ret->m.sent_at, updated);
		if (provider && *provider && utf8_valid(provider, strlen(provider)))
			ret->m.message_id = arena_strndup(arena, provider, text_stored(provider, MESSAGE_PROVIDER_ID_MAX));
	} else {
		ret->m.updated_at = first_of(when(r, row, ADOPT_FAILED_AT), updated);
		ret->m.last_error = status == MESSAGE_INVALID ? "it broke the rules of the system that it comes from"
		                                             : "it had failed in the system that it comes from";
	}
	ret->m.started_at = ret->m.updated_at;
	message_record_tell(ret, space);
}

static void leave_out(const struct reading *r, const struct foreign_cell *row, const char *why,
                      struct adopt_result *ret)
{
	const char *id = text(r, row, ADOPT_ID);

	ret->left_out++;
	if (r->o->left_out)
		r->o->left_out(r->o->arg, id ? id : "", why);
}

struct row_id {
	const char *id;
	size_t row;
};

static int by_id(const void *a, const void *b)
{
	const struct row_id *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* A table without a primary key may hold an id twice: the earlier row is taken. */
static void find_twins(const struct reading *r, const struct foreign_page *page, bool *ret)
{
	struct row_id ids[FOREIGN_ROWS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < page->n; i++) {
		ids[n] = (struct row_id){text(r, page->rows[i], ADOPT_ID), i};
		n += ids[n].id != NULL;
	}
	qsort(ids, n, sizeof(*ids), by_id);
	for (size_t i = 1; i < n; i++)
		ret[ids[i].row] = !strcmp(ids[i].id, ids[i - 1].id);
}

static int take(struct reading *r, struct store_session *c, const struct foreign_page *page, struct adopt_result *ret,
                struct error *err)
{
	struct message_record *records cleanup(free_ptr) = xcalloc(FOREIGN_ROWS_MAX, sizeof(*records));
	struct attempt_record *space cleanup(free_ptr) = xcalloc(FOREIGN_ROWS_MAX, sizeof(*space));
	struct arena arena cleanup(arena_release) = ARENA_INIT;
	bool twin[FOREIGN_ROWS_MAX] = {false};
	size_t n = 0;
	usec_t now;
	int rc = store_now(c, &now, err);

	find_twins(r, page, twin);
	for (size_t i = 0; !rc && i < page->n; i++) {
		enum message_status status;
		const char *why = twin[i] ? "its id comes twice" : fault(r, page->rows[i], &status);

		if (why)
			leave_out(r, page->rows[i], why, ret);
		else
			fill(r, page->rows[i], status, now, &arena, &records[n], &space[n]), n++;
	}
	/* A commit whose answer was lost is found by the keys when it is made again. */
	for (int tries = 0; !rc; tries++) {
		rc = store_import_messages(c, records, n, err);
		if (rc != ERR_UNCERTAIN || tries == 3)
			break;
		rc = OK;
	}
	for (size_t i = 0; !rc && i < n; i++)
		*(records[i].result == INSERT_REPEATED ? &ret->known : &ret->adopted) += 1;
	return rc;
}

static int run(struct reading *r, struct store_session *c, struct adopt_result *ret, struct error *err)
{
	struct foreign_page *page cleanup(free_ptr) = xcalloc(1, sizeof(*page));
	struct foreign *source;
	int rc = foreign_open(&source, r->o->from, &r->table, &r->total, err);

	if (rc)
		return rc;
	do {
		rc = foreign_next(source, page, err);
		if (!rc && page->n)
			rc = take(r, c, page, ret, err);
		r->done += page->n;
		if (r->o->progress)
			r->o->progress(r->o->arg, r->done, r->total);
		if (!rc && r->o->stop && r->o->stop(r->o->arg))
			rc = error_set(err, ERR_CONFLICT, "told to stop; done again it goes on from here");
	} while (!rc && page->n);
	arena_release(&page->arena);
	foreign_close(source);
	return rc;
}

int adopt(const struct adopt_options *o, struct adopt_result *ret, struct error *err)
{
	struct reading r = {.o = o};
	struct store_session *c;
	int rc;

	*ret = (struct adopt_result){0};
	if (!o->profile->adopt)
		return error_set(err, ERR_CONFIG, "the profile %s has no table of an original", o->profile->preset.name);
	describe(&r, o->profile->adopt);
	rc = store_session_open(o->store, &c, err);
	if (rc)
		return rc;
	rc = run(&r, c, ret, err);
	store_session_close(c);
	return rc;
}
