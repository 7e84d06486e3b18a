// Something loaded for a component: loaded again when its key changes, when reload() is called, and when the
// server is back after it was away. The newest request wins; what was there stays until the new is.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { comebacks } from "./connection.js";

/** load(signal) -> promise; key: anything that compares; null key: nothing is loaded. */
export function useResource(load, key) {
	const [state, setState] = useState({ data: null, error: null, loading: key !== null, key: null });
	const [again, setAgain] = useState(0);
	const latest = useRef(load);
	latest.current = load;
	const back = comebacks.value;

	useEffect(() => {
		if (key === null) {
			setState({ data: null, error: null, loading: false, key });
			return undefined;
		}
		const abort = new AbortController();
		setState((s) => ({ ...s, loading: true }));
		latest.current(abort.signal).then(
			(data) => !abort.signal.aborted && setState({ data, error: null, loading: false, key }),
			(error) => !abort.signal.aborted &&
				setState((s) => ({ data: s.key === key ? s.data : null, error, loading: false, key })),
		);
		return () => abort.abort();
	}, [key, again, back]);

	const reload = useCallback(() => setAgain((n) => n + 1), []);
	return { ...state, reload };
}
