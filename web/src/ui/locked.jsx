// What stands in for a view whose key is missing or was refused.
import { whyNot } from "../state/keys.js";
import { keysOpen } from "../state/panels.js";
import { Button } from "./button.jsx";
import { Empty } from "./states.jsx";

/** Shows the children when the group can be used, else the reason why not. */
export function Needs({ group, children }) {
	const why = whyNot(group);
	if (!why)
		return children;
	return (
		<div class="card">
			<Empty icon="key" title={`This needs the ${group} key`}>
				<p>{why}</p>
				<Button onClick={() => { keysOpen.value = true; }}>Enter the key</Button>
			</Empty>
		</div>
	);
}
