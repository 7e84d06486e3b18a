/* The memory driver: claim, settle, renew, recover. */
#include <string.h>

#include "alloc.h"
#include "store_memory.h"
#include "text.h"

const char *mem_owner(struct mem_db *db, const char *owner)
{
	size_t i;

	if (!owner)
		return NULL;
	for (i = 0; i < db->n_owners; i++) {
		if (!strcmp(db->owners[i], owner))
			return db->owners[i];
	}
	db->owners = xreallocarray(db->owners, db->n_owners + 1, sizeof(*db->owners));
	return db->owners[db->n_owners++] = xstrdup(owner);
}

static struct mem_run *find_run(struct mem_db *db, int64_t id)
{
	size_t at = mem_run_index(db, id);

	return at < db->n_runs && db->runs[at].r.id == id ? &db->runs[at] : NULL;
}

/* Tells in *ret whether the run has ended now; run 0: not. */
static void check_run(struct mem_db *db, struct mem_run *run, struct run_end *ret)
{
	if (run->r.finished || !run_tally_complete(&run->tally))
		return;
	run->r.finished = true;
	run_end_apply(run->r.id, &run->tally, &db->scheduler.s.all_failed_in_a_row, ret);
}

static usec_t soonest(const struct mem_db *db, const struct claim_request *r)
{
	const struct order *pending = &db->by_state[MESSAGE_PENDING],
			   *retrying = &db->by_state[ROW_RETRYING];
	usec_t at = USEC_NEVER;

	if (claim_takes(r, MESSAGE_PENDING) && pending->n)
		at = order_at(pending, 0).at;
	if (claim_takes(r, ROW_RETRYING) && retrying->n)
		at = MIN_OF(at, order_at(retrying, 0).at);
	return at;
}

/* Takes up to `most` due rows of a state. The arrays shrink meanwhile, so the next one is always found
 * at the same end. */
static void take(struct mem_db *db, const struct claim_request *r, int state, size_t most, int64_t run,
                 struct claim_batch *b)
{
	const struct order *o = &db->by_state[state];
	const char *owner = mem_owner(db, r->owner);
	const uint64_t skip = claim_skips(r, state);
	struct claimed *item;
	struct row *row;
	size_t due;

	for (; most && (due = order_before(o, b->now, INT64_MAX)) > skip; most--) {
		row = mem_row_at(db, state, r->order == ORDER_LIFO ? due - 1 - skip : skip);
		mem_move(db, row, MESSAGE_SENDING, b->lease_until);
		row->m.attempts++;
		row->m.fence++;
		row->m.owner = owner;
		row->m.started_at = row->m.updated_at = b->now;
		row->run = run;
		item = &b->items[b->n++];
		item->id = row->m.id;
		item->fence = row->m.fence;
		item->attempt = row->m.attempts;
		item->created_at = row->m.created_at;
		item->phone = arena_strdup(&b->arena, row->m.phone);
		item->content_len = strlen(row->m.content);
		item->content = arena_strndup(&b->arena, row->m.content, item->content_len);
	}
}

static void claim_beside(struct mem_db *db, const struct claim_request *r, struct claim_batch *b)
{
	b->answer = PACING_STOPPED;
	b->next_at = USEC_NEVER;
	if (!db->scheduler.s.pacing.running && !r->forced && !r->unpaced)
		return;
	take(db, r, r->unpaced ? MESSAGE_PENDING : ROW_RETRYING, r->want, 0, b);
	b->answer = b->n ? PACING_JOIN : PACING_WAIT;
	b->more = b->n == r->want;
	b->next_at = b->more ? b->now : soonest(db, r);
}

static void claim_from_beat(struct mem_db *db, const struct claim_request *r, struct claim_batch *b)
{
	struct pacing *p = &db->scheduler.s.pacing, next;
	struct run_end this = {.run = 0};
	struct mem_run *run;
	uint32_t grant;

	b->answer = pacing_ask(p, b->now, r->want, r->forced, &grant);
	if (!p->interval && b->answer != PACING_STOPPED && soonest(db, r) > b->now)
		b->answer = PACING_WAIT; /* continuous mode without work leaves no trace */
	if (b->answer == PACING_STOPPED || b->answer == PACING_WAIT) {
		b->next_at = claim_next_at(p, b->answer, soonest(db, r));
		return;
	}
	b->run = p->epoch + (b->answer == PACING_OPEN);
	if (!r->retry_free)
		take(db, r, ROW_RETRYING, grant, b->run, b);
	take(db, r, MESSAGE_PENDING, grant - b->n, b->run, b);
	next = pacing_after(p, b->answer, b->now, (uint32_t)b->n, b->n < grant);

	if (b->answer == PACING_OPEN) {
		if (p->interval && p->beat_at)
			b->lateness = b->now - pacing_next_at(p);
		run = find_run(db, p->epoch);
		if (run) {
			run->tally.closed = true;
			check_run(db, run, &b->ended);
		}
		run = mem_run_open(db, b->run, r->node, b->now);
	} else {
		run = find_run(db, b->run);
		if (!run)
			panic("the open beat has no run");
	}
	run->tally.claimed += (uint32_t)b->n;
	run->tally.closed |= next.interval && !next.left;
	if (b->n)
		run->r.last_id = b->items[b->n - 1].id;
	check_run(db, run, &this);
	if (!b->ended.run)
		b->ended = this;
	*p = next;
	b->more = next.interval ? next.left > 0 : b->n == grant;
	b->next_at = b->more && !next.interval ? b->now : claim_next_at(p, b->answer, soonest(db, r));
}

