/*
 * Claiming. First a look without a lock: whoever has to wait, or finds no work in continuous mode, has then
 * neither made others wait nor written. Who may claim does it in one transaction:
 *
 *	lock the scheduler's row, read the clock		what the beat allows, from here on
 *	SELECT … FOR UPDATE SKIP LOCKED				the messages
 *	UPDATE the messages, advance the beat, lock the runs
 *	UPDATE the runs, the totals; COMMIT
 *
 * The beat is advanced by compare-and-set all the same: in a Galera cluster the row's lock is one server's
 * own, and of two servers that both advanced it, certification lets one commit.
 *
 * In continuous mode nearly every claim leaves the beat as it is; such ones lock the row for reading
 * only, so that the nodes can claim at the same time.
 */
#include "alloc.h"
#include "store_mysql.h"

#define CLAIM_TRIES 4

/* Where the look met the first row in the claim's order. The locking scan begins there: up to it the
 * index is full of entries of rows that were claimed but not yet purged, and such a scan takes a
 * microsecond or more for each of them, the look a tenth of that. */
struct edge {
	usec_t at; /* USEC_NEVER: there is none */
	int64_t id;
};

/* What one claim knows and has gathered. */
struct claimer {
	struct my_session *s;
	const struct claim_request *r;
	bool shared;     /* the beat's row is locked for reading only */
	struct edge pending, retrying;
	bool once_more;  /* the kind of lock was the wrong one */
	struct pacing seen;
	struct claim_batch batch;
	size_t cap;
	size_t from[ROW_STATE_COUNT]; /* how many of the items were in which state */
	int64_t owner;
	struct my_runs runs;
};

/* Adds the query for when the first row of a state is due, or, newest, for the last one that is due now. */
static size_t edge_query(struct my_batch *b, int state, bool newest)
{
	buf_addf(my_begin(b),
	         "SELECT state_at,id FROM herald_messages FORCE INDEX(herald_messages_state)"
	         " WHERE state=%d%s LIMIT 1",
	         state,
	         newest ? " AND state_at<=@herald_now ORDER BY state_at DESC,id DESC"
	                : " ORDER BY state_at,id");
	return b->n - 1;
}

static struct edge read_edge(const struct my_batch *b, size_t reply)
{
	struct my_row r;

	return my_row(b, reply, &r) ? (struct edge){.at = my_int(&r, 0), .id = my_int(&r, 1)}
	                            : (struct edge){.at = USEC_NEVER};
}

/* The same over all states that this claim may take from. */
struct edges {
	bool pending_asked, retrying_asked;
	size_t pending, retrying;
};

static struct edges ask_edges(const struct claim_request *r, struct my_batch *b, bool newest)
{
	struct edges q = {
		.pending_asked = claim_takes(r, MESSAGE_PENDING),
		.retrying_asked = claim_takes(r, ROW_RETRYING),
	};

	if (q.pending_asked)
		q.pending = edge_query(b, MESSAGE_PENDING, newest);
	if (q.retrying_asked)
		q.retrying = edge_query(b, ROW_RETRYING, newest);
	return q;
}

static void read_edges(const struct edges *q, const struct my_batch *b, struct edge *ret_pending,
                       struct edge *ret_retrying)
{
	const struct edge none = {.at = USEC_NEVER};

	*ret_pending = q->pending_asked ? read_edge(b, q->pending) : none;
	*ret_retrying = q->retrying_asked ? read_edge(b, q->retrying) : none;
}

static usec_t read_soonest(const struct edges *q, const struct my_batch *b)
{
	struct edge pending, retrying;

	read_edges(q, b, &pending, &retrying);
	return MIN_OF(pending.at, retrying.at);
}

static usec_t read_now(const struct my_batch *b, size_t reply)
{
	struct my_row r;

	return my_row(b, reply, &r) ? my_int(&r, 0) : 0;
}

