// Something a button does: busy while it runs, so that it runs once; failures become toasts unless handled.
import { useState } from "preact/hooks";
import { adviceOf } from "../api/errors.js";
import { toast } from "./toasts.js";

/** [run, busy]; onError(error) returning true means that it was dealt with. */
export function useAction(work, onError) {
	const [busy, setBusy] = useState(false);
	async function run(...args) {
		if (busy)
			return;
		setBusy(true);
		try {
			await work(...args);
		} catch (error) {
			if (!onError?.(error))
				toast(adviceOf(error), "bad");
		} finally {
			setBusy(false);
		}
	}
	return [run, busy];
}
