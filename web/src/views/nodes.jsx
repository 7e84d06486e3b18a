// The processes that share the database.
import { useEffect } from "preact/hooks";
import * as api from "../api/scheduler.js";
import { count } from "../lib/number.js";
import { useResource } from "../state/resource.js";
import { server } from "../state/server.js";
import { Chip } from "../ui/chip.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Empty, Problem, Skeleton } from "../ui/states.jsx";
import { Ago } from "../ui/when.jsx";

const EVERY = 3000;
const WORD = {
	up: ["up", "sent"],
	silent: ["silent", "failed"],
	left: ["left", "cancelled"],
};
const ROLE = { all: "API and sending", api: "API only", worker: "sending only" };

const Card = ({ n }) => {
	const [word, state] = WORD[n.status] ?? [n.status, "unknown"];
	return (
		<li class="card node">
			<header>
				<h2 class="cut" title={n.id}>{n.id}</h2>
				<Chip state={state}>{word}</Chip>
			</header>
			{server.value?.node === n.id && <p class="muted small">This page comes from it.</p>}
			{n.status === "silent" && <p class="small">Not heard of for 10 seconds. What it had claimed is taken over when its lease ends.</p>}
			<dl class="facts two">
				<div><dt>Role</dt><dd>{ROLE[n.role] ?? n.role}</dd></div>
				<div><dt>Version</dt><dd>{n.version}</dd></div>
				<div><dt>In flight</dt><dd class="num">{count(n.inFlight)}</dd></div>
				<div><dt>Started</dt><dd><Ago at={n.startedAt} /></dd></div>
				<div><dt>Last seen</dt><dd><Ago at={n.lastSeenAt} /></dd></div>
				<div><dt>Boot</dt><dd><code class="small">{n.bootId.slice(0, 12)}</code></dd></div>
			</dl>
		</li>
	);
};

function List() {
	const { data, error, reload } = useResource(api.nodes, "nodes");
	useEffect(() => {
		const timer = setInterval(() => document.hidden || reload(), EVERY);
		return () => clearInterval(timer);
	}, []);
	if (error && !data)
		return <div class="card"><Problem error={error} onRetry={reload} /></div>;
	if (!data)
		return <div class="card"><Skeleton /></div>;
	if (!data.length)
		return <div class="card"><Empty icon="nodes" title="No nodes">Processes that share this database appear here.</Empty></div>;
	return <ul class="nodes">{data.map((n) => <Card key={`${n.id} ${n.bootId}`} n={n} />)}</ul>;
}

export const Nodes = () => (
	<Page title="Nodes" lead="The processes that share this database.">
		<Needs group="scheduler"><List /></Needs>
	</Page>
);
