// Writing one message.
import { useState } from "preact/hooks";
import * as api from "../api/messages.js";
import { codePoints, PHONE_HINT, phoneValid, wellFormed } from "../lib/text.js";
import { count } from "../lib/number.js";
import { fromLocalInput } from "../lib/time.js";
import { useAction } from "../state/action.js";
import { href } from "../state/route.js";
import { refreshCounts } from "../state/server.js";
import { toast } from "../state/toasts.js";
import { Button } from "../ui/button.jsx";
import { Field } from "../ui/field.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Notice } from "../ui/states.jsx";

/** What makes pressing the button twice, or again after an outage, create one message. */
const freshKey = () => `dashboard-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
const blank = () => ({ phoneNumber: "", content: "", sendAt: "", metadata: "", key: freshKey() });

function toDraft(form) {
	const errors = {};
	const phoneNumber = form.phoneNumber.replace(/[\s()-]/g, "");
	if (!phoneValid(phoneNumber))
		errors.phoneNumber = phoneNumber ? "This is not an international phone number." : "Enter a phone number.";
	if (!form.content)
		errors.content = "Write something.";
	else if (!wellFormed(form.content))
		errors.content = "Holds half of a character.";
	const draft = { phoneNumber, content: form.content, idempotencyKey: form.key };
	if (form.sendAt)
		draft.sendAt = fromLocalInput(form.sendAt);
	if (form.metadata.trim()) {
		try {
			draft.metadata = JSON.parse(form.metadata);
		} catch {
			errors.metadata = "This is not JSON.";
		}
	}
	return { draft, errors };
}

function Form() {
	const [form, setForm] = useState(blank);
	const [errors, setErrors] = useState({});
	const [made, setMade] = useState(null);
	const set = (name) => (e) => {
		// Another message, another key; the same one again must stay the same.
		setForm((f) => ({ ...f, [name]: e.target.value, key: freshKey() }));
		setErrors(({ [name]: _, ...rest }) => rest);
	};
	const focusFirst = (wrong) => document.querySelector(`[name="${Object.keys(wrong)[0]}"]`)?.focus();

	const [submit, busy] = useAction(async () => {
		const { draft, errors: wrong } = toDraft(form);
		setErrors(wrong);
		if (Object.keys(wrong).length) {
			focusFirst(wrong);
			return;
		}
		const message = await api.create(draft);
		setMade(message);
		toast(`Message ${message.id} is accepted`);
		setForm((f) => ({ ...blank(), phoneNumber: f.phoneNumber }));
		refreshCounts().catch(() => {});
	}, (error) => {
		if (error.status !== 422 || !Object.keys(error.details).length)
			return false;
		setErrors(error.details);
		focusFirst(error.details);
		return true;
	});

	const other = Object.entries(errors).filter(([k]) => !["phoneNumber", "content", "sendAt", "metadata"].includes(k));
	return (
		<form class="card form new-message" noValidate onSubmit={(e) => { e.preventDefault(); submit(); }}>
			{made && (
				<Notice kind="good">
					Message <a href={href("messages", { id: made.id })}>#{made.id}</a> is accepted and waits for its beat.
				</Notice>
			)}
			{other.length > 0 && <Notice kind="bad" role="alert">{other.map(([k, v]) => `${k} ${v}`).join("; ")}</Notice>}
			<Field label="Phone number" hint={PHONE_HINT} error={errors.phoneNumber}>
				{(props) => (
					<input {...props} class="input num" name="phoneNumber" type="tel" autoComplete="off" value={form.phoneNumber}
						onInput={set("phoneNumber")} />
				)}
			</Field>
			<Field label="Message" error={errors.content} aside={`${count(codePoints(form.content))} characters`}>
				{(props) => (
					<textarea {...props} class="input" name="content" rows="5" dir="auto" value={form.content} onInput={set("content")} />
				)}
			</Field>
			<details class="more">
				<summary>More: a later time, metadata</summary>
				<div class="form">
					<Field label="Send not before" optional error={errors.sendAt} hint="In your own time zone.">
						{(props) => (
							<input {...props} class="input" name="sendAt" type="datetime-local" step="1" value={form.sendAt} onInput={set("sendAt")} />
						)}
					</Field>
					<Field label="Metadata" optional error={errors.metadata} hint="A JSON object that is kept with the message, at most 4 KiB.">
						{(props) => (
							<textarea {...props} class="input code" name="metadata" rows="3" spellcheck={false} value={form.metadata}
								placeholder={'{"campaign": "spring"}'} onInput={set("metadata")} />
						)}
					</Field>
				</div>
			</details>
			<div class="actions"><Button kind="primary" type="submit" busy={busy}>Send message</Button></div>
		</form>
	);
}

export const Create = () => (
	<Page title="New message" lead="It is on disk when it is accepted, and leaves at the pace of the scheduler.">
		<Needs group="messages"><Form /></Needs>
	</Page>
);
