// graphile-worker with what its chapter on performance recommends: jobs are fetched in batches into a local
// queue and completed in batches.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { concurrency, database, deliver, finished, messages, n, started } from "./peer.mjs";

const logger = new Logger(() => (level, text) => level === "error" && console.error(text));
const utils = await makeWorkerUtils({ connectionString: database, logger });
await utils.migrate();
for (let i = 0; i < n; i += 5000)
	await utils.addJobs(messages(i, Math.min(i + 5000, n)).map((payload) => ({ identifier: "deliver", payload })));
await utils.release();

let left = n;
let all;
const delivered = new Promise((resolve) => (all = resolve));
const begin = await started();
const runner = await run({
	preset: {
		worker: {
			connectionString: database,
			concurrentJobs: concurrency,
			maxPoolSize: 10,
			localQueue: { size: 500 },
			completeJobBatchDelay: 0,
			failJobBatchDelay: 0,
			logger,
		},
	},
	taskList: {
		deliver: async (payload, { job }) => {
			await deliver(payload, job.id);
			if (!--left) all();
		},
	},
});
await delivered;
// Returns when the last batch is recorded.
await runner.stop();
finished(begin);
