// What can be done with several messages at once.
import { useState } from "preact/hooks";
import { ApiError } from "../api/errors.js";
import * as api from "../api/messages.js";
import { count, plural } from "../lib/number.js";
import { useAction } from "../state/action.js";
import { whyNot } from "../state/keys.js";
import { counts, refreshCounts } from "../state/server.js";
import { toast } from "../state/toasts.js";
import { Button } from "../ui/button.jsx";
import { Confirm } from "../ui/dialog.jsx";

const AT_ONCE = 6;

/** Does the work for each id, a few at a time. Those whose state meanwhile forbids it are counted, not errors. */
async function forEach(ids, work) {
	const rest = [...ids];
	let done = 0;
	let refused = 0;
	await Promise.all(Array.from({ length: AT_ONCE }, async () => {
		for (let id = rest.pop(); id !== undefined; id = rest.pop()) {
			try {
				await work(id);
				done++;
			} catch (error) {
				if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 409))
					throw error;
				refused++;
			}
		}
	}));
	return { done, refused };
}

export function BulkBar({ selected, onDone, onClear }) {
	const [asking, setAsking] = useState(false);
	const byStatus = (status) => [...selected.values()].filter((m) => m.status === status).map((m) => m.id);
	const pending = byStatus("pending");
	const failed = byStatus("failed");

	const act = async (ids, work, word) => {
		const { done, refused } = await forEach(ids, work);
		toast(`${plural(done, "message")} ${word}${refused ? `; ${count(refused)} had changed meanwhile` : ""}`, done ? "good" : "plain");
		setAsking(false);
		refreshCounts().catch(() => {});
		onDone();
	};
	const [cancel, cancelling] = useAction(() => act(pending, api.cancel, "cancelled"));
	const [replay, replaying] = useAction(() => act(failed, api.replay, "will be sent again"));

	return (
		<div class="bulk-area" role="status">
			{selected.size > 0 && (
				<div class="bulk">
					<strong class="num">{count(selected.size)} selected</strong>
					<div class="actions">
						<Button small icon="replay" onClick={replay} busy={replaying}
							whyNot={failed.length ? null : "None of the selected messages has failed."}>Replay {failed.length || ""}</Button>
						<Button small kind="danger" icon="ban" onClick={() => setAsking(true)} busy={cancelling}
							whyNot={pending.length ? null : "None of the selected messages is pending."}>Cancel {pending.length || ""}</Button>
						<Button small kind="quiet" onClick={onClear}>Clear selection</Button>
					</div>
				</div>
			)}
			{asking && (
				<Confirm title={`Cancel ${plural(pending.length, "message")}?`} kind="danger" action="Cancel them" busy={cancelling}
					onConfirm={cancel} onClose={() => setAsking(false)}>
					<p>They will not be sent, and cannot be brought back.</p>
				</Confirm>
			)}
		</div>
	);
}

export function ReplayAll() {
	const [asking, setAsking] = useState(false);
	const failed = counts.value?.failed ?? 0;
	const [replay, busy] = useAction(async () => {
		const { replayed } = await api.replayAll();
		setAsking(false);
		toast(`${plural(replayed, "message")} will be sent again`);
		await refreshCounts();
	});
	return (
		<>
			<Button icon="replay" onClick={() => setAsking(true)}
				whyNot={whyNot("messages") ?? (failed ? null : "No message has failed.")}>
				Replay all failed{failed > 0 && <span class="num"> ({count(failed)})</span>}
			</Button>
			{asking && (
				<Confirm title="Replay all failed messages?" action="Replay all" busy={busy} onConfirm={replay} onClose={() => setAsking(false)}>
					<p>{plural(failed, "failed message")} become pending again with all their attempts, and leave at the pace
						of the scheduler. A receiver that did take one of them knows it by its Idempotency-Key.</p>
				</Confirm>
			)}
		</>
	);
}
