/*
 * Several nodes on one database that somebody hurts in the meantime: store_hammer URL NODES INTERVAL_MS.
 * URL may be several, separated by spaces: the servers of one cluster, which the nodes take in turns.
 * It goes on until its standard input ends; then the database must be well.
 *
 * Each node is a store of its own with one thread that stores messages and one that claims, settles and
 * recovers. INTERVAL_MS 0 is continuous mode; else beats of BATCH. Errors of the store are expected, and
 * answered as herald's own parts do: an uncertain insert is repeated with its keys, a settle until it is
 * taken, a claim not at all. Checked while it runs: no claim twice, none before the last one's lease is
 * over, no beat early or larger than it may be. Checked at the end: what was acknowledged is there, once, and
 * sent; the figures agree with the rows. Says what is wrong and ends with 1.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "store.h"
#include "text.h"

#define NODES_MAX 8
#define IDS_MAX 2000000
#define RUNS_MAX 200000
#define BATCH 20
#define GROUP 8
#define CLAIM 40
#define LEASE (4 * USEC_PER_SEC)
/* The database has to be back by then. */
#define PATIENCE (120 * USEC_PER_SEC)

struct member {
	struct store *store;
	struct store_session *writer, *sender;
	pthread_t threads[2];
	char name[16], owner[24];
	int number;
};

static struct {
	_Atomic int64_t fence[IDS_MAX];   /* of the newest claim */
	_Atomic usec_t until[IDS_MAX];    /* its lease's end on the database's clock; 0: settled */
	_Atomic bool created_by[IDS_MAX]; /* somebody was told that he created it */
	_Atomic bool stored[IDS_MAX];     /* acknowledged as stored, by now or before */
	_Atomic bool sent[IDS_MAX];       /* acknowledged as sent */
	_Atomic usec_t sent_at[IDS_MAX];  /* when, if that is known */
	_Atomic uint32_t given[RUNS_MAX]; /* by this beat */
	_Atomic usec_t opened[RUNS_MAX];
	_Atomic int64_t created, wrong, troubles, uncertain;
	_Atomic bool stopping, draining;
	usec_t interval;
} now;

static void wrong(const char *what, int64_t id)
{
	if (atomic_fetch_add(&now.wrong, 1) < 20)
		fprintf(stderr, "store_hammer: %s: %" PRId64 "\n", what, id);
}

/* An error of the store: whether it is one that outages may cause. */
static void trouble(int rc, const struct error *err)
{
	atomic_fetch_add(rc == ERR_UNCERTAIN ? &now.uncertain : &now.troubles, 1);
	if (rc != ERR_TRANSIENT && rc != ERR_UNCERTAIN) {
		fprintf(stderr, "store_hammer: %s\n", err->text);
		wrong("an error that is none of an outage", rc);
	}
	usleep(20000);
}

/* --- storing ---------------------------------------------------------------------------------------------- */

static void note_stored(const struct message_draft *d)
{
	if (d->id < 1 || d->id >= IDS_MAX) {
		wrong("an id out of range", d->id);
		return;
	}
	if (d->result == INSERT_CREATED && atomic_exchange(&now.created_by[d->id], true))
		wrong("an id was given out twice", d->id);
	if (!atomic_exchange(&now.stored[d->id], true))
		atomic_fetch_add(&now.created, 1);
}

static void *store_messages(void *arg)
{
	struct member *node = arg;
	struct message_draft d[GROUP];
	struct insert_group g = {.drafts = d, .n = GROUP};
	char key[GROUP][48];
	struct error err = ERROR_INIT;
	int64_t round;
	size_t i;
	int rc;

	for (round = 0; !atomic_load(&now.stopping); round++) {
		for (i = 0; i < GROUP; i++) {
			/* Some keys are used by all nodes at the same time. */
			snprintf(key[i], sizeof(key[i]), "%" PRId64 "-%zu-%d", round, i,
			         i < 2 ? -1 : node->number);
			d[i] = (struct message_draft){
				.phone = "+905551234567", .content = "Hello", .idempotency_key = key[i]};
		}
		do {
			rc = store_insert(node->writer, &g, 1, &err);
			if (rc)
				trouble(rc, &err);
		} while (rc && !atomic_load(&now.stopping));
		if (rc)
			break;
		for (i = 0; i < GROUP; i++)
			note_stored(&d[i]);
		usleep(2000);
	}
	return NULL;
}

