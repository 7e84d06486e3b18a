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

/* Reads all messages and runs of both and compares them with each other, and the target's counts with what was
 * read. ERR_CONFLICT names the first difference. tick(): false stops, see move_run(). */
must_check int compare_stores(struct store_session *from, struct store_session *to,
                              bool (*tick)(void *arg, uint64_t done), void *arg, struct move_result *ret,
                              bool *ret_stopped, struct error *err);

#endif
