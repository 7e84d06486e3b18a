/* What another herald answers to a worker without a database. The first byte chooses what was asked. Whatever is
 * taken must hold what the dispatcher relies on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void lease(const json_t *doc)
{
	struct claim_batch b;

	if (!hs_read_lease(doc, &b))
		return;
	require(b.n <= HS_LEASE_MAX && b.now > 0 && b.next_at >= 0 && b.run >= 0 && b.lateness >= 0);
	require(b.failure_rate >= 0 && b.failure_rate <= 1);
	for (size_t i = 0; i < b.n; i++) {
		const struct claimed *m = &b.items[i];

		require(m->id >= 1 && m->fence >= 1 && m->attempt >= 1 && m->created_at >= 0);
		require(strlen(m->phone) <= MESSAGE_PHONE_MAX && strlen(m->content) == m->content_len);
	}
	claim_batch_release(&b);
}

static void outcomes(const json_t *doc)
{
	struct settlement s[2] = {{.id = 1}, {.id = 2}};
	struct settle_result r = {.applied = 0};

	if (hs_read_outcomes(doc, s, 2, &r))
		require(r.applied <= 2 && r.applied == (uint32_t)s[0].applied + s[1].applied);
}

static void others(char kind, const json_t *doc)
{
	struct scheduler scheduler;
	struct store_counts counts;
	struct run_page runs;
	struct job_page jobs;
	struct node_page nodes;
	const char *version;
	int64_t protocol;
	bool changed;
	size_t n;
	usec_t t;

	switch (kind) {
	case 's':
		if (hs_read_scheduler(doc, 1, &scheduler, &changed))
			require(scheduler.pacing.interval >= 0 && scheduler.pacing.beat_at >= 0);
		break;
	case 'c':
		if (hs_read_counts(doc, &counts))
			require(counts.by_status[MESSAGE_PENDING] >= 0);
		break;
	case 'r':
		if (hs_read_runs(doc, &runs)) {
			for (size_t i = 0; i < runs.n; i++)
				require(runs.items[i].id >= 1 && runs.items[i].node);
			run_page_release(&runs);
		}
		break;
	case 'j':
		if (hs_read_jobs(doc, &jobs)) {
			for (size_t i = 0; i < jobs.n; i++)
				require(jobs.items[i].id >= 1 && strlen(jobs.items[i].name) <= JOB_NAME_MAX);
			job_page_release(&jobs);
		}
		break;
	case 'n':
		if (hs_read_nodes(doc, 1, &nodes)) {
			for (size_t i = 0; i < nodes.n; i++)
				require(strlen(nodes.items[i].id) <= NODE_ID_MAX);
			node_page_release(&nodes);
		}
		break;
	case 'p':
		if (hs_read_protocol(doc, &protocol, &version))
			require(protocol >= 0 && version);
		break;
	case 'h':
		if (hs_read_health(doc, &t))
			require(t > 0);
		break;
	default:
		if (hs_read_extended(doc, &n))
			require(n <= UINT32_MAX);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *doc = size ? json_loadb((const char *)data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (!doc)
		return 0;
	if (data[0] == 'l')
		lease(doc);
	else if (data[0] == 'o')
		outcomes(doc);
	else
		others((char)data[0], doc);
	json_decref(doc);
	return 0;
}
