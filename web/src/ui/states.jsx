// What a view shows instead of data: it is loading, there is none, or it could not be had.
import { adviceOf } from "../api/errors.js";
import { Button } from "./button.jsx";
import { Icon } from "./icon.jsx";

export const Empty = ({ icon = "info", title, children }) => (
	<div class="empty">
		<span class="empty-icon"><Icon name={icon} size={28} /></span>
		<p class="empty-title">{title}</p>
		{children && <div class="empty-text">{children}</div>}
	</div>
);

export const Problem = ({ error, onRetry }) => (
	<div class="empty" role="alert">
		<span class="empty-icon bad"><Icon name="warning" size={28} /></span>
		<p class="empty-title">This could not be loaded</p>
		<p class="empty-text">{adviceOf(error)}</p>
		{onRetry && <Button icon="refresh" onClick={onRetry}>Try again</Button>}
	</div>
);

/** Grey lines where rows will be. */
export const Skeleton = ({ rows = 5 }) => (
	<div class="skeleton" role="status">
		<span class="sr-only">Loading</span>
		{Array.from({ length: rows }, (_, i) => <div key={i} class="skeleton-row" />)}
	</div>
);

/** A box for what needs to be known: kind "warn", "bad", "good" or "info". */
export const Notice = ({ kind = "info", children, ...rest }) => (
	<div class={`notice ${kind}`} {...rest}>
		<Icon name={kind === "good" ? "check" : kind === "info" ? "info" : "warning"} />
		<div>{children}</div>
	</div>
);
