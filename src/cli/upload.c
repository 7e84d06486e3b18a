/*
 * Strategy: UPLOAD_IN_FLIGHT transfers on one curl multi handle, and one batch more to fill meanwhile. A batch
 * moves FREE -> FILLING -> QUEUED -> FLYING -> FREE, and back from FLYING to QUEUED with a later time when it
 * has to be repeated: the server is busy (503, Retry-After), or the connection broke. The first error for good
 * is kept and ends everything; when it is a refused row, what is in the air is waited for first, so that who
 * corrects the file hears of the rows refused there as well, whichever answer came first.
 *
 * Limits: a server that has answered before is waited for GIVE_UP long without any success. One that never
 * has: not to be connected is an error at once, cut connections are one after UNANSWERED_MAX.
 */
#include "upload.h"

#include <string.h>

#include "alloc.h"
#include "text.h"

#define SLOTS (UPLOAD_IN_FLIGHT + 1)
#define GIVE_UP (5 * USEC_PER_MINUTE)
#define UNANSWERED_MAX 3
#define PAUSE_DEFAULT USEC_PER_SEC
#define PAUSE_MAX USEC_PER_MINUTE
#define NOTICE_EVERY (10 * USEC_PER_SEC)
#define POLL_MSEC 200

enum state { FREE, FILLING, QUEUED, FLYING };

struct slot {
	struct upload_batch batch;
	enum state state;
	usec_t not_before;
	struct api_request request;
};

struct upload {
	struct api *api;
	struct upload_options options;
	CURLM *multi;
	struct slot slot[SLOTS];
	struct upload_counts counts;
	size_t flying;
	bool answered;
	int unanswered; /* connections cut before the first answer */
	usec_t last_success, last_notice;
	struct error failure; /* .code OK: none */
};

struct upload *upload_open(struct api *a, const struct upload_options *options)
{
	struct upload *u = xcalloc(1, sizeof(*u));

	u->api = a;
	u->options = *options;
	u->multi = curl_multi_init();
	if (!u->multi)
		panic("libcurl has no handle left");
	u->last_success = clock_mono();
	for (int i = 0; i < SLOTS; i++) {
		buf_init(&u->slot[i].batch.body);
		u->slot[i].batch.max = options->batch_rows;
		u->slot[i].batch.line = xreallocarray(NULL, options->batch_rows, sizeof(uint64_t));
		api_request_init(&u->slot[i].request);
	}
	return u;
}

void upload_close(struct upload *u)
{
	if (!u)
		return;
	for (int i = 0; i < SLOTS; i++) {
		if (u->slot[i].state == FLYING)
			curl_multi_remove_handle(u->multi, u->slot[i].request.easy);
		api_request_release(&u->slot[i].request);
		buf_release(&u->slot[i].batch.body);
		free(u->slot[i].batch.line);
	}
	curl_multi_cleanup(u->multi);
	free(u);
}

const struct upload_counts *upload_counts(const struct upload *u)
{
	return &u->counts;
}

bool upload_full(const struct upload_batch *b)
{
	return b->rows == b->max || b->body.len >= UPLOAD_BATCH_BYTES;
}

void upload_add(struct upload_batch *b, uint64_t line)
{
	b->line[b->rows++] = line;
}

static void make_free(struct slot *s)
{
	buf_clear(&s->batch.body);
	s->batch.rows = 0;
	s->state = FREE;
}

static void settled(struct upload *u, struct slot *s, const json_t *data)
{
	const json_t *created = json_object_get(data, "created");
	uint64_t made = json_is_integer(created) ? (uint64_t)json_integer_value(created) : s->batch.rows;

	made = MIN_OF(made, s->batch.rows);
	u->counts.done += s->batch.rows;
	u->counts.created += made;
	u->counts.repeated += s->batch.rows - made;
	u->answered = true;
	u->last_success = clock_mono();
	make_free(s);
}

