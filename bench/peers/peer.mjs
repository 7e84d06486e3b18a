// What the peers have in common. A peer is started with the receiver, the database and the number of messages,
// stores them, says "ready", waits for a line on its standard input, delivers them, and says how many seconds
// that took, until all are recorded as done.
import { once } from "node:events";
import { Pool } from "undici";

export const [, , sink, database, n, concurrency] = process.argv.map((v, i) => (i < 4 ? v : Number(v)));

export function messages(from, to) {
	const some = [];
	for (let i = from; i < to; i++)
		some.push({
			to: `+9055${String(i).padStart(8, "0")}`,
			content: `Your code is ${String(i % 1000000).padStart(6, "0")}, valid for ten minutes.`,
		});
	return some;
}

const pool = new Pool(new URL(sink).origin, { connections: concurrency, pipelining: 1 });

// One attempt as herald makes it: POST over a kept connection, the answer read to its end.
export async function deliver(message, key) {
	const { statusCode, body } = await pool.request({
		path: "/",
		method: "POST",
		headers: { "content-type": "application/json", "idempotency-key": String(key) },
		body: JSON.stringify(message),
	});
	const answer = await body.json();
	if (statusCode !== 202 || !answer.messageId) throw new Error(`HTTP ${statusCode}`);
	return answer.messageId;
}

export async function started() {
	console.log("ready");
	await once(process.stdin, "data");
	return performance.now();
}

export async function finished(since) {
	console.log(`${(performance.now() - since) / 1000} seconds`);
	// It still is to be seen how much processor time that took.
	await once(process.stdin, "end");
	process.exit(0);
}
