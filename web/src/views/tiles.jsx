// How many messages there are in each state; each leads to its list.
import { brief, count } from "../lib/number.js";
import { whyNot } from "../state/keys.js";
import { href } from "../state/route.js";
import { counts } from "../state/server.js";
import { MEANING, STATUSES } from "../ui/chip.jsx";

export function Tiles() {
	const c = counts.value;
	const locked = whyNot("messages");
	return (
		<ul class="tiles" aria-label="Messages by status">
			{STATUSES.map((status) => {
				const n = c?.[status];
				const inside = (
					<>
						<span class="tile-name"><span class={`dot ${status}`} aria-hidden="true" />{status}</span>
						<span class="tile-count num" title={n === undefined ? undefined : count(n)}>
							{n === undefined ? "–" : brief(n)}
						</span>
					</>
				);
				// A server without this status, or with none of it: nothing that needs a place.
				if (c && n === undefined)
					return null;
				return (
					<li key={status}>
						{locked
							? <span class="tile off" title={locked}>{inside}</span>
							: <a class={`tile ${n ? "" : "none"}`} href={href("messages", { status })} title={MEANING[status]}>{inside}</a>}
					</li>
				);
			})}
		</ul>
	);
}
