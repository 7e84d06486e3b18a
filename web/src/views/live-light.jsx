// Whether the page is up to date by itself.
import { streamState } from "../state/live.js";

const TEXT = {
	off: "Not connected",
	connecting: "Connecting",
	open: "Live",
	waiting: "Reconnecting",
	unsupported: "Updated every 5 s",
};

export const LiveLight = () => (
	<span class={`live-light ${streamState.value}`}><span class="dot" aria-hidden="true" />{TEXT[streamState.value]}</span>
);
