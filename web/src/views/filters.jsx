// What the list of messages is narrowed to. Kept in the address, so that it can be shared and gone back to.
import { useState } from "preact/hooks";
import { phoneValid } from "../lib/text.js";
import { fromLocalInput, toLocalInput } from "../lib/time.js";
import { go, route, setParams } from "../state/route.js";
import { Button } from "../ui/button.jsx";
import { STATUSES } from "../ui/chip.jsx";
import { Icon } from "../ui/icon.jsx";

const NAMES = ["status", "phoneNumber", "since", "until"];

export const filtersOf = (params) => Object.fromEntries(NAMES.filter((n) => params[n]).map((n) => [n, params[n]]));

/** One box for both: a number that begins with “+” is a phone number, any other an id. */
function Search({ phone }) {
	const [text, setText] = useState(phone ?? "");
	const [problem, setProblem] = useState(null);
	const search = (e) => {
		e.preventDefault();
		const t = text.replace(/[\s()-]/g, "").replace(/^#/, "");
		setProblem(null);
		if (!t)
			setParams({ phoneNumber: undefined });
		else if (phoneValid(t))
			setParams({ phoneNumber: t });
		else if (/^[1-9]\d{0,15}$/.test(t))
			setParams({ id: t });
		else
			setProblem("Enter a whole phone number with “+”, or a message's id.");
	};
	return (
		<form class="search" role="search" onSubmit={search} noValidate>
			<label class="sr-only" for="search">Phone number or message id</label>
			<Icon name="search" />
			<input id="search" class="input" data-search type="text" placeholder="Phone number or id" value={text}
				autoComplete="off" spellcheck={false} aria-invalid={problem ? "true" : undefined} aria-describedby="search-problem"
				onInput={(e) => setText(e.target.value)} />
			<p class="field-error" id="search-problem" role="alert">{problem}</p>
		</form>
	);
}

const Moment = ({ name, label, value }) => (
	<label class="filter">
		<span>{label}</span>
		<input class="input" type="datetime-local" value={toLocalInput(value)}
			onChange={(e) => setParams({ [name]: fromLocalInput(e.target.value) || undefined, id: undefined })} />
	</label>
);

export function Filters({ filters }) {
	const any = Object.keys(filters).length > 0;
	return (
		<div class="filters">
			<Search key={filters.phoneNumber} phone={filters.phoneNumber} />
			<label class="filter">
				<span>Status</span>
				<select class="input" value={filters.status ?? ""}
					onChange={(e) => setParams({ status: e.target.value || undefined, id: undefined })}>
					<option value="">all</option>
					{STATUSES.map((s) => <option key={s} value={s}>{s}</option>)}
				</select>
			</label>
			<Moment name="since" label="Created from" value={filters.since} />
			<Moment name="until" label="until" value={filters.until} />
			{any && <Button kind="quiet" icon="close" onClick={() => go(route.value.view)}>Clear</Button>}
		</div>
	);
}