int mem_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct mem_db *db = session;
	struct claim_batch b = {.n = 0};

	(void)err;
	pthread_mutex_lock(&db->lock);
	b.now = db->clock();
	b.lease_until = b.now + r->lease;
	b.failure_rate = db->scheduler.s.failure_rate;
	b.items = arena_calloc(&b.arena, MIN_OF(r->want, db->n_rows + 1), sizeof(*b.items));
	if (claim_beside_beat(r))
		claim_beside(db, r, &b);
	else
		claim_from_beat(db, r, &b);
	pthread_mutex_unlock(&db->lock);
	*ret = b;
	return OK;
}

/* The same report twice is one record. */
struct record *mem_record_add(struct row *row, int64_t seq)
{
	struct record *rec;
	size_t i;

	for (i = row->n_records; i > 0 && row->records[i - 1].seq >= seq; i--) {
		if (row->records[i - 1].seq == seq)
			return NULL;
	}
	row->records = xreallocarray(row->records, row->n_records + 1, sizeof(*rec));
	rec = &row->records[i];
	memmove(rec + 1, rec, (row->n_records - i) * sizeof(*rec));
	row->n_records++;
	*rec = (struct record){.seq = seq};
	return rec;
}

static void set_cut(const char **field, const char *value, size_t max)
{
	free((char *)*field);
	*field = value ? xstrndup(value, text_stored(value, max)) : NULL;
}

/* The outcome of a claim, as its row leaves `sending`. */
static void count_outcome(struct mem_db *db, const struct row *row, enum verdict v)
{
	struct mem_run *run = row->run ? find_run(db, row->run) : NULL;

	if (run)
		run_tally_add(&run->tally, v);
}

static void apply(struct mem_db *db, struct row *row, struct settlement *s, usec_t now)
{
	int next = settlement_state(s, !row->run);
	usec_t at = now;

	if (row->state == MESSAGE_SENDING)
		count_outcome(db, row, s->verdict);
	row->m.updated_at = now;
	if (s->verdict == VERDICT_RELEASE) {
		row->m.attempts--;
		at = row->m.due_at;
	} else {
		row->m.lost = 0;
		set_cut(&row->m.message_id, s->verdict == VERDICT_SENT ? s->message_id : NULL,
		        MESSAGE_PROVIDER_ID_MAX);
		set_cut(&row->m.last_error, s->verdict == VERDICT_SENT ? NULL : s->error,
		        MESSAGE_ERROR_MAX);
	}
	if (s->verdict == VERDICT_RETRY)
		row->m.due_at = at = now + s->retry_in;
	if (s->verdict == VERDICT_SENT) {
		s->sent_at = row->m.sent_at = now;
		db->scheduler.s.messages_sent++;
	}
	mem_move(db, row, next, at);
	s->applied = true;
}

/* Returns the run whose claim got its outcome by this, 0 when none did. */
static int64_t settle_one(struct mem_db *db, struct settlement *s, usec_t now)
{
	struct row *row = mem_row(db, s->id);
	struct record *rec;
	bool claimed;

	s->applied = false;
	s->sent_at = 0;
	if (!row)
		return 0;
	if (s->verdict != VERDICT_RELEASE && (rec = mem_record_add(row, attempt_seq(s->fence, s->verdict)))) {
		rec->attempt = (struct attempt){
			.attempt = s->attempt,
			.run = s->run,
			.verdict = s->verdict,
			.http_status = s->http_status,
			.started_at = s->started_at,
			.duration = s->duration,
			.node = row->m.fence == s->fence ? row->m.owner : NULL,
		};
		if (s->verdict != VERDICT_SENT)
			set_cut(&rec->attempt.error, s->error, MESSAGE_ERROR_MAX);
	}
	claimed = row->state == MESSAGE_SENDING;
	if (settlement_applies(row->state, row->m.fence, s))
		apply(db, row, s, now);
	return s->applied && claimed ? row->run : 0;
}

