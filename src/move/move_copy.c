#include "move_copy.h"

#include <unistd.h>

#include "move_compare.h"

/* How often the target is told how far the copy is. */
#define POSITION_EVERY USEC_PER_SEC
#define TRIES 5

bool mover_tick(struct mover *m)
{
	if (m->o->progress && !m->o->progress(m->o->arg, m->step, m->done, m->total))
		m->stopped = true;
	return !m->stopped;
}

/* An import may be repeated, so a server that is away for a moment does not end the move. */
static bool worth_another_try(int rc, int tries)
{
	if ((rc != ERR_TRANSIENT && rc != ERR_UNCERTAIN) || tries == TRIES)
		return false;
	usleep((useconds_t)((unsigned)tries * USEC_PER_SEC / 2));
	return true;
}

static int import_page(struct mover *m, struct record_page *page, struct error *err)
{
	int tries = 0, rc;

	do
		rc = store_import_messages(m->to.c, page->items, page->n, err);
	while (worth_another_try(rc, ++tries));
	return end_blame(&m->to, rc, err);
}

static int export_page(struct mover *m, struct page_size *size, struct record_page *ret, struct error *err)
{
	int tries = 0, rc;

	do
		rc = store_export_messages(m->from.c, m->to.mark.after, size->limit, ret, err);
	while (worth_another_try(rc, ++tries));
	return end_blame(&m->from, rc, err);
}

static int copy_messages(struct mover *m, struct error *err)
{
	struct page_size size = PAGE_SIZE_INIT;
	struct record_page page;
	usec_t noted = clock_mono();
	bool more = true;
	int rc = OK;

	while (!rc && more && mover_tick(m)) {
		rc = export_page(m, &size, &page, err);
		if (rc)
			return rc;
		if (page.n) {
			rc = import_page(m, &page, err);
			m->to.mark.after = page.items[page.n - 1].m.id;
			m->done += page.n;
		}
		more = page.more;
		page_size_adapt(&size, page.arena.used);
		record_page_release(&page);
		if (!rc && clock_mono() - noted > POSITION_EVERY) {
			noted = clock_mono();
			rc = end_blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
		}
	}
	/* Also when it was stopped: that is where the next one goes on. */
	return rc ? rc : end_blame(&m->to, mark_set(m->to.c, &m->to.mark, err), err);
}

static int copy_runs(struct mover *m, struct error *err)
{
	struct run_record_page page;
	int64_t after = 0;
	bool more = true;
	int rc = OK;

	while (!rc && more && mover_tick(m)) {
		rc = end_blame(&m->from, store_export_runs(m->from.c, after, RECORDS_MAX, &page, err), err);
		if (rc)
			return rc;
		if (page.n)
			after = page.items[page.n - 1].r.id;
		rc = end_blame(&m->to, store_import_runs(m->to.c, page.items, page.n, err), err);
		m->done += page.n;
		more = page.more;
		run_record_page_release(&page);
	}
	return rc;
}

/*
 * The beat goes on by the target's clock, which may be another one: what had passed of the interval has passed
 * there. The source's clock is read first, so that the way between the two makes the wait longer, not shorter;
 * what remains is how well a driver knows its server's clock (MongoDB's: to some milliseconds).
 */
static int expect_state(struct mover *m, struct error *err)
{
	struct pacing *p = &m->expected.s.pacing;
	usec_t now, ahead;
	int rc = end_blame(&m->from, store_export_state(m->from.c, &m->expected, err), err);

	if (!rc)
		rc = end_blame(&m->to, store_now(m->to.c, &now, err), err);
	if (rc)
		return rc;
	ahead = now - m->expected.s.now;
	if (p->beat_at)
		p->beat_at = MAX_OF(p->beat_at + ahead, 1);
	if (p->not_before)
		p->not_before = MAX_OF(p->not_before + ahead, 1);
	p->running = m->from.mark.was_running;
	m->goes_on = p->running ? m->expected.job : 0;
	return OK;
}

/* The state is expected by then: it tells which job goes on. */
static int copy_jobs(struct mover *m, struct error *err)
{
	struct job_record_page page;
	int64_t after = 0;
	bool more = true;
	int rc = OK;
	size_t i;

	while (!rc && more && mover_tick(m)) {
		rc = end_blame(&m->from, store_export_jobs(m->from.c, after, RECORDS_MAX, &page, err), err);
		if (rc)
			return rc;
		if (page.n)
			after = page.items[page.n - 1].j.id;
		for (i = 0; i < page.n; i++)
			job_goes_on(&page.items[i], m->goes_on);
		rc = end_blame(&m->to, store_import_jobs(m->to.c, page.items, page.n, err), err);
		more = page.more;
		job_record_page_release(&page);
	}
	return rc;
}

static int copy_state(struct mover *m, struct error *err)
{
	return end_blame(&m->to, store_import_state(m->to.c, &m->expected, err), err);
}

/* How much there is to do, for people. */
static int count(struct mover *m, struct error *err)
{
	struct store_counts counts;
	struct run_page runs;
	int rc = store_counts(m->from.c, &counts, err), i;

	if (!rc)
		rc = store_runs(m->from.c, 0, 0, 1, &runs, err);
	if (rc)
		return end_blame(&m->from, rc, err);
	m->total = (uint64_t)runs.total;
	run_page_release(&runs);
	for (i = 0; i < MESSAGE_STATUS_COUNT; i++)
		m->total += (uint64_t)counts.by_status[i];
	return OK;
}

/* What an earlier move has copied counts as done. */
static int count_copied(struct mover *m, struct error *err)
{
	struct store_counts counts;
	int rc = end_blame(&m->to, store_counts(m->to.c, &counts, err), err), i;

	for (i = 0; !rc && i < MESSAGE_STATUS_COUNT; i++)
		m->done += (uint64_t)counts.by_status[i];
	return rc;
}

int mover_copy(struct mover *m, struct error *err)
{
	int rc;

	m->step = MOVE_COPY;
	if ((rc = count(m, err)) || (rc = count_copied(m, err)) || (rc = copy_messages(m, err)) ||
	    (!m->stopped && (rc = copy_runs(m, err))) || (rc = expect_state(m, err)) ||
	    (!m->stopped && (rc = copy_jobs(m, err))) || (!m->stopped && (rc = copy_state(m, err))))
		return rc;
	return OK;
}
