// Reads a stream of server-sent events from fetch(): EventSource could not send a key in a header.

/** Yields {id, event, data} for each event, and null for each heartbeat. */
export async function* readEvents(body) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	let event = {};
	try {
		for (;;) {
			const { value, done } = await reader.read();
			if (done)
				return;
			const text = rest + value;
			// A CR at the end may be half of a CRLF.
			const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
			const lines = whole.split(/\r\n|\n|\r/);
			rest = lines.pop() + text.slice(whole.length);
			for (const line of lines) {
				if (line.startsWith(":")) {
					yield null;
				} else if (line) {
					const colon = line.indexOf(":");
					const name = colon < 0 ? line : line.slice(0, colon);
					const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
					event[name] = name === "data" && "data" in event ? `${event.data}\n${text}` : text;
				} else {
					if ("data" in event)
						yield { id: event.id, event: event.event ?? "message", data: event.data };
					event = {};
				}
			}
		}
	} finally {
		reader.cancel().catch(() => {});
	}
}
