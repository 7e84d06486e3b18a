// Says across the page that the server is away, and when the next try is.
import { useEffect } from "preact/hooks";
import { outage } from "../state/connection.js";
import { retryNow, streamState } from "../state/live.js";
import { useNow } from "../state/now.js";
import { refresh } from "../state/server.js";
import { Button } from "../ui/button.jsx";
import { Icon } from "../ui/icon.jsx";

const POLL = 5000;

function Countdown({ at }) {
	const now = useNow();
	const s = Math.ceil((at - now) / 1000);
	return <span aria-hidden="true">{s > 0 ? ` Trying again in ${s} s.` : " Trying again now."}</span>;
}

export function Banner() {
	const o = outage.value;
	const unsupported = streamState.value === "unsupported";
	// Without a stream, asking is what finds the server again.
	useEffect(() => {
		if (!unsupported)
			return undefined;
		const timer = setInterval(() => document.hidden || refresh(), POLL);
		return () => clearInterval(timer);
	}, [unsupported]);

	return (
		<div role="status">
			{o && (
				<div class="banner">
					<Icon name="warning" />
					<p>
						<strong>The server cannot be reached.</strong> What you see may be old.
						{o.retryAt && <Countdown at={o.retryAt} />}
					</p>
					<Button small onClick={() => { retryNow(); refresh(); }}>Try now</Button>
				</div>
			)}
		</div>
	);
}
