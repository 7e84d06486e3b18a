// What is happening: the latest attempts and runs. Events come in bursts; the page is told once per frame.
import { batch, signal } from "@preact/signals";
import { toast } from "./toasts.js";

const KEPT = 60;

/** The latest attempts, newest first, as in the stream's `attempt` events, each with a key of its own. */
export const attempts = signal([]);

/** Attempts that were only counted since the page was opened. */
export const skippedCount = signal(0);

/** The latest runs by id: {id, phase, claimed, …}; newest first. */
export const liveRuns = signal([]);

let waiting = [];
let frame = 0;
let next = 1;

function flush() {
	frame = 0;
	batch(() => {
		attempts.value = [...waiting.reverse(), ...attempts.value].slice(0, KEPT);
		waiting = [];
	});
}

export function recordAttempt(data) {
	waiting.push({ ...data, key: next++ });
	if (waiting.length > KEPT)
		waiting = waiting.slice(-KEPT);
	// A page in the background gets no frames.
	frame ||= document.hidden ? setTimeout(flush, 1000) : requestAnimationFrame(flush);
}

export function skipped(n) {
	if (n)
		skippedCount.value += n;
}

export function recordRun(data) {
	const others = liveRuns.value.filter((r) => r.id !== data.id);
	const before = liveRuns.value.find((r) => r.id === data.id);
	liveRuns.value = [{ ...before, ...data, startedAt: before?.startedAt ?? data.at }, ...others]
		.sort((a, b) => b.id - a.id).slice(0, 10);
}

export function alerted(data) {
	toast(data.message ?? "The server raised an alert.", "bad");
}
