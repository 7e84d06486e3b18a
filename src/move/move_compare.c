/*
 * Both sides are read in the order of their ids, each in pages of its own, and every record is turned into the
 * text that says all of it (store_records.h). So the comparison knows nothing of drivers, and what differs
 * can be named.
 */
#include "move_compare.h"

#include <string.h>

#include "buf.h"
#include "text.h"

#define PAGE_SMALL (1 << 20)
#define PAGE_LARGE (16 << 20)

void page_size_adapt(struct page_size *s, size_t bytes)
{
	if (bytes < PAGE_SMALL)
		s->limit = MIN_OF(s->limit * 2, RECORDS_MAX);
	else if (bytes > PAGE_LARGE)
		s->limit = MAX_OF(s->limit / 4, 10);
}

void job_goes_on(struct job_record *r, int64_t id)
{
	if (r->j.id == id)
		r->j.finished_at = r->last_run = 0;
}

struct side {
	struct store_session *c;
	int64_t goes_on; /* the job that is read as one that does; 0: none */
	struct record_page messages;
	struct run_record_page runs;
	struct job_record_page jobs;
	size_t at;
	int64_t after;
	bool more;
	struct page_size size;
	struct buf text; /* of the record in hand */
	uint64_t checksum;
};

static void side_release(struct side *s)
{
	record_page_release(&s->messages);
	run_record_page_release(&s->runs);
	job_record_page_release(&s->jobs);
	buf_release(&s->text);
}

/* *ret is NULL behind the last one; it lives until the next call. */
static int next_message(struct side *s, const struct message_record **ret, struct error *err)
{
	int rc;

	*ret = NULL;
	while (s->at == s->messages.n) {
		if (!s->more)
			return OK;
		page_size_adapt(&s->size, s->messages.arena.used);
		record_page_release(&s->messages);
		rc = store_export_messages(s->c, s->after, s->size.limit, &s->messages, err);
		if (rc)
			return rc;
		s->at = 0;
		s->more = s->messages.more;
	}
	*ret = &s->messages.items[s->at++];
	s->after = (*ret)->m.id;
	buf_clear(&s->text);
	message_record_print(*ret, &s->text);
	s->checksum = hash_bytes(s->text.data, s->text.len, s->checksum);
	return OK;
}

static int next_run(struct side *s, const struct run_record **ret, struct error *err)
{
	int rc;

	*ret = NULL;
	while (s->at == s->runs.n) {
		if (!s->more)
			return OK;
		run_record_page_release(&s->runs);
		rc = store_export_runs(s->c, s->after, RECORDS_MAX, &s->runs, err);
		if (rc)
			return rc;
		s->at = 0;
		s->more = s->runs.more;
	}
	*ret = &s->runs.items[s->at++];
	s->after = (*ret)->r.id;
	buf_clear(&s->text);
	run_record_print(*ret, &s->text);
	s->checksum = hash_bytes(s->text.data, s->text.len, s->checksum);
	return OK;
}

static int next_job(struct side *s, const struct job_record **ret, struct error *err)
{
	struct job_record *job;
	int rc;

	*ret = NULL;
	while (s->at == s->jobs.n) {
		if (!s->more)
			return OK;
		job_record_page_release(&s->jobs);
		rc = store_export_jobs(s->c, s->after, RECORDS_MAX, &s->jobs, err);
		if (rc)
			return rc;
		s->at = 0;
		s->more = s->jobs.more;
	}
	job = &s->jobs.items[s->at++];
	job_goes_on(job, s->goes_on);
	s->after = job->j.id;
	buf_clear(&s->text);
	job_record_print(job, &s->text);
	s->checksum = hash_bytes(s->text.data, s->text.len, s->checksum);
	*ret = job;
	return OK;
}

static void rewind_side(struct side *s)
{
	s->at = 0;
	s->after = 0;
	s->more = true;
}

static bool same(const struct side *a, const struct side *b)
{
	return a->text.len == b->text.len && !memcmp(a->text.data, b->text.data, a->text.len);
}

/* The name in front of the first character that differs: a line begins with it. */
static int differ(const struct side *a, const struct side *b, const char *what, int64_t id,
                  struct error *err)
{
	size_t i, line = 0;

	for (i = 0; i < a->text.len && i < b->text.len && a->text.data[i] == b->text.data[i]; i++) {
		if (a->text.data[i] == '\n')
			line = i + 1;
	}
	return error_set(err, ERR_CONFLICT, "the copy differs from the source: %s %lld, \"%.*s\"", what,
	                 (long long)id, (int)strcspn(a->text.data + line, "=\n"), a->text.data + line);
}

