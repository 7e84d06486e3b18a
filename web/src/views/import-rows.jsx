// What an import has found: the bad rows with their reasons, and a look at the good ones.
import { count, plural } from "../lib/number.js";
import { Button } from "../ui/button.jsx";

const csvField = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Hands the bad rows over as a file, made here: nothing is sent anywhere. */
function download({ bad, file }) {
	const lines = bad.map((b) => [b.line, b.why, b.raw ?? ""].map((v) => csvField(String(v))).join(","));
	const url = URL.createObjectURL(new Blob([`line,reason,row\r\n${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
	const a = document.createElement("a");
	a.href = url;
	a.download = `${file.name.replace(/\.[^.]*$/, "")}.bad.csv`;
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export const BadRows = ({ state, shown, title }) => (
	<section aria-label={title}>
		<div class="section-head">
			<h2>{title}</h2>
			<Button small icon="import" onClick={() => download(state)}>Save as a file</Button>
		</div>
		<div class="table-wrap limited" tabindex="0" role="region" aria-label="Bad rows">
			<table class="table">
				<thead><tr><th scope="col" class="end">Line</th><th scope="col">Reason</th><th scope="col" class="hide-phone">Row</th></tr></thead>
				<tbody>
					{state.bad.slice(0, shown).map((b) => (
						<tr key={b.line}>
							<td class="num end">{count(b.line)}</td>
							<td>{b.why}</td>
							<td class="cut muted hide-phone" dir="auto">{b.raw}</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
		{state.badCount > shown && <p class="muted small">And {plural(state.badCount - shown, "more", "more")}; the file has them.</p>}
	</section>
);

export const SampleRows = ({ rows, total }) => (
	<section aria-label="The first good rows">
		<div class="section-head"><h2>{total > rows.length ? `The first ${rows.length} good rows` : "Good rows"}</h2></div>
		<div class="table-wrap">
			<table class="table">
				<thead><tr><th scope="col" class="end">Line</th><th scope="col">Phone number</th><th scope="col">Message</th></tr></thead>
				<tbody>
					{rows.map((r) => (
						<tr key={r.line}>
							<td class="num end">{count(r.line)}</td>
							<td class="num">{r.draft.phoneNumber}</td>
							<td class="cut" dir="auto">{r.draft.content}</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	</section>
);
