// Loads something again when the counts of the store have moved, but not more often than every two seconds and not
// while nobody looks.
import { useEffect, useRef } from "preact/hooks";

const LEAST = 2000;

export function useAutoReload(reload, watched, on) {
	const value = watched.value;
	const last = useRef({ at: Date.now(), value });
	useEffect(() => {
		if (!on || document.hidden || same(last.current.value, value))
			return undefined;
		const timer = setTimeout(() => {
			last.current = { at: Date.now(), value };
			reload();
		}, Math.max(0, last.current.at + LEAST - Date.now()));
		return () => clearTimeout(timer);
	}, [value, on]);
}

/** Counts that differ in nothing but when they were read. */
function same(a, b) {
	if (!a || !b)
		return true;
	return Object.keys(b).every((k) => k === "at" || a[k] === b[k]);
}
