// Buttons. One that cannot be used stays focusable and says why: a disabled one is passed over by the keyboard
// and leaves people guessing.
import { useId } from "preact/hooks";
import { Icon } from "./icon.jsx";

/** kind: "primary", "danger", "quiet" or none. whyNot: the reason why it does nothing now, or null. */
export function Button({ kind = "", icon, busy, whyNot, onClick, children, type = "button", label, small, ...rest }) {
	const id = useId();
	const off = Boolean(whyNot) || busy;
	return (
		<>
			<button
				{...rest}
				type={type}
				class={`button ${kind} ${small ? "small" : ""} ${children ? "" : "bare"}`}
				aria-label={label}
				aria-disabled={off || undefined}
				aria-describedby={whyNot ? id : rest["aria-describedby"]}
				title={whyNot || (children ? undefined : label)}
				onClick={(e) => {
					if (off)
						e.preventDefault();
					else
						onClick?.(e);
				}}
			>
				{busy ? <span class="spinner" aria-hidden="true" /> : icon && <Icon name={icon} size={small ? 16 : 18} />}
				{children}
			</button>
			{whyNot && <span id={id} class="sr-only">{whyNot}</span>}
		</>
	);
}
