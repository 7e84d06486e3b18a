#include "shape.h"

#include <stdatomic.h>
#include <time.h>

#include "dispatch.h"
#include "handler.h"
#include "text.h"

#define ROWS_AT_ONCE 1000

enum shape_number shape_number(const struct request *r, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	struct buf text = BUF_INIT;
	enum shape_number result = NUMBER_ABSENT;

	if (handler_param(r, name, &text))
		result = text_to_i64(text.data, text.len, min, max, ret) ? NUMBER_GOOD : NUMBER_BAD;
	buf_release(&text);
	return result;
}

bool shape_turn(struct request *r, struct store_session *c, bool on, bool *ret_changed)
{
	const struct scheduler_change change = handler_turn(r, on);
	struct error err = ERROR_INIT;
	struct scheduler s;
	int code;

	code = store_scheduler_change(c, &change, &s, ret_changed, &err);
	if (code != OK) {
		handler_store_error(r, "scheduler change", code, &err);
		return false;
	}
	if (handler_dispatch(r))
		dispatch_poke(handler_dispatch(r));
	return true;
}

void shape_finish_batch(struct request *r, usec_t limit)
{
	static atomic_flag waiting = ATOMIC_FLAG_INIT;
	const struct timespec pause = {.tv_nsec = 5000000};
	const usec_t until = clock_mono() + limit;
	const struct dispatch *d = handler_dispatch(r);

	if (!d || atomic_flag_test_and_set(&waiting))
		return;
	while (dispatch_in_flight(d) && clock_mono() < until)
		nanosleep(&pause, NULL);
	atomic_flag_clear(&waiting);
}

bool shape_rows(struct request *r, struct store_session *c, int status, int64_t limit, int64_t offset,
                void (*item)(struct json_out *j, const struct message *m), struct json_out *j)
{
	struct list_query q = {.status = status, .offset = (uint64_t)offset};
	int64_t left = offset > SHAPE_OFFSET_MAX ? 0 : MIN_OF(limit, SHAPE_ROWS_MAX);

	while (left > 0) {
		struct error err = ERROR_INIT;
		struct message_page page;
		bool more;
		int code;

		q.limit = (uint32_t)MIN_OF(left, ROWS_AT_ONCE);
		code = store_list(c, &q, &page, &err);
		if (code != OK) {
			handler_store_error(r, "list", code, &err);
			return false;
		}
		for (size_t i = 0; i < page.n; i++)
			item(j, &page.items[i]);
		left -= (int64_t)page.n;
		more = page.more && page.n;
		q.after = page.last;
		q.offset = 0;
		message_page_release(&page);
		if (!more)
			break;
	}
	return true;
}

void shape_array(struct request *r, struct store_session *c, int status, int64_t limit, int64_t offset,
                 void (*item)(struct json_out *j, const struct message *m))
{
	struct json_out j;

	r->answer.status = 200;
	j = json_begin(&r->answer.body);
	json_open_array(&j);
	if (shape_rows(r, c, status, limit, offset, item, &j))
		json_end(&j);
}

/* An empty answer that is no error of herald's. */
static struct json_out begin(struct request *r, int status)
{
	struct json_out j;

	r->answer.status = status;
	r->answer.error = NULL;
	buf_clear(&r->answer.body);
	j = json_begin(&r->answer.body);
	json_open_object(&j);
	return j;
}

void shape_failure(struct request *r, int status, const char *why)
{
	struct json_out j = begin(r, status);

	json_kv_bool(&j, "success", false);
	json_kv_str(&j, "error", why);
	json_end(&j);
}

void shape_pair(struct request *r, int status, const char *key, const char *value)
{
	struct json_out j = begin(r, status);

	json_kv_str(&j, key, value);
	json_end(&j);
}
