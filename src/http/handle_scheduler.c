/* The scheduler: looking at it, starting, stopping and changing it, running it once. */
#include <stdio.h>

#include "body.h"
#include "dispatch.h"
#include "feed.h"
#include "handler.h"
#include "http_internal.h"
#include "render.h"

/* changed: NULL where nothing was to be changed. */
static void answer_scheduler(struct request *r, struct store_session *c, const char *text, const bool *changed,
                             const struct scheduler *s)
{
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct json_out j;
	int code = store_counts(c, &counts, &err);

	if (code != OK) {
		handler_store_error(r, "counts", code, &err);
		return;
	}
	j = answer_begin(&r->answer, 200, text);
	render_scheduler(&j, s, counts.by_status[MESSAGE_PENDING]);
	if (changed)
		json_kv_bool(&j, "changed", *changed);
	answer_end(&j);
}

enum handled handle_status(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct scheduler s;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_scheduler_get(c, &s, &err);
	if (code == OK)
		answer_scheduler(r, c, NULL, NULL, &s);
	else
		handler_store_error(r, "scheduler get", code, &err);
	return HANDLED_DONE;
}

/* What the optional body wants changed beside `running`. */
static bool read_change(struct request *r, struct scheduler_change *change)
{
	struct details *d = &r->answer.details;
	bool nul;

	if (!r->body.len)
		return true;
	if (body_json(r->body.data, r->body.len, SIZE_MAX, &r->doc, &nul, d) != OK) {
		answer_error(&r->answer, nul ? API_INVALID : API_MALFORMED_JSON);
		return false;
	}
	if (!body_scheduler_change(r->doc, change, d)) {
		answer_error(&r->answer, API_INVALID);
		return false;
	}
	return true;
}

/* change: what is asked for beside the body's fields. */
static enum handled make_change(struct request *r, struct store_session *c, struct scheduler_change change,
                                const char *done, const char *already)
{
	struct error err = ERROR_INIT;
	struct scheduler s;
	bool changed;
	int code;

	if (!handler_no_query(r) || !read_change(r, &change))
		return HANDLED_DONE;
	code = store_scheduler_change(c, &change, &s, &changed, &err);
	if (code != OK) {
		handler_store_error(r, "scheduler change", code, &err);
		return HANDLED_DONE;
	}
	if (r->http->o.dispatch)
		dispatch_poke(r->http->o.dispatch);
	if (r->http->o.feed)
		feed_poke(r->http->o.feed);
	answer_scheduler(r, c, changed ? done : already, &changed, &s);
	return HANDLED_DONE;
}

enum handled handle_start(struct request *r, struct store_session *c)
{
	return make_change(r, c, handler_turn(r, true), "Scheduler started", "Scheduler is already running");
}

enum handled handle_stop(struct request *r, struct store_session *c)
{
	return make_change(r, c, handler_turn(r, false), "Scheduler stopped", "Scheduler is already stopped");
}

enum handled handle_settings(struct request *r, struct store_session *c)
{
	static const char done[] = "Scheduler settings stored";

	return make_change(r, c, (struct scheduler_change)SCHEDULER_CHANGE_NONE, done, done);
}

static void answer_too_early(struct request *r, usec_t next_at)
{
	char quoted[CLOCK_TEXT + 2], time[CLOCK_TEXT];

	snprintf(quoted, sizeof(quoted), "\"%s\"", clock_format(next_at, time));
	details_add_json(&r->answer.details, "nextRunAt", quoted);
	answer_error(&r->answer, API_TOO_EARLY);
}

enum handled handle_run(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct dispatch_run run = {0};
	struct json_out j;
	int code;

	(void)c;
	if (!handler_no_query(r))
		return HANDLED_DONE;
	if (!r->http->o.dispatch) {
		answer_error(&r->answer, API_NO_SCHEDULER_HERE);
		return HANDLED_DONE;
	}
	code = dispatch_run_now(r->http->o.dispatch, &run, &err);
	if (code == ERR_CONFLICT) {
		answer_too_early(r, run.next_at);
	} else if (code != OK) {
		handler_store_error(r, "run now", code, &err);
	} else {
		j = answer_begin(&r->answer, 200, "Run started");
		json_open_object(&j);
		json_kv_int(&j, "run", run.run);
		json_kv_int(&j, "claimed", run.claimed);
		json_kv_time(&j, "nextRunAt", run.next_at);
		json_end(&j);
		answer_end(&j);
	}
	return HANDLED_DONE;
}

