// Times as people read them. Everything takes milliseconds since 1970, or RFC 3339 text.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const millis = (t) => (typeof t === "string" ? Date.parse(t) : t);

const full = new Intl.DateTimeFormat(undefined, {
	year: "numeric", month: "short", day: "numeric",
	hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** 14:05 */
export const hourMinute = (t) => minute.format(t);

export const absolute = (t) => full.format(millis(t));

/** The time of day for what is of today, else the date with it. */
export function short(t, now = Date.now()) {
	const at = millis(t);
	return new Date(at).toDateString() === new Date(now).toDateString() ? clock.format(at) : day.format(at);
}

/** "3 minutes ago", "in 2 hours". */
export function ago(t, now = Date.now()) {
	const d = millis(t) - now;
	const size = Math.abs(d);
	if (size < 5 * SECOND)
		return "just now";
	if (size < MINUTE)
		return relative.format(Math.round(d / SECOND), "second");
	if (size < HOUR)
		return relative.format(Math.round(d / MINUTE), "minute");
	if (size < DAY)
		return relative.format(Math.round(d / HOUR), "hour");
	return relative.format(Math.round(d / DAY), "day");
}

/** A span as its two largest units: "1 h 20 min", "45 s", "350 ms". */
export function span(ms) {
	if (ms < SECOND)
		return `${ms < 10 && ms % 1 ? ms.toFixed(1) : Math.round(ms)} ms`;
	if (ms < 10 * SECOND && ms % SECOND)
		return `${(ms / SECOND).toFixed(1)} s`;
	const s = Math.round(ms / SECOND);
	const parts = [["d", Math.floor(s / 86400)], ["h", Math.floor(s / 3600) % 24], ["min", Math.floor(s / 60) % 60], ["s", s % 60]];
	const first = parts.findIndex(([, n]) => n);
	return parts.slice(first, first + 2).filter(([, n]) => n).map(([unit, n]) => `${n} ${unit}`).join(" ");
}

/** 0:07, 12:30, 1:00:00 */
export function countdown(ms) {
	const s = Math.max(0, Math.ceil(ms / SECOND));
	const two = (n) => String(n).padStart(2, "0");
	const h = Math.floor(s / 3600);
	return h ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** What a datetime-local input holds (the user's own zone) as the API wants it, or "" for none. */
export const fromLocalInput = (text) => (text ? new Date(text).toISOString() : "");

/** The other way round. */
export function toLocalInput(t) {
	if (!t)
		return "";
	const at = new Date(t);
	return new Date(at - at.getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);
}
