// The scheduler: its state, its next beat, and the levers.
import { useState } from "preact/hooks";
import { ApiError, adviceOf } from "../api/errors.js";
import * as api from "../api/scheduler.js";
import { count, percent, plural } from "../lib/number.js";
import { absolute, countdown, span } from "../lib/time.js";
import { useAction } from "../state/action.js";
import { outage } from "../state/connection.js";
import { useNow } from "../state/now.js";
import { paceOpen } from "../state/panels.js";
import { refreshScheduler, scheduler, serverNow } from "../state/server.js";
import { toast } from "../state/toasts.js";
import { Button } from "../ui/button.jsx";
import { Confirm } from "../ui/dialog.jsx";
import { Needs } from "../ui/locked.jsx";
import { Notice, Skeleton } from "../ui/states.jsx";
import { Ago, Time } from "../ui/when.jsx";

const RADIUS = 52;
const AROUND = 2 * Math.PI * RADIUS;

/** The ring that empties until the next beat. Of a server that is away nobody knows when that is. */
function Ring({ s, away }) {
	useNow(250);
	const on = s.running && !away;
	const left = on && s.nextRunAt ? Date.parse(s.nextRunAt) - serverNow() : 0;
	const whole = s.intervalSeconds * 1000;
	const share = whole && on ? Math.max(0, Math.min(1, left / whole)) : on ? 1 : 0;
	let text = "–";
	let under = away ? "not known" : "stopped";
	if (on && !whole)
		[text, under] = ["∞", "continuous"];
	else if (on)
		[text, under] = left > 0 ? [countdown(left), "to next beat"] : ["now", "the beat is due"];
	return (
		<div class={`ring ${on ? "on" : "off"}`} role="timer" aria-live="off" aria-label="Next beat">
			<svg viewBox="0 0 120 120" aria-hidden="true">
				<circle class="ring-track" cx="60" cy="60" r={RADIUS} />
				<circle class="ring-left" cx="60" cy="60" r={RADIUS} stroke-dasharray={`${AROUND * share} ${AROUND}`} />
			</svg>
			<div class="ring-text"><span class="ring-time num">{text}</span><span class="muted small">{under}</span></div>
		</div>
	);
}

const Fact = ({ name, children }) => <div><dt>{name}</dt><dd class="num">{children}</dd></div>;

function Facts({ s }) {
	const drains = s.drainsAt ? Date.parse(s.drainsAt) - serverNow() : 0;
	return (
		<dl class="facts">
			<Fact name="Waiting">{count(s.backlog)}</Fact>
			<Fact name="All tried once">
				{s.drainsAt ? <span title={absolute(s.drainsAt)}>{drains > 60000 ? `in ${span(drains)}` : "within a minute"}</span>
					: s.backlog && !s.running ? "not while stopped" : "–"}
			</Fact>
			<Fact name="Last run"><Ago at={s.lastRunAt} /></Fact>
			<Fact name="Runs">{count(s.runsCount)}</Fact>
			<Fact name="Sent in all">{count(s.messagesSent)}</Fact>
			<Fact name="Last alert"><Ago at={s.lastAlertSentAt} /></Fact>
		</dl>
	);
}

function tooEarly(error) {
	if (!(error instanceof ApiError) || error.status !== 409)
		return false;
	const at = error.details.nextRunAt;
	const left = at ? Date.parse(at) - serverNow() : 0;
	toast(left > 0 ? `Too early: the pace allows the next run in ${span(left)}.` : adviceOf(error), "plain");
	return true;
}

function Levers({ s }) {
	const [asking, setAsking] = useState(false);
	const [start, starting] = useAction(async () => {
		scheduler.value = (await api.start()).data;
		toast("The scheduler runs");
	});
	const [stop, stopping] = useAction(async () => {
		scheduler.value = (await api.stop()).data;
		setAsking(false);
		toast("The scheduler is stopped");
	});
	const [run, running] = useAction(async () => {
		const { data } = await api.runNow();
		toast(data.claimed ? `Run ${data.run} began with ${plural(data.claimed, "message")}` : `Run ${data.run} found nothing that is due`);
		await refreshScheduler();
	}, tooEarly);
	return (
		<div class="actions">
			{s.running
				? <Button icon="stop" onClick={() => setAsking(true)} busy={stopping}>Stop</Button>
				: <Button kind="primary" icon="play" onClick={start} busy={starting}>Start</Button>}
			<Button icon="beat" onClick={run} busy={running}
				whyNot={s.running && !s.intervalSeconds ? "It runs continuously: there is nothing to wait for." : null}>Run now</Button>
			<Button icon="pace" onClick={() => { paceOpen.value = true; }}>Change the pace</Button>
			{asking && (
				<Confirm title="Stop the scheduler?" action="Stop" kind="danger" busy={stopping}
					onConfirm={stop} onClose={() => setAsking(false)}>
					<p>Nothing more is sent until somebody starts it again, also after a restart of the server. What is on
						its way is finished. Messages are still accepted, and wait.</p>
				</Confirm>
			)}
		</div>
	);
}

function Card() {
	const s = scheduler.value;
	const away = outage.value !== null;
	if (!s)
		return <section class="card scheduler-place"><Skeleton rows={3} /></section>;
	return (
		<section class="card scheduler" aria-labelledby="scheduler-title">
			<Ring s={s} away={away} />
			<div class="scheduler-main">
				<div class="scheduler-head">
					<div>
						<div role="status">
							<h2 id="scheduler-title">Scheduler {away ? "was" : "is"} {s.running ? "running" : "stopped"}</h2>
						</div>
						<p class="muted">
							{s.intervalSeconds
								? <>Up to {plural(s.batchSize, "message")} every {s.interval}</>
								: <>Continuous, {count(s.batchSize)} at a time</>}
							{s.running && !away && s.nextRunAt && s.intervalSeconds > 0 && <>, next at <Time at={s.nextRunAt} /></>}
						</p>
					</div>
					<Levers s={s} />
				</div>
				{s.failureRate > 0 && (
					<Notice kind="warn">Rehearsal: {percent(s.failureRate)} of the attempts fail without a request.</Notice>
				)}
				{s.consecutiveAllFailCount > 0 && (
					<Notice kind="bad">In the last {plural(s.consecutiveAllFailCount, "run")} every message failed. Look at the
						failed messages, and at whether the webhook is well.</Notice>
				)}
				<Facts s={s} />
			</div>
		</section>
	);
}

export const SchedulerCard = () => <Needs group="scheduler"><Card /></Needs>;