/* Looks at what there is to do; fills in the batch's answer, and next_at when that is not to claim. */
static int look(struct claimer *cl, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct claim_batch *b = &cl->batch;
	struct scheduler_row row;
	bool lifo = cl->r->order == ORDER_LIFO;
	struct edges first, newest = {.pending_asked = false};
	size_t scheduler, clock;
	usec_t soonest;
	int rc;

	my_add(&q, "SET @herald_now=" MY_NOW);
	scheduler = my_add(&q, MY_SCHEDULER);
	first = ask_edges(cl->r, &q, false);
	if (lifo)
		newest = ask_edges(cl->r, &q, true);
	clock = my_add(&q, "SELECT @herald_now");
	rc = my_run(cl->s, &q, err);
	if (rc)
		return rc;
	b->now = read_now(&q, clock);
	rc = my_scheduler_row(&q, scheduler, &row, err);
	if (rc) {
		b->answer = PACING_STOPPED;
		b->next_at = USEC_NEVER;
		return OK;
	}
	cl->seen = row.s.pacing;
	b->failure_rate = row.s.failure_rate;
	read_edges(&first, &q, &cl->pending, &cl->retrying);
	soonest = MIN_OF(cl->pending.at, cl->retrying.at);
	if (lifo)
		read_edges(&newest, &q, &cl->pending, &cl->retrying);
	claim_look(cl->r, &cl->seen, soonest, b);
	cl->shared = claim_beside_beat(cl->r) || (b->answer == PACING_JOIN && !cl->seen.interval);
	return OK;
}

/* Locks and reads up to `most` due rows of a state. */
static int gather(struct claimer *cl, int state, size_t most, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	const struct edge *edge = state == ROW_RETRYING ? &cl->retrying : &cl->pending;
	bool lifo = cl->r->order == ORDER_LIFO;
	struct claimed *item;
	struct my_row r;
	size_t before = cl->batch.n;
	int rc;

	if (edge->at > cl->batch.now)
		return OK;
	buf_addf(my_begin(&q),
	         "SELECT id,fence,attempts,phone,content,created_at FROM herald_messages"
	         " FORCE INDEX(herald_messages_state) WHERE state=%d AND ((state_at=%lld AND id%s%lld)"
	         " OR (state_at>%lld AND state_at<%lld))"
	         " ORDER BY %s LIMIT %zu OFFSET %llu FOR UPDATE SKIP LOCKED",
	         state, (long long)edge->at, lifo ? "<=" : ">=", (long long)edge->id,
	         (long long)(lifo ? -1 : edge->at), (long long)(lifo ? edge->at : cl->batch.now + 1),
	         lifo ? "state_at DESC,id DESC" : "state_at,id", most,
	         (unsigned long long)claim_skips(cl->r, state));
	rc = my_run(cl->s, &q, err);
	if (rc)
		return rc;
	while (my_row(&q, 0, &r)) {
		item = claim_batch_add(&cl->batch, &cl->cap);
		item->id = my_int(&r, 0);
		item->fence = my_int(&r, 1) + 1;
		item->attempt = (int)my_int(&r, 2) + 1;
		item->phone = my_text(&r, 3, &cl->batch.arena);
		item->content = my_text(&r, 4, &cl->batch.arena);
		item->content_len = r.lengths[4];
		item->created_at = my_int(&r, 5);
	}
	cl->from[state] = cl->batch.n - before;
	return OK;
}

/* Gives the gathered rows to the claimer. */
static void take(const struct claimer *cl, struct my_batch *q, int64_t run)
{
	const struct claim_batch *b = &cl->batch;
	struct buf *sql = NULL;
	size_t i;

	for (i = 0; i < b->n; i++) {
		if (i % MY_LIST_MAX == 0) {
			if (sql)
				buf_addch(sql, ')');
			sql = my_begin(q);
			buf_addf(sql,
			         "UPDATE herald_messages FORCE INDEX(PRIMARY) SET state=1,state_at=%lld,"
			         "attempts=attempts+1,fence=fence+1,owner=%lld,run=%lld,started_at=%lld,"
			         "updated_at=%lld WHERE id IN (",
			         (long long)b->lease_until, (long long)cl->owner, (long long)run,
			         (long long)b->now, (long long)b->now);
		} else {
			buf_addch(sql, ',');
		}
		buf_addi64(sql, b->items[i].id);
	}
	if (sql)
		buf_addch(sql, ')');
}

static void write_totals(const struct claimer *cl, struct my_batch *q)
{
	struct my_totals totals = {.by_state[MESSAGE_SENDING] = (int64_t)cl->batch.n};
	int i;

	for (i = 0; i < ROW_STATE_COUNT; i++)
		totals.by_state[i] -= (int64_t)cl->from[i];
	if (cl->batch.n)
		my_totals_add(cl->s, q, &totals);
}

/* Puts the beat's new state in place of the one looked at; returns the statement's number. */
static size_t swap_pacing(const struct claimer *cl, const struct pacing *next, struct my_batch *q)
{
	const struct pacing *p = &cl->seen;

	buf_addf(my_begin(q),
	         "UPDATE herald_scheduler SET beat_at=%lld,epoch=%lld,remaining=%u WHERE one=1"
	         " AND epoch=%lld AND remaining=%u AND beat_at=%lld AND running=%d"
	         " AND beat_interval=%lld AND batch=%u",
	         (long long)next->beat_at, (long long)next->epoch, next->left, (long long)p->epoch,
	         p->left, (long long)p->beat_at, p->running, (long long)p->interval, p->batch);
	return q->n - 1;
}