static int missing(const char *what, int64_t id, bool in_copy, struct error *err)
{
	return error_set(err, ERR_CONFLICT, "the copy differs from the source: %s %lld is only in the %s", what,
	                 (long long)id, in_copy ? "source" : "copy");
}

static int compare_messages(struct side *a, struct side *b, bool (*tick)(void *arg, uint64_t done), void *arg,
                            struct move_result *r, bool *ret_stopped, struct error *err)
{
	const struct message_record *x, *y;
	int rc;

	for (;;) {
		if ((rc = next_message(a, &x, err)) || (rc = next_message(b, &y, err)))
			return rc;
		if (!x && !y)
			return OK;
		if (!x || !y || x->m.id != y->m.id) {
			bool lacks = x && (!y || x->m.id < y->m.id);

			return missing("message", lacks ? x->m.id : y->m.id, lacks, err);
		}
		if (!same(a, b))
			return differ(a, b, "message", x->m.id, err);
		r->messages++;
		r->attempts += (int64_t)x->attempts_n;
		r->by_status[x->m.status]++;
		if (r->messages % 100 == 0 && !tick(arg, (uint64_t)r->messages)) {
			*ret_stopped = true;
			return error_set(err, ERR_TRANSIENT, "stopped");
		}
	}
}

static int compare_runs(struct side *a, struct side *b, struct move_result *r, struct error *err)
{
	const struct run_record *x, *y;
	int rc;

	for (;;) {
		if ((rc = next_run(a, &x, err)) || (rc = next_run(b, &y, err)))
			return rc;
		if (!x && !y)
			return OK;
		if (!x || !y || x->r.id != y->r.id) {
			bool lacks = x && (!y || x->r.id < y->r.id);

			return missing("run", lacks ? x->r.id : y->r.id, lacks, err);
		}
		if (!same(a, b))
			return differ(a, b, "run", x->r.id, err);
		r->runs++;
	}
}

static int compare_jobs(struct side *a, struct side *b, struct move_result *r, struct error *err)
{
	const struct job_record *x, *y;
	int rc;

	for (;;) {
		if ((rc = next_job(a, &x, err)) || (rc = next_job(b, &y, err)))
			return rc;
		if (!x && !y)
			return OK;
		if (!x || !y || x->j.id != y->j.id) {
			bool lacks = x && (!y || x->j.id < y->j.id);

			return missing("job", lacks ? x->j.id : y->j.id, lacks, err);
		}
		if (!same(a, b))
			return differ(a, b, "job", x->j.id, err);
		r->jobs++;
	}
}

static int compare_counts(struct store_session *to, const struct move_result *r, struct error *err)
{
	struct store_counts counts;
	int rc = store_counts(to, &counts, err), i;

	for (i = 0; !rc && i < MESSAGE_STATUS_COUNT; i++) {
		if (counts.by_status[i] != r->by_status[i])
			rc = error_set(err, ERR_CONFLICT, "the copy counts %lld messages as %s, and has %lld",
			               (long long)counts.by_status[i],
			               message_status_name((enum message_status)i),
			               (long long)r->by_status[i]);
	}
	return rc;
}

int compare_stores(struct store_session *from, struct store_session *to, int64_t goes_on,
                   bool (*tick)(void *arg, uint64_t done), void *arg, struct move_result *ret,
                   bool *ret_stopped, struct error *err)
{
	struct side a cleanup(side_release) = {.c = from, .goes_on = goes_on, .more = true,
	                                       .size = PAGE_SIZE_INIT};
	struct side b cleanup(side_release) = {.c = to, .more = true, .size = PAGE_SIZE_INIT};
	int rc = compare_messages(&a, &b, tick, arg, ret, ret_stopped, err);

	if (!rc) {
		rewind_side(&a);
		rewind_side(&b);
		rc = compare_runs(&a, &b, ret, err);
	}
	if (!rc) {
		rewind_side(&a);
		rewind_side(&b);
		rc = compare_jobs(&a, &b, ret, err);
	}
	if (!rc && a.checksum != b.checksum)
		rc = error_set(err, ERR_CONFLICT, "the checksums of source and copy differ");
	ret->checksum = a.checksum;
	return rc ? rc : compare_counts(to, ret, err);
}
