// One message: why it is where it is, what it says, and what was tried.
import { useEffect, useState } from "preact/hooks";
import * as api from "../api/messages.js";
import { codePoints } from "../lib/text.js";
import { absolute } from "../lib/time.js";
import { attempts as liveAttempts } from "../state/activity.js";
import { useAction } from "../state/action.js";
import { useResource } from "../state/resource.js";
import { refreshCounts } from "../state/server.js";
import { toast } from "../state/toasts.js";
import { Button } from "../ui/button.jsx";
import { Chip } from "../ui/chip.jsx";
import { Copy } from "../ui/copy.jsx";
import { Confirm, Dialog } from "../ui/dialog.jsx";
import { Problem, Skeleton } from "../ui/states.jsx";
import { Attempts } from "./attempts.jsx";
import { Explain } from "./explain.jsx";

const Fact = ({ name, children }) => (children ? <div><dt>{name}</dt><dd>{children}</dd></div> : null);

const at = (t) => t && <time class="num" dateTime={t}>{absolute(t)}</time>;

const Facts = ({ m }) => (
	<dl class="facts two">
		<Fact name="Created">{at(m.createdAt)}</Fact>
		<Fact name="Changed">{at(m.updatedAt)}</Fact>
		<Fact name="Not before">{at(m.sendAt)}</Fact>
		<Fact name="Next attempt">{m.status === "pending" && at(m.nextAttemptAt)}</Fact>
		<Fact name="Sent">{at(m.sentAt)}</Fact>
		<Fact name="Receiver's id">{m.messageId && <><code dir="auto">{m.messageId}</code> <Copy text={m.messageId} label="Copy the receiver's id" /></>}</Fact>
		<Fact name="Idempotency key">{m.idempotencyKey && <code>{m.idempotencyKey}</code>}</Fact>
	</dl>
);

function Actions({ m, onChange }) {
	const [asking, setAsking] = useState(false);
	const [replay, replaying] = useAction(async () => {
		await api.replay(m.id);
		toast(`Message ${m.id} will be sent again`);
		onChange();
	});
	const [cancel, cancelling] = useAction(async () => {
		await api.cancel(m.id);
		setAsking(false);
		toast(`Message ${m.id} is cancelled`);
		onChange();
	});
	return (
		<div class="actions">
			<Button icon="replay" onClick={replay} busy={replaying}
				whyNot={m.status === "failed" ? null : "Only a failed message can be replayed."}>Replay</Button>
			<Button kind="danger" icon="ban" onClick={() => setAsking(true)} busy={cancelling}
				whyNot={m.status === "pending" ? null : "Only a pending message can be cancelled."}>Cancel</Button>
			{asking && (
				<Confirm title={`Cancel message ${m.id}?`} kind="danger" action="Cancel it" busy={cancelling}
					onConfirm={cancel} onClose={() => setAsking(false)}>
					<p>It will not be sent, and cannot be brought back.</p>
				</Confirm>
			)}
		</div>
	);
}

async function load(id, signal) {
	const [message, attempts, explanation] = await Promise.all([
		api.get(id, signal), api.attempts(id, signal),
		// The rest is worth showing without it.
		api.explain(id, signal).catch((error) => {
			if (error.name === "AbortError")
				throw error;
			return null;
		}),
	]);
	return { message, attempts, explanation };
}

/** How soon to look again at a message that is about to change, in ms; 0: it stays as it is. */
function nextLook(m) {
	return m.status === "sending" ? 1000 : m.status === "pending" ? 3000 : 0;
}

export function MessageDrawer({ id, onChange, onClose }) {
	const { data, error, reload } = useResource((signal) => load(id, signal), String(id));
	const latest = liveAttempts.value.find((a) => a.messageId === id)?.key;

	useEffect(() => {
		const wait = data ? nextLook(data.message) : 0;
		const timer = wait && setTimeout(() => document.hidden || reload(), wait);
		return () => clearTimeout(timer);
	}, [data]);
	useEffect(() => {
		if (latest)
			reload();
	}, [latest]);

	const changed = () => {
		reload();
		onChange();
		refreshCounts().catch(() => {});
	};
	const m = data?.message;
	return (
		<Dialog title={`Message ${id}`} side onClose={onClose}
			heading={<>Message <span class="num">#{id}</span> {m && <Chip state={m.status} />}</>}>
			<div class="dialog-body drawer-body">
				{error && (error.status === 404
					? <p class="muted">There is no message with this number.</p>
					: <Problem error={error} onRetry={reload} />)}
				{!data && !error && <Skeleton />}
				<p class="sr-only" role="status">{m && `The message is ${m.status}.`}</p>
				{data && (
					<>
						{data.explanation && <Explain e={data.explanation} />}
						<section>
							<div class="section-head">
								<h3>To <span class="num">{m.phoneNumber}</span></h3>
								<span class="muted small num">{codePoints(m.content)} characters</span>
							</div>
							<p class="content" dir="auto">{m.content}</p>
						</section>
						<Actions m={m} onChange={changed} />
						<Facts m={m} />
						{m.metadata && (
							<section>
								<h3>Metadata</h3>
								<pre class="code" tabindex="0">{JSON.stringify(m.metadata, null, 2)}</pre>
							</section>
						)}
						<Attempts attempts={data.attempts} made={m.attempts} />
					</>
				)}
			</div>
		</Dialog>
	);
}
