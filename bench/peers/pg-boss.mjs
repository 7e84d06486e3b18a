// pg-boss. Its work() polls at most twice a second and waits for each batch to end before it fetches the next, so
// here fetch() and complete() are used as they are meant for own loops: in batches, with the next batch
// fetched before the last one has ended, which is faster than work() with any of its options.
import PgBoss from "pg-boss";
import { concurrency, database, deliver, finished, messages, n, started } from "./peer.mjs";

const QUEUE = "deliver";
const BATCH = 500;

const boss = new PgBoss({ connectionString: database, max: 10, supervise: false, schedule: false });
boss.on("error", (e) => {
	throw e;
});
await boss.start();
await boss.createQueue(QUEUE);
for (let i = 0; i < n; i += 5000)
	await boss.insert(messages(i, Math.min(i + 5000, n)).map((data) => ({ name: QUEUE, data })));

const local = [];
let done = [];
let fetching = null;
let completed = 0;
let empty = false;

function refill() {
	fetching ??= boss.fetch(QUEUE, { batchSize: BATCH }).then((jobs) => {
		local.push(...jobs);
		empty = !jobs.length;
		fetching = null;
	});
	return fetching;
}

async function complete() {
	const ids = done;
	done = [];
	await boss.complete(QUEUE, ids);
	completed += ids.length;
}

const begin = await started();
const completing = [];
async function worker() {
	for (;;) {
		if (local.length < BATCH / 2 && !empty) {
			const more = refill();
			if (!local.length) await more;
		}
		const job = local.pop();
		if (!job) {
			if (empty) return;
			continue;
		}
		await deliver(job.data, job.id);
		done.push(job.id);
		if (done.length >= BATCH) completing.push(complete());
	}
}
await Promise.all(Array.from({ length: concurrency }, worker));
if (done.length) completing.push(complete());
await Promise.all(completing);
if (completed !== n) throw new Error(`${completed} of ${n} were completed`);
finished(begin);
