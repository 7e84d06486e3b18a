// The keys, for this tab alone: sessionStorage ends with it, and no other page ever sees it.
import { computed, signal } from "@preact/signals";

const STORE = "herald.keys";
export const GROUPS = ["messages", "scheduler"];

function load() {
	try {
		const stored = JSON.parse(sessionStorage.getItem(STORE));
		return { messages: String(stored?.messages ?? ""), scheduler: String(stored?.scheduler ?? "") };
	} catch {
		return { messages: "", scheduler: "" };
	}
}

export const keys = signal(load());

/** By group: why the server does not open it although a key is there. */
export const refusals = signal({});

export const signedIn = computed(() => Boolean(keys.value.messages || keys.value.scheduler));

export const keyOf = (group) => keys.value[group];

export function setKeys(changed) {
	keys.value = { ...keys.value, ...changed };
	refusals.value = Object.fromEntries(Object.entries(refusals.value).filter(([g]) => !(g in changed)));
	try {
		sessionStorage.setItem(STORE, JSON.stringify(keys.value));
	} catch {
		// Storage may be forbidden; the keys then last until the page is left.
	}
}

export function forgetKeys() {
	setKeys({ messages: "", scheduler: "" });
	sessionStorage.removeItem(STORE);
}

/** Called with every failed answer; remembers those that say that the key does not open the group. */
export function refuse(group, status, body) {
	let why;
	if (status === 401)
		why = `The server refused the ${group} key.`;
	else if (status === 500 && body?.error?.includes("not configured"))
		why = `The server has no ${group} key: set ${group.toUpperCase()}_API_KEY and start it again.`;
	if (why && refusals.value[group] !== why)
		refusals.value = { ...refusals.value, [group]: why };
}

/** Why this group cannot be used, or null. */
export function whyNot(group) {
	if (!keys.value[group])
		return `Needs the ${group} key, which was not entered.`;
	return refusals.value[group] ?? null;
}
