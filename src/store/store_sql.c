#include "store_sql.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* Pages of records end early when their texts are this large. */
#define PAGE_BYTES (8 << 20)

/* Goes to the next row as next() does, unless the page is full with n: then there is more. */
static int next_for(struct sql_rows *rows, size_t n, uint32_t limit, bool *ret_more, struct error *err)
{
	int rc = rows->next(rows, err);

	*ret_more = rc > 0 && n >= limit;
	return *ret_more ? 0 : rc;
}

/* --- messages ------------------------------------------------------------------------------------------- */

/* owner: whose the last claim was, in any status. */
static void read_record(const struct sql_rows *r, struct arena *arena, struct message *ret)
{
	const usec_t state_at = r->integer(r, 2);
	const int64_t fence = r->integer(r, 5);

	*ret = (struct message){
		.id = r->integer(r, 0),
		.status = row_status((int)r->integer(r, 1)),
		.attempts = (int)r->integer(r, 3),
		.lost = (int)r->integer(r, 4),
		.fence = fence,
		.due_at = r->integer(r, 6),
		.started_at = fence ? r->integer(r, 7) : 0,
		.created_at = r->integer(r, 8),
		.updated_at = r->integer(r, 9),
		.send_at = r->integer(r, 10),
		.phone = r->text(r, 11, arena),
		.content = r->text(r, 12, arena),
		.idempotency_key = r->text(r, 13, arena),
		.metadata = r->text(r, 14, arena),
		.message_id = r->text(r, 15, arena),
		.last_error = r->text(r, 16, arena),
		.owner = r->text(r, 17, arena),
	};
	if (ret->status == MESSAGE_SENDING)
		ret->lease_until = state_at;
	else if (ret->status == MESSAGE_SENT)
		ret->sent_at = state_at;
}

static void read_message(const struct sql_rows *r, struct arena *arena, struct message *ret)
{
	read_record(r, arena, ret);
	if (ret->status != MESSAGE_SENDING)
		ret->owner = NULL;
}

int sql_message(struct sql_rows *rows, int64_t id, struct arena *arena, struct message *ret,
                struct error *err)
{
	int rc = rows->next(rows, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "there is no message %lld", (long long)id);
	read_message(rows, arena, ret);
	return OK;
}

int sql_message_page(struct sql_rows *rows, uint32_t limit, struct message_page *page, struct error *err)
{
	struct message *m;
	int rc;

	message_page_release(page);
	page->total = -1;
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0) {
		m = &page->items[page->n++];
		read_message(rows, &page->arena, m);
		page->last = (struct list_position){.at = rows->integer(rows, 18), .id = m->id};
	}
	return rc;
}

int sql_message_records(struct sql_rows *rows, uint32_t limit, struct record_page *page, struct error *err)
{
	struct message_record *r;
	int rc;

	record_page_release(page);
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0) {
		r = &page->items[page->n++];
		read_record(rows, &page->arena, &r->m);
		record_complete(r, (int)rows->integer(rows, 1), rows->integer(rows, 18),
		                rows->integer(rows, 19));
		if (page->arena.used > PAGE_BYTES)
			limit = 0;
	}
	return rc;
}

void sql_message_numbers(const struct message_record *r, int64_t id, usec_t created_at,
                         int64_t ret[SQL_MESSAGE_NUMBERS_N])
{
	const struct message *m = &r->m;
	const int64_t numbers[SQL_MESSAGE_NUMBERS_N] = {
		id,      created_at,    record_state(r), record_state_at(r), m->attempts,
		m->lost, m->fence,      r->run,          r->said,            m->due_at,
		m->started_at, m->updated_at, m->send_at,
	};

	memcpy(ret, numbers, sizeof(numbers));
}

