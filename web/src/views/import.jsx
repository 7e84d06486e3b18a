// Bringing a CSV file: choose, see what is wrong with it, send.
import { useEffect, useRef, useState } from "preact/hooks";
import { bytes, count, plural } from "../lib/number.js";
import { useImport } from "../state/import.js";
import { refreshCounts } from "../state/server.js";
import { href } from "../state/route.js";
import { Button } from "../ui/button.jsx";
import { Icon } from "../ui/icon.jsx";
import { Needs } from "../ui/locked.jsx";
import { Page } from "../ui/page.jsx";
import { Notice } from "../ui/states.jsx";
import { BadRows, SampleRows } from "./import-rows.jsx";

function Choose({ problem, onFile }) {
	const input = useRef(null);
	const [over, setOver] = useState(false);
	return (
		<section class="card" aria-label="File">
			{problem && <Notice kind="bad" role="alert">{problem}</Notice>}
			<div class={`drop ${over ? "over" : ""}`}
				onDragOver={(e) => { e.preventDefault(); setOver(true); }}
				onDragLeave={() => setOver(false)}
				onDrop={(e) => {
					e.preventDefault();
					setOver(false);
					if (e.dataTransfer.files[0])
						onFile(e.dataTransfer.files[0]);
				}}>
				<span class="empty-icon"><Icon name="file" size={28} /></span>
				<p class="empty-title">Drop a CSV file here</p>
				<Button kind="primary" onClick={() => input.current.click()}>Choose a file</Button>
				<input ref={input} class="sr-only" type="file" accept=".csv,.tsv,.txt,text/csv" aria-label="CSV file" tabindex="-1"
					onChange={(e) => { if (e.target.files[0]) onFile(e.target.files[0]); e.target.value = ""; }} />
			</div>
			<div class="card-foot muted small">
				<p>The first line names the columns: <code>phoneNumber</code> and <code>content</code>, and if you like{" "}
					<code>sendAt</code>, <code>metadata</code>, <code>idempotencyKey</code>. Usual names such as <em>phone</em> or{" "}
					<em>message</em> are understood, too. Nothing is sent before you have seen what is in the file.</p>
			</div>
		</section>
	);
}

const Progress = ({ label, value, max }) => (
	<div class="progress">
		<div class="field-head"><span>{label}</span><span class="num muted">{max ? Math.floor((value / max) * 100) : 100} %</span></div>
		<progress value={value} max={max || 1} aria-label={label} />
	</div>
);

const FileName = ({ file }) => (
	<p class="file-name"><Icon name="file" /><strong dir="auto">{file.name}</strong><span class="muted num">{bytes(file.size)}</span></p>
);

function Checked({ state, onSend, onAgain, badShown }) {
	const [leaveOut, setLeaveOut] = useState(false);
	const { good, badCount } = state;
	return (
		<section class="card" aria-label="What is in the file">
			<FileName file={state.file} />
			<div class="import-sums">
				<div><span class="tile-count num">{count(good)}</span> good {good === 1 ? "row" : "rows"}</div>
				<div class={badCount ? "bad" : ""}><span class="tile-count num">{count(badCount)}</span> bad {badCount === 1 ? "row" : "rows"}</div>
			</div>
			{badCount > 0 && <BadRows state={state} shown={badShown} title="Rows that cannot be sent" />}
			{good > 0 && <SampleRows rows={state.sample} total={good} />}
			{good === 0 && <Notice kind="bad">No row can be sent. Correct the file and choose it again.</Notice>}
			{badCount > 0 && good > 0 && (
				<label class="check">
					<input type="checkbox" checked={leaveOut} onChange={(e) => setLeaveOut(e.target.checked)} />
					Leave the {plural(badCount, "bad row")} out. Corrected in place, they can be brought later: the file may be
					imported again, and creates only what is not there yet.
				</label>
			)}
			<div class="actions">
				<Button kind="primary" icon="import" onClick={onSend}
					whyNot={!good ? "There is no good row." : badCount && !leaveOut ? "Say first that the bad rows may be left out." : null}>
					Import {plural(good, "message")}
				</Button>
				<Button onClick={onAgain}>Another file</Button>
			</div>
		</section>
	);
}

function Done({ state, onSend, onAgain, badShown }) {
	const { created, repeated, sent, good, badCount, problem } = state;
	return (
		<section class="card" aria-label="Result">
			<FileName file={state.file} />
			{problem
				? <Notice kind="bad" role="alert">{problem} {count(sent)} of {plural(good, "row")} were dealt with. Going on is safe: nothing is created twice.</Notice>
				: <Notice kind="good" role="status">{plural(created, "message")} created{repeated > 0 && `, ${count(repeated)} were there already`}.</Notice>}
			{badCount > 0 && <BadRows state={state} shown={badShown} title="Rows that the server refused" />}
			<div class="actions">
				{problem && <Button kind="primary" onClick={onSend}>Go on</Button>}
				<a class="button" href={href("messages")}>See the messages</a>
				<Button onClick={onAgain}>Another file</Button>
			</div>
		</section>
	);
}

function Steps() {
	const { state, check, send, stop, again, BAD_SHOWN } = useImport();
	useEffect(() => {
		if (state.step === "done")
			refreshCounts().catch(() => {});
	}, [state.step]);
	// Leaving while rows are being sent would stop in the middle.
	useEffect(() => {
		if (state.step !== "sending")
			return undefined;
		const ask = (e) => e.preventDefault();
		addEventListener("beforeunload", ask);
		return () => removeEventListener("beforeunload", ask);
	}, [state.step]);
	useEffect(() => stop, []);

	switch (state.step) {
	case "checking":
		return (
			<section class="card" aria-label="Checking">
				<FileName file={state.file} />
				<Progress label={`Checking: ${plural(state.good + state.badCount, "row")} so far`} value={state.done} max={state.file.size} />
				<div class="actions"><Button onClick={again}>Stop</Button></div>
			</section>
		);
	case "checked":
		return <Checked state={state} onSend={send} onAgain={again} badShown={BAD_SHOWN} />;
	case "sending":
		return (
			<section class="card" aria-label="Importing">
				<FileName file={state.file} />
				<Progress label={`${count(state.sent)} of ${plural(state.good, "message")}`} value={state.sent} max={state.good} />
				<div class="actions"><Button onClick={stop}>Stop after this batch</Button></div>
			</section>
		);
	case "done":
		return <Done state={state} onSend={send} onAgain={again} badShown={BAD_SHOWN} />;
	default:
		return <Choose problem={state.problem} onFile={check} />;
	}
}

export const Import = () => (
	<Page title="Import" lead="Many messages from a CSV file.">
		<Needs group="messages"><Steps /></Needs>
	</Page>
);