/* --- sending ---------------------------------------------------------------------------------------------- */

static void check_beat(const struct claim_batch *b)
{
	usec_t before;

	if (!b->run || b->run >= RUNS_MAX || !now.interval)
		return;
	if (atomic_fetch_add(&now.given[b->run], (uint32_t)b->n) + b->n > BATCH)
		wrong("a beat gave more than its batch", b->run);
	if (b->answer != PACING_OPEN)
		return;
	atomic_store(&now.opened[b->run], b->now);
	before = atomic_load(&now.opened[b->run - 1]);
	if (before && b->now - before < now.interval)
		wrong("a beat opened early", b->run);
}

static void check_claim(const struct claim_batch *b)
{
	const struct claimed *m;
	usec_t until, sent_at;
	size_t i;

	for (i = 0; i < b->n; i++) {
		m = &b->items[i];
		if (m->id < 1 || m->id >= IDS_MAX) {
			wrong("an id out of range", m->id);
			continue;
		}
		until = atomic_exchange(&now.until[m->id], b->lease_until);
		if (until > b->now)
			wrong("claimed before the last lease's end", m->id);
		if (atomic_exchange(&now.fence[m->id], m->fence) >= m->fence)
			wrong("two claims with one fence", m->id);
		sent_at = atomic_load(&now.sent_at[m->id]);
		if (sent_at && sent_at < b->now)
			wrong("claimed though it is known to be sent", m->id);
	}
}

static void settle(struct member *node, const struct claim_batch *b)
{
	struct settlement s[CLAIM];
	struct settle_result result;
	struct error err = ERROR_INIT;
	usec_t give_up = clock_mono() + PATIENCE;
	uint64_t die;
	size_t i;
	int rc;

	for (i = 0; i < b->n; i++) {
		die = random_u64() % 10;
		s[i] = (struct settlement){
			.id = b->items[i].id,
			.fence = b->items[i].fence,
			.run = b->run,
			.attempt = b->items[i].attempt,
			.verdict = atomic_load(&now.draining) || die > 2 ? VERDICT_SENT
			           : die                                 ? VERDICT_RETRY
			                                                 : VERDICT_RELEASE,
			.http_status = 202,
			.started_at = b->now,
			.error = "HTTP 503",
		};
		/* Whatever the answer, from here on the row may be free again. */
		atomic_store(&now.until[s[i].id], 0);
	}
	while ((rc = store_settle(node->sender, s, b->n, &result, &err)) != OK) {
		trouble(rc, &err);
		if (clock_mono() > give_up) {
			wrong("a settle was never taken", 0);
			return;
		}
	}
	/* Not applied: an earlier try was, or (by the lease) somebody else came first. A success counts
	 * in any case. */
	for (i = 0; i < b->n; i++) {
		if (s[i].verdict != VERDICT_SENT)
			continue;
		atomic_store(&now.sent[s[i].id], true);
		if (s[i].applied)
			atomic_store(&now.sent_at[s[i].id], s[i].sent_at);
	}
}

static void recover(struct member *node)
{
	const struct recover_request r = {.owner = node->owner,
	                                  .last_error = "lease ran out",
	                                  .max_lost = 1000,
	                                  .max_attempts = 100000,
	                                  .limit = 100};
	struct recover_result result;
	struct error err = ERROR_INIT;
	int rc = store_recover(node->sender, &r, &result, &err);

	if (rc)
		trouble(rc, &err);
}