void sql_message_texts(const struct message_record *r, const char *ret[SQL_MESSAGE_TEXTS_N])
{
	ret[0] = r->m.phone;
	ret[1] = r->m.content;
	ret[2] = r->m.idempotency_key;
	ret[3] = r->m.metadata;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t sql_owners(const struct message_record *items, size_t n, const char ***ret)
{
	const char *name, **names;
	size_t i, j, found = 0, cap = 0, unique = 0;

	for (i = 0; i < n; i++)
		cap += 1 + items[i].attempts_n;
	names = xcalloc(cap, sizeof(*names));
	for (i = 0; i < n; i++) {
		for (j = 0; j <= items[i].attempts_n; j++) {
			name = j ? items[i].attempts[j - 1].a.node : items[i].m.owner;
			/* Mostly the same as before. */
			if (name && (!found || strcmp(names[found - 1], name) != 0))
				names[found++] = name;
		}
	}
	qsort(names, found, sizeof(*names), by_name);
	for (i = 0; i < found; i++) {
		if (!unique || strcmp(names[unique - 1], names[i]) != 0)
			names[unique++] = names[i];
	}
	*ret = names;
	return unique;
}

/* --- attempts ------------------------------------------------------------------------------------------- */

static struct attempt read_attempt(const struct sql_rows *r, struct arena *arena)
{
	return (struct attempt){
		.attempt = (int)r->integer(r, 2),
		.run = r->integer(r, 3),
		.verdict = (enum verdict)r->integer(r, 4),
		.http_status = (int)r->integer(r, 5),
		.started_at = r->integer(r, 6),
		.duration = r->integer(r, 7),
		.error = r->text(r, 8, arena),
		.node = r->text(r, 9, arena),
	};
}

int sql_attempt_page(struct sql_rows *rows, struct attempt_page *page, struct error *err)
{
	int rc;

	attempt_page_release(page);
	while ((rc = rows->next(rows, err)) > 0) {
		page->items = arena_grow(&page->arena, page->items, page->n, sizeof(*page->items));
		page->items[page->n++] = read_attempt(rows, &page->arena);
	}
	return rc;
}

int sql_attempt_records(struct sql_rows *rows, struct record_page *page, struct error *err)
{
	struct attempt_record *a;
	size_t at = 0;
	int rc;

	while ((rc = rows->next(rows, err)) > 0) {
		a = record_attempt(page, rows->integer(rows, 0), &at);
		if (a)
			*a = (struct attempt_record){.seq = rows->integer(rows, 1),
			                             .a = read_attempt(rows, &page->arena)};
	}
	return rc;
}

struct sql_attempt sql_attempt_settled(const struct settlement *s, int64_t owner)
{
	const bool sent = s->verdict == VERDICT_SENT;

	return (struct sql_attempt){
		.message = s->id,
		.seq = attempt_seq(s->fence, s->verdict),
		.run = s->run,
		.owner = owner,
		.attempt = s->attempt,
		.verdict = s->verdict,
		.http_status = s->http_status,
		.started_at = s->started_at,
		.duration = s->duration,
		.message_id = sent ? s->message_id : NULL,
		.error = sent ? NULL : s->error,
	};
}

struct sql_attempt sql_attempt_imported(const struct message_record *r, size_t i, int64_t message,
                                        int64_t owner)
{
	const struct attempt_record *a = &r->attempts[i];

	return (struct sql_attempt){
		.message = message,
		.seq = a->seq,
		.run = a->a.run,
		.owner = owner,
		.attempt = a->a.attempt,
		.verdict = a->a.verdict,
		.http_status = a->a.http_status,
		.started_at = a->a.started_at,
		.duration = a->a.duration,
		.message_id = a->seq == r->said ? r->m.message_id : NULL,
		.error = a->a.error,
	};
}

void sql_attempt_numbers(const struct sql_attempt *a, int64_t ret[SQL_ATTEMPT_NUMBERS_N])
{
	const int64_t numbers[SQL_ATTEMPT_NUMBERS_N] = {
		a->message,      a->seq,         a->attempt,    a->run,
		(int)a->verdict, a->http_status, a->started_at, a->duration,
	};

	memcpy(ret, numbers, sizeof(numbers));
}

struct sql_lost sql_lost_row(const struct sql_rows *r, const struct recover_request *request)
{
	struct sql_lost row = {
		.id = r->integer(r, 0),
		.fence = r->integer(r, 1),
		.owner = r->integer(r, 2),
		.run = r->integer(r, 3),
		.attempts = (int)r->integer(r, 4),
		.lost = (int)r->integer(r, 5) + 1,
		.started_at = r->integer(r, 6),
	};

	row.state = recovered_state(request, row.attempts, row.lost);
	return row;
}

struct sql_attempt sql_attempt_lost(const struct sql_lost *row, const struct recover_request *r)
{
	return (struct sql_attempt){
		.message = row->id,
		.seq = attempt_seq(row->fence, VERDICT_LOST),
		.run = row->run,
		.owner = row->owner,
		.attempt = row->attempts,
		.verdict = VERDICT_LOST,
		.started_at = row->started_at,
		.error = r->last_error,
	};
}

/* --- runs and jobs -------------------------------------------------------------------------------------- */

static struct run_record read_run(const struct sql_rows *r, struct arena *arena)
{
	return (struct run_record){
		.r = {.id = r->integer(r, 0),
		      .started_at = r->integer(r, 1),
		      .claimed = (uint32_t)r->integer(r, 2),
		      .sent = (uint32_t)r->integer(r, 3),
		      .failed = (uint32_t)r->integer(r, 4),
		      .retried = (uint32_t)r->integer(r, 5),
		      .lost = (uint32_t)r->integer(r, 6),
		      .last_id = r->integer(r, 7),
		      .finished = r->integer(r, 8) != 0,
		      .node = r->text(r, 10, arena)},
		.closed = r->integer(r, 9) != 0,
	};
}

int sql_run_page(struct sql_rows *rows, uint32_t limit, void *arg, struct error *err)
{
	struct run_page *page = arg;
	int rc;

	run_page_release(page);
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0)
		page->items[page->n++] = read_run(rows, &page->arena).r;
	return rc;
}

