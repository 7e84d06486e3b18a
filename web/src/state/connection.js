// Whether the server can be reached, as far as the last request tells.
import { signal } from "@preact/signals";

/** null while all is well; else {since, retryAt} */
export const outage = signal(null);

/** Goes up whenever the server is back after an outage: whoever shows its data loads it anew. */
export const comebacks = signal(0);

export function reached() {
	if (!outage.peek())
		return;
	outage.value = null;
	comebacks.value++;
}

export function unreached(retryAt) {
	const before = outage.peek();
	outage.value = { since: before?.since ?? Date.now(), retryAt: retryAt ?? before?.retryAt };
}