static void *send_messages(void *arg)
{
	struct member *node = arg;
	const struct claim_request r = {
		.node = node->name, .owner = node->owner, .want = CLAIM, .lease = LEASE};
	struct error err = ERROR_INIT;
	struct claim_batch b;
	unsigned round;
	int rc;

	for (round = 0; !atomic_load(&now.stopping); round++) {
		if (round % 50 == 0)
			recover(node);
		rc = store_claim(node->sender, &r, &b, &err);
		if (rc) {
			trouble(rc, &err);
			continue;
		}
		check_beat(&b);
		check_claim(&b);
		if (b.n)
			settle(node, &b);
		else
			usleep(2000);
		claim_batch_release(&b);
	}
	return NULL;
}

/* --- before and after ------------------------------------------------------------------------------------- */

static void must(int rc, const struct error *err, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "store_hammer: %s: %s\n", what, err->text);
	exit(1);
}

/* The n-th of the URLs, from the first again after the last; the caller frees it. */
static char *nth_url(const char *urls, int n)
{
	const char *s = urls;

	for (; n > 0; n--) {
		s += strcspn(s, " ");
		s = *s ? s + 1 : urls;
	}
	return xstrndup(s, strcspn(s, " "));
}

static void open_node(struct member *node, const char *urls, int number)
{
	char *url cleanup(free_ptr) = nth_url(urls, number);
	const struct store_options options = {.url = url};
	const struct scheduler_defaults d = {
		.auto_start = true, .interval = now.interval, .batch = BATCH};
	struct scheduler scheduler;
	struct error err = ERROR_INIT;

	node->number = number;
	snprintf(node->name, sizeof(node->name), "node%d", number);
	snprintf(node->owner, sizeof(node->owner), "node%d/boot", number);
	must(store_open(&node->store, &options, &err), &err, "open");
	must(store_session_open(node->store, &node->writer, &err), &err, "session");
	must(store_session_open(node->store, &node->sender, &err), &err, "session");
	must(store_scheduler_init(node->sender, &d, &scheduler, &err), &err, "scheduler");
}

/* The outage is over: everything that is left gets sent, without a beat. */
static void drain(struct member *node)
{
	struct scheduler_change change = SCHEDULER_CHANGE_NONE;
	const struct claim_request r = {
		.node = node->name, .owner = node->owner, .want = CLAIM, .lease = LEASE};
	usec_t give_up = clock_mono() + PATIENCE;
	struct error err = ERROR_INIT;
	struct store_counts counts = {.by_status[0] = 0};
	struct scheduler scheduler;
	struct claim_batch b;
	bool changed;

	change.interval = 0;
	while (store_scheduler_change(node->sender, &change, &scheduler, &changed, &err) &&
	       clock_mono() < give_up)
		usleep(100000);
	now.interval = 0;
	atomic_store(&now.draining, true);
	while (clock_mono() < give_up) {
		recover(node);
		if (store_counts(node->sender, &counts, &err) ||
		    store_claim(node->sender, &r, &b, &err)) {
			trouble(err.code, &err);
			continue;
		}
		check_claim(&b);
		if (b.n)
			settle(node, &b);
		if (!counts.by_status[MESSAGE_PENDING] && !counts.by_status[MESSAGE_SENDING] && !b.n) {
			claim_batch_release(&b);
			return;
		}
		if (!b.n)
			usleep(50000);
		claim_batch_release(&b);
	}
	wrong("messages are left over", counts.by_status[MESSAGE_PENDING] + counts.by_status[MESSAGE_SENDING]);
}

