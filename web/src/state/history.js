// The figures behind the charts: loaded once for a range, then only what has been added.
import { useEffect, useState } from "preact/hooks";
import { history } from "../api/history.js";
import { comebacks } from "./connection.js";
import { keys } from "./keys.js";

const KEYS = ["accepted", "sent", "retried", "failed", "unknown", "backlog", "p50Ms", "p95Ms", "p99Ms"];

/** group: so many of the server's buckets make one point, to have a few hundred of them. */
export const RANGES = {
	"5m": { title: "5 min", seconds: 300, resolution: "second", group: 1, every: 1000 },
	"1h": { title: "1 h", seconds: 3600, resolution: "second", group: 10, every: 5000 },
	"24h": { title: "24 h", seconds: 86400, resolution: "minute", group: 5, every: 30000 },
};

/** How values of several buckets become one. */
const MERGE = {
	backlog: (values) => values.findLast((v) => v !== null) ?? null,
	p50Ms: (values) => middle(values),
	p95Ms: (values) => most(values),
	p99Ms: (values) => most(values),
};

const known = (values) => values.filter((v) => v !== null);
const most = (values) => (known(values).length ? Math.max(...known(values)) : null);
const sum = (values) => values.reduce((a, b) => a + b, 0);
function middle(values) {
	const sorted = known(values).sort((a, b) => a - b);
	return sorted.length ? sorted[sorted.length >> 1] : null;
}

/** Appends what is new to what is there; keeps `most` buckets. */
function append(before, add, keep) {
	if (!before || add.stepSeconds !== before.stepSeconds || add.start !== before.start + before.points * before.stepSeconds)
		return add;
	const cut = Math.max(0, before.points + add.points - keep);
	const merged = { ...add, start: before.start + cut * before.stepSeconds, points: before.points + add.points - cut };
	for (const key of KEYS)
		merged[key] = [...before[key], ...add[key]].slice(cut);
	return merged;
}

/** The buckets as points: {times, step, sent: […], …}. Groups begin at whole multiples, so that they stand still. */
function toPoints(raw, { group, seconds }) {
	const step = raw.stepSeconds * group;
	const end = raw.start + raw.points * raw.stepSeconds;
	const first = Math.ceil((end - seconds) / step) * step;
	const points = { times: [], step };
	for (const key of KEYS)
		points[key] = [];
	for (let at = first; at < end; at += step) {
		const from = Math.max(0, (at - raw.start) / raw.stepSeconds);
		const to = (at + step - raw.start) / raw.stepSeconds;
		points.times.push(at);
		for (const key of KEYS) {
			const values = to > 0 ? raw[key].slice(from, to) : [];
			points[key].push(!values.length ? null : MERGE[key] ? MERGE[key](values) : sum(values));
		}
	}
	return points;
}

/** null until loaded. */
export function useHistory(name) {
	const [points, setPoints] = useState(null);
	const back = comebacks.value;
	const entered = keys.value;

	useEffect(() => {
		const range = RANGES[name];
		const abort = new AbortController();
		let raw = null;
		let timer = 0;
		const load = async () => {
			if (!document.hidden) {
				const since = raw ? raw.start + raw.points * raw.stepSeconds : Math.floor(Date.now() / 1000) - range.seconds - 60;
				try {
					const add = await history({ resolution: range.resolution, since: new Date(since * 1000).toISOString() }, abort.signal);
					if (abort.signal.aborted)
						return;
					raw = add.points || !raw ? append(raw, add, range.seconds / add.stepSeconds + 60) : raw;
					setPoints(toPoints(raw, range));
				} catch {
					// The banner says that the server is away; the charts stay as they are.
				}
			}
			if (!abort.signal.aborted)
				timer = setTimeout(load, range.every);
		};
		setPoints(null);
		load();
		return () => {
			abort.abort();
			clearTimeout(timer);
		};
	}, [name, back, entered]);
	return points;
}
