// The stream of events that keeps the page up to date, and what it brought. Reconnects by itself, longer and longer
// apart, and says where it was, so that nothing that happened meanwhile is missed.
import { effect, signal } from "@preact/signals";
import { readEvents } from "../api/sse.js";
import { comebacks, reached, unreached } from "./connection.js";
import { keys, refuse, whyNot } from "./keys.js";
import { alerted, recordAttempt, recordRun, skipped } from "./activity.js";
import { counts, flow, helloFrom, scheduler } from "./server.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15000;
const SILENCE = 40000; // the server sends a heartbeat every 15 seconds

/** "off", "connecting", "open", "waiting" or "unsupported" */
export const streamState = signal("off");

let lastId = null;
let current = null; // the AbortController of the connection, or of the wait for the next
let wakeUp = null;

const handlers = {
	hello: (data) => helloFrom(data),
	reset: () => {
		comebacks.value++;
	},
	attempt: recordAttempt,
	counts: (data) => {
		const { perSecond, inFlight, skippedAttempts, ...rest } = data;
		counts.value = rest;
		flow.value = { ...perSecond, inFlight };
		skipped(skippedAttempts ?? 0);
	},
	scheduler: (data) => {
		scheduler.value = data;
	},
	run: recordRun,
	alert: alerted,
};

function headers() {
	const usable = ["messages", "scheduler"].filter((g) => !whyNot(g)).map((g) => keys.value[g]);
	const h = {};
	if (usable[0])
		h["x-ins-auth-key"] = usable[0];
	if (usable[1] && usable[1] !== usable[0])
		h.Authorization = `Bearer ${usable[1]}`;
	if (lastId)
		h["Last-Event-ID"] = lastId;
	return h;
}

/** One connection, until it ends. Returns whether it was worth waiting less for the next. */
async function connection(abort) {
	let watchdog;
	const alive = () => {
		clearTimeout(watchdog);
		watchdog = setTimeout(() => abort.abort(), SILENCE);
	};
	alive();
	try {
		const answer = await fetch("/api/v1/events", {
			headers: headers(), signal: abort.signal, cache: "no-store", credentials: "omit",
		});
		if (!answer.ok) {
			if (answer.status === 404 || answer.status === 405)
				streamState.value = "unsupported";
			if (answer.status === 401)
				for (const group of ["messages", "scheduler"])
					if (!whyNot(group))
						refuse(group, 401);
			return false;
		}
		reached();
		streamState.value = "open";
		for await (const e of readEvents(answer.body)) {
			alive();
			if (!e)
				continue;
			if (e.id)
				lastId = e.id;
			handlers[e.event]?.(JSON.parse(e.data));
		}
		return true;
	} finally {
		clearTimeout(watchdog);
	}
}

function pause(ms) {
	return new Promise((resolve) => {
		const timer = setTimeout(resolve, ms);
		wakeUp = () => {
			clearTimeout(timer);
			resolve();
		};
	});
}

async function follow(mine) {
	let wait = FIRST_WAIT;
	while (current === mine) {
		streamState.value = "connecting";
		const abort = new AbortController();
		mine.abort = () => abort.abort();
		let lived = false;
		try {
			lived = await connection(abort);
		} catch {
			// Whatever it was, the answer is to connect again.
		}
		if (current !== mine || streamState.value === "unsupported")
			return;
		if (lived)
			wait = FIRST_WAIT;
		const ms = wait * (0.8 + 0.4 * Math.random());
		wait = Math.min(LONGEST_WAIT, wait * 2);
		streamState.value = "waiting";
		unreached(Date.now() + ms);
		await pause(ms);
	}
}

/** Tries again at once instead of when it is due. */
export const retryNow = () => wakeUp?.();

// Other keys open other parts: begin anew.
effect(() => {
	const usable = !whyNot("messages") || !whyNot("scheduler");
	keys.value;
	current?.abort?.();
	current = null;
	wakeUp?.();
	lastId = null;
	if (!usable) {
		streamState.value = "off";
		return;
	}
	const mine = {};
	current = mine;
	queueMicrotask(() => follow(mine));
});

addEventListener("online", () => retryNow());