/* Runs end in the order of their beats. */
static void end_runs(struct mem_db *db, int64_t from, struct settle_result *result)
{
	struct mem_run *run = find_run(db, from), *end = db->runs + db->n_runs;
	struct run_end ended;

	for (; run && run < end; run++) {
		ended = (struct run_end){.run = 0};
		check_run(db, run, &ended);
		if (ended.run && result->ended_n < ARRAY_SIZE(result->ended))
			result->ended[result->ended_n] = ended;
		result->ended_n += ended.run != 0;
	}
}

int mem_settle(void *session, struct settlement *s, size_t n, struct settle_result *ret,
               struct error *err)
{
	struct mem_db *db = session;
	struct settle_result result = {.applied = 0};
	int64_t run, oldest = 0;
	usec_t now;
	size_t i;

	(void)err;
	pthread_mutex_lock(&db->lock);
	now = db->clock();
	for (i = 0; i < n; i++) {
		run = settle_one(db, &s[i], now);
		result.applied += s[i].applied;
		if (run && (!oldest || run < oldest))
			oldest = run;
	}
	end_runs(db, oldest, &result);
	pthread_mutex_unlock(&db->lock);
	*ret = result;
	return OK;
}

int mem_renew(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
              size_t *ret_renewed, struct error *err)
{
	struct mem_db *db = session;
	struct row *row;
	size_t i, renewed = 0;
	usec_t until;

	(void)err;
	pthread_mutex_lock(&db->lock);
	until = db->clock() + lease;
	for (i = 0; i < n; i++) {
		row = mem_row(db, refs[i].id);
		if (!row || row->state != MESSAGE_SENDING || row->m.fence != refs[i].fence)
			continue;
		mem_move(db, row, MESSAGE_SENDING, until);
		renewed++;
	}
	pthread_mutex_unlock(&db->lock);
	*ret_renewed = renewed;
	return OK;
}

static void recover_row(struct mem_db *db, struct row *row, const struct recover_request *r,
                        usec_t now, struct recover_result *result)
{
	int state = recovered_state(r, row->m.attempts, row->m.lost + 1);
	struct record *rec = mem_record_add(row, attempt_seq(row->m.fence, VERDICT_LOST));

	if (rec) {
		rec->attempt = (struct attempt){
			.attempt = row->m.attempts,
			.run = row->run,
			.verdict = VERDICT_LOST,
			.started_at = row->m.started_at,
			.node = row->m.owner,
		};
		set_cut(&rec->attempt.error, r->last_error, MESSAGE_ERROR_MAX);
	}
	set_cut(&row->m.last_error, r->last_error, MESSAGE_ERROR_MAX);
	set_cut(&row->m.message_id, NULL, 0);
	row->m.lost++;
	row->m.updated_at = now;
	if (row_status(state) == MESSAGE_PENDING)
		row->m.due_at = now;
	count_outcome(db, row, VERDICT_LOST);
	mem_move(db, row, state, now);
	result->pending += row_status(state) == MESSAGE_PENDING;
	result->unknown += state == MESSAGE_UNKNOWN;
	result->failed += state == MESSAGE_FAILED;
}

int mem_recover(void *session, const struct recover_request *r, struct recover_result *ret,
                struct error *err)
{
	struct mem_db *db = session;
	struct recover_result result = {.next_expiry = USEC_NEVER};
	const struct order *sending = &db->by_state[MESSAGE_SENDING];
	struct settle_result unlisted = {.ended_n = 0};
	int64_t oldest = 0;
	struct row *row;
	uint32_t taken = 0;
	size_t i = 0;
	usec_t now;

	(void)err;
	pthread_mutex_lock(&db->lock);
	now = db->clock();
	while (i < sending->n && !result.more) {
		row = mem_row_at(db, MESSAGE_SENDING, i);
		if (row->state_at > now &&
		    (!strcmp(row->m.owner, r->owner) || owner_outside(row->m.owner))) {
			i++;
		} else if (taken == r->limit) {
			result.more = true;
		} else {
			recover_row(db, row, r, now, &result);
			taken++;
			if (row->run && (!oldest || row->run < oldest))
				oldest = row->run;
		}
	}
	end_runs(db, oldest, &unlisted);
	if (sending->n)
		result.next_expiry = order_at(sending, 0).at;
	pthread_mutex_unlock(&db->lock);
	*ret = result;
	return OK;
}
