// How fast: interval, batch size and, for rehearsals, the share of attempts that fail without a request.
import { useState } from "preact/hooks";
import { adviceOf } from "../api/errors.js";
import * as api from "../api/scheduler.js";
import { count, percent } from "../lib/number.js";
import { useAction } from "../state/action.js";
import { paceOpen } from "../state/panels.js";
import { scheduler } from "../state/server.js";
import { toast } from "../state/toasts.js";
import { Button } from "../ui/button.jsx";
import { Dialog } from "../ui/dialog.jsx";
import { Field } from "../ui/field.jsx";
import { Notice } from "../ui/states.jsx";

const PRESETS = ["0", "1s", "10s", "1m", "2m", "10m"];
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };

/** Seconds of a duration such as 1h30m; NaN when it is none. */
function secondsOf(text) {
	if (text === "0")
		return 0;
	if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text))
		return NaN;
	return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)].reduce((sum, [, n, unit]) => sum + n * UNITS[unit], 0);
}

/** What the pace comes to, in words. */
function Forecast({ interval, batch }) {
	const seconds = secondsOf(interval.trim());
	const n = Number(batch);
	if (!Number.isFinite(seconds) || !(n >= 1))
		return null;
	const hour = seconds ? (3600 / seconds) * n : 0;
	return (
		<p class="forecast">
			{seconds === 0
				? "Continuous: as fast as the webhook takes them."
				: <>At most <strong class="num">{count(Math.round(hour * 10) / 10)}</strong> attempts an hour,{" "}
					<strong class="num">{count(Math.round(hour * 24))}</strong> a day.</>}
		</p>
	);
}

export function PaceDialog() {
	const s = scheduler.peek();
	const [interval, setInterval] = useState(s.interval);
	const [batch, setBatch] = useState(String(s.batchSize));
	const [failing, setFailing] = useState(Math.round(s.failureRate * 100));
	const [errors, setErrors] = useState({});
	const close = () => { paceOpen.value = false; };

	const [save, busy] = useAction(async () => {
		const now = scheduler.peek();
		const change = {};
		if (interval.trim() !== now.interval)
			change.interval = interval.trim();
		if (Number(batch) !== now.batchSize)
			change.batchSize = Number(batch);
		if (failing / 100 !== now.failureRate)
			change.failureRate = failing / 100;
		// The same verb as the state it is in: this changes the pace and nothing else.
		const answer = await (now.running ? api.start : api.stop)(change);
		scheduler.value = answer.data;
		toast("The pace is changed");
		close();
	}, (error) => {
		setErrors(error.status === 422 ? error.details : {});
		return error.status === 422 && Object.keys(error.details).length > 0 || !toast(adviceOf(error), "bad");
	});

	return (
		<Dialog title="Pace" onClose={close}>
			<form noValidate onSubmit={(e) => { e.preventDefault(); save(); }}>
				<div class="dialog-body form">
					<Field label="A beat every" error={errors.interval}
						hint="Such as 500ms, 90s, 2m or 1h30m; 0 is continuous.">
						{(props) => (
							<>
								<input {...props} class="input" value={interval} autoComplete="off" spellcheck={false}
									onInput={(e) => setInterval(e.target.value)} />
								<div class="presets" role="group" aria-label="Usual intervals">
									{PRESETS.map((p) => (
										<button key={p} type="button" class="preset" aria-pressed={interval === p}
											onClick={() => setInterval(p)}>{p === "0" ? "continuous" : p}</button>
									))}
								</div>
							</>
						)}
					</Field>
					<Field label="Messages in a beat" error={errors.batchSize} hint="At most so many attempts begin in each beat.">
						{(props) => (
							<input {...props} class="input" type="number" min="1" max="1000000" inputMode="numeric" value={batch}
								onInput={(e) => setBatch(e.target.value)} />
						)}
					</Field>
					<Forecast interval={interval} batch={batch} />
					<Field label="Failure rate" error={errors.failureRate} aside={percent(failing / 100)}
						hint="For rehearsals: this share of attempts fails without a request being made.">
						{(props) => (
							<input {...props} class="range" type="range" min="0" max="100" value={failing}
								aria-valuetext={percent(failing / 100)} onInput={(e) => setFailing(Number(e.target.value))} />
						)}
					</Field>
					{failing > 0 && <Notice kind="warn">Messages can use up their attempts this way and end as failed.</Notice>}
				</div>
				<div class="dialog-foot">
					<Button onClick={close}>Keep as it is</Button>
					<Button kind="primary" type="submit" busy={busy}>Change the pace</Button>
				</div>
			</form>
		</Dialog>
	);
}
