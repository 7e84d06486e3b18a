/*
 * What a worker without the database needs of a process that has it (store driver `http`), for systems of two
 * services whose second one asked the first one over HTTP, without a key: the same routes as herald's own, below
 * PROFILE_WORKER_PATH, and open as the profile is.
 */
#include "profile_worker.h"

#include "attr.h"

#define AT(path) PROFILE_WORKER_PATH path
#define ROW(m, path, handler, group, kind, where, op)                                                                 \
	PROFILE_ROUTE(m, AT(path), handler, group, kind, where, op, "Worker", "For a worker without the database", NULL, \
	              NULL, 200, "DoneAnswer", "")

static const struct route rows[] = {
	ROW(POST, "/api/v1/messages/lease", handle_lease, MESSAGES, OPTIONAL_JSON, WORKER, "workerLease"),
	ROW(POST, "/api/v1/messages/lease/outcomes", handle_outcomes, MESSAGES, LARGE_JSON, WORKER, "workerOutcomes"),
	ROW(POST, "/api/v1/messages/lease/extend", handle_extend_all, MESSAGES, LARGE_JSON, WORKER, "workerExtend"),
	ROW(GET, "/api/v1/messages/stats", handle_stats, MESSAGES, NONE, WORKER, "workerStats"),
	ROW(GET, "/api/v1/scheduler/status", handle_status, SCHEDULER, NONE, WORKER, "workerStatus"),
	ROW(POST, "/api/v1/scheduler/start", handle_start, SCHEDULER, OPTIONAL_JSON, WORKER, "workerStart"),
	ROW(POST, "/api/v1/scheduler/stop", handle_stop, SCHEDULER, OPTIONAL_JSON, WORKER, "workerStop"),
	ROW(POST, "/api/v1/scheduler/settings", handle_settings, SCHEDULER, OPTIONAL_JSON, WORKER, "workerSettings"),
	ROW(GET, "/api/v1/scheduler/runs", handle_runs, SCHEDULER, NONE, WORKER, "workerRuns"),
	ROW(GET, "/api/v1/scheduler/jobs", handle_jobs, SCHEDULER, NONE, WORKER, "workerJobs"),
	ROW(GET, "/api/v1/nodes", handle_nodes, SCHEDULER, NONE, WORKER, "workerNodes"),
	ROW(POST, "/api/v1/nodes", handle_node_seen, SCHEDULER, JSON, WORKER, "workerNodeSeen"),
	ROW(GET, "/health", handle_health, OPEN, NONE, ANYWAY, "workerHealth"),
	ROW(GET, "/readyz", handle_readyz, OPEN, NONE, ANYWAY, "workerReadiness"),
	ROW(GET, "/openapi.json", handle_openapi, OPEN, NONE, INLINE, "workerOpenApi"),
};

struct route_source profile_worker_source(bool open)
{
	return (struct route_source){.rows = rows, .n = ARRAY_SIZE(rows), .open = open};
}
