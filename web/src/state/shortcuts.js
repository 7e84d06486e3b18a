// Keys for those who would rather not reach for the mouse. They can be turned off, since single letters get in the
// way of speech input (WCAG 2.1.4).
import { signal } from "@preact/signals";
import { signedIn } from "./keys.js";
import { helpOpen } from "./panels.js";
import { go } from "./route.js";
import { dark, setTheme } from "./theme.js";

const STORE = "herald.shortcuts";

export const shortcutsOn = signal(localStorage.getItem(STORE) !== "off");

export function turnShortcuts(on) {
	shortcutsOn.value = on;
	localStorage.setItem(STORE, on ? "on" : "off");
}

const PLACES = { o: "overview", m: "messages", n: "new", i: "import", r: "runs", d: "nodes", h: "health", c: "cache" };

/** Moves the focus among the rows of the list that is shown. */
function moveRow(by) {
	const rows = [...document.querySelectorAll("[data-row]")];
	if (!rows.length)
		return;
	const at = rows.findIndex((r) => r === document.activeElement || r.closest("tr")?.contains(document.activeElement));
	const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by));
	rows[next].focus();
	rows[next].scrollIntoView({ block: "nearest" });
}

const ACTIONS = {
	"?": () => { helpOpen.value = true; },
	n: () => go("new"),
	t: () => setTheme(dark.value ? "light" : "dark"),
	j: () => moveRow(1),
	k: () => moveRow(-1),
	x: () => document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
	"/": () => {
		const box = document.querySelector("[data-search]");
		if (box)
			box.focus();
		else
			go("messages");
	},
};

let prefix = 0; // when "g" was pressed

function typing(target) {
	return target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || !shortcutsOn.value || !signedIn.value)
		return;
	if (typing(e.target) || document.querySelector("dialog[open]"))
		return;
	const key = e.key.length === 1 ? e.key : "";
	if (prefix && Date.now() - prefix < 1500 && PLACES[key]) {
		e.preventDefault();
		prefix = 0;
		go(PLACES[key]);
		return;
	}
	prefix = key === "g" ? Date.now() : 0;
	if (ACTIONS[key]) {
		e.preventDefault();
		ACTIONS[key]();
	}
});
