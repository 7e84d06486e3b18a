// The list of messages: filters, pages, selection, and the drawer with one of them.
import { useEffect, useState } from "preact/hooks";
import * as api from "../api/messages.js";
import { href, route, setParams } from "../state/route.js";
import { counts } from "../state/server.js";
import { usePages } from "../state/pages.js";
import { useAutoReload } from "../state/auto-reload.js";
import { Icon } from "../ui/icon.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Pager } from "../ui/pager.jsx";
import { Empty, Problem, Skeleton } from "../ui/states.jsx";
import { BulkBar, ReplayAll } from "./bulk.jsx";
import { Filters, filtersOf } from "./filters.jsx";
import { LiveLight } from "./live-light.jsx";
import { MessageDrawer } from "./message-drawer.jsx";
import { MessageTable } from "./message-table.jsx";

const PAGE_SIZE = 25;

function Nothing({ filtered }) {
	if (filtered)
		return (
			<Empty icon="search" title="No message is like this">
				<a href={href("messages")}>Show all messages</a>
			</Empty>
		);
	return (
		<Empty icon="messages" title="No messages yet">
			<p>Write the first one, or bring a whole file.</p>
			<div class="actions center">
				<a class="button primary" href={href("new")}><Icon name="add" />New message</a>
				<a class="button" href={href("import")}><Icon name="import" />Import a file</a>
			</div>
		</Empty>
	);
}

function List() {
	const filters = filtersOf(route.value.params);
	const key = JSON.stringify(filters);
	const pages = usePages((at, signal) => api.list({ ...filters, pageSize: PAGE_SIZE, ...at }, signal), key);
	const [selected, setSelected] = useState(new Map());
	const { data, error } = pages;
	const id = Number(route.value.params.id) || null;

	useEffect(() => setSelected(new Map()), [key]);
	useAutoReload(pages.reload, counts, pages.isFirst && selected.size === 0 && !pages.loading);

	return (
		<>
			<Filters filters={filters} />
			<section class="card" aria-label="Messages">
				<BulkBar selected={selected} onDone={() => { setSelected(new Map()); pages.reload(); }}
					onClear={() => setSelected(new Map())} />
				{error && !data && <Problem error={error} onRetry={pages.reload} />}
				{!data && !error && <Skeleton rows={8} />}
				{data && data.data.length === 0 && <Nothing filtered={Object.keys(filters).length > 0} />}
				{data && data.data.length > 0 && (
					<MessageTable rows={data.data} busy={pages.loading} selected={selected} onSelect={setSelected} openId={id} />
				)}
				{data && (data.data.length > 0 || data.page > 1) && <Pager {...pages.pager} noun="message" />}
			</section>
			{id && <MessageDrawer key={id} id={id} onChange={pages.reload} onClose={() => setParams({ id: undefined })} />}
		</>
	);
}

export const Messages = () => (
	<Page title="Messages" actions={<>
		<LiveLight />
		<ReplayAll />
		<a class="button primary" href={href("new")}><Icon name="add" />New message</a>
	</>}>
		<Needs group="messages"><List /></Needs>
	</Page>
);
