// A component whose file is loaded when it is first shown.
import { useEffect, useState } from "preact/hooks";
import { Button } from "./button.jsx";
import { Empty, Skeleton } from "./states.jsx";

export function lazy(load, name) {
	let loaded = null;
	return function Lazy(props) {
		const [state, setState] = useState(loaded ? "there" : "loading");
		const [again, setAgain] = useState(0);
		useEffect(() => {
			let gone = false;
			if (loaded)
				return undefined;
			load().then((module) => {
				loaded = module[name];
				gone || setState("there");
			}, () => gone || setState("failed"));
			return () => {
				gone = true;
			};
		}, [again]);
		if (loaded) {
			const Component = loaded;
			return <Component {...props} />;
		}
		if (state === "loading")
			return <div class="page"><Skeleton /></div>;
		// After an upgrade of the server the files have other names, and only a new page knows them.
		return (
			<Empty icon="warning" title="This part of the page could not be loaded">
				<p>The server may be away, or have been upgraded since this page was opened.</p>
				<div class="actions center">
					<Button icon="refresh" onClick={() => { setState("loading"); setAgain((n) => n + 1); }}>Try again</Button>
					<Button onClick={() => location.reload()}>Load the page anew</Button>
				</div>
			</Empty>
		);
	};
}
