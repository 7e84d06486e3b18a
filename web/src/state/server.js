// What the server last said of itself. The stream keeps it fresh; without one (and at the start) it is asked.
import { effect, signal } from "@preact/signals";
import * as messages from "../api/messages.js";
import * as schedulerApi from "../api/scheduler.js";
import { comebacks } from "./connection.js";
import { keys, whyNot } from "./keys.js";

/** As of /api/v1/messages/stats, and of /api/v1/scheduler/status; null until known. */
export const counts = signal(null);
export const scheduler = signal(null);

/** Of the node that this page talks to: {accepted, sent, retried, failed, unknown} a second, inFlight. */
export const flow = signal(null);

/** {node, version, role} */
export const server = signal(null);

let ahead = 0; // the server's clock minus ours

export const serverNow = () => Date.now() + ahead;

export function helloFrom(data) {
	server.value = data;
	ahead = Date.parse(data.time) - Date.now() || 0;
}

export async function refreshCounts() {
	if (!whyNot("messages"))
		counts.value = await messages.stats();
}

export async function refreshScheduler() {
	if (!whyNot("scheduler"))
		scheduler.value = await schedulerApi.status();
}

/** Both, passing over what cannot be had: the banner and the keys say why. */
export const refresh = () => Promise.allSettled([refreshCounts(), refreshScheduler()]);

effect(() => {
	const { messages: m, scheduler: s } = keys.value;
	comebacks.value;
	if (!m)
		counts.value = null;
	if (!s)
		scheduler.value = null;
	queueMicrotask(refresh);
});