/* --- rows that the server refuses ----------------------------------------------------------------------- */

/* "17.content" -> 17 */
static bool row_of(const char *field, size_t rows, size_t *ret)
{
	int64_t v;

	if (!rows || !text_to_i64(field, strcspn(field, "."), 0, (int64_t)rows - 1, &v))
		return false;
	*ret = (size_t)v;
	return true;
}

static void drop_rows(struct upload_batch *b, const bool *drop)
{
	char *in = b->body.data, *out = in, *end = in + b->body.len, *next;
	size_t kept = 0;

	for (size_t i = 0; i < b->rows && in < end; i++, in = next) {
		next = memchr(in, '\n', (size_t)(end - in));
		next = next ? next + 1 : end;
		if (drop[i])
			continue;
		memmove(out, in, (size_t)(next - in));
		out += next - in;
		b->line[kept++] = b->line[i];
	}
	buf_truncate(&b->body, (size_t)(out - b->body.data));
	b->rows = kept;
}

/* True when the answer named rows of the batch; they are reported and, with skip_refused, gone from it. */
static bool report_refused(struct upload *u, struct slot *s, json_t *details)
{
	bool *drop = xcalloc(s->batch.rows, sizeof(*drop));
	size_t row, n = 0;
	const char *field;
	json_t *why;
	struct buf text = BUF_INIT;

	json_object_foreach(details, field, why) {
		if (!row_of(field, s->batch.rows, &row))
			continue;
		buf_clear(&text);
		if (field[strcspn(field, ".")] == '.')
			buf_addf(&text, "%s: ", strchr(field, '.') + 1);
		buf_addstr(&text, json_is_string(why) ? json_string_value(why) : "refused by the server");
		u->options.refused(u->options.arg, s->batch.line[row], text.data);
		n += !drop[row];
		drop[row] = true;
	}
	if (n && u->options.skip_refused) {
		drop_rows(&s->batch, drop);
		u->counts.refused += n;
		u->counts.done += n;
	}
	buf_release(&text);
	free(drop);
	return n > 0;
}

/* --- transfers ------------------------------------------------------------------------------------------ */

static void give_notice(struct upload *u, usec_t pause, const struct error *why, usec_t now)
{
	struct buf text = BUF_INIT;
	char wait[DURATION_TEXT];

	if (u->last_notice && now - u->last_notice < NOTICE_EVERY)
		return;
	u->last_notice = now;
	buf_addf(&text, "%s; trying again in %s", why->text, duration_format(pause, wait));
	u->options.notice(u->options.arg, text.data);
	buf_release(&text);
}

/* For good. The first one is the one to tell. */
static printf_like(3, 4) void fail(struct upload *u, int code, const char *fmt, ...)
{
	va_list ap;

	if (u->failure.code)
		return;
	va_start(ap, fmt);
	error_setv(&u->failure, code, fmt, ap);
	va_end(ap);
}

static void repeat_later(struct upload *u, struct slot *s, usec_t pause, const struct error *why)
{
	usec_t now = clock_mono();

	if (now - u->last_success > GIVE_UP) {
		fail(u, why->code, "%s", why->text);
		return;
	}
	pause = MIN_OF(pause ? pause : PAUSE_DEFAULT, PAUSE_MAX);
	s->state = QUEUED;
	s->not_before = now + pause;
	give_notice(u, pause, why, now);
}

