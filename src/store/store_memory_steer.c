/* The memory driver: cancelling, replaying, and the scheduler. */
#include "alloc.h"
#include "store_memory.h"

int mem_cancel(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	int rc = OK;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (!row) {
		rc = mem_not_found(id, err);
	} else if (!message_may(row->m.status, EVENT_CANCEL)) {
		rc = error_set(err, ERR_CONFLICT, "message %lld is %s: only pending ones can be cancelled",
		               (long long)id, message_status_name(row->m.status));
	} else {
		row->m.updated_at = db->clock();
		mem_move(db, row, MESSAGE_CANCELLED, row->m.updated_at);
		mem_copy_message(row, arena, ret);
	}
	pthread_mutex_unlock(&db->lock);
	return rc;
}

static void replay_row(struct mem_db *db, struct row *row)
{
	usec_t at = db->clock();

	free((char *)row->m.message_id);
	free((char *)row->m.last_error);
	row->m.message_id = row->m.last_error = NULL;
	row->m.attempts = row->m.lost = 0;
	row->m.sent_at = 0;
	row->m.due_at = row->m.updated_at = at;
	mem_move(db, row, MESSAGE_PENDING, at);
}

int mem_replay(void *session, int64_t id, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	int rc = OK;

	pthread_mutex_lock(&db->lock);
	row = mem_row(db, id);
	if (row && message_may(row->m.status, EVENT_REPLAY))
		replay_row(db, row);
	else
		rc = error_set(err, ERR_NOT_FOUND, "there is no failed message %lld", (long long)id);
	pthread_mutex_unlock(&db->lock);
	return rc;
}

int mem_replay_some(void *session, uint32_t limit, uint32_t *ret, struct error *err)
{
	struct mem_db *db = session;
	const struct order *failed = &db->by_state[MESSAGE_FAILED];
	uint32_t n;

	(void)err;
	pthread_mutex_lock(&db->lock);
	for (n = 0; n < limit && failed->n; n++)
		replay_row(db, mem_row_at(db, MESSAGE_FAILED, 0));
	pthread_mutex_unlock(&db->lock);
	*ret = n;
	return OK;
}

static struct scheduler scheduler_now(const struct mem_db *db)
{
	struct scheduler s = db->scheduler.s;

	s.now = db->clock();
	s.last_run_at = s.pacing.beat_at;
	s.runs_count = s.pacing.epoch;
	return s;
}

int mem_scheduler_init(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                       struct error *err)
{
	struct mem_db *db = session;

	(void)err;
	pthread_mutex_lock(&db->lock);
	if (!db->scheduler_set)
		db->scheduler = scheduler_row_new(d);
	scheduler_row_configure(&db->scheduler, d, db->clock());
	mem_job_record(db);
	db->scheduler_set = true;
	*ret = scheduler_now(db);
	pthread_mutex_unlock(&db->lock);
	return OK;
}

static int no_scheduler(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "the scheduler has not been set up");
}

int mem_scheduler_get(void *session, struct scheduler *ret, struct error *err)
{
	struct mem_db *db = session;
	bool there;

	pthread_mutex_lock(&db->lock);
	there = db->scheduler_set;
	if (there)
		*ret = scheduler_now(db);
	pthread_mutex_unlock(&db->lock);
	return there ? OK : no_scheduler(err);
}

int mem_scheduler_change(void *session, const struct scheduler_change *change, struct scheduler *ret,
                         bool *ret_changed, struct error *err)
{
	struct mem_db *db = session;
	bool there;

	pthread_mutex_lock(&db->lock);
	there = db->scheduler_set;
	if (there) {
		*ret_changed = scheduler_row_change(&db->scheduler, change, db->clock());
		mem_job_record(db);
		*ret = scheduler_now(db);
	}
	pthread_mutex_unlock(&db->lock);
	return there ? OK : no_scheduler(err);
}
