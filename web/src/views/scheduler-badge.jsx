// The scheduler in one line, wherever one is on the page.
import { countdown } from "../lib/time.js";
import { outage } from "../state/connection.js";
import { whyNot } from "../state/keys.js";
import { useNow } from "../state/now.js";
import { href } from "../state/route.js";
import { scheduler, serverNow } from "../state/server.js";

function Next({ s }) {
	useNow(500);
	if (!s.intervalSeconds)
		return <>continuous</>;
	const left = Date.parse(s.nextRunAt) - serverNow();
	return left > 0 ? <>next beat in <span class="num">{countdown(left)}</span></> : <>beat due</>;
}

export function SchedulerBadge() {
	const s = scheduler.value;
	const state = whyNot("scheduler") ? "locked" : outage.value ? "away" : !s ? "loading" : s.running ? "running" : "stopped";
	return (
		<a class={`badge ${state}`} href={href("overview")}>
			<span class="dot" aria-hidden="true" />
			<span class="badge-text">
				<strong>{{ locked: "No scheduler key", away: "Not known", loading: "Scheduler", running: "Running", stopped: "Stopped" }[state]}</strong>
				{state === "running" && <span class="muted"><Next s={s} /></span>}
				{state === "away" && <span class="muted">the server is away</span>}
				{state === "stopped" && <span class="muted">nothing is sent</span>}
			</span>
		</a>
	);
}
