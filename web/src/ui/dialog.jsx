// Dialogs: the browser's own, which keeps the focus inside, makes the page behind inert, closes on Esc and gives the
// focus back to what opened it.
import { signal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./button.jsx";
import { Toasts } from "./toasts.jsx";

/** The ids of the open dialogs, the topmost last: what is behind it is inert, so notices appear in it. */
export const openDialogs = signal([]);

/** side: a drawer at the edge instead of a box in the middle. onClose is called however it is closed. */
export function Dialog({ title, heading, onClose, children, side, wide }) {
	const ref = useRef(null);
	const id = useId();
	const close = useRef(onClose);
	close.current = onClose;

	useEffect(() => {
		const dialog = ref.current;
		const opener = document.activeElement;
		dialog.showModal();
		openDialogs.value = [...openDialogs.value, id];
		return () => {
			openDialogs.value = openDialogs.value.filter((other) => other !== id);
			dialog.close();
			opener?.isConnected && opener.focus?.();
		};
	}, []);

	return (
		<dialog
			ref={ref}
			class={`dialog ${side ? "drawer" : ""} ${wide ? "wide" : ""}`}
			aria-labelledby={id}
			onCancel={(e) => {
				e.preventDefault();
				close.current();
			}}
			onMouseDown={(e) => e.target === ref.current && close.current()}
		>
			<div class="dialog-inside">
				<div class="dialog-head">
					<h2 id={id}>{heading ?? title}</h2>
					<Button kind="quiet" icon="close" label="Close" onClick={() => close.current()} />
				</div>
				{children}
				{openDialogs.value.at(-1) === id && <Toasts />}
			</div>
		</dialog>
	);
}

/** Asks before something that cannot be taken back. */
export function Confirm({ title, children, action, kind = "primary", busy, onConfirm, onClose }) {
	return (
		<Dialog title={title} onClose={onClose}>
			<div class="dialog-body">{children}</div>
			<div class="dialog-foot">
				<Button onClick={onClose}>Keep as it is</Button>
				<Button kind={kind} busy={busy} onClick={onConfirm}>{action}</Button>
			</div>
		</Dialog>
	);
}
