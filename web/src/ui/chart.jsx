// A chart of a few lines over time. uPlot draws; the legend is ours, since it has to be readable without a mouse.
import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { hourMinute, short } from "../lib/time.js";
import { dark } from "../state/theme.js";

const HEIGHT = 170;
const FONT = "11px system-ui, sans-serif";

/** Seconds between two times on the axis: as round as can be, and so that there are two or more in little room. */
const STEPS = [10, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 21600, 28800, 43200, 86400];

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Charts are drawn one at a time, when there is nothing more urgent; returns what calls it off. */
function whenIdle(work) {
	if (!window.requestIdleCallback) {
		const timer = setTimeout(work, 20);
		return () => clearTimeout(timer);
	}
	const request = requestIdleCallback(work, { timeout: 1000 });
	return () => cancelIdleCallback(request);
}

/** null for lines that hold their value between two readings. */
function bridge(values) {
	let last = null;
	return values.map((v) => (v === null ? last : (last = v)));
}

function options(series, format, width, onCursor) {
	const line = colourOf("--line");
	const muted = colourOf("--muted");
	return {
		width,
		height: HEIGHT,
		legend: { show: false },
		cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
		padding: [8, 4, 0, 0],
		scales: { y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.15 : 1] } },
		axes: [
			{
				stroke: muted, font: FONT, grid: { show: false }, ticks: { show: false }, size: 26, space: 56, incrs: STEPS,
				values: (_u, splits) => splits.map((t) => hourMinute(t * 1000)),
			},
			{
				stroke: muted, font: FONT, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 52, space: 34,
				values: (_u, splits) => splits.map(format),
			},
		],
		series: [
			{},
			...series.map((s) => ({
				stroke: colourOf(s.colour),
				fill: s.fill ? `${colourOf(s.colour)}22` : undefined,
				width: 1.75,
				points: { show: false },
			})),
		],
		hooks: { setCursor: [(u) => onCursor(u.cursor.idx ?? null)] },
	};
}

/** data: as of useHistory(); spread: a value holds until the next; gaps: null is a gap and not a zero. */
export function Chart({ title, unit, data, series, format, gaps, spread }) {
	const box = useRef(null);
	const plot = useRef(null);
	const [at, setAt] = useState(null);
	const isDark = dark.value;
	const empty = !data || !data.times.length;

	const columns = () => [
		data.times,
		...series.map((s) => (spread ? bridge(data[s.key]) : data[s.key])),
	];
	const latest = useRef(columns);
	latest.current = columns;

	useEffect(() => {
		if (empty)
			return undefined;
		const parent = box.current;
		const watch = new ResizeObserver(() => plot.current?.setSize({ width: parent.clientWidth, height: HEIGHT }));
		const cancel = whenIdle(() => {
			plot.current = new uPlot(options(series, format, parent.clientWidth, setAt), latest.current(), parent);
			watch.observe(parent);
		});
		return () => {
			cancel();
			watch.disconnect();
			plot.current?.destroy();
			plot.current = null;
		};
	}, [empty, isDark]);

	useEffect(() => {
		if (!empty)
			plot.current?.setData(columns());
	}, [data]);

	const index = at ?? (data ? data.times.length - 1 : 0);
	const valueOf = (s) => (empty ? null : spread ? bridge(data[s.key])[index] : data[s.key][index]);
	const said = series.map((s) => `${s.name} ${valueOf(s) === null ? "none" : format(valueOf(s) ?? 0)}`).join(", ");
	return (
		<figure class="card chart">
			<figcaption>
				<div class="chart-title">
					<h3>{title}</h3>
					<span class="muted small">{at !== null && !empty ? short(data.times[index] * 1000) : unit}</span>
				</div>
				<ul class="legend num">
					{series.map((s) => (
						<li key={s.key}>
							<span class={`swatch ${s.colour.slice(2)}`} aria-hidden="true" />
							<span class="muted">{s.name}</span>{" "}
							<strong>{valueOf(s) === null || valueOf(s) === undefined ? (gaps || spread ? "–" : "0") : format(valueOf(s))}</strong>
						</li>
					))}
				</ul>
			</figcaption>
			<div class="plot" ref={box} role="img" aria-label={empty ? `${title}: no figures yet` : `${title}, latest: ${said}`} />
		</figure>
	);
}
