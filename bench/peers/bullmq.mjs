// BullMQ: jobs added in bulk, one worker with as many concurrent jobs as the others, done jobs removed (what is
// kept costs time).
import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";
import { concurrency, database, deliver, finished, messages, n, started } from "./peer.mjs";

const connection = () => new IORedis(database, { maxRetriesPerRequest: null });
const queue = new Queue("deliver", { connection: connection() });
for (let i = 0; i < n; i += 5000)
	await queue.addBulk(
		messages(i, Math.min(i + 5000, n)).map((data) => ({ name: "deliver", data, opts: { removeOnComplete: true } })),
	);

let left = n;
let all;
const completed = new Promise((resolve) => (all = resolve));
const worker = new Worker("deliver", (job) => deliver(job.data, job.id), {
	connection: connection(),
	concurrency,
	autorun: false,
});
// Sent when Redis has answered that it is recorded.
worker.on("completed", () => --left || all());
await worker.waitUntilReady();
const begin = await started();
worker.run();
await completed;
finished(begin);
