// The keyboard shortcuts.
import { helpOpen } from "../state/panels.js";
import { shortcutsOn, turnShortcuts } from "../state/shortcuts.js";
import { Dialog } from "../ui/dialog.jsx";
import { VIEWS } from "./views.jsx";

const OTHERS = [
	[["n"], "Write a message"],
	[["/"], "Search messages"],
	[["j"], "Next row"],
	[["k"], "Row before"],
	[["Enter"], "Open the row"],
	[["x"], "Select the row"],
	[["t"], "Light or dark"],
	[["?"], "This list"],
	[["Esc"], "Close what is open"],
];

const Keys = ({ keys }) => keys.map((k, i) => <span key={k}>{i > 0 && " then "}<kbd>{k}</kbd></span>);

export const Help = () => (
	<Dialog title="Keyboard shortcuts" onClose={() => { helpOpen.value = false; }}>
		<div class="dialog-body">
			<dl class="shortcuts">
				{Object.values(VIEWS).map((v) => (
					<div key={v.key}><dt><Keys keys={["g", v.key]} /></dt><dd>{v.title}</dd></div>
				))}
				{OTHERS.map(([keys, what]) => (
					<div key={what}><dt><Keys keys={keys} /></dt><dd>{what}</dd></div>
				))}
			</dl>
			<label class="check">
				<input type="checkbox" checked={shortcutsOn.value} onChange={(e) => turnShortcuts(e.target.checked)} />
				Single keys are shortcuts
			</label>
		</div>
	</Dialog>
);
