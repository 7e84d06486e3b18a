// Short notices of what was done or went wrong; shown in a corner and read out.
import { signal } from "@preact/signals";

const SHOWN_MS = 7000;
let next = 1;

export const toasts = signal([]);

export function dismiss(id) {
	toasts.value = toasts.value.filter((t) => t.id !== id);
}

/** kind: "good", "bad" or "plain"; what went wrong stays until dismissed. */
export function toast(text, kind = "good") {
	const id = next++;
	toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
	if (kind !== "bad")
		setTimeout(() => dismiss(id), SHOWN_MS);
}