int sql_run_records(struct sql_rows *rows, uint32_t limit, void *arg, struct error *err)
{
	struct run_record_page *page = arg;
	int rc;

	run_record_page_release(page);
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0)
		page->items[page->n++] = read_run(rows, &page->arena);
	return rc;
}

size_t sql_run_values(const void *items, size_t i, int64_t ret[SQL_VALUES_MAX], const char **ret_text)
{
	const struct run_record *r = (const struct run_record *)items + i;
	const int64_t numbers[] = {
		r->r.id,      r->r.started_at, r->r.claimed, r->r.sent,     r->r.failed,
		r->r.retried, r->r.lost,       r->r.last_id, r->r.finished, r->closed,
	};

	memcpy(ret, numbers, sizeof(numbers));
	*ret_text = r->r.node;
	return ARRAY_SIZE(numbers);
}

static struct job_record read_job(const struct sql_rows *r, struct arena *arena)
{
	return (struct job_record){
		.j = {.id = r->integer(r, 0),
		      .started_at = r->integer(r, 1),
		      .finished_at = r->integer(r, 2),
		      .name = r->text(r, 5, arena)},
		.first_run = r->integer(r, 3),
		.last_run = r->integer(r, 4),
	};
}

int sql_job_page(struct sql_rows *rows, uint32_t limit, void *arg, struct error *err)
{
	struct job_page *page = arg;
	struct job *job;
	int rc;

	job_page_release(page);
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0) {
		job = &page->items[page->n++];
		*job = read_job(rows, &page->arena).j;
		job->taken = rows->integer(rows, 6);
	}
	return rc;
}

int sql_job_records(struct sql_rows *rows, uint32_t limit, void *arg, struct error *err)
{
	struct job_record_page *page = arg;
	int rc;

	job_record_page_release(page);
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	while ((rc = next_for(rows, page->n, limit, &page->more, err)) > 0)
		page->items[page->n++] = read_job(rows, &page->arena);
	return rc;
}

size_t sql_job_values(const void *items, size_t i, int64_t ret[SQL_VALUES_MAX], const char **ret_text)
{
	const struct job_record *r = (const struct job_record *)items + i;
	const int64_t numbers[] = {r->j.id, r->j.started_at, r->j.finished_at, r->first_run, r->last_run};

	memcpy(ret, numbers, sizeof(numbers));
	*ret_text = r->j.name;
	return ARRAY_SIZE(numbers);
}

/* --- the scheduler and the nodes ------------------------------------------------------------------------ */

int sql_scheduler(struct sql_rows *r, struct scheduler_row *ret, struct error *err)
{
	struct scheduler_row row;
	int rc = r->next(r, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
	row = (struct scheduler_row){
		.s = {.pacing = {.running = r->integer(r, 0) != 0,
		                 .interval = r->integer(r, 1),
		                 .batch = (uint32_t)r->integer(r, 2),
		                 .beat_at = r->integer(r, 3),
		                 .epoch = r->integer(r, 4),
		                 .left = (uint32_t)r->integer(r, 5),
		                 .not_before = r->integer(r, 10)},
		      .failure_rate = r->real(r, 6),
		      .last_alert_at = r->integer(r, 7)},
		.config_interval = r->integer(r, 8),
		.config_batch = (uint32_t)r->integer(r, 9),
		.job = r->integer(r, 11),
	};
	/* Every beat is a run, and runs are numbered by beats. */
	row.s.last_run_at = row.s.pacing.beat_at;
	row.s.runs_count = row.s.pacing.epoch;
	*ret = row;
	return OK;
}

int sql_node_page(struct sql_rows *r, struct node_page *page, struct error *err)
{
	int rc;

	node_page_release(page);
	while ((rc = r->next(r, err)) > 0) {
		page->items = arena_grow(&page->arena, page->items, page->n, sizeof(*page->items));
		page->items[page->n++] = (struct node){
			.id = r->text(r, 0, &page->arena),
			.boot = r->text(r, 1, &page->arena),
			.version = r->text(r, 2, &page->arena),
			.role = r->text(r, 3, &page->arena),
			.started_at = r->integer(r, 4),
			.last_seen = r->integer(r, 5),
			.in_flight = (uint32_t)r->integer(r, 6),
			.left = r->integer(r, 7) != 0,
		};
	}
	return rc;
}