static void open_run(const struct claimer *cl, const struct my_run *run, struct my_batch *q)
{
	struct buf *sql = my_begin(q);

	buf_addf(sql,
	         "INSERT INTO herald_runs(id,started_at,node,claimed,sent,failed,retried,lost,last_id,"
	         "closed,finished) VALUES(%lld,%lld,",
	         (long long)run->id, (long long)cl->batch.now);
	my_quote_text(cl->s, sql, cl->r->node);
	buf_addf(sql, ",%u,0,0,0,0,%lld,%d,%d)", run->now.claimed, (long long)run->last_id,
	         run->now.closed, run->ends);
	if (run->id % 1000 == 0)
		buf_addf(my_begin(q), "DELETE FROM herald_runs WHERE id<=%lld",
		         (long long)run->id - RUNS_KEPT);
}

/* The second half of a claim from the beat: the rows are gathered, the beat's next state is known. */
static int write_claim(struct claimer *cl, const struct pacing *next, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct claim_batch *b = &cl->batch;
	struct settle_result ended = {.ended_n = 0};
	bool opens = b->answer == PACING_OPEN;
	struct my_run fresh = {
		.id = next->epoch,
		.now = {.claimed = (uint32_t)b->n, .closed = next->interval && !next->left},
		.last_id = b->n ? b->items[b->n - 1].id : 0,
	};
	struct my_run *run = my_runs_get(&cl->runs, opens ? next->epoch - 1 : next->epoch);
	struct edges left = {.pending_asked = false};
	size_t swap = 0, lock;
	bool answered;
	int rc;

	b->run = next->epoch;
	/* Opening a run closes the one before. */
	run->close = opens || fresh.now.closed;
	if (!opens) {
		run->add.claimed = fresh.now.claimed;
		run->last_id = fresh.last_id;
	}
	take(cl, &q, b->run);
	if (!cl->shared)
		swap = swap_pacing(cl, next, &q);
	lock = my_runs_lock(&cl->runs, &q);
	rc = my_run(cl->s, &q, err);
	if (rc)
		return rc;
	if (!cl->shared && q.replies[swap].affected != 1) {
		cl->s->again = true;
		return error_set(err, ERR_TRANSIENT, "the beat was changed by somebody else");
	}
	rc = my_runs_judge(cl->s, &cl->runs, &q, lock, &ended, err);
	if (rc)
		return rc;
	b->ended = ended.ended_n ? ended.ended[0] : (struct run_end){.run = 0};

	my_batch_clear(&q);
	my_runs_write(&cl->runs, &q);
	if (opens) {
		fresh.ends = run_tally_complete(&fresh.now);
		/* It is empty then, so the count of failed runs stays; only who comes after an
		 * unfinished one has to look it up. */
		if (fresh.ends && !b->ended.run) {
			struct my_batch streak cleanup(my_batch_release) = MY_BATCH_INIT;
			struct my_row r;
			uint32_t all_failed = 0;

			my_add(&streak, "SELECT all_failed FROM herald_streak WHERE one=1");
			rc = my_run(cl->s, &streak, err);
			if (rc)
				return rc;
			if (my_row(&streak, 0, &r))
				all_failed = (uint32_t)my_int(&r, 0);
			run_end_apply(fresh.id, &fresh.now, &all_failed, &b->ended);
		}
		open_run(cl, &fresh, &q);
	}
	write_totals(cl, &q);
	if (!next->interval && !b->more)
		left = ask_edges(cl->r, &q, false);
	rc = my_commit(cl->s, &q, &answered, err);
	if (rc)
		return rc;
	b->next_at = !next->interval && (b->more || !answered)
	                     ? b->now
	                     : claim_next_at(next, b->answer, read_soonest(&left, &q));
	return OK;
}

