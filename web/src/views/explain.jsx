// Why a message is where it is, and when it will go.
import { plural } from "../lib/number.js";
import { absolute, span } from "../lib/time.js";
import { useNow } from "../state/now.js";
import { serverNow } from "../state/server.js";
import { Icon } from "../ui/icon.jsx";

const KIND = {
	sent: "good", failed: "bad", unknown: "warn", invalid: "bad", cancelled: "info", scheduler_stopped: "warn",
	backing_off: "warn", lease_ended: "warn",
};
const ICON = { good: "check", bad: "warning", warn: "warning", info: "info" };

function Estimate({ at }) {
	useNow(1000);
	const left = Date.parse(at) - serverNow();
	return <span title={absolute(at)}>{left > 1000 ? `in about ${span(left)}` : "any moment"}</span>;
}

export function Explain({ e }) {
	const kind = KIND[e.reason] ?? "info";
	const [summary, ...rest] = e.sentences?.length ? e.sentences : [e.summary];
	return (
		<section class={`explain ${kind}`} aria-label="Why it is where it is">
			<Icon name={ICON[kind]} size={20} />
			<div>
				<p class="explain-summary">{summary}</p>
				{rest.length > 0 && <ul>{rest.map((s) => <li key={s}>{s}</li>)}</ul>}
				{(e.estimatedAt || e.queue) && (
					<p class="explain-facts num">
						{e.estimatedAt && <span>Leaves <strong><Estimate at={e.estimatedAt} /></strong></span>}
						{e.queue && <span>{e.queue.atLeast && "at least "}{plural(e.queue.ahead, "message")} ahead</span>}
					</p>
				)}
				{e.actions?.length > 0 && (
					<p class="explain-actions"><span class="sr-only">What you can do: </span>{e.actions.map((a) => a.text).join(" ")}</p>
				)}
			</div>
		</section>
	);
}
