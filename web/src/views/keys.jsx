// The form for the keys. Each is tried before it is kept, so that a mistyped one is noticed here.
import { useState } from "preact/hooks";
import { adviceOf, ApiError } from "../api/errors.js";
import { useAction } from "../state/action.js";
import { GROUPS, keys, refusals, setKeys } from "../state/keys.js";
import { keysOpen } from "../state/panels.js";
import { Button } from "../ui/button.jsx";
import { Dialog } from "../ui/dialog.jsx";
import { Field } from "../ui/field.jsx";

const PROBE = { messages: "/api/v1/messages/stats", scheduler: "/api/v1/scheduler/status" };
const OPENS = {
	messages: "Reads, creates, cancels and replays messages.",
	scheduler: "Starts, stops and paces the sending; shows runs and nodes.",
};

/** null when the key opens its group, else why not. */
async function tryKey(group, key) {
	// A header can hold no more than this, and fetch() would throw.
	if (!/^[\x20-\x7e]*$/.test(key))
		return "A key holds only visible ASCII characters.";
	const answer = await fetch(PROBE[group], {
		headers: { "x-ins-auth-key": key }, cache: "no-store", credentials: "omit",
	}).catch(() => {
		throw new ApiError(0);
	});
	if (answer.status === 401)
		return `The server does not accept this as its ${group} key.`;
	const body = await answer.json().catch(() => null);
	if (answer.status === 500 && body?.error?.includes("not configured"))
		return `The server has no ${group} key: set ${group.toUpperCase()}_API_KEY and start it again.`;
	return null; // whatever else is wrong, the key is not
}

export function KeysForm({ action, onDone }) {
	const [entered, setEntered] = useState(keys.value);
	const [errors, setErrors] = useState(refusals.value);
	const [problem, setProblem] = useState(null);

	const [submit, busy] = useAction(async () => {
		setProblem(null);
		const trimmed = Object.fromEntries(GROUPS.map((g) => [g, entered[g].trim()]));
		if (!trimmed.messages && !trimmed.scheduler) {
			setErrors({ messages: "Enter at least one of the two keys." });
			return;
		}
		const results = await Promise.all(GROUPS.map((g) => (trimmed[g] ? tryKey(g, trimmed[g]) : null)));
		const wrong = Object.fromEntries(GROUPS.map((g, i) => [g, results[i]]).filter(([, why]) => why));
		setErrors(wrong);
		if (Object.keys(wrong).length)
			return;
		setKeys(trimmed);
		onDone?.();
	}, (error) => {
		setProblem(adviceOf(error));
		return true;
	});

	return (
		<form class="form" noValidate onSubmit={(e) => { e.preventDefault(); submit(); }}>
			{GROUPS.map((group) => (
				<Field key={group} label={`${group[0].toUpperCase()}${group.slice(1)} key`} hint={OPENS[group]} error={errors[group]}>
					{(props) => (
						<input {...props} class="input" type="password" autoComplete="off" spellcheck={false}
							name={`${group}-key`} value={entered[group]}
							onInput={(e) => setEntered((v) => ({ ...v, [group]: e.target.value }))} />
					)}
				</Field>
			))}
			<p class="field-error" role="alert">{problem}</p>
			<Button kind="primary" type="submit" busy={busy}>{action}</Button>
		</form>
	);
}

export const KeysDialog = () => (
	<Dialog title="Keys" onClose={() => { keysOpen.value = false; }}>
		<div class="dialog-body">
			<KeysForm action="Use these keys" onDone={() => { keysOpen.value = false; }} />
		</div>
	</Dialog>
);
