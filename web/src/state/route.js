// Where the page is: #/messages?status=failed&id=17. In the fragment, so that the server has one page to serve and
// nothing of it reaches a log.
import { signal } from "@preact/signals";

function parse() {
	const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
	return { view: path || "overview", params: Object.fromEntries(new URLSearchParams(search)) };
}

export const route = signal(parse());

addEventListener("hashchange", () => {
	route.value = parse();
});

export function href(view, params = {}) {
	const kept = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== "");
	const search = new URLSearchParams(kept).toString();
	return `#/${view}${search && `?${search}`}`;
}

export function go(view, params, { replace = false } = {}) {
	const to = href(view, params);
	if (replace) {
		history.replaceState(null, "", to);
		route.value = parse();
	} else {
		location.hash = to;
	}
}

/** Changes parameters of the view that is shown; undefined takes one out. */
export const setParams = (changed, options) =>
	go(route.value.view, { ...route.value.params, ...changed }, options);
