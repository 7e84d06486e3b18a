// Throughput, latency and backlog over time.
import { useState } from "preact/hooks";
import { brief } from "../lib/number.js";
import { span } from "../lib/time.js";
import { RANGES, useHistory } from "../state/history.js";
import { Chart } from "../ui/chart.jsx";

const rate = (v) => (v < 10 && v % 1 ? v.toFixed(1) : brief(Math.round(v)));

const SENT = [
	{ key: "sent", name: "sent", colour: "--sent", fill: true },
	{ key: "retried", name: "retried", colour: "--pending" },
	{ key: "failed", name: "failed", colour: "--failed" },
];
const LATENCY = [
	{ key: "p50Ms", name: "median", colour: "--accent" },
	{ key: "p95Ms", name: "95 %", colour: "--unknown" },
];
const BACKLOG = [{ key: "backlog", name: "waiting", colour: "--sending", fill: true }];

export function Charts() {
	const [range, setRange] = useState("5m");
	const data = useHistory(range);
	const per = data && data.step > 1 ? `per ${span(data.step * 1000)}` : "per second";
	return (
		<section class="charts" aria-labelledby="charts-title">
			<div class="charts-head">
				<h2 id="charts-title">Activity</h2>
				<fieldset class="segmented">
					<legend class="sr-only">Time shown</legend>
					{Object.entries(RANGES).map(([name, r]) => (
						<label key={name}>
							<input type="radio" name="range" checked={range === name} onChange={() => setRange(name)} />
							<span>{r.title}</span>
						</label>
					))}
				</fieldset>
			</div>
			<div class="charts-grid">
				<Chart title="Throughput" unit={per} data={data} series={SENT} format={rate} />
				<Chart title="Latency" unit="of the webhook" data={data} series={LATENCY} format={(v) => span(v)} gaps />
				<Chart title="Backlog" unit="messages waiting" data={data} series={BACKLOG} format={(v) => brief(v)} spread />
			</div>
		</section>
	);
}
