// Newer, older, and to a page by its number.
import { useState } from "preact/hooks";
import { count, plural } from "../lib/number.js";
import { Button } from "./button.jsx";

export function Pager({ page, totalPages, totalCount, counted, noun, older, newer, onJump, loading, busy }) {
	const [text, setText] = useState("");
	const whyNot = (go, end) => (go ? null : loading ? "The page is being loaded." : end);
	const jump = (e) => {
		e.preventDefault();
		const n = counted === "some" ? Number(text) : Math.min(Number(text), totalPages || Number(text));
		if (Number.isInteger(n) && n >= 1)
			onJump(n);
		setText("");
	};
	return (
		<nav class="pager" aria-label="Pages">
			<p class="muted" aria-live="polite">
				{totalCount === undefined || totalCount === null
					? `Page ${count(page)}`
					: counted === "some"
						? `Page ${count(page)}, ${count(totalCount)}+ ${noun}s`
						: `Page ${count(page)} of ${count(Math.max(1, totalPages))}, ${plural(totalCount, noun)}`}
			</p>
			<form class="pager-jump" onSubmit={jump} noValidate>
				<label>
					<span class="muted">Go to page</span>
					<input class="input small" inputMode="numeric" pattern="[0-9]*" size="7" value={text}
						onInput={(e) => setText(e.target.value)} />
				</label>
			</form>
			<div class="actions">
				<Button small icon="newer" busy={busy === "newer"} onClick={newer ?? undefined}
					whyNot={whyNot(newer, "These are the newest.")}>Newer</Button>
				<Button small busy={busy === "older"} onClick={older ?? undefined}
					whyNot={whyNot(older, "There are none that are older.")}>Older</Button>
			</div>
		</nav>
	);
}
