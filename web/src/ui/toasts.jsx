// The notices in the corner.
import { dismiss, toasts } from "../state/toasts.js";
import { Button } from "./button.jsx";
import { Icon } from "./icon.jsx";

export function Toasts() {
	return (
		<div class="toasts" role="status" aria-live="polite">
			{toasts.value.map((t) => (
				<div key={t.id} class={`toast ${t.kind}`}>
					<Icon name={t.kind === "bad" ? "warning" : t.kind === "good" ? "check" : "info"} />
					<p>{t.text}</p>
					<Button kind="quiet" small icon="close" label="Dismiss" onClick={() => dismiss(t.id)} />
				</div>
			))}
		</div>
	);
}
