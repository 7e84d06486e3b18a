/* Jobs: from a start of the scheduler to its stop. See store_mongo.h for what a crash leaves behind. */
#include "alloc.h"
#include "store_mongo.h"

int mg_job_prepare(struct mg_session *s, const struct scheduler_row *row, usec_t now, struct error *err)
{
	const int64_t epoch = row->s.pacing.epoch;
	int64_t ignored;
	int rc = OK;

	if (row->job_closed)
		rc = mg_update(s, MG_JOBS, false, BCON_NEW("_id", BCON_INT64(row->job_closed)),
		               BCON_NEW("$set", "{", "finished_at", BCON_INT64(now), "last_run",
		                        BCON_INT64(epoch), "}"),
		               false, &ignored, err);
	if (!rc && row->job_opened)
		rc = mg_update(s, MG_JOBS, false, BCON_NEW("_id", BCON_INT64(row->job_opened)),
		               BCON_NEW("$set", "{", "name", BCON_UTF8(row->job_name), "started_at",
		                        BCON_INT64(now), "finished_at", BCON_INT64(0), "first_run",
		                        BCON_INT64(epoch + 1), "last_run", BCON_INT64(0), "}"),
		               true, &ignored, err);
	if (!rc && row->job_opened > JOBS_KEPT)
		rc = mg_delete(s, MG_JOBS,
		               BCON_NEW("_id", "{", "$lte", BCON_INT64(row->job_opened - JOBS_KEPT), "}"), err);
	return rc;
}

/* What the runs from first to last (0: all since) have claimed. */
static int count_taken(struct mg_session *s, int64_t first, int64_t last, int64_t *ret, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = mg_find(
		s, MG_RUNS,
		BCON_NEW("_id", "{", "$gte", BCON_INT64(first), "$lte", BCON_INT64(last ? last : INT64_MAX), "}"),
		BCON_NEW("projection", "{", "claimed", BCON_INT32(1), "finished", BCON_INT32(1), "}"));
	struct run_tally *tallies;
	int64_t *open = NULL, taken = 0;
	const bson_t *doc;
	size_t n = 0, cap = 0, i;
	int rc;

	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		if (mg_i64(doc, "finished")) {
			taken += mg_i64(doc, "claimed");
			continue;
		}
		if (n == cap) {
			cap = cap ? 2 * cap : 16;
			open = xreallocarray(open, cap, sizeof(*open));
		}
		open[n++] = mg_i64(doc, "_id");
	}
	tallies = xcalloc(n + 1, sizeof(*tallies));
	if (!rc)
		rc = mg_runs_tally(s, open, n, tallies, err);
	for (i = 0; !rc && i < n; i++)
		taken += tallies[i].claimed;
	free(open);
	free(tallies);
	*ret = taken;
	return rc;
}

static int read_jobs(struct mg_session *s, int64_t before, uint64_t offset, uint32_t limit,
                     struct job_page *page, struct error *err)
{
	mongoc_cursor_t *cursor cleanup(mg_free_cursor) = NULL;
	struct mg_beat beat;
	const bson_t *doc;
	int64_t last;
	int rc = mg_beat_read(s, &beat, err);

	if (rc)
		return rc == ERR_NOT_FOUND ? OK : rc;
	last = beat.row.job;
	page->items = arena_calloc(&page->arena, limit, sizeof(*page->items));
	cursor = mg_find(s, MG_JOBS,
	                 BCON_NEW("_id", "{", "$lte", BCON_INT64(before ? MIN_OF(before - 1, last) : last), "}"),
	                 BCON_NEW("sort", "{", "_id", BCON_INT32(-1), "}", "skip", BCON_INT64((int64_t)offset),
	                          "limit", BCON_INT64((int64_t)limit + 1)));
	while ((rc = mg_next(s, cursor, &doc, err)) > 0) {
		struct job *job = &page->items[page->n];
		bool goes_on = mg_i64(doc, "_id") == last && beat.row.s.pacing.running;

		if (page->n == limit) {
			page->more = true;
			break;
		}
		*job = (struct job){
			.id = mg_i64(doc, "_id"),
			.name = arena_strdup(&page->arena, mg_utf8(doc, "name")),
			.started_at = mg_i64(doc, "started_at"),
			.finished_at = goes_on ? 0 : mg_i64(doc, "finished_at"),
		};
		rc = count_taken(s, mg_i64(doc, "first_run"), goes_on ? 0 : mg_i64(doc, "last_run"), &job->taken,
		                 err);
		if (rc)
			return rc;
		page->n++;
	}
	if (rc < 0)
		return rc;
	return mg_count(s, MG_JOBS, BCON_NEW("_id", "{", "$lte", BCON_INT64(last), "}"), &page->total, err);
}

int mg_jobs(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
            struct error *err)
{
	struct job_page page = {.n = 0};
	int rc = read_jobs(session, before, offset, limit, &page, err);

	if (rc)
		job_page_release(&page);
	else
		*ret = page;
	return rc;
}
