// A herald process and a receiver, on ports of the loopback that were free, with their files in a folder of
// their own. The binary is the one that HERALD_BIN names.
import { spawn, execFile } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createTcp } from "node:net";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { promisify } from "node:util";

const BIN = process.env.HERALD_BIN ?? "herald";
/** How long to wait for what is to come, in ms: much longer than it takes, since the machine may be busy. */
export const PATIENCE = 60000;
export const MESSAGES_KEY = "messages-key-of-the-tests";
export const SCHEDULER_KEY = "scheduler-key-of-the-tests";
export const PHONE = "+905551234567";

/** Below the range from which the kernel takes ports for outgoing connections: a page that tries again and again to
 *  reach a herald that is down would in the end be connected to itself, and herald could not come back. */
export async function freePort() {
	for (;;) {
		const port = 12000 + Math.floor(Math.random() * 20000);
		const s = createTcp().listen(port, "127.0.0.1");
		if (await once(s, "listening").catch(() => null)) {
			s.close();
			await once(s, "close");
			return port;
		}
	}
}

/** The first true value that check() gives; throws when there is none in time. */
export async function eventually(check, what, ms = PATIENCE) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await check();
		if (value)
			return value;
		if (Date.now() > end)
			throw new Error(`${what} did not come true within ${ms} ms`);
		await new Promise((resolve) => setTimeout(resolve, 25));
	}
}

/** Remembers what it was sent; answer(request) gives {status, body, delay}. */
export class Sink {
	requests = [];
	answer = () => ({});

	static async start(answer) {
		const sink = new Sink();
		if (answer)
			sink.answer = answer;
		sink.server = createServer((q, a) => {
			const parts = [];
			q.on("data", (d) => parts.push(d));
			q.on("end", () => {
				const request = { body: Buffer.concat(parts), headers: q.headers };
				sink.requests.push(request);
				const { status = 202, body, delay = 0 } = sink.answer(request);
				setTimeout(() => {
					a.writeHead(status, { "Content-Type": "application/json" });
					a.end(JSON.stringify(body ?? { message: "Accepted", messageId: `id-${sink.requests.length}` }));
				}, delay);
			});
		}).listen(0, "127.0.0.1");
		await once(sink.server, "listening");
		sink.url = `http://127.0.0.1:${sink.server.address().port}/hook`;
		return sink;
	}

	get json() {
		return this.requests.map((r) => JSON.parse(r.body.toString("utf8")));
	}

	async stop() {
		this.server.closeAllConnections();
		this.server.close();
		await once(this.server, "close");
	}
}

export class Herald {
	static async start(env = {}) {
		const h = new Herald();
		h.dir = mkdtempSync(join(tmpdir(), "herald-web-"));
		h.port = await freePort();
		h.url = `http://127.0.0.1:${h.port}`;
		h.env = {
			PATH: process.env.PATH, LC_ALL: "C.UTF-8", MONGOC_DISABLE_SHM: "1",
			SERVER_PORT: String(h.port),
			DATABASE_URL: `sqlite:${h.dir}/herald.db`,
			MESSAGES_API_KEY: MESSAGES_KEY,
			SCHEDULER_API_KEY: SCHEDULER_KEY,
			MESSAGE_SEND_INTERVAL: "0",
			MESSAGE_BATCH_SIZE: "100",
			RETRY_BACKOFF: "100ms",
			WEBHOOK_URL: "http://127.0.0.1:9/nobody",
			LOG_FORMAT: "json",
			NODE_ID: "web-test",
			...env,
		};
		try {
			await h.up();
		} catch (error) {
			await h.stop();
			throw error;
		}
		return h;
	}

	async up() {
		const log = openSync(join(this.dir, "herald.log"), "a");
		// It ends with this process, also when that is killed.
		this.process = spawn("setpriv", ["--pdeathsig", "KILL", BIN, "serve"],
			{ cwd: this.dir, env: this.env, stdio: ["ignore", log, log] });
		closeSync(log);
		await eventually(async () => {
			if (this.ended())
				throw new Error(`herald ended with ${this.process.exitCode ?? this.process.signalCode}: ${this.log()}`);
			return (await fetch(`${this.url}/readyz`).catch(() => null))?.ok;
		}, "readiness");
	}

	log = () => readFileSync(join(this.dir, "herald.log"), "utf8");

	ended = () => this.process.exitCode !== null || this.process.signalCode !== null;

	async down(signal = "SIGTERM") {
		if (!this.process || this.ended())
			return;
		const ended = once(this.process, "exit");
		this.process.kill(signal);
		await ended;
	}

	async stop() {
		await this.down();
		rmSync(this.dir, { recursive: true, force: true });
	}

	/** Another herald command with the same configuration. */
	run(...args) {
		return promisify(execFile)(BIN, args, { cwd: this.dir, env: this.env });
	}

	async api(method, path, body) {
		const scheduler = /^\/api\/v1\/(scheduler|nodes)/.test(path);
		const answer = await fetch(this.url + path, {
			method,
			headers: {
				"x-ins-auth-key": scheduler ? SCHEDULER_KEY : MESSAGES_KEY,
				...(body === undefined ? {} : { "Content-Type": "application/json" }),
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		const json = await answer.json();
		if (!answer.ok)
			throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
		return json.data;
	}

	create = (content, more = {}) => this.api("POST", "/api/v1/messages", { phoneNumber: PHONE, content, ...more });

	async createMany(contents, more = {}) {
		const ids = [];
		for (let i = 0; i < contents.length; i += 5000) {
			const rows = contents.slice(i, i + 5000).map((content) => ({ phoneNumber: PHONE, content, ...more }));
			ids.push(...(await this.api("POST", "/api/v1/messages/batch", rows)).ids);
		}
		return ids;
	}

	get = (id) => this.api("GET", `/api/v1/messages/${id}`);
	stats = () => this.api("GET", "/api/v1/messages/stats");
	status = () => this.api("GET", "/api/v1/scheduler/status");

	/** until({sent: 3}) waits for these counts. */
	until = (counts) => eventually(async () => {
		const s = await this.stats();
		return Object.entries(counts).every(([k, n]) => s[k] === n);
	}, `counts of ${JSON.stringify(counts)}`);
}
