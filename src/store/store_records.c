/* The front door of store_records.h: checks what the drivers may then rely on. */
#include "store_records.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "store_driver.h"
#include "store_rules.h"
#include "text.h"

static int refuse(struct error *err, const struct message_record *r, const char *what)
{
	return error_set(err, ERR_INVALID, "message %lld: %s", (long long)r->m.id, what);
}

/* The driver's verbs and session; NULL: see err. */
static const struct record_verbs *use(struct store_session *c, void **ret_session, struct error *err)
{
	const struct store_driver *driver;

	if (store_session_use(c, &driver, ret_session, err))
		return NULL;
	if (!driver->records)
		error_set(err, ERR_CONFIG, "the driver %s keeps no records of its own", driver->name);
	return driver->records;
}

#define USE(c, err, verb, ...)                                                                     \
	__extension__({                                                                            \
		struct error spare_ = ERROR_INIT, *err_ = (err) ? (err) : &spare_;                 \
		void *session_ = NULL;                                                             \
		const struct record_verbs *verbs_ = use((c), &session_, err_);                     \
		verbs_ ? verbs_->verb(session_, __VA_ARGS__, err_) : err_->code;                   \
	})

static int check_page(uint32_t limit, struct error *err)
{
	return limit >= 1 && limit <= RECORDS_MAX
	               ? OK
	               : error_set(err, ERR_INVALID, "1 to %d records at a time", RECORDS_MAX);
}

static int check_count(size_t n, struct error *err)
{
	return n <= RECORDS_MAX
	               ? OK
	               : error_set(err, ERR_INVALID, "at most %d records at a time", RECORDS_MAX);
}

/* --- messages ---------------------------------------------------------------------------------------------- */

static bool fits(const char *s, size_t max)
{
	return !s || strnlen(s, max + 1) <= max;
}

static bool filled(const char *s, size_t max)
{
	return s && *s && fits(s, max);
}

/* Of a claim's owner and a run's node. */
#define OWNER_MAX 255

static int check_attempts(const struct message_record *r, struct error *err)
{
	const struct attempt_record *a;
	bool said = r->said == -1;
	size_t i;

	for (i = 0; i < r->attempts_n; i++) {
		a = &r->attempts[i];
		if (a->seq < attempt_seq(1, VERDICT_LOST) || (i && a->seq <= a[-1].seq))
			return refuse(err, r, "its attempts have no order");
		if (a->a.attempt < 0 || a->a.run < 0 || a->a.verdict < VERDICT_SENT ||
		    (int)a->a.verdict >= VERDICT_COUNT || a->a.verdict == VERDICT_RELEASE ||
		    a->a.http_status < 0 || a->a.http_status > 999)
			return refuse(err, r, "an attempt of it is out of range");
		if (!fits(a->a.error, MESSAGE_ERROR_MAX) || !fits(a->a.node, OWNER_MAX))
			return refuse(err, r, "a text of an attempt is too long");
		said |= a->seq == r->said;
	}
	if (!said || ((r->m.message_id || r->m.last_error) && r->said == -1))
		return refuse(err, r, "there is no attempt that says its provider's id or error");
	return OK;
}

