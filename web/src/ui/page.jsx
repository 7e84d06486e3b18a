// The frame of a view: its heading, which gets the focus when the view is changed so that screen readers begin there,
// and what can be done with the whole view.
import { useEffect, useRef } from "preact/hooks";

let first = true;

export function Page({ title, lead, actions, children }) {
	const ref = useRef(null);
	useEffect(() => {
		document.title = `${title} · herald`;
		if (!first)
			ref.current.focus({ preventScroll: true });
		first = false;
		scrollTo(0, 0);
	}, [title]);
	return (
		<div class="page">
			<div class="page-head">
				<div>
					<h1 ref={ref} tabindex="-1">{title}</h1>
					{lead && <p class="lead">{lead}</p>}
				</div>
				{actions && <div class="actions">{actions}</div>}
			</div>
			{children}
		</div>
	);
}
