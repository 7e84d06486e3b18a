// The beats that were, newest first.
import * as api from "../api/scheduler.js";
import { count } from "../lib/number.js";
import { whyNot } from "../state/keys.js";
import { href } from "../state/route.js";
import { scheduler } from "../state/server.js";
import { usePages } from "../state/pages.js";
import { useAutoReload } from "../state/auto-reload.js";
import { Chip } from "../ui/chip.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Pager } from "../ui/pager.jsx";
import { Empty, Problem, Skeleton } from "../ui/states.jsx";
import { Time } from "../ui/when.jsx";
import { LiveLight } from "./live-light.jsx";

const PARTS = ["sent", "retried", "failed", "lost"];

/** The share of each outcome as a bar; the figures stand beside it. */
function Outcome({ run }) {
	if (!run.claimed)
		return <span class="muted">nothing was due</span>;
	let x = 0;
	return (
		<svg class="outcome" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
			<rect class="outcome-track" width="100" height="6" />
			{PARTS.map((part) => {
				const width = (run[part] / run.claimed) * 100;
				const at = x;
				x += width;
				return width > 0 && <rect key={part} class={`outcome-${part}`} x={at} width={width} height="6" />;
			})}
		</svg>
	);
}

const Figure = ({ n }) => <td class={`num end ${n ? "" : "muted"}`}>{count(n)}</td>;

const Row = ({ r }) => (
	<tr>
		<td class="num">#{r.id}</td>
		<td><Time at={r.startedAt} /></td>
		<td class="outcome-cell hide-phone"><Outcome run={r} /></td>
		<Figure n={r.claimed} />
		<Figure n={r.sent} />
		<td class={`num end hide-phone ${r.retried ? "" : "muted"}`}>{count(r.retried)}</td>
		<Figure n={r.failed} />
		<td class={`num end hide-phone ${r.lost ? "" : "muted"}`}>{count(r.lost)}</td>
		<td class="hide-narrow">{r.node ?? "–"}</td>
		<td class="num hide-narrow">
			{!r.lastMessageId ? "–" : whyNot("messages") ? `#${r.lastMessageId}`
				: <a href={href("messages", { id: r.lastMessageId })}>#{r.lastMessageId}</a>}
		</td>
		<td class="hide-phone">{!r.finished && <Chip state="sending">running</Chip>}</td>
	</tr>
);

function List() {
	const pages = usePages((at, signal) => api.runs({ pageSize: 25, ...at }, signal), "runs");
	useAutoReload(pages.reload, scheduler, pages.isFirst && !pages.loading);
	const { data, error } = pages;
	return (
		<section class="card" aria-label="Runs">
			{error && !data && <Problem error={error} onRetry={pages.reload} />}
			{!data && !error && <Skeleton rows={8} />}
			{data?.data.length === 0 && (
				<Empty icon="runs" title="No runs yet">A run is one beat of the scheduler: what it claimed, and what became of it.</Empty>
			)}
			{data?.data.length > 0 && (
				<div class="table-wrap">
					<table class="table">
						<caption class="sr-only">Runs, newest first</caption>
						<thead>
							<tr>
								<th scope="col">Run</th><th scope="col">Began</th><th scope="col" class="hide-phone">Outcome</th>
								<th scope="col" class="end">Claimed</th><th scope="col" class="end">Sent</th>
								<th scope="col" class="end hide-phone">Retried</th><th scope="col" class="end">Failed</th>
								<th scope="col" class="end hide-phone">Lost</th><th scope="col" class="hide-narrow">Node</th>
								<th scope="col" class="hide-narrow">Last message</th>
								<th scope="col" class="hide-phone"><span class="sr-only">State</span></th>
							</tr>
						</thead>
						<tbody>{data.data.map((r) => <Row key={r.id} r={r} />)}</tbody>
					</table>
				</div>
			)}
			{data?.data.length > 0 && <Pager {...pages.pager} noun="run" />}
		</section>
	);
}

export const Runs = () => (
	<Page title="Runs" lead="What each beat claimed, and what became of it." actions={<LiveLight />}>
		<Needs group="scheduler"><List /></Needs>
	</Page>
);
