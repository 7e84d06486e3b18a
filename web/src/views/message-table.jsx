// A page of messages. What others wrote is only ever set as text, and isolated, so that right-to-left text does not
// turn what stands beside it.
import { href, route, setParams } from "../state/route.js";
import { Chip, MEANING } from "../ui/chip.jsx";
import { Ago } from "../ui/when.jsx";

function Row({ m, checked, open, onCheck }) {
	return (
		<tr class={`${checked ? "checked" : ""} ${open ? "open" : ""}`}
			onClick={(e) => e.target.closest("a, input, label") || getSelection().toString() || setParams({ id: m.id })}>
			<td class="check-cell">
				<label class="check-area">
					<input type="checkbox" checked={checked} onChange={(e) => onCheck(e.target.checked)} />
					<span class="sr-only">Select message {m.id}</span>
				</label>
			</td>
			<td class="message-cell">
				<a class="num" data-row href={href("messages", { ...route.value.params, id: m.id })}>
					<span class="sr-only">Message {m.id} to </span>{m.phoneNumber}
				</a>
				<span class="cut muted" dir="auto">{m.content}</span>
			</td>
			<td><span title={MEANING[m.status]}><Chip state={m.status} /></span></td>
			<td class="num end hide-phone">{m.attempts}</td>
			<td class="hide-narrow cut error-cell" title={m.lastError}>{m.lastError}</td>
			<td class="num hide-phone nowrap"><Ago at={m.createdAt} /></td>
			<td class="num end muted hide-narrow">#{m.id}</td>
		</tr>
	);
}

/** selected: Map of id -> message */
export function MessageTable({ rows, busy, selected, onSelect, openId }) {
	const all = rows.every((m) => selected.has(m.id));
	const some = !all && rows.some((m) => selected.has(m.id));
	const change = (messages, on) => {
		const next = new Map(selected);
		for (const m of messages)
			on ? next.set(m.id, m) : next.delete(m.id);
		onSelect(next);
	};
	return (
		<div class="table-wrap" aria-busy={busy}>
			<table class="table rows messages">
				<caption class="sr-only">Messages, newest first</caption>
				<thead>
					<tr>
						<th scope="col" class="check-cell">
							<label class="check-area">
								<input type="checkbox" checked={all} ref={(e) => { if (e) e.indeterminate = some; }}
									onChange={(e) => change(rows, e.target.checked)} />
								<span class="sr-only">Select all on this page</span>
							</label>
						</th>
						<th scope="col">Message</th>
						<th scope="col">Status</th>
						<th scope="col" class="end hide-phone">Attempts</th>
						<th scope="col" class="hide-narrow">Last error</th>
						<th scope="col" class="hide-phone">Created</th>
						<th scope="col" class="end hide-narrow">Id</th>
					</tr>
				</thead>
				<tbody>
					{rows.map((m) => (
						<Row key={m.id} m={m} checked={selected.has(m.id)} open={openId === m.id} onCheck={(on) => change([m], on)} />
					))}
				</tbody>
			</table>
		</div>
	);
}
