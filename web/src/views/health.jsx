// Whether the service, and what it needs, is well. Open to all, so it works without a key.
import { useEffect } from "preact/hooks";
import * as api from "../api/operation.js";
import { span } from "../lib/time.js";
import { useResource } from "../state/resource.js";
import { streamState } from "../state/live.js";
import { server } from "../state/server.js";
import { Button } from "../ui/button.jsx";
import { Icon } from "../ui/icon.jsx";
import { Page } from "../ui/page.jsx";
import { Problem, Skeleton } from "../ui/states.jsx";
import { Chip } from "../ui/chip.jsx";
import { Ago } from "../ui/when.jsx";

const EVERY = 5000;
const OVERALL = {
	ok: ["good", "Everything is well", "Messages are accepted and sent."],
	degraded: ["warn", "Working, with something missing", "Messages are accepted and sent; the cache is away, and nothing depends on it."],
	down: ["bad", "The database is away", "Nothing can be accepted or sent until it is back. herald keeps trying by itself."],
};
const STATE = { up: "sent", ok: "sent", down: "failed", disabled: "cancelled" };

async function load(signal) {
	const begun = performance.now();
	const health = await api.health(signal);
	const took = performance.now() - begun;
	return { health, took, ready: await api.ready(signal) };
}

const Line = ({ name, state, children }) => (
	<li><div><strong>{name}</strong><p class="muted small">{children}</p></div><Chip state={STATE[state] ?? "unknown"}>{state}</Chip></li>
);

function Report({ data }) {
	const { health, took, ready } = data;
	const [kind, title, text] = OVERALL[health.status] ?? ["warn", health.status, ""];
	return (
		<>
			<section class={`card overall ${kind}`} role="status">
				<Icon name={kind === "good" ? "check" : "warning"} size={28} />
				<div><h2>{title}</h2><p class="muted">{text}</p></div>
			</section>
			<section class="card" aria-labelledby="parts">
				<h2 id="parts">Parts</h2>
				<ul class="lines">
					<Line name="Database" state={health.components.database.status}>Holds the messages, the pace and the nodes.</Line>
					<Line name="Redis" state={health.components.redis.status}>
						{health.components.redis.status === "disabled" ? "Not configured: sent messages are remembered in memory." : "Remembers what was sent."}
					</Line>
					<Line name="Ready for requests" state={ready.status === "ok" ? "ok" : "down"}>
						{ready.status === "ok" ? "This node wants traffic." : `This node wants no traffic: ${ready.status}.`}
					</Line>
					<Line name="Live updates" state={streamState.value === "open" ? "up" : "down"}>
						{streamState.value === "open" ? "The server tells this page what happens as it happens." : "This page asks again and again instead."}
					</Line>
				</ul>
				<p class="card-foot muted small num">
					Answered in {span(took)}, <Ago at={health.timestamp} />{server.value?.node && <>, by node {server.value.node}</>}.
				</p>
			</section>
		</>
	);
}

export function Health() {
	const { data, error, reload, loading } = useResource(load, "health");
	useEffect(() => {
		const timer = setInterval(() => document.hidden || reload(), EVERY);
		return () => clearInterval(timer);
	}, []);
	return (
		<Page title="Health" actions={<Button icon="refresh" onClick={reload} busy={loading && !data}>Look again</Button>}>
			{error && !data && <div class="card"><Problem error={error} onRetry={reload} /></div>}
			{!data && !error && <div class="card"><Skeleton rows={4} /></div>}
			{data && <Report data={data} />}
			<section class="card" aria-labelledby="elsewhere">
				<h2 id="elsewhere">For machines</h2>
				<ul class="lines links">
					<li><a href="/metrics" target="_blank" rel="noopener">Metrics <Icon name="external" size={14} /></a><span class="muted small">for Prometheus</span></li>
					<li><a href="/openapi.json" target="_blank" rel="noopener">OpenAPI document <Icon name="external" size={14} /></a><span class="muted small">every path of the API</span></li>
					<li><a href="/swagger/" target="_blank" rel="noopener">API explorer <Icon name="external" size={14} /></a><span class="muted small">to try it out</span></li>
				</ul>
			</section>
		</Page>
	);
}
