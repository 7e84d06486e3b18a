// A list that is read page by page with the server's cursors: the last page is as quick as the first, and never more
// than one page is kept. Going back uses the cursors that led here; after a jump there are none, so then the
// number of the page is used.
import { useEffect, useState } from "preact/hooks";
import { useResource } from "./resource.js";

const FIRST = { trail: [{}], direction: null };

/** load(at, signal): at is {}, {cursor} or {page}; answers as the API's pages do. key: what the list is of. */
export function usePages(load, key) {
	const [state, setState] = useState({ key, ...FIRST });
	const { trail, direction } = state.key === key ? state : FIRST;
	const at = trail.at(-1);
	const resource = useResource((signal) => load(at, signal), `${key} ${JSON.stringify(at)}`);
	const [shown, setShown] = useState(null);
	const { data } = resource;

	// The page that was there stays until the next is: nothing jumps.
	useEffect(() => {
		if (data)
			setShown({ key, data });
	}, [data]);
	const page = data ?? (shown?.key === key && !resource.error ? shown.data : null);
	const go = (next, towards) => setState({ key, trail: next, direction: towards });

	const older = page?.nextCursor && !resource.loading ? () => go([...trail, { cursor: page.nextCursor }], "older") : null;
	let newer = null;
	if (trail.length > 1)
		newer = () => go(trail.slice(0, -1), "newer");
	else if (page && page.page > 1)
		newer = () => go(page.page === 2 ? [{}] : [{ page: page.page - 1 }], "newer");

	return {
		...resource,
		data: page,
		isFirst: trail.length === 1 && !at.page,
		pager: {
			page: page?.page ?? trail.length,
			totalPages: page?.totalPages,
			totalCount: page?.totalCount,
			counted: page?.totalCountExact === false ? "some" : "all",
			older,
			newer,
			onJump: (n) => go(n === 1 ? [{}] : [{ page: n }], "jump"),
			loading: resource.loading,
			busy: resource.loading ? direction : null,
		},
	};
}