static int check_record(const struct message_record *r, struct error *err)
{
	const struct message *m = &r->m;
	const int64_t never_negative[] = {m->attempts, m->lost,       m->fence,   r->run,
	                                  m->send_at,  m->due_at,     m->lease_until,
	                                  m->started_at, m->sent_at, m->updated_at};
	size_t i;

	if (m->id < 0 || m->id > MESSAGE_ID_MAX)
		return refuse(err, r, "there can be no such id");
	if ((int)m->status < 0 || (int)m->status >= MESSAGE_STATUS_COUNT)
		return refuse(err, r, "there is no such status");
	/* An empty content is one that waits to become invalid, or is so. */
	if (!filled(m->phone, MESSAGE_PHONE_MAX) || !m->content || !fits(m->content, MESSAGE_CONTENT_MAX_BYTES))
		return refuse(err, r, "the phone number is empty, or it or the content too long");
	if (m->idempotency_key &&
	    !text_is_token(m->idempotency_key, strnlen(m->idempotency_key, MESSAGE_KEY_MAX + 1),
	                   MESSAGE_KEY_MAX))
		return refuse(err, r, "an idempotency key is 1 to 255 visible ASCII characters");
	if (!fits(m->metadata, MESSAGE_METADATA_MAX) || !fits(m->message_id, MESSAGE_PROVIDER_ID_MAX) ||
	    !fits(m->last_error, MESSAGE_ERROR_MAX) || !fits(m->owner, OWNER_MAX))
		return refuse(err, r, "one of its texts is too long");
	for (i = 0; i < ARRAY_SIZE(never_negative); i++) {
		if (never_negative[i] < 0)
			return refuse(err, r, "a number or time is below 0");
	}
	if (m->created_at <= 0)
		return refuse(err, r, "it has no time of creation");
	if (m->status == MESSAGE_SENDING && (!m->fence || !m->owner))
		return refuse(err, r, "it is being sent, and by nobody");
	if (m->message_id && m->last_error)
		return refuse(err, r, "it has a provider's id and an error");
	return check_attempts(r, err);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_keys(const struct message_record *items, size_t n, struct error *err)
{
	const char **keys cleanup(free_ptr) = xcalloc(n + 1, sizeof(*keys));
	size_t i, used = 0;

	for (i = 0; i < n; i++) {
		if (items[i].m.idempotency_key)
			keys[used++] = items[i].m.idempotency_key;
	}
	qsort(keys, used, sizeof(*keys), by_key);
	for (i = 1; i < used; i++) {
		if (!strcmp(keys[i], keys[i - 1]))
			return error_set(err, ERR_INVALID, "the idempotency key %s comes twice", keys[i]);
	}
	return OK;
}

static int check_records(const struct message_record *items, size_t n, struct error *err)
{
	size_t i;
	int rc = check_count(n, err);

	for (i = 0; !rc && i < n; i++) {
		rc = check_record(&items[i], err);
		if (!rc && i && (items[0].m.id ? items[i].m.id <= items[i - 1].m.id : items[i].m.id != 0))
			rc = error_set(err, ERR_INVALID, "ids are given in ascending order, or all are 0");
	}
	return rc ? rc : check_keys(items, n, err);
}

int store_export_messages(struct store_session *c, int64_t after, uint32_t limit,
                          struct record_page *ret, struct error *err)
{
	int rc = check_page(limit, err);

	return rc ? rc
	          : INTO_PAGE(ret, page, record_page_release, USE(c, err, export_messages, after, limit, &page));
}

int store_import_messages(struct store_session *c, struct message_record *items, size_t n,
                          struct error *err)
{
	int rc = check_records(items, n, err);

	if (rc || !n)
		return rc;
	return USE(c, err, import_messages, items, n);
}

void message_record_tell(struct message_record *r, struct attempt_record *space)
{
	const struct message *m = &r->m;
	enum verdict v = VERDICT_UNKNOWN;

	if (m->status == MESSAGE_SENT)
		v = VERDICT_SENT;
	else if (m->status == MESSAGE_FAILED)
		v = VERDICT_FAILED;
	else if (m->status == MESSAGE_INVALID)
		v = VERDICT_INVALID;
	r->m.fence = MAX_OF(m->fence, 1);
	r->m.attempts = MAX_OF(m->attempts, 1);
	*space = (struct attempt_record){
		.seq = attempt_seq(m->fence, v),
		.a = {.attempt = m->attempts,
	              .verdict = v,
	              .started_at = m->started_at,
	              .error = v == VERDICT_SENT ? NULL : m->last_error,
	              .node = m->owner},
	};
	r->attempts = space;
	r->attempts_n = 1;
	r->said = space->seq;
}

/* --- what several drivers do alike ------------------------------------------------------------------------- */

int record_state(const struct message_record *r)
{
	return r->m.status == MESSAGE_PENDING && r->beside ? ROW_RETRYING : row_state(r->m.status);
}

usec_t record_state_at(const struct message_record *r)
{
	if (r->m.status == MESSAGE_PENDING)
		return r->m.due_at;
	if (r->m.status == MESSAGE_SENDING)
		return r->m.lease_until;
	return r->m.status == MESSAGE_SENT ? r->m.sent_at : r->m.updated_at;
}

/* Behind what was read of a row. */
void record_complete(struct message_record *r, int state, int64_t run, int64_t said)
{
	r->beside = state == ROW_RETRYING;
	r->run = r->m.status == MESSAGE_SENDING ? run : 0;
	r->said = r->m.message_id || r->m.last_error ? said : -1;
	if (!r->m.fence)
		r->m.owner = NULL;
}

int64_t record_said(const struct message_record *r)
{
	const struct attempt_record *a;
	size_t i;

	if (!r->m.message_id && !r->m.last_error)
		return -1;
	for (i = r->attempts_n; i-- > 0;) {
		a = &r->attempts[i];
		if (r->m.message_id ? a->a.verdict == VERDICT_SENT
		                    : a->a.verdict != VERDICT_SENT && text_equal(a->a.error, r->m.last_error))
			return a->seq;
	}
	return -1;
}

const struct attempt_record *record_counted(const struct message_record *r, size_t i)
{
	const int64_t step = attempt_seq(1, VERDICT_LOST);
	size_t first = i;

	/* A claim's first record is the one by which its row left `sending`: that it was lost, or the
	 * first report. */
	while (first && r->attempts[first - 1].seq / step == r->attempts[i].seq / step)
		first--;
	return &r->attempts[first];
}

struct attempt_record *record_attempt(struct record_page *page, int64_t id, size_t *at)
{
	struct message_record *r;

	while (*at < page->n && page->items[*at].m.id < id)
		++*at;
	if (*at == page->n || page->items[*at].m.id != id)
		return NULL;
	r = &page->items[*at];
	r->attempts = arena_grow(&page->arena, r->attempts, r->attempts_n, sizeof(*r->attempts));
	return &r->attempts[r->attempts_n++];
}

void state_set_scheduler(struct state_record *state, const struct scheduler_row *row)
{
	state->scheduler_set = true;
	state->s = row->s;
	state->config_interval = row->config_interval;
	state->config_batch = row->config_batch;
	state->job = row->job;
}

struct scheduler_row state_scheduler(const struct state_record *state)
{
	return (struct scheduler_row){
		.s = state->s,
		.config_interval = state->config_interval,
		.config_batch = state->config_batch,
		.job = state->job,
	};
}

/* --- runs, jobs, the state, notes -------------------------------------------------------------------------- */

int store_export_runs(struct store_session *c, int64_t after, uint32_t limit,
                      struct run_record_page *ret, struct error *err)
{
	int rc = check_page(limit, err);

	return rc ? rc
	          : INTO_PAGE(ret, page, run_record_page_release, USE(c, err, export_runs, after, limit, &page));
}

int store_import_runs(struct store_session *c, const struct run_record *items, size_t n,
                      struct error *err)
{
	size_t i;
	int rc = check_count(n, err);

	for (i = 0; !rc && i < n; i++) {
		if (items[i].r.id < 1 || (i && items[i].r.id <= items[i - 1].r.id) ||
		    !filled(items[i].r.node, OWNER_MAX))
			rc = error_set(err, ERR_INVALID, "run %lld is out of order, or nobody's",
			               (long long)items[i].r.id);
	}
	if (rc || !n)
		return rc;
	return USE(c, err, import_runs, items, n);
}

int store_export_jobs(struct store_session *c, int64_t after, uint32_t limit,
                      struct job_record_page *ret, struct error *err)
{
	int rc = check_page(limit, err);

	return rc ? rc
	          : INTO_PAGE(ret, page, job_record_page_release, USE(c, err, export_jobs, after, limit, &page));
}

int store_import_jobs(struct store_session *c, const struct job_record *items, size_t n,
                      struct error *err)
{
	size_t i;
	int rc = check_count(n, err);

	for (i = 0; !rc && i < n; i++) {
		if (items[i].j.id < 1 || (i && items[i].j.id <= items[i - 1].j.id) ||
		    !filled(items[i].j.name, JOB_NAME_MAX))
			rc = error_set(err, ERR_INVALID, "job %lld is out of order, or has no name",
			               (long long)items[i].j.id);
	}
	if (rc || !n)
		return rc;
	return USE(c, err, import_jobs, items, n);
}

int store_export_state(struct store_session *c, struct state_record *ret, struct error *err)
{
	return USE(c, err, export_state, ret);
}

int store_import_state(struct store_session *c, const struct state_record *state, struct error *err)
{
	const struct pacing *p = &state->s.pacing;

	if (state->last_id < 0 || state->last_id > MESSAGE_ID_MAX || state->last_created_at < 0 ||
	    state->job < 0 ||
	    (state->scheduler_set && (p->interval < 0 || p->batch < 1 || p->batch > PACING_BATCH_MAX ||
	                              p->epoch < 0 || p->beat_at < 0 || p->left > p->batch)))
		return error_set(err, ERR_INVALID, "no scheduler can be in that state");
	return USE(c, err, import_state, state);
}

int store_note_get(struct store_session *c, const char *name, struct arena *arena, const char **ret,
                   struct error *err)
{
	struct error spare = ERROR_INIT;
	const struct store_driver *driver;
	void *session;
	int rc = store_session_use(c, &driver, &session, err ? err : &spare);

	if (rc)
		return rc;
	if (driver->records)
		return driver->records->note_get(session, name, arena, ret, err ? err : &spare);
	*ret = NULL;
	return OK;
}

int store_note_set(struct store_session *c, const char *name, const char *text, struct error *err)
{
	if (!filled(name, NOTE_NAME_MAX) || !fits(text, NOTE_MAX))
		return error_set(err, ERR_INVALID, "a note has a name and is short");
	return USE(c, err, note_set, name, text);
}
