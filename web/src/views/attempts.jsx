// What was tried, latest first.
import { plural } from "../lib/number.js";
import { absolute, span } from "../lib/time.js";
import { Chip } from "../ui/chip.jsx";

const WORD = { sent: "sent", retry: "tried again later", failed: "failed", unknown: "unknown", lost: "outcome lost" };

export function Attempts({ attempts, made }) {
	return (
		<section>
			<div class="section-head">
				<h3>Attempts</h3>
				<span class="muted small">{plural(made, "attempt")}</span>
			</div>
			{attempts.length === 0 && <p class="muted">Nothing has been tried yet.</p>}
			<ol class="timeline" reversed>
				{[...attempts].reverse().map((a) => (
					<li key={`${a.attempt} ${a.startedAt}`} class={a.status}>
						<div class="timeline-head">
							<strong>Attempt {a.attempt}</strong>
							<Chip state={a.status}>{WORD[a.status] ?? a.status}</Chip>
							{a.httpStatus && <span class="num muted">HTTP {a.httpStatus}</span>}
							<span class="num muted">{span(a.durationMs)}</span>
						</div>
						{a.error && <p class="timeline-error" dir="auto">{a.error}</p>}
						<p class="muted small num">
							<time dateTime={a.startedAt}>{absolute(a.startedAt)}</time>
							{a.run && `, run ${a.run}`}{a.node && `, node ${a.node}`}
						</p>
					</li>
				))}
			</ol>
		</section>
	);
}