/* Every acknowledged message is in the list once, and all of the list are sent. */
static void check_rows(struct store_session *c, int64_t *ret_rows)
{
	struct list_query q = {.status = -1, .limit = 1000, .want_total = true};
	struct error err = ERROR_INIT;
	struct message_page page;
	int64_t rows = 0, total, id, acknowledged = 0;
	bool more;
	size_t i;

	do {
		must(store_list(c, &q, &page, &err), &err, "list");
		for (i = 0; i < page.n; i++) {
			if (page.items[i].status != MESSAGE_SENT)
				wrong("not sent", page.items[i].id);
			if (page.items[i].id < IDS_MAX && atomic_load(&now.stored[page.items[i].id]))
				acknowledged++;
		}
		rows += (int64_t)page.n;
		total = page.total;
		more = page.more;
		q.after = page.last;
		message_page_release(&page);
	} while (more);
	if (total != rows)
		wrong("the total is not that of the rows", total);
	for (id = 1; id < IDS_MAX; id++) {
		if (atomic_load(&now.stored[id]) && !atomic_load(&now.sent[id]))
			wrong("sent, but not by us", id);
	}
	if (acknowledged != atomic_load(&now.created))
		wrong("acknowledged messages that are not there", atomic_load(&now.created) - acknowledged);
	*ret_rows = rows;
}

static void check_figures(struct store_session *c, int64_t rows)
{
	struct error err = ERROR_INIT;
	struct store_counts counts;
	struct scheduler scheduler;
	struct run_page runs;
	size_t i;

	must(store_counts(c, &counts, &err), &err, "counts");
	if (counts.by_status[MESSAGE_SENT] != rows)
		wrong("the count of sent ones", counts.by_status[MESSAGE_SENT]);
	must(store_scheduler_get(c, &scheduler, &err), &err, "scheduler");
	if (scheduler.messages_sent != rows)
		wrong("the scheduler's count of sent ones", scheduler.messages_sent);
	must(store_runs(c, 0, 0, 1000, &runs, &err), &err, "runs");
	for (i = 0; i < runs.n; i++) {
		const struct run *r = &runs.items[i];

		if (r->claimed != r->sent + r->failed + r->retried + r->lost)
			wrong("a run whose figures do not add up", r->id);
		if (i && !r->finished)
			wrong("a run that never ended", r->id);
	}
	run_page_release(&runs);
}

int main(int argc, char **argv)
{
	static struct member nodes[NODES_MAX];
	int i, n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	const char *url = argc > 1 && argv[1][0] == '$' ? getenv(argv[1] + 1) : argc > 1 ? argv[1] : NULL;
	int64_t rows = 0;

	if (argc != 4 || !url || n < 1 || n > NODES_MAX) {
		fprintf(stderr, "usage: store_hammer URL NODES INTERVAL_MS\n");
		return 2;
	}
	now.interval = strtoll(argv[3], NULL, 10) * USEC_PER_MSEC;
	for (i = 0; i < n; i++)
		open_node(&nodes[i], url, i);
	puts("ready");
	fflush(stdout);
	for (i = 0; i < n; i++) {
		if (pthread_create(&nodes[i].threads[0], NULL, store_messages, &nodes[i]) ||
		    pthread_create(&nodes[i].threads[1], NULL, send_messages, &nodes[i]))
			abort();
	}
	while (getchar() != EOF)
		;
	atomic_store(&now.stopping, true);
	for (i = 0; i < n; i++) {
		pthread_join(nodes[i].threads[0], NULL);
		pthread_join(nodes[i].threads[1], NULL);
	}
	drain(&nodes[0]);
	check_rows(nodes[0].sender, &rows);
	check_figures(nodes[0].sender, rows);
	for (i = 0; i < n; i++) {
		store_session_close(nodes[i].writer);
		store_session_close(nodes[i].sender);
		store_close(nodes[i].store);
	}
	printf("messages=%" PRId64 " acknowledged=%" PRId64 " troubles=%" PRId64 " uncertain=%" PRId64
	       " wrong=%" PRId64 "\n",
	       rows, atomic_load(&now.created), atomic_load(&now.troubles),
	       atomic_load(&now.uncertain), atomic_load(&now.wrong));
	return atomic_load(&now.wrong) ? 1 : 0;
}
