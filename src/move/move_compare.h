/* Comparing two stores record by record. Private to this folder. */
#ifndef HERALD_MOVE_COMPARE_H
#define HERALD_MOVE_COMPARE_H

#include "move.h"
#include "store_records.h"

/* Pages as large as is good for both memory and speed: starts small, and follows what is in them. */
struct page_size {
	uint32_t limit;
};
#define PAGE_SIZE_INIT {.limit = 200}
void page_size_adapt(struct page_size *s, size_t bytes);

/* The scheduler is stopped in the source for the move, which ends its job there. In the target it goes on, and so
 * does the job `id`. */
void job_goes_on(struct job_record *r, int64_t id);

/* Reads all messages, runs and jobs (goes_on: see above) of both and compares them with each other, and the
 * target's counts with what was read. ERR_CONFLICT names the first difference. tick(): false stops, see
 * move_run(). */
must_check int compare_stores(struct store_session *from, struct store_session *to, int64_t goes_on,
                              bool (*tick)(void *arg, uint64_t done), void *arg, struct move_result *ret,
                              bool *ret_stopped, struct error *err);

#endif