static void answer_runs(struct request *r, const struct query *q, const struct run_page *page)
{
	struct json_out j = answer_page_begin(&r->answer);
	struct buf next = BUF_INIT;

	for (size_t i = 0; i < page->n; i++)
		render_run(&j, &page->items[i], r->http->o.ids);
	if (page->more && page->n) {
		const struct cursor at = {{.id = page->items[page->n - 1].id}, q->page + 1};

		cursor_write(&next, CURSOR_RUNS, q, &at);
	}
	answer_page_end(&j, &(struct page_totals){q->page, q->page_size, page->total, next.data});
	buf_release(&next);
}

static void answer_jobs(struct request *r, const struct query *q, const struct job_page *page)
{
	struct json_out j = answer_page_begin(&r->answer);
	struct buf next = BUF_INIT;

	for (size_t i = 0; i < page->n; i++)
		render_job(&j, &page->items[i]);
	if (page->more && page->n) {
		const struct cursor at = {{.id = page->items[page->n - 1].id}, q->page + 1};

		cursor_write(&next, CURSOR_JOBS, q, &at);
	}
	answer_page_end(&j, &(struct page_totals){q->page, q->page_size, page->total, next.data});
	buf_release(&next);
}

/* Where a list that counts down by id goes on: behind *ret_before (0: at the beginning) and *ret_offset more. On
 * false the request is answered. */
static bool read_place(struct request *r, struct query *q, enum cursor_kind kind, int64_t *ret_before,
                       uint64_t *ret_offset)
{
	struct cursor at = {.page = 1};

	if (!handler_query(r, q, QUERY_PAGE | QUERY_PAGE_SIZE | QUERY_CURSOR))
		return false;
	if ((q->given & QUERY_CURSOR) &&
	    (!cursor_read(q->cursor.data, q->cursor.len, kind, q, &at) || at.position.id <= 0)) {
		details_add(&r->answer.details, "cursor", "is not one that this list gave");
		answer_error(&r->answer, API_INVALID);
		query_release(q);
		return false;
	}
	*ret_before = at.position.id;
	*ret_offset = q->given & QUERY_CURSOR ? 0 : (q->page - 1) * q->page_size;
	if (q->given & QUERY_CURSOR)
		q->page = at.page;
	return true;
}

enum handled handle_runs(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct run_page page;
	struct query q;
	uint64_t offset;
	int64_t before;
	int code;

	if (!read_place(r, &q, CURSOR_RUNS, &before, &offset))
		return HANDLED_DONE;
	code = store_runs(c, before, offset, q.page_size, &page, &err);
	if (code == OK) {
		answer_runs(r, &q, &page);
		run_page_release(&page);
	} else {
		handler_store_error(r, "runs", code, &err);
	}
	query_release(&q);
	return HANDLED_DONE;
}

enum handled handle_jobs(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct job_page page;
	struct query q;
	uint64_t offset;
	int64_t before;
	int code;

	if (!read_place(r, &q, CURSOR_JOBS, &before, &offset))
		return HANDLED_DONE;
	code = store_jobs(c, before, offset, q.page_size, &page, &err);
	if (code == OK) {
		answer_jobs(r, &q, &page);
		job_page_release(&page);
	} else {
		handler_store_error(r, "jobs", code, &err);
	}
	query_release(&q);
	return HANDLED_DONE;
}

enum handled handle_nodes(struct request *r, struct store_session *c)
{
	struct error err = ERROR_INIT;
	struct node_page page;
	struct json_out j;
	int code;

	if (!handler_no_query(r))
		return HANDLED_DONE;
	code = store_nodes(c, &page, &err);
	if (code != OK) {
		handler_store_error(r, "nodes", code, &err);
		return HANDLED_DONE;
	}
	j = answer_begin(&r->answer, 200, NULL);
	json_open_array(&j);
	for (size_t i = 0; i < page.n; i++)
		render_node(&j, &page.items[i], page.now);
	json_end(&j);
	answer_end(&j);
	node_page_release(&page);
	return HANDLED_DONE;
}
