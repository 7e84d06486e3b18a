// Light, dark, or as the system has it.
import { effect, signal } from "@preact/signals";

const STORE = "herald.theme";
export const THEMES = ["system", "light", "dark"];

function load() {
	try {
		const stored = localStorage.getItem(STORE);
		return THEMES.includes(stored) ? stored : "system";
	} catch {
		return "system";
	}
}

export const theme = signal(load());

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(systemDark.matches);
systemDark.addEventListener("change", (e) => {
	system.value = e.matches;
});

/** What is shown: charts are redrawn when it changes. */
export const dark = signal(false);

effect(() => {
	dark.value = theme.value === "dark" || (theme.value === "system" && system.value);
	document.documentElement.dataset.theme = dark.value ? "dark" : "light";
});

export function setTheme(next) {
	theme.value = next;
	try {
		localStorage.setItem(STORE, next);
	} catch {
		// It then lasts as long as the page.
	}
}