static int claim_from_beat(struct claimer *cl, struct error *err)
{
	struct claim_batch *b = &cl->batch;
	struct pacing next;
	uint32_t grant;
	int rc = OK;

	b->answer = pacing_ask(&cl->seen, b->now, cl->r->want, cl->r->forced, &grant);
	b->next_at = claim_next_at(&cl->seen, b->answer, USEC_NEVER);
	if (b->answer != PACING_OPEN && b->answer != PACING_JOIN)
		return OK;
	if (cl->shared && (b->answer == PACING_OPEN || cl->seen.interval)) {
		cl->once_more = true;
		return OK;
	}
	if (!cl->r->retry_free)
		rc = gather(cl, ROW_RETRYING, grant, err);
	if (!rc && b->n < grant)
		rc = gather(cl, MESSAGE_PENDING, grant - b->n, err);
	if (rc)
		return rc;
	if (!b->n && !cl->seen.interval) {
		/* Others hold, or have just taken, what the look had found. */
		b->answer = PACING_WAIT;
		b->next_at = b->now + USEC_PER_MSEC;
		return OK;
	}
	next = claim_advance(&cl->seen, grant, b);
	return write_claim(cl, &next, err);
}

static int claim_beside(struct claimer *cl, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct claim_batch *b = &cl->batch;
	struct edges left;
	bool answered;
	int rc;

	b->answer = PACING_STOPPED;
	b->next_at = USEC_NEVER;
	if (!cl->seen.running && !cl->r->forced && !cl->r->unpaced)
		return OK;
	b->answer = PACING_WAIT;
	b->next_at = b->now + USEC_PER_MSEC; /* as above, if nothing is found */
	rc = gather(cl, cl->r->unpaced ? MESSAGE_PENDING : ROW_RETRYING, cl->r->want, err);
	if (rc || !b->n)
		return rc;
	b->answer = PACING_JOIN;
	b->more = b->n == cl->r->want;
	take(cl, &q, 0);
	write_totals(cl, &q);
	left = ask_edges(cl->r, &q, false);
	rc = my_commit(cl->s, &q, &answered, err);
	if (!rc)
		b->next_at = b->more || !answered ? b->now : read_soonest(&left, &q);
	return rc;
}

/* The transaction, after a look that found it worthwhile. */
static int claim_now(struct claimer *cl, struct error *err)
{
	struct my_batch q cleanup(my_batch_release) = MY_BATCH_INIT;
	struct claim_batch *b = &cl->batch;
	struct scheduler_row row;
	size_t scheduler, clock;
	int rc;

	my_start(cl->s, &q);
	/* Both servers know this one; FOR SHARE is MySQL's alone. */
	scheduler = my_add(&q, cl->shared ? MY_SCHEDULER " LOCK IN SHARE MODE"
	                                  : MY_SCHEDULER " FOR UPDATE");
	clock = my_add(&q, "SELECT " MY_NOW);
	rc = my_run(cl->s, &q, err);
	if (!rc)
		rc = my_scheduler_row(&q, scheduler, &row, err);
	if (rc)
		return rc;
	/* Waiting for the lock may have taken a while: beats and leases are measured from here. */
	b->now = read_now(&q, clock);
	b->lease_until = b->now + cl->r->lease;
	b->failure_rate = row.s.failure_rate;
	cl->seen = row.s.pacing;
	rc = claim_beside_beat(cl->r) ? claim_beside(cl, err) : claim_from_beat(cl, err);
	if (!rc && (cl->once_more || (b->answer != PACING_OPEN && !b->n)))
		my_abandon(cl->s);
	return rc;
}

static void claimer_release(struct claimer *cl)
{
	my_runs_release(&cl->runs);
	claim_batch_release(&cl->batch);
}

static int claim(struct my_session *s, void *arg, struct error *err)
{
	struct claimer *cl = arg;
	const struct claim_request *r = cl->r;
	int64_t owner;
	int tries, rc;

	for (tries = 1;; tries++) {
		claimer_release(cl);
		*cl = (struct claimer){.s = s, .r = r};
		rc = look(cl, err);
		if (rc || (cl->batch.answer != PACING_OPEN && cl->batch.answer != PACING_JOIN))
			return rc;
		rc = my_owner(s, r->owner, &owner, err);
		if (rc)
			return rc;
		cl->owner = owner;
		rc = claim_now(cl, err);
		if (rc || !cl->once_more)
			return rc;
		if (tries == CLAIM_TRIES) {
			/* A store this busy: let the others go on. */
			cl->batch.answer = PACING_WAIT;
			cl->batch.next_at = cl->batch.now;
			return OK;
		}
	}
}

int my_claim(void *session, const struct claim_request *r, struct claim_batch *ret, struct error *err)
{
	struct claimer cl = {.r = r};
	int rc = my_transact(session, claim, &cl, err);

	my_runs_release(&cl.runs);
	if (rc)
		claim_batch_release(&cl.batch);
	else
		*ret = cl.batch;
	return rc;
}
