// Sent messages as the cache has them.
import { useState } from "preact/hooks";
import * as api from "../api/messages.js";
import { href } from "../state/route.js";
import { useResource } from "../state/resource.js";
import { Button } from "../ui/button.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Empty, Problem, Skeleton } from "../ui/states.jsx";
import { Time } from "../ui/when.jsx";

function Entries({ entries }) {
	return (
		<div class="table-wrap">
			<table class="table">
				<caption class="sr-only">Messages in the cache</caption>
				<thead><tr><th scope="col">Message</th><th scope="col">Receiver's id</th><th scope="col">Sent</th></tr></thead>
				<tbody>
					{entries.map(([id, e]) => (
						<tr key={id}>
							<td class="num"><a href={href("messages", { id })}>#{id}</a></td>
							<td class="cut" dir="auto">{e.messageId ?? <span class="muted">none given</span>}</td>
							<td><Time at={e.sentAt} /></td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

function List() {
	const [trail, setTrail] = useState([undefined]);
	const cursor = trail.at(-1);
	const { data, error, loading, reload } = useResource(
		(signal) => api.cached({ pageSize: 50, cursor }, signal), `cache ${cursor ?? ""}`);
	const entries = Object.entries(data?.data ?? {});
	return (
		<section class="card" aria-label="Cache">
			{error && <Problem error={error} onRetry={reload} />}
			{!data && !error && <Skeleton />}
			{data && entries.length === 0 && (
				<Empty icon="cache" title={trail.length > 1 ? "Nothing more" : "The cache is empty"}>
					Messages that were sent are remembered here for a while (CACHE_TTL).
				</Empty>
			)}
			{entries.length > 0 && <Entries entries={entries} />}
			{data && (entries.length > 0 || trail.length > 1) && (
				<nav class="pager" aria-label="Pages">
					<p class="muted">Page {trail.length}</p>
					<div class="actions">
						<Button small icon="newer" whyNot={trail.length > 1 ? null : "This is the first page."}
							onClick={() => setTrail(trail.slice(0, -1))}>Back</Button>
						<Button small busy={loading} whyNot={data.nextCursor ? null : "This is the last page."}
							onClick={() => setTrail([...trail, data.nextCursor])}>More</Button>
						<Button small icon="refresh" label="Load again" onClick={reload} />
					</div>
				</nav>
			)}
		</section>
	);
}

export const Cache = () => (
	<Page title="Cache" lead="A hint, not the truth: losing it loses nothing.">
		<Needs group="messages"><List /></Needs>
	</Page>
);