static void ended(struct upload *u, struct slot *s, CURLcode code)
{
	struct api_answer answer;
	struct error err = ERROR_INIT;

	curl_multi_remove_handle(u->multi, s->request.easy);
	u->flying--;
	s->state = FILLING; /* neither queued nor free, whatever comes next says */
	switch (api_request_result(&s->request, u->api, code, &answer, &err)) {
	case OK:
		settled(u, s, answer.data);
		break;
	case ERR_TRANSIENT:
	case ERR_UNCERTAIN:
		if (answer.status || u->answered ||
		    (err.code == ERR_UNCERTAIN && u->unanswered++ < UNANSWERED_MAX))
			repeat_later(u, s, answer.retry_after, &err);
		else
			fail(u, err.code, "%s", err.text);
		break;
	case ERR_INVALID:
		if (!report_refused(u, s, json_object_get(answer.body, "details"))) {
			/* The call is wrong, and not a row. */
			fail(u, ERR_PERMANENT, "%s%s", err.text,
			     answer.status == 413 ? " (--batch N makes smaller requests)" : "");
		} else if (!u->options.skip_refused) {
			fail(u, ERR_INVALID, "the server refused rows");
		} else if (s->batch.rows) {
			s->state = QUEUED;
			s->not_before = 0;
		} else {
			make_free(s);
		}
		break;
	default:
		fail(u, err.code, "%s", err.text);
		break;
	}
	api_answer_release(&answer);
}

static void launch(struct upload *u, struct slot *s)
{
	api_request_set(&s->request, u->api, "POST", "/api/v1/messages/batch", &s->batch.body,
	                "application/x-ndjson", "Prefer: return=minimal");
	if (curl_multi_add_handle(u->multi, s->request.easy) != CURLM_OK) {
		fail(u, ERR_PERMANENT, "libcurl cannot start a transfer");
		return;
	}
	s->state = FLYING;
	u->flying++;
}

static void launch_due(struct upload *u)
{
	usec_t now = clock_mono();

	for (int i = 0; i < SLOTS && !u->failure.code && u->flying < UPLOAD_IN_FLIGHT; i++)
		if (u->slot[i].state == QUEUED && u->slot[i].not_before <= now)
			launch(u, &u->slot[i]);
}

/* Moves bytes without waiting. */
static void work(struct upload *u)
{
	int running, left;
	CURLMsg *msg;

	launch_due(u);
	curl_multi_perform(u->multi, &running);
	while ((msg = curl_multi_info_read(u->multi, &left))) {
		for (int i = 0; i < SLOTS; i++)
			if (msg->msg == CURLMSG_DONE && u->slot[i].request.easy == msg->easy_handle) {
				ended(u, &u->slot[i], msg->data.result);
				break;
			}
	}
	launch_due(u);
}

static size_t busy(const struct upload *u)
{
	size_t n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += u->slot[i].state == QUEUED || u->slot[i].state == FLYING;
	return n;
}

/* Works until at most `most` batches are under way; after a refused row, until none is in the air. */
static int wait_until(struct upload *u, size_t most, struct error *err)
{
	bool stop;

	work(u);
	for (;;) {
		stop = !u->options.tick(u->options.arg);
		if (stop)
			fail(u, ERR_CONFLICT, "interrupted");
		if (u->failure.code && (stop || u->failure.code != ERR_INVALID || !u->flying))
			return error_set(err, u->failure.code, "%s", u->failure.text);
		if (!u->failure.code && busy(u) <= most)
			return OK;
		curl_multi_poll(u->multi, NULL, 0, POLL_MSEC, NULL);
		work(u);
	}
}

int upload_take(struct upload *u, struct upload_batch **ret, struct error *err)
{
	int code = wait_until(u, UPLOAD_IN_FLIGHT, err);

	if (code != OK)
		return code;
	for (int i = 0; i < SLOTS; i++)
		if (u->slot[i].state == FREE) {
			u->slot[i].state = FILLING;
			*ret = &u->slot[i].batch;
			return OK;
		}
	panic("upload: a batch is taken twice");
}

void upload_submit(struct upload *u, struct upload_batch *b)
{
	struct slot *s = container_of(b, struct slot, batch);

	if (!b->rows) {
		make_free(s);
		return;
	}
	s->state = QUEUED;
	s->not_before = 0;
	work(u);
}

int upload_finish(struct upload *u, struct error *err)
{
	return wait_until(u, 0, err);
}
