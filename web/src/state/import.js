// An import from file to messages. The file is read twice: once to check every row, so that bad ones are known
// before anything is created, and once to send the good ones, so that no more than a batch is ever in memory.
// Every row has an idempotency key, so doing it again creates only what is not there yet.
import { useRef, useState } from "preact/hooks";
import { adviceOf } from "../api/errors.js";
import * as api from "../api/messages.js";
import { keyPrefix } from "../lib/rowkey.js";
import { readRows } from "../lib/rows.js";

const BATCH_ROWS = 10000;
const BATCH_CHARS = 3 << 20; // well below API_MAX_BATCH_BYTES, whatever the characters
const BAD_SHOWN = 200;
const BAD_KEPT = 100000;
const SAMPLE = 5;
const TRIES = 6;

const IDLE = { step: "choose" };

/** What is known of the file; bad: {line, why, raw}. */
const summary = (file) => ({ file, good: 0, badCount: 0, bad: [], sample: [] });

function addBad(s, row) {
	s.badCount++;
	if (s.bad.length < BAD_KEPT)
		s.bad.push(row);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends one batch; again while the server is away, which is safe because of the keys. */
async function sendPatiently(drafts, signal) {
	for (let nth = 1; ; nth++) {
		try {
			return await api.createMany(drafts, signal);
		} catch (error) {
			const passing = error.status === 0 || error.status === 503;
			if (!passing || nth === TRIES || signal.aborted)
				throw error;
			await pause(Math.min(10000, 500 * 2 ** nth));
		}
	}
}

/**
 * Sends rows, all or none per call, without those that the server refuses: it names them by their index, up to 100
 * at a time.
 */
async function sendRows(rows, result, signal) {
	while (rows.length) {
		try {
			const { created, repeated } = await sendPatiently(rows.map((r) => r.draft), signal);
			result.created += created;
			result.repeated += repeated;
			return;
		} catch (error) {
			const refused = new Map();
			for (const [name, why] of Object.entries(error.details ?? {})) {
				const m = /^(\d+)(?:\.(\w+))?$/.exec(name);
				if (m)
					refused.set(Number(m[1]), m[2] ? `${m[2]}: ${why}` : why);
			}
			if (error.status !== 422 || !refused.size)
				throw error;
			for (const [i, why] of refused)
				addBad(result, { line: rows[i].line, why, raw: rows[i].draft.content.slice(0, 40) });
			rows = rows.filter((_, i) => !refused.has(i));
		}
	}
}

export function useImport() {
	const [state, setState] = useState(IDLE);
	const abort = useRef(null);

	async function check(file) {
		abort.current = new AbortController();
		const { signal } = abort.current;
		const found = summary(file);
		setState({ step: "checking", ...found, done: 0 });
		try {
			for await (const { rows, done } of readRows(file, keyPrefix(file.name))) {
				if (signal.aborted)
					return;
				for (const row of rows) {
					if (row.why) {
						addBad(found, row);
						continue;
					}
					found.good++;
					if (found.sample.length < SAMPLE)
						found.sample.push(row);
				}
				setState({ step: "checking", ...found, done });
			}
			setState({ step: "checked", ...found });
		} catch (error) {
			setState({ step: "choose", problem: adviceOf(error), file });
		}
	}

	async function send() {
		abort.current = new AbortController();
		const { signal } = abort.current;
		const { file, good } = state;
		const result = { created: 0, repeated: 0, sent: 0, bad: [], badCount: 0 };
		const show = (more) => setState({ step: "sending", file, good, ...result, ...more });
		let batch = [];
		let size = 0;
		const flush = async () => {
			await sendRows(batch, result, signal);
			result.sent += batch.length;
			batch = [];
			size = 0;
			show();
		};
		show();
		try {
			for await (const { rows } of readRows(file, keyPrefix(file.name))) {
				for (const row of rows) {
					if (row.why)
						continue;
					batch.push(row);
					size += row.draft.content.length + JSON.stringify(row.draft.metadata ?? "").length + 200;
					if (batch.length === BATCH_ROWS || size >= BATCH_CHARS)
						await flush();
					if (signal.aborted)
						throw signal.reason;
				}
			}
			if (batch.length)
				await flush();
			setState({ step: "done", file, good, ...result });
		} catch (error) {
			setState({
				step: "done", file, good, ...result,
				problem: signal.aborted ? "You stopped it." : adviceOf(error),
			});
		}
	}

	return {
		state, check, send, BAD_SHOWN,
		stop: () => abort.current?.abort(new DOMException("stopped", "AbortError")),
		again: () => {
			abort.current?.abort();
			setState(IDLE);
		},
	};
}
