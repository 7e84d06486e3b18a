// What is being sent right now.
import { useState } from "preact/hooks";
import { count, plural } from "../lib/number.js";
import { span } from "../lib/time.js";
import { attempts, skippedCount } from "../state/activity.js";
import { whyNot } from "../state/keys.js";
import { streamState } from "../state/live.js";
import { href } from "../state/route.js";
import { flow } from "../state/server.js";
import { Button } from "../ui/button.jsx";
import { Chip } from "../ui/chip.jsx";
import { Empty } from "../ui/states.jsx";
import { Time } from "../ui/when.jsx";

const WORD = { sent: "sent", retry: "will retry", failed: "failed", unknown: "unknown" };

const Row = ({ a }) => (
	<tr>
		<td><Time at={a.at} /></td>
		<td class="num">{whyNot("messages") ? `#${a.messageId}` : <a href={href("messages", { id: a.messageId })}>#{a.messageId}</a>}</td>
		<td class="num hide-phone">{a.phoneNumber}</td>
		<td><Chip state={a.status}>{WORD[a.status] ?? a.status}</Chip></td>
		<td class="num end hide-phone">{a.httpStatus ?? "–"}</td>
		<td class="num end">{span(a.durationMs)}</td>
		<td class="cut hide-narrow" title={a.error}>{a.error}</td>
	</tr>
);

function Rates() {
	const f = flow.value;
	if (!f)
		return null;
	return (
		<p class="muted num rates">
			{count(f.sent)}/s sent, {count(f.accepted)}/s accepted, {count(f.inFlight)} in flight
		</p>
	);
}

export function LiveFeed() {
	const [held, setHeld] = useState(null);
	const rows = (held ?? attempts.value).slice(0, 20);
	return (
		<section class="card" aria-labelledby="feed-title">
			<header class="card-head">
				<h2 id="feed-title">Being sent</h2>
				<Rates />
				<Button small icon={held ? "play" : "pause"} onClick={() => setHeld(held ? null : attempts.value)}>
					{held ? "Go on" : "Hold"}
				</Button>
			</header>
			{rows.length ? (
				<div class="table-wrap">
					<table class="table feed">
						<caption class="sr-only">The latest attempts, newest first</caption>
						<thead>
							<tr>
								<th scope="col">Time</th><th scope="col">Message</th>
								<th scope="col" class="hide-phone">Phone number</th><th scope="col">Outcome</th>
								<th scope="col" class="end hide-phone">HTTP</th><th scope="col" class="end">Took</th>
								<th scope="col" class="hide-narrow">Error</th>
							</tr>
						</thead>
						<tbody>{rows.map((a) => <Row key={a.key} a={a} />)}</tbody>
					</table>
				</div>
			) : (
				<Empty icon="beat" title="Nothing is being sent right now">
					{streamState.value === "unsupported"
						? "This server does not stream what it sends; the figures above are up to date all the same."
						: "Each attempt appears here as it ends."}
				</Empty>
			)}
			{skippedCount.value > 0 && (
				<p class="muted small card-foot">{plural(skippedCount.value, "attempt")} came too fast to be shown and are only counted.</p>
			)}
		</section>
	);
}
