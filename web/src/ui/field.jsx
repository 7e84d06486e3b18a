// A labelled input with a hint and, when something is wrong with it, the reason.
import { useId } from "preact/hooks";

/** children: (props) => the input, which takes the props. */
export function Field({ label, hint, error, aside, optional, children }) {
	const id = useId();
	const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
	return (
		<div class={`field ${error ? "wrong" : ""}`}>
			<div class="field-head">
				<label for={id}>{label}{optional && <span class="muted"> (optional)</span>}</label>
				{aside && <span class="muted small num">{aside}</span>}
			</div>
			{children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? "true" : undefined })}
			{error && <p class="field-error" id={`${id}-error`}>{error}</p>}
			{hint && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
		</div>
	);
}
